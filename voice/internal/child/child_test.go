package child

import (
	"math"
	"math/rand/v2"
	"testing"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
	"earshot/voice/internal/trees"
)

// voiced is pulses of a wandering pitch through three resonances, with pauses: no person, but a voice.
func voiced(seconds, pitch, tract float64, r *rand.Rand) []float32 {
	x := make([]float32, int(seconds*sound.Rate))
	phase := 0.0
	var state [3][2]float64
	for i := range x {
		at := float64(i) / sound.Rate
		phase += pitch * (1 + 0.1*math.Sin(2*math.Pi*1.3*at)) / sound.Rate
		pulse := 0.0
		if phase >= 1 {
			phase--
			pulse = 1
		}
		if math.Mod(at, 0.6) > 0.45 {
			pulse = 0
		}
		sum := 0.0
		for k, f := range []float64{500 + 200*math.Sin(2*math.Pi*3*at), 1500, 2500} {
			w, rho := 2*math.Pi*f*tract/sound.Rate, 0.97
			y := pulse + 2*rho*math.Cos(w)*state[k][0] - rho*rho*state[k][1]
			state[k][1], state[k][0] = state[k][0], y
			sum += y
		}
		x[i] = float32(0.05*sum + 0.0005*r.NormFloat64())
	}
	return x
}

func analysis(pcm []float32) *sound.Analysis {
	a := sound.NewAnalysis()
	a.Run(pcm)
	return a
}

// A microphone that colours the sound changes nothing that the network over time sees.
func TestTheCourseOfTimeHasNoColour(t *testing.T) {
	a := analysis(voiced(2, 220, 1, rand.New(rand.NewPCG(1, 1))))
	f := newFeatures()
	logs := f.logPowers(a, 0, a.Frames())
	x, _ := f.timed(a, logs, 0, a.Frames())
	want := append([]float32(nil), x...)
	for i := range logs {
		logs[i] += float32(i%sound.Bands)/7 - 2
	}
	got, _ := f.timed(a, logs, 0, a.Frames())
	for i := range want {
		if math.Abs(float64(want[i]-got[i])) > 1e-4 {
			t.Fatalf("[%d]: %v, coloured %v", i, want[i], got[i])
		}
	}
}

// Nor does the level of a recording change the figures.
func TestFiguresHaveNoLevel(t *testing.T) {
	pcm := voiced(2, 220, 1, rand.New(rand.NewPCG(2, 2)))
	loud := make([]float32, len(pcm))
	for i, v := range pcm {
		loud[i] = 2 * v
	}
	a, b := analysis(pcm), analysis(loud)
	f, g := newFeatures(), newFeatures()
	x := f.pool(a, f.logPowers(a, 0, a.Frames()), 0, a.Frames())
	y := g.pool(b, g.logPowers(b, 0, b.Frames()), 0, b.Frames())
	if len(x) != Pooled {
		t.Fatalf("%d figures, want %d", len(x), Pooled)
	}
	for i := range x {
		if math.Abs(float64(x[i]-y[i])) > 0.02*(1+math.Abs(float64(x[i]))) {
			t.Errorf("figure %d: %v, twice as loud %v", i, x[i], y[i])
		}
	}
}

// samples are recordings of invented children, women and men.
func samples(speakers, each int) []Sample {
	r := rand.New(rand.NewPCG(3, 3))
	var out []Sample
	for k := range speakers {
		pitch, tract := 250+30*r.Float64(), 1.25+0.1*r.Float64()
		s := Sample{Child: k%2 == 0, Woman: k%4 == 1, Speaker: string(rune('a' + k))}
		if !s.Child {
			tract = 0.95 + 0.1*r.Float64()
		}
		if !s.Child && !s.Woman {
			pitch /= 2
		}
		for range each {
			s.Analysis = analysis(voiced(1.2+r.Float64(), pitch*(0.95+0.1*r.Float64()), tract, r))
			out = append(out, s)
		}
	}
	return out
}

// taught are models that had a short lesson.
func taught(t *testing.T) Models {
	t.Helper()
	all := samples(16, 5)
	m, err := TeachPooled(t.Context(), Tabulate(all), 1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := TeachTimed(t.Context(), all, Course{Steps: 8, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	m.Timed = []*net.Model{n}
	return m
}

// What is taught tells other invented children from other invented women, and judging allocates
// nothing once the buffers are there.
func TestAJudgeIsTaught(t *testing.T) {
	m := taught(t)
	j, err := NewJudge(m)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 4))
	child, woman := analysis(voiced(2, 262, 1.3, r)), analysis(voiced(2, 262, 1, r))
	c, ok := j.Score(child, 0, child.Frames())
	w, ok2 := j.Score(woman, 0, woman.Frames())
	if !ok || !ok2 || c.Trees < w.Trees+1 || c.Nets <= w.Nets || c.Logit() <= w.Logit() {
		t.Errorf("child %+v, woman %+v", c, w)
	}
	if n := testing.AllocsPerRun(5, func() { j.Score(child, 0, child.Frames()) }); n > 4 {
		t.Errorf("%v allocations for %d frames", n, child.Frames())
	}
	if _, ok := j.Score(child, 0, 10); ok {
		t.Error("ten frames are judged")
	}
}

func TestModelsThatDoNotFitAreRefused(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	of := func(in int) []*net.Model {
		m, err := net.Fold(net.Stack{net.NewConv(in, 1, 1, 1, 1, true, r)})
		if err != nil {
			t.Fatal(err)
		}
		return []*net.Model{m}
	}
	whole := Models{
		Timed: of(Inputs), Pooled: of(Pooled), Trees: &trees.Forest{Width: Pooled},
		Scaling: Scaling{Mean: make([]float32, Pooled), Spread: make([]float32, Pooled)},
	}
	if _, err := NewJudge(whole); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Models){
		"noTimed":      func(m *Models) { m.Timed = nil },
		"noPooled":     func(m *Models) { m.Pooled = nil },
		"noTrees":      func(m *Models) { m.Trees = nil },
		"otherTrees":   func(m *Models) { m.Trees = &trees.Forest{Width: 3} },
		"otherNetwork": func(m *Models) { m.Timed = of(Pooled) },
		"shortScaling": func(m *Models) { m.Scaling.Mean = m.Scaling.Mean[1:] },
	} {
		m := whole
		change(&m)
		if _, err := NewJudge(m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTeachingNeedsAllKinds(t *testing.T) {
	if _, err := TeachTimed(t.Context(), nil, Course{Steps: 1}); err == nil {
		t.Error("taught without speakers")
	}
	if _, err := TeachPooled(t.Context(), Tabulate(nil), 1); err == nil {
		t.Error("taught without recordings")
	}
}

// Stretches hold all active frames, in order, none longer than 3 s.
func TestStretches(t *testing.T) {
	a := &sound.Analysis{Active: make([]bool, 1000)}
	for i := 50; i < 750; i++ {
		a.Active[i] = i%25 != 0
	}
	for i := 900; i < 905; i++ { // a click
		a.Active[i] = true
	}
	last := 0
	for _, s := range Stretches(a) {
		if s.From < last || s.To <= s.From || s.To-s.From > longStretch {
			t.Errorf("%+v after %d", s, last)
		}
		last = s.To
	}
	if last != 750 {
		t.Errorf("the last stretch ends at %d", last)
	}
}
