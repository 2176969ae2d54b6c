package child

import (
	"fmt"
	"math"
	"slices"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
	"earshot/voice/internal/trees"
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

// Models are all that a judge needs: networks over time; networks over the pooled figures, with the
// scaling of these; and trees over the same figures.
type Models struct {
	Timed, Pooled []*net.Model
	Trees         *trees.Forest
	Scaling       Scaling
}

// Check reports whether the parts fit each other.
func (m Models) Check() error {
	if len(m.Timed) == 0 || len(m.Pooled) == 0 || m.Trees == nil {
		return fmt.Errorf("judging voices: %d networks over time, %d over figures, trees: %t: each is needed", len(m.Timed), len(m.Pooled), m.Trees != nil)
	}
	if m.Trees.Width != Pooled || len(m.Scaling.Mean) != Pooled || len(m.Scaling.Spread) != Pooled {
		return fmt.Errorf("judging voices: trees over %d figures, means of %d, spreads of %d, want %d", m.Trees.Width, len(m.Scaling.Mean), len(m.Scaling.Spread), Pooled)
	}
	for kind, in := range map[int][]*net.Model{Inputs: m.Timed, Pooled: m.Pooled} {
		for _, n := range in {
			if n.Ops[0].In != kind {
				return fmt.Errorf("judging voices: a network over %d figures, want %d", n.Ops[0].In, kind)
			}
		}
	}
	return nil
}

// Judge scores stretches of speech. One Judge serves one goroutine.
type Judge struct {
	timed   []*net.Runner
	pooled  []*net.Runner
	forest  *trees.Forest
	scaling Scaling
	f       *features
	scaled  [Pooled]float32
}

// NewJudge makes a judge of models that fit each other.
func NewJudge(m Models) (*Judge, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	j := &Judge{scaling: m.Scaling, forest: m.Trees, f: newFeatures()}
	for _, n := range m.Timed {
		j.timed = append(j.timed, net.NewRunner(n))
	}
	for _, n := range m.Pooled {
		j.pooled = append(j.pooled, net.NewRunner(n))
	}
	return j, nil
}

// Parts are the scores of the networks over time, of those over figures, and of the trees, as logits.
type Parts struct{ Timed, Nets, Trees float64 }

// Pooled is the evidence of all that looks at pooled figures.
func (p Parts) Pooled() float64 { return p.Nets + p.Trees }

// Logit is the score of all together, in which the three count alike. Its scale is that of the
// calibration.
func (p Parts) Logit() float64 { return (p.Timed + p.Pooled()) / 2 }

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
	figures := j.f.pool(a, logs, from, to)
	p.Trees = bounded(j.forest.Logit(figures))
	j.scaling.apply(figures, j.scaled[:])
	for _, r := range j.pooled {
		y, _ := r.Run(j.scaled[:], 1, nil)
		p.Nets += bounded(y[0]) / float64(len(j.pooled))
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
