package sound

import (
	"math"
	"slices"
)

// Decibels writes the level of each frame, 10 log10 of the summed bands, into out.
func Decibels(powers, out []float32) {
	for t := range out {
		sum := float32(0)
		for _, p := range powers[t*Bands : (t+1)*Bands] {
			sum += p
		}
		out[t] = float32(10 * math.Log10(float64(sum)+1e-9))
	}
}

// digitalSilence is the level under which a frame is no room but the absence of one: such frames
// say nothing about the noise floor.
const digitalSilence = -86

// Short speech in a long recording is less than the share of frames that the peak is taken from. So where
// this many frames, the shortest word, are louder than that by standOut decibels, the peak is theirs; but
// not by more than mostOut, for a door that slams must not deafen to quiet speech. In recordings full of
// speech they are louder by 3 decibels at most, and nothing changes.
const (
	shortestWord = 15
	standOut     = 6
	mostOut      = 15
)

// Active marks the frames that stand out of the recording's own noise: above the floor by 35 % of
// the distance to the peak, and less than 30 dB below the peak. It says nothing about what stands
// out. The scratch slice avoids an allocation if it is as long as level.
func Active(level []float32, out []bool, scratch []float32) {
	scratch = scratch[:0]
	for _, l := range level {
		if l > digitalSilence {
			scratch = append(scratch, l)
		}
	}
	if len(scratch) == 0 {
		clear(out)
		return
	}
	slices.Sort(scratch)
	lo, hi := Percentile(scratch, 5), Percentile(scratch, 97)
	if loud := scratch[max(0, len(scratch)-1-shortestWord)]; loud > hi+standOut {
		hi = min(loud, hi+mostOut)
	}
	threshold := max(lo+0.35*(hi-lo), hi-30)
	for t := range out {
		out[t] = level[t] > threshold
	}
}

// Percentile of a sorted slice, by linear interpolation; 0 for an empty one.
func Percentile(sorted []float32, p float64) float32 {
	if len(sorted) == 0 {
		return 0
	}
	x := p / 100 * float64(len(sorted)-1)
	i := int(x)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	f := float32(x - float64(i))
	return sorted[i]*(1-f) + sorted[i+1]*f
}
