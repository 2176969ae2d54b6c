package redact

import "math"

// toneSample is a 1 kHz sine at -20 dB of full scale at one sample of a recording. Below 4 kHz a
// quarter of the rate takes the place of 1 kHz. It depends on the position and the format alone.
func toneSample(position, rate int64, depth int) int32 {
	hz := min(1000, max(1, rate/4))
	phase := float64(position%rate*hz%rate) / float64(rate)
	return int32(math.Round(0.1 * float64(int64(1)<<(depth-1)-1) * math.Sin(2*math.Pi*phase)))
}
