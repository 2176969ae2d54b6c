package net

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Each layer's gradients agree with differences of the loss.
func TestGradientsAgreeWithDifferences(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	mask := make([]float32, 3*7)
	for i := range mask {
		mask[i] = float32(min(1, r.IntN(4)))
	}
	pool := &Pool{Mask: mask}
	cases := map[string]Stack{
		"conv":     {NewConv(5, 6, 5, 1, 1, true, r)},
		"stride":   {NewConv(5, 6, 5, 2, 1, true, r)},
		"dilated":  {NewConv(5, 18, 3, 1, 2, false, r)},
		"depth":    {NewDepth(5, 9, 2, r)},
		"norm":     {NewNorm(5, true)},
		"residual": {&Residual{Inner: Stack{NewDepth(5, 3, 1, r), NewNorm(5, true), NewConv(5, 5, 1, 1, 1, false, r), NewNorm(5, false)}}},
		"pool":     {NewConv(5, 4, 1, 1, 1, true, r), pool, NewConv(8, 3, 1, 1, 1, true, r), &Rectify{}, NewConv(3, 1, 1, 1, 1, true, r)},
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) { checkGradients(t, s, r) })
	}
}

func checkGradients(t *testing.T, s Stack, r *rand.Rand) {
	t.Helper()
	x := &Batch{N: 3, T: 7, C: 5, V: make([]float32, 3*7*5)}
	for i := range x.V {
		x.V[i] = float32(r.NormFloat64())
	}
	y := s.Forward(x, true)
	weights := make([]float32, len(y.V))
	for i := range weights {
		weights[i] = float32(r.NormFloat64())
	}
	loss := func() float64 {
		sum := 0.0
		for i, v := range s.Forward(x, true).V {
			sum += float64(v) * float64(weights[i])
		}
		return sum
	}
	dy := &Batch{N: y.N, T: y.T, C: y.C, V: weights}
	dx := s.Backward(dy)
	got := append([]float32(nil), dx.V...)
	var grads [][]float32
	for _, p := range s.Params() {
		grads = append(grads, append([]float32(nil), p.G...))
	}
	check := func(what string, w []float32, g []float32) {
		for range 12 {
			i := r.IntN(len(w))
			const h = 5e-4 // small, for the rectifier has a kink
			old := w[i]
			w[i] = old + h
			up := loss()
			w[i] = old - h
			down := loss()
			w[i] = old
			want := (up - down) / (2 * h)
			if math.Abs(want-float64(g[i])) > 0.02*(1+math.Abs(want)) {
				t.Errorf("%s[%d]: gradient %.4f, differences say %.4f", what, i, g[i], want)
			}
		}
	}
	check("x", x.V, got)
	for k, p := range s.Params() {
		check("weights", p.W, grads[k])
	}
}

func TestLossGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x := &Batch{N: 2, T: 3, C: 5, V: make([]float32, 30)}
	for i := range x.V {
		x.V[i] = float32(r.NormFloat64())
	}
	labels := []int8{0, 2, -1, 1, 3, 3}
	var dx, scrap Batch
	CrossEntropy(x, labels, 4, 0.02, &dx)
	for i := range x.V {
		old := x.V[i]
		x.V[i] = old + 1e-2
		up := CrossEntropy(x, labels, 4, 0.02, &scrap)
		x.V[i] = old - 1e-2
		down := CrossEntropy(x, labels, 4, 0.02, &scrap)
		x.V[i] = old
		if want := (up - down) / 2e-2; math.Abs(want-float64(dx.V[i])) > 1e-3 {
			t.Errorf("[%d]: gradient %v, differences say %v", i, dx.V[i], want)
		}
	}
}
