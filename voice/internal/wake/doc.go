// Package wake finds spoken words: a small convolutional network says for each 20 ms which word is
// being spoken, and the detector makes occurrences with boundaries of it. The same package teaches
// such networks, from clips of the words and speech without them, mixed on the fly.
//
// It must not know recordings, policies or files: power mel spectra in, occurrences out.
package wake
