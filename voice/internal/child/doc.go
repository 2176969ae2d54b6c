// Package child estimates from a stretch of speech whether the speaker is a child under 13: a small
// network over spectra whose mean over the stretch is taken away, and pitch; networks and boosted
// trees over figures of the stretch: pitch, places of resonances, spreads, differences between kinds
// of frames. The mean spectrum is never looked at, for it tells rooms and microphones apart better
// than speakers.
//
// It must not know recordings or policies. What it says is an estimate of a voice's character, not
// of a person's age: many women of 16 to 21 sound like children to it, and boys whose voice has
// broken do not.
package child
