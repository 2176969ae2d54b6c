package net

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func smallStack(seed uint64) Stack {
	r := rand.New(rand.NewPCG(seed, 3))
	return Stack{
		NewConv(5, 8, 3, 2, 1, false, r), NewNorm(8, true),
		&Residual{Inner: Stack{NewDepth(8, 5, 2, r), NewNorm(8, true), &Dropout{P: 0.1, R: r}, NewConv(8, 8, 1, 1, 1, false, r), NewNorm(8, false)}},
		NewConv(8, 4, 1, 1, 1, true, r),
	}
}

func randomBatch(n, t, c int, seed uint64) *Batch {
	r := rand.New(rand.NewPCG(seed, 4))
	b := &Batch{}
	b.resize(n, t, c)
	for i := range b.V {
		b.V[i] = float32(r.NormFloat64())
	}
	return b
}

// What was folded and unfolded gives what it gave, and so does what is folded again.
func TestUnfoldingGivesTheSameNetwork(t *testing.T) {
	taught := smallStack(1)
	for i := range 20 { // so that the normalisations are no identities
		taught.Forward(randomBatch(4, 30, 5, uint64(i)), true)
	}
	m, err := Fold(taught)
	if err != nil {
		t.Fatal(err)
	}
	x := randomBatch(4, 30, 5, 99)
	again := smallStack(2)
	if err := m.Unfold(again, x); err != nil {
		t.Fatal(err)
	}
	last := len(taught) - 1
	want := append([]float32(nil), taught[:last].Forward(x, false).V...)
	folded, err := Fold(again)
	if err != nil {
		t.Fatal(err)
	}
	refolded, _ := NewRunner(folded).Embed(x.V[:30*5], 30, nil)
	for name, got := range map[string][]float32{
		"as it is": again[:last].Forward(x, false).V, "in training": withoutDropout(again[:last]).Forward(x, true).V, "folded again": refolded,
	} {
		for i, v := range got {
			if math.Abs(float64(v-want[i])) > 1e-3 {
				t.Errorf("%s: value %d is %v, was %v", name, i, v, want[i])
				break
			}
		}
	}
}

// withoutDropout is s without what is random in training.
func withoutDropout(s Stack) Stack {
	var out Stack
	for _, l := range s {
		switch l := l.(type) {
		case *Dropout:
		case *Residual:
			out = append(out, &Residual{Inner: withoutDropout(l.Inner)})
		default:
			out = append(out, l)
		}
	}
	return out
}

func TestUnfoldingIntoOtherLayersFails(t *testing.T) {
	m, err := Fold(smallStack(1))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for name, s := range map[string]Stack{
		"none":   nil,
		"fewer":  smallStack(1)[2:],
		"more":   append(Stack{NewConv(5, 5, 1, 1, 1, false, r), NewNorm(5, true)}, smallStack(1)...),
		"others": {NewConv(5, 16, 3, 2, 1, false, r), NewNorm(16, true), NewConv(16, 4, 1, 1, 1, true, r)},
		"pooled": {NewConv(5, 8, 3, 2, 1, false, r), NewNorm(8, true), &Rectify{}, NewConv(8, 4, 1, 1, 1, true, r)},
	} {
		if err := m.Unfold(s, randomBatch(2, 20, 5, 1)); !errors.Is(err, errOther) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
