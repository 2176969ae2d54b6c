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
	powerFloor = 3e-5  // of the level: what is quieter is not seen
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
	l.even(out, frames)
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

// channel tells what powers came through.
func (l *leveller) channel(powers []float32) Channel {
	return Channel{Noise: l.noise(powers), Narrow: l.narrow(powers)}
}

// Where loud frames stand fullNoise decibels above quiet ones, noise hides much; where they stand noNoise
// above them, nothing.
const (
	fullNoise = 13
	noNoise   = 28
)

// noise is how noisy powers are, from 0 to 1, by the loud over the quiet frames. Digital silence counts for
// neither.
func (l *leveller) noise(powers []float32) float32 {
	frames := len(powers) / sound.Bands
	l.percentile(powers, frames, 50) // fills the means, sorted
	first, _ := slices.BinarySearch(l.means, leastLevel)
	heard := l.means[first:]
	if len(heard) < 20 {
		return 0
	}
	span := 10 * math.Log10(float64(sound.Percentile(heard, 95)/sound.Percentile(heard, 10)))
	return float32(min(1, max(0, (noNoise-span)/(noNoise-fullNoise))))
}

// Bands above upperBand lie beyond what telephones pass, those from lowerBand on within it. In loud frames
// the upper ones are sureNarrow decibels under the lower ones on a telephone line, and not notNarrow.
const (
	lowerBand, upperBand  = 5, 30 // from 330 and 3,900 Hz on
	notNarrow, sureNarrow = 35, 41
)

// narrow is how surely the upper frequencies are missing, from 0 to 1.
func (l *leveller) narrow(powers []float32) float32 {
	frames := len(powers) / sound.Bands
	limit := max(leastLevel, l.percentile(powers, frames, 60))
	var upper, lower float64
	for t := range frames {
		row := powers[t*sound.Bands : (t+1)*sound.Bands]
		sum := float32(0)
		for _, p := range row {
			sum += p
		}
		if sum/sound.Bands < limit {
			continue
		}
		for b, p := range row {
			switch {
			case b >= upperBand:
				upper += float64(p) / (sound.Bands - upperBand)
			case b >= lowerBand && b < upperBand-2:
				lower += float64(p) / (upperBand - 2 - lowerBand)
			}
		}
	}
	if lower == 0 {
		return 0
	}
	down := -10 * math.Log10(upper/lower+1e-12)
	return float32(min(1, max(0, (down-notNarrow)/(sureNarrow-notNarrow))))
}

// even takes half of the mean spectrum of the louder frames away.
func (l *leveller) even(x []float32, frames int) {
	limit := l.percentile(x, frames, 60)
	var mean [sound.Bands]float32
	count, all := float32(0), float32(0)
	for t := range frames {
		row := x[t*sound.Bands : (t+1)*sound.Bands]
		sum := float32(0)
		for _, v := range row {
			sum += v
		}
		if sum/sound.Bands >= limit {
			count++
			all += sum / sound.Bands
			for b, v := range row {
				mean[b] += v
			}
		}
	}
	if count == 0 {
		return
	}
	for b := range mean {
		mean[b] = (mean[b] - all) / count / 2
	}
	for t := range frames {
		for b := range mean {
			x[t*sound.Bands+b] -= mean[b]
		}
	}
}
