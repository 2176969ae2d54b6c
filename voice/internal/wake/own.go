package wake

import (
	"context"
	"math"
	"slices"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
)

// OwnSteps is how long a word of the operator's own is taught, for each of OwnTrunks networks.
const (
	OwnSteps  = 300
	OwnTrunks = 2
)

// TeachFrom teaches one network from each of those in from, which know other words: what speech sounds like
// need not be learned from a handful of clips again.
func TeachFrom(ctx context.Context, l Lesson, from []*net.Model, c Course) ([]*net.Model, error) {
	var out []*net.Model
	progress := c.Progress
	if c.Peak == 0 {
		c.Peak = 2e-3
	}
	for i, m := range from {
		c.From = m
		if progress != nil {
			c.Progress = func(step int, loss float64) { progress(i*c.Steps+step, loss) }
		}
		next, err := Teach(ctx, l, c)
		if err != nil {
			return nil, err
		}
		out = append(out, next)
		c.Seed++
	}
	return out, nil
}

// Spoken is the power mel spectra from the first to the last frame of speech, and 80 ms around; nil where
// there is less than 0.3 s of it.
func Spoken(powers []float32) []float32 {
	n := len(powers) / bands
	level, active := make([]float32, n), make([]bool, n)
	sound.Decibels(powers, level)
	sound.Active(level, active, make([]float32, 0, n))
	first := slices.Index(active, true)
	last := n - 1
	for last > first && !active[last] {
		last--
	}
	if first < 0 || last-first < 30 {
		return nil
	}
	return powers[max(0, first-8)*bands : min(n, last+9)*bands]
}

// Scored is the best score of a recording before it is adjusted, and what it came through.
type Scored struct {
	Score float32
	Channel
}

// Gain is what scores have to gain in a channel of 1 so that what is taken for a word scores as high there
// as elsewhere: a mean over the highest hundredth of either. Of says what of a channel differs.
func Gain(plain, worse []Scored, of func(Channel) float32) float32 {
	if len(plain) == 0 || len(worse) == 0 {
		return 0
	}
	sorted := func(set []Scored) (logits []float64, mean float64) {
		for _, s := range set {
			p := min(1-1e-4, max(1e-4, float64(s.Score)))
			logits = append(logits, math.Log(p/(1-p)))
			mean += float64(of(s.Channel)) / float64(len(set))
		}
		slices.Sort(logits)
		return logits, mean
	}
	a, before := sorted(plain)
	b, after := sorted(worse)
	gain := 0.0
	quantiles := []float64{0.99, 0.995, 0.998}
	for _, q := range quantiles {
		gain += (a[int(q*float64(len(a)))] - b[int(q*float64(len(b)))]) / max(0.1, after-before) / float64(len(quantiles))
	}
	return float32(min(4, max(0, gain)))
}

// Noise is what Gain is asked for, as is Narrow.
func Noise(c Channel) float32 { return c.Noise }

// Narrow is what Gain is asked for, as is Noise.
func Narrow(c Channel) float32 { return c.Narrow }
