package wake

import (
	"cmp"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
)

// OwnTrunks is how many networks of the built-in ones a word of the operator's own is taught from.
const OwnTrunks = 3

// OwnSteps is how long each of them is taught a word: fewer find less and let more pass, from five clips too.
const OwnSteps = 900

// TeachFrom teaches one network from each of those in from, which know other words: what speech sounds like
// need not be learned from a handful of clips again. It takes as many cores as there are; the networks do not
// depend on it.
func TeachFrom(ctx context.Context, l Lesson, from []*net.Model, c Course) ([]*net.Model, error) {
	if c.Peak == 0 {
		c.Peak = 2e-3
	}
	if tell := c.Progress; tell != nil {
		var mu sync.Mutex
		done := 0
		c.Progress = func(_ int, loss float64) {
			mu.Lock()
			defer mu.Unlock()
			tell(done, loss)
			done++
		}
	}
	out, failed := make([]*net.Model, len(from)), make([]error, len(from))
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, m := range from {
		own := c
		own.From, own.Seed = m, c.Seed+uint64(i)
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			out[i], failed[i] = Teach(ctx, l, own)
		})
	}
	wg.Wait()
	return out, errors.Join(failed...)
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
	Seconds float64 // of the recording
}

// Gain is what scores have to gain in a channel of 1 so that what is taken for a word scores as high there
// as elsewhere: a mean over the highest hundredth of either. Of says what of a channel differs.
func Gain(plain, worse []Scored, of func(Channel) float32) float32 {
	if len(plain) == 0 || len(worse) == 0 {
		return 0
	}
	sorted := func(set []Scored) (logits []float64, mean float64) {
		for _, s := range set {
			logits = append(logits, logit(s.Score))
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

func logit(score float32) float64 {
	p := min(1-1e-4, max(1e-4, float64(score)))
	return math.Log(p / (1 - p))
}

// Thresholds of words of the operator's own.
const (
	ownRate  = 1   // an hour, counted with tails
	tail     = 0.3 // logits
	leastOwn = 0.5 // Found is at least this
)

// limit is the logit that rate scores an hour of other recordings are expected to be above. Other speakers say other
// things: each score stands for others above it, for every tail by which they are higher for an e-th of as many.
// So where little was heard the limit lies further above it.
func limit(set []Scored, rate float64) float64 {
	hours := 0.0
	var logits []float64
	for _, s := range set {
		hours += s.Seconds / 3600
		logits = append(logits, logit(s.Score))
	}
	low, high := -10.0, 20.0
	for range 40 {
		t := (low + high) / 2
		expected := 0.0
		for _, z := range logits {
			expected += math.Exp(min(0, (z-t)/tail))
		}
		if expected > rate*hours {
			low = t
		} else {
			high = t
		}
	}
	return high
}

// Limit sets the thresholds of a word of the operator's own, and what it gains in noise, by what recordings
// without it score under some conditions, before they are adjusted: by the worst of them. Uncertain is where
// half a per cent of the recordings would fire.
func (w *Word) Limit(quiet, noisy []Scored, conditions ...[]Scored) {
	w.Noise = Gain(quiet, noisy, Noise)
	found, doubt := math.Inf(-1), float32(0)
	for _, set := range conditions {
		set = slices.Clone(set)
		for i := range set {
			set[i].Score = w.Adjusted(set[i].Score, set[i].Channel)
		}
		found = max(found, limit(set, ownRate))
		slices.SortFunc(set, func(a, b Scored) int { return cmp.Compare(a.Score, b.Score) })
		if n := len(set); n > 0 {
			doubt = max(doubt, set[int(math.Ceil(0.995*float64(n)))-1].Score+1e-4)
		}
	}
	w.Found = max(leastOwn, float32(1/(1+math.Exp(-found))))
	w.Uncertain = min(w.Found, max(0.05, doubt))
}

// Noise is what Gain is asked for, as is Narrow.
func Noise(c Channel) float32 { return c.Noise }

// Narrow is what Gain is asked for, as is Noise.
func Narrow(c Channel) float32 { return c.Narrow }
