package wake

import (
	"math"
	"math/rand/v2"
	"testing"

	"earshot/voice/internal/net"
)

// A word of one's own begins with all that a network of other words knows, but its answer.
func TestTeachingGoesOnFromANetwork(t *testing.T) {
	l := noiseLesson()
	before, err := Teach(t.Context(), l, Course{Steps: 1, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	l.Clips = l.Clips[:1]
	heard := -1
	after, err := TeachFrom(t.Context(), l, []*net.Model{before, before}, Course{Steps: 1, Seed: 1, Peak: 1e-9, Progress: func(step int, _ float64) { heard = step }})
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != 2 || heard != 1 {
		t.Fatalf("%d networks, progress up to step %d", len(after), heard)
	}
	r := rand.New(rand.NewPCG(3, 3))
	x := make([]float32, 300*bands)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	figures := func(m *net.Model) []float32 {
		out, _ := net.NewRunner(m).Embed(x, 300, nil)
		return append([]float32(nil), out...)
	}
	a, b := figures(before), figures(after[1])
	var dot, aa, bb float64
	for i := range a {
		dot, aa, bb = dot+float64(a[i]*b[i]), aa+float64(a[i]*a[i]), bb+float64(b[i]*b[i])
	}
	if c := dot / math.Sqrt(aa*bb); !(c > 0.99) {
		t.Errorf("likeness of the figures %.3f", c)
	}
}

func TestScoresGainInNoiseWhatNoiseTakes(t *testing.T) {
	var quiet, noisy []Scored
	for i := range 1000 {
		p := 0.9 * float32(i) / 1000
		quiet, noisy = append(quiet, Scored{Score: p}), append(noisy, Scored{p / 3, Channel{Noise: 1}})
	}
	gain := Gain(quiet, noisy, Noise)
	w := Word{Noise: gain}
	if got, want := w.Adjusted(0.3, Channel{Noise: 1}), 0.9; math.Abs(float64(got)-want) > 0.02 {
		t.Errorf("a gain of %.2f makes %.2f of 0.3, want %.2f", gain, got, want)
	}
	for name, g := range map[string]float32{"louder in noise": Gain(noisy, quiet, Noise), "nothing heard": Gain(quiet, nil, Noise)} {
		if g != 0 {
			t.Errorf("%s: a gain of %v", name, g)
		}
	}
}

func TestSpokenIsFromTheFirstToTheLastSpeech(t *testing.T) {
	powers := bursts(600, 60, flat) // loud for 33 frames of 66, from the first on
	quiet := make([]float32, 100*bands)
	for i := range quiet {
		quiet[i] = 1e-7
	}
	all := append(append(append([]float32(nil), quiet...), powers...), quiet...)
	if n := len(Spoken(all)) / bands; n < 560 || n > 620 {
		t.Errorf("%d frames of 800", n)
	}
	if got := Spoken(quiet[:20*bands]); got != nil {
		t.Errorf("%d frames of silence", len(got)/bands)
	}
}
