package wake

import (
	"math"
	"slices"

	"earshot/voice/internal/sound"
)

// leveller brings power mel spectra to what the networks expect: powers relative to the loud
// frames, their logarithm, and one offset for all, so that neither gain nor room matters much.
type leveller struct{ means []float32 }

const (
	powerFloor = 1e-6  // of the level: what is quieter is not seen
	leastLevel = 1e-10 // digital silence is not blown up into noise
)

// level writes the input for frames of powers into out, which holds as many values.
func (l *leveller) level(powers, out []float32) {
	frames := len(powers) / sound.Bands
	loud := max(leastLevel, l.percentile(powers, frames, 80))
	scale := 1 / loud
	for i, p := range powers {
		out[i] = float32(math.Log(float64(p*scale + powerFloor)))
	}
	offset := l.percentile(out, frames, 95)
	for i, v := range out {
		out[i] = max((v-offset)/3+1, -3)
	}
}

// percentile of the frames' means.
func (l *leveller) percentile(x []float32, frames int, p float64) float32 {
	if cap(l.means) < frames {
		l.means = make([]float32, frames)
	}
	l.means = l.means[:frames]
	for t := range frames {
		sum := float32(0)
		for _, v := range x[t*sound.Bands : (t+1)*sound.Bands] {
			sum += v
		}
		l.means[t] = sum / sound.Bands
	}
	slices.Sort(l.means)
	return sound.Percentile(l.means, p)
}
