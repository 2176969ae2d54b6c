package child

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"earshot/voice/internal/net"
	"earshot/voice/internal/trees"
)

// Table is stretches as figures, with what is to be said of them.
type Table struct {
	x       [][]float32
	want    []float32
	speaker []string
}

// Tabulate pools whole recordings and random windows, as many short ones (0.9 to 1.5 s) as others.
func Tabulate(all []Sample) Table {
	r := rand.New(rand.NewPCG(9, 3))
	f := newFeatures()
	var t Table
	add := func(s Sample, from, to int) {
		if !enough(s.Analysis, from, to) {
			return
		}
		w := float32(0)
		if s.Child {
			w = 1
		}
		t.x = append(t.x, slices.Clone(f.pool(s.Analysis, f.logPowers(s.Analysis, from, to), from, to)))
		t.want, t.speaker = append(t.want, w), append(t.speaker, s.Speaker)
	}
	for _, s := range all {
		first := slices.Index(s.Analysis.Active, true)
		last := s.Analysis.Frames()
		for last > 0 && !s.Analysis.Active[last-1] {
			last--
		}
		if first < 0 || last-first < 30 {
			continue
		}
		add(s, first, last)
		for _, most := range []int{230, 230, 60, 60} {
			n := min(last-first, 90+r.IntN(most))
			from := first + r.IntN(last-first-n+1)
			add(s, from, from+n)
		}
	}
	return t
}

// Only is the table of some speakers.
func (t Table) Only(use func(speaker string) bool) Table {
	var out Table
	for i, s := range t.speaker {
		if use(s) {
			out.x, out.want, out.speaker = append(out.x, t.x[i]), append(out.want, t.want[i]), append(out.speaker, s)
		}
	}
	return out
}

// rows are the table as the trees want it.
func (t Table) rows() trees.Rows {
	rows := trees.Rows{Width: Pooled, Want: t.want}
	number := map[string]int{}
	for i, x := range t.x {
		k, ok := number[t.speaker[i]]
		if !ok {
			k = len(number)
			number[t.speaker[i]] = k
		}
		rows.X, rows.Group = append(rows.X, x...), append(rows.Group, k)
	}
	return rows
}

// TeachPooled trains networks, as many as seeds, and trees over the figures of a table.
func TeachPooled(ctx context.Context, t Table, seeds int) (Models, error) {
	if len(t.x) == 0 {
		return Models{}, errors.New("teaching child voices: there is no stretch that can be judged")
	}
	m := Models{Scaling: scalingOf(t.x)}
	var err error
	if m.Trees, err = trees.Teach(ctx, t.rows(), treesCourse()); err != nil {
		return Models{}, fmt.Errorf("teaching child voices: %w", err)
	}
	scaled := make([][]float32, len(t.x))
	for i := range t.x {
		scaled[i] = make([]float32, Pooled)
		m.Scaling.apply(t.x[i], scaled[i])
	}
	for seed := range seeds {
		n, err := teachOne(ctx, scaled, t.want, uint64(seed))
		if err != nil {
			return Models{}, err
		}
		m.Pooled = append(m.Pooled, n)
	}
	return m, nil
}

// treesCourse draws few speakers' and figures' shares for each tree: the speakers are what there is
// too little of.
func treesCourse() trees.Course {
	return trees.Course{Trees: 300, Leaves: 12, Least: 150, Rate: 0.06, Ridge: 20, Groups: 0.7, Columns: 0.2, Seed: 1}
}

func scalingOf(x [][]float32) Scaling {
	s := Scaling{Mean: make([]float32, Pooled), Spread: make([]float32, Pooled)}
	for k := range Pooled {
		m, d := moments(len(x), func(int) bool { return true }, func(i int) float32 { return x[i][k] })
		s.Mean[k], s.Spread[k] = m, d+1e-6
	}
	return s
}

const (
	pooledBatch  = 256
	pooledEpochs = 8
	pooledRidge  = 0.005
)

func teachOne(ctx context.Context, x [][]float32, want []float32, seed uint64) (*net.Model, error) {
	r := rand.New(rand.NewPCG(seed, 4))
	stack := net.Stack{
		net.NewConv(Pooled, 48, 1, 1, 1, true, r), &net.Rectify{},
		net.NewConv(48, 16, 1, 1, 1, true, r), &net.Rectify{}, net.NewConv(16, 1, 1, 1, 1, true, r),
	}
	params := stack.Params()
	per := len(x) / pooledBatch
	opt := &net.Adam{Peak: 4e-3, Steps: max(1, per*pooledEpochs)}
	in := net.Batch{N: 1, T: pooledBatch, C: Pooled, V: make([]float32, pooledBatch*Pooled)}
	y := make([]float32, pooledBatch)
	var dy net.Batch
	for range pooledEpochs {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("teaching child voices: %w", err)
		}
		order := r.Perm(len(x))
		for b := range per {
			for i, k := range order[b*pooledBatch : (b+1)*pooledBatch] {
				copy(in.V[i*Pooled:], x[k])
				y[i] = want[k]
			}
			net.Logistic(stack.Forward(&in, true), y, &dy)
			stack.Backward(&dy)
			for _, p := range params {
				if p.Decay {
					for i, w := range p.W {
						p.G[i] += pooledRidge * w
					}
				}
			}
			opt.Step(params)
		}
	}
	return net.Fold(stack)
}
