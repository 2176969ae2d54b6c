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
		quiet, noisy = append(quiet, Scored{Score: p}), append(noisy, Scored{Score: p / 3, Channel: Channel{Noise: 1}})
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

// Of the same speakers heard longer nothing changes; of fewer of them, each stands for more, and the threshold
// lies higher above them.
func TestThresholdsLieHigherWhereLessWasHeard(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var hour []Scored
	for range 900 {
		z := r.ExpFloat64()*tail - 2
		hour = append(hour, Scored{Score: float32(1 / (1 + math.Exp(-z))), Seconds: 4})
	}
	all, twice, few := limit(hour, 0.5), limit(append(hour, hour...), 0.5), limit(hour[:30], 0.5)
	if math.Abs(all-twice) > 1e-6 {
		t.Errorf("%.3f, of each recording twice %.3f", all, twice)
	}
	// 900 recordings an hour: exp(-(t+2)/tail) of them reach t. A tail for each puts the limit higher.
	if want := tail*math.Log(1800) - 2; !(all > want && all < want+1) {
		t.Errorf("%.2f, want a little over %.2f", all, want)
	}
	top := math.Inf(-1)
	for _, s := range hour[:30] {
		top = max(top, logit(s.Score))
	}
	if !(few > top+tail) {
		t.Errorf("of 30 recordings %.2f, the highest is %.2f", few, top)
	}
}

func TestAWordIsLimitedByTheWorstCondition(t *testing.T) {
	set := func(scores ...float32) (out []Scored) {
		for _, s := range scores {
			out = append(out, Scored{Score: s, Seconds: 60})
		}
		return out
	}
	w := Word{Window: 10}
	w.Limit(nil, nil, set(0.1, 0.2), set(0.9, 0.3))
	if !(w.Found > 0.9 && w.Found < 1 && w.Uncertain > 0.9 && w.Uncertain <= w.Found) {
		t.Errorf("%+v", w)
	}
	w.Limit(nil, nil)
	if w.Found != leastOwn || !(w.Uncertain > 0 && w.Uncertain <= w.Found) {
		t.Errorf("of nothing: %+v", w)
	}
}
