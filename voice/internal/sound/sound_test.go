package sound_test

import (
	"math"
	"testing"

	"earshot/voice/internal/sound"
)

func tone(hz float64, n int, harmonics int) []float32 {
	x := make([]float32, n)
	for i := range x {
		for h := 1; h <= harmonics; h++ {
			x[i] += float32(0.3 / float64(h) * math.Sin(2*math.Pi*hz*float64(h)*float64(i)/sound.Rate))
		}
	}
	return x
}

// A tone lands in the band whose triangle covers it, and its power is that of a sine under the window.
func TestToneLandsInItsBand(t *testing.T) {
	for _, c := range []struct {
		hz   float64
		band int
	}{{150, 1}, {1000, 12}, {4000, 30}} {
		m := sound.NewMel()
		p := m.Powers(tone(c.hz, 16000, 1), nil)
		frame := p[50*sound.Bands : 51*sound.Bands]
		best := 0
		for b := range frame {
			if frame[b] > frame[best] {
				best = b
			}
		}
		if best < c.band-1 || best > c.band+1 {
			t.Errorf("%v Hz: loudest band %d, want about %d", c.hz, best, c.band)
		}
	}
}

// The power of one frame agrees with the sum written out.
func TestFrameAgreesWithTheDefinition(t *testing.T) {
	x := tone(440, 4000, 5)
	var sum float64
	for k := range 257 {
		var re, im float64
		for i := range 400 {
			w := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/399)
			s, c := math.Sincos(-2 * math.Pi * float64(k*i) / 512)
			v := w * float64(x[10*sound.Hop-200+i])
			re, im = re+v*c, im+v*s
		}
		// A band of unit sum: compare band 14 (centre about 1,150 Hz) only.
		sum += weight14(float64(k)*sound.Rate/512) * (re*re + im*im)
	}
	out := make([]float32, sound.Bands)
	sound.NewMel().Frame(x, 10, out)
	if got := float64(out[14]); math.Abs(got-sum) > 1e-4*math.Max(1, sum) {
		t.Errorf("band 14 is %v, by definition %v", got, sum)
	}
}

func weight14(f float64) float64 {
	scale := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
	edge := func(i float64) float64 {
		return 700 * (math.Pow(10, (scale(80)+(scale(7600)-scale(80))*i/41)/2595) - 1)
	}
	tri := func(f float64) float64 {
		return max(0, min((f-edge(14))/(edge(15)-edge(14)), (edge(16)-f)/(edge(16)-edge(15))))
	}
	sum := 0.0
	for k := range 257 {
		sum += tri(float64(k) * sound.Rate / 512)
	}
	return tri(f) / sum
}

func TestPitchOfVoicesIsFound(t *testing.T) {
	for _, hz := range []float64{85, 120, 200, 262, 400, 450} {
		x := tone(hz, 16000, 6)
		n := sound.Frames(len(x))
		active, oct, str := make([]bool, n), make([]float32, n), make([]float32, n)
		for i := range active {
			active[i] = true
		}
		sound.NewPitch().Track(x, active, oct, str)
		got := math.Exp2(float64(oct[n/2]))
		if math.Abs(got/hz-1) > 0.01 || str[n/2] < 0.9 {
			t.Errorf("%v Hz: found %.1f Hz, strength %.2f", hz, got, str[n/2])
		}
	}
}

func TestNoAllocationPerFrame(t *testing.T) {
	x := tone(200, 32000, 6)
	m, p := sound.NewMel(), sound.NewPitch()
	n := sound.Frames(len(x))
	powers := make([]float32, n*sound.Bands)
	level, active := make([]float32, n), make([]bool, n)
	oct, str, scratch := make([]float32, n), make([]float32, n), make([]float32, n)
	run := func() {
		m.Powers(x, powers)
		sound.Decibels(powers, level)
		sound.Active(level, active, scratch)
		p.Track(x, active, oct, str)
	}
	run()
	if got := testing.AllocsPerRun(3, run); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkMel(b *testing.B) {
	x := tone(200, 160000, 6)
	m := sound.NewMel()
	powers := m.Powers(x, nil)
	for b.Loop() {
		m.Powers(x, powers)
	}
	b.ReportMetric(10*float64(b.N)/b.Elapsed().Seconds(), "x_realtime")
}

func BenchmarkPitch(b *testing.B) {
	x := tone(200, 160000, 6)
	n := sound.Frames(len(x))
	active, oct, str := make([]bool, n), make([]float32, n), make([]float32, n)
	for i := range active {
		active[i] = true
	}
	p := sound.NewPitch()
	for b.Loop() {
		p.Track(x, active, oct, str)
	}
	b.ReportMetric(10*float64(b.N)/b.Elapsed().Seconds(), "x_realtime")
}
