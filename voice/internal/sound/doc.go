// Package sound turns PCM samples into the figures that the networks of package voice look at:
// power mel spectra, the pitch and the frames in which someone speaks. It also damages sound on
// purpose (noise, echo, telephone), for training and for measuring.
//
// All sound here is mono at [Rate] as float32 from -1 to 1. Frame t is centred at sample t*[Hop];
// what lies outside the recording is silence. No function allocates per frame. It must not know
// networks, words or files.
package sound

// Rate is the sampling rate in hertz, Hop the step between frames in samples (10 ms), Bands the
// number of mel bands.
const (
	Rate  = 16000
	Hop   = 160
	Bands = 40
)

// Frames is the number of frames of n samples.
func Frames(n int) int { return n/Hop + 1 }
