// Package pcm decodes recordings to what package voice listens to: mono, 16 kHz, float32 from -1 to 1.
//
// It takes WAV (RIFF, RIFX, RF64, BW64; PCM, float, A-law, mu-law, IMA and MS ADPCM), MPEG layer III, FLAC native
// and in Ogg, and Ogg Opus, told apart by content. The first sample is that of package redact's timeline
// (behind the delay that LAME notes, behind Opus' pre-skip), so that what is found can be erased.
//
// It must not know what is listened for. What no decoder at hand gets right is [ErrUnheard], with
// the reason: sound that was decoded wrongly must never be listened to as if it were right. Memory is
// bounded by the block that is decoded, whatever the recording's length; [All] gathers the sound and
// takes a limit.
//
// go-mp3 gets MPEG frames laid out anew, for it is wrong about padding at 22.05 kHz, free format, checksums
// at 320 kbit/s, junk, and frames whose main data is missing. So those are heard, and 11.025 and 12 kHz, whose
// tables are those of 16 kHz. Refused: layers I and II, 8 kHz, intensity stereo, mixed blocks, junk between
// frames, more than one frame in a hundred without its main data.
package pcm
