// Package pcm decodes recordings to what package voice listens to: mono, 16 kHz, float32 from -1 to 1.
//
// It must not know what is listened for. What no decoder at hand gets right is [ErrUnheard], with
// the reason: sound that was decoded wrongly must never be listened to as if it were right. Memory is
// bounded by the block that is decoded, whatever the recording's length; [All] gathers the sound and
// takes a limit.
package pcm
