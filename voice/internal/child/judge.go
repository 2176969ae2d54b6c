package child

import (
	"math"
	"slices"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
)

// Scaling brings the pooled figures to mean 0 and spread 1.
type Scaling struct {
	Mean   []float32 `json:"mean"`
	Spread []float32 `json:"spread"`
}

func (s Scaling) apply(x, out []float32) {
	for i, v := range x {
		out[i] = max(-5, min(5, (v-s.Mean[i])/s.Spread[i]))
	}
}

// Judge scores stretches of speech. One Judge serves one goroutine.
type Judge struct {
	timed   []*net.Runner
	pooled  []*net.Runner
	scaling Scaling
	f       *features
	scaled  [Pooled]float32
}

// NewJudge makes a judge of networks over time and of networks over the pooled figures.
func NewJudge(timed, pooled []*net.Model, scaling Scaling) *Judge {
	j := &Judge{scaling: scaling, f: newFeatures()}
	for _, m := range timed {
		j.timed = append(j.timed, net.NewRunner(m))
	}
	for _, m := range pooled {
		j.pooled = append(j.pooled, net.NewRunner(m))
	}
	return j
}

// Parts are the scores of the two kinds of network, as logits.
type Parts struct{ Timed, Pooled float64 }

// Mean is the score of both together.
func (p Parts) Mean() float64 { return (p.Timed + p.Pooled) / 2 }

// Score judges the frames from to to of an analysis. Not ok: there is too little voice to judge.
func (j *Judge) Score(a *sound.Analysis, from, to int) (p Parts, ok bool) {
	for from < to && !a.Active[from] {
		from++
	}
	for to > from && !a.Active[to-1] {
		to--
	}
	if !enough(a, from, to) {
		return Parts{}, false
	}
	logs := j.f.logPowers(a, from, to)
	x, mask := j.f.timed(a, logs, from, to)
	for _, r := range j.timed {
		y, _ := r.Run(x, to-from, mask)
		p.Timed += bounded(y[0]) / float64(len(j.timed))
	}
	j.scaling.apply(j.f.pool(a, logs, from, to), j.scaled[:])
	for _, r := range j.pooled {
		y, _ := r.Run(j.scaled[:], 1, nil)
		p.Pooled += bounded(y[0]) / float64(len(j.pooled))
	}
	return p, true
}

func bounded(logit float32) float64 { return max(-9, min(9, float64(logit))) }

// Stretch is frames of speech without a long pause.
type Stretch struct{ From, To int }

const (
	longPause    = 30  // frames that end a stretch
	shortStretch = 15  // frames under which a stretch is a noise
	longStretch  = 300 // frames from which on a stretch is divided
)

// Stretches divides the active frames into stretches of at most 3 s.
func Stretches(a *sound.Analysis) []Stretch {
	var all []Stretch
	last := -1
	for t, on := range a.Active {
		if !on {
			continue
		}
		if last < 0 || t-last > longPause {
			all = append(all, Stretch{t, t + 1})
		}
		all[len(all)-1].To = t + 1
		last = t
	}
	all = slices.DeleteFunc(all, func(s Stretch) bool { return s.To-s.From < shortStretch })
	var out []Stretch
	for _, s := range all {
		n := (s.To - s.From + longStretch - 1) / longStretch
		for i := range n {
			out = append(out, Stretch{s.From + (s.To-s.From)*i/n, s.From + (s.To-s.From)*(i+1)/n})
		}
	}
	return out
}

// Probability is the logistic function.
func Probability(logit float64) float64 { return 1 / (1 + math.Exp(-logit)) }
