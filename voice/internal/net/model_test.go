package net

import (
	"math"
	"math/rand/v2"
	"testing"
)

func small(r *rand.Rand) Stack {
	return Stack{
		NewConv(5, 8, 5, 2, 1, false, r), NewNorm(8, true),
		&Residual{Inner: Stack{NewDepth(8, 3, 2, r), NewNorm(8, true), NewConv(8, 8, 1, 1, 1, false, r), NewNorm(8, false)}},
		NewConv(8, 6, 3, 1, 2, true, r), &Rectify{}, NewConv(6, 3, 1, 1, 1, true, r),
	}
}

// A folded model, written and read, answers as the layers did, up to the rounding of 8-bit weights.
func TestFoldedModelAnswersAsItsLayers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	s := small(r)
	x := &Batch{N: 1, T: 21, C: 5, V: make([]float32, 105)}
	for i := range x.V {
		x.V[i] = float32(r.NormFloat64())
	}
	for range 50 {
		s.Forward(x, true)
	}
	want := s.Forward(x, false)
	m, err := Fold(s)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if m, err = Decode(text); err != nil {
		t.Fatal(err)
	}
	run := NewRunner(m)
	got, steps := run.Run(x.V, x.T, nil)
	if steps != want.T {
		t.Fatalf("%d steps, want %d", steps, want.T)
	}
	for i := range got {
		if math.Abs(float64(got[i]-want.V[i])) > 0.06*(1+math.Abs(float64(want.V[i]))) {
			t.Errorf("[%d]: %v, layers say %v", i, got[i], want.V[i])
		}
	}
	if n := testing.AllocsPerRun(5, func() { run.Run(x.V, x.T, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Weights so large that an answer would be no number are refused.
func TestAnswersAreNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s Stack
	for range 8 {
		c := NewConv(4, 4, 1, 1, 1, true, r)
		for i := range c.W.W {
			c.W.W[i] = 1e6
		}
		s = append(s, c)
	}
	m, err := Fold(s)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(text); err == nil {
		t.Error("it was read")
	}
}

func FuzzDecode(f *testing.F) {
	m, err := Fold(small(rand.New(rand.NewPCG(5, 6))))
	if err != nil {
		f.Fatal(err)
	}
	text, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Decode(text)
		if err != nil {
			return
		}
		in := m.Ops[0].In
		NewRunner(m).Run(make([]float32, 9*in), 9, make([]bool, 9))
	})
}
