// Package voice tells what is in the sound of a recording: where the wake word is, whether a child
// speaks, where anyone speaks at all.
//
// It must not know buckets, catalogs or policies: samples or metadata in, [earshot.Listening] out.
// What a device or service wrote about its own hearing is asked first; it is a fact of its own kind,
// with the source's name as the detector. An absent statement is never taken for "nothing heard": it
// is no listening at all.
//
// A [Listener] hears for itself, with small networks that are part of the program:
//
//	l, err := voice.NewListener()
//	...
//	heard, err := l.Hear(ctx, pcm) // mono, 16 kHz, -1 to 1
//	facts := heard.Listenings(now, voice.Reading{})
//
// An operator's own wake word is learned with [Enroll] and given to [NewListener].
//
// Limits: what was measured, on which voices, and what the scores must not be used for stands in
// docs/voice.md and models/README.md. Sound is decoded elsewhere. The bits of an answer are the same
// at each run on amd64; other machines may fuse multiplications and additions, and differ in the
// last digits.
package voice
