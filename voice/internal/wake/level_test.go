package wake

import (
	"math"
	"math/rand/v2"
	"testing"
)

// bursts is frames of a loud spectrum, every third of a second, over a floor that lies down decibels under
// it.
func bursts(frames int, down float64, spectrum func(band int) float64) []float32 {
	r := rand.New(rand.NewPCG(7, 7))
	out := make([]float32, frames*bands)
	for t := range frames {
		for b := range bands {
			p := math.Pow(10, -down/10)
			if t/33%2 == 0 {
				p++
			}
			out[t*bands+b] = float32(p * spectrum(b) * (0.5 + r.Float64()))
		}
	}
	return out
}

func flat(int) float64 { return 1 }

func TestNoiseIsHowFarTheQuietLiesUnderTheLoud(t *testing.T) {
	var l leveller
	last := float32(2)
	for _, down := range []float64{5, 12, 16, 20, 24, 30, 60} {
		n := l.noise(bursts(300, down, flat))
		if n > last || n < 0 || n > 1 {
			t.Errorf("floor %v dB down: noise %v, before %v", down, n, last)
		}
		last = n
	}
	if loud, quiet := l.noise(bursts(300, 5, flat)), l.noise(bursts(300, 60, flat)); loud != 1 || quiet != 0 {
		t.Errorf("noise %v at 5 dB, %v at 60 dB", loud, quiet)
	}
	padded := append(bursts(300, 40, flat), make([]float32, 300*bands)...)
	if n := l.noise(padded); n != 0 {
		t.Errorf("with digital silence behind: noise %v", n)
	}
	if n := l.noise(nil); n != 0 {
		t.Errorf("of nothing: noise %v", n)
	}
}

func TestNarrowIsWhatLacksTheUpperFrequencies(t *testing.T) {
	var l leveller
	line := func(upper float64) []float32 {
		return bursts(300, 40, func(b int) float64 {
			if b >= 28 {
				return upper
			}
			return 1
		})
	}
	for _, c := range []struct {
		upper float64
		want  float32
	}{{1, 0}, {1e-3, 0}, {math.Pow(10, -3.8), 0.5}, {1e-5, 1}, {0, 1}} {
		if got := l.narrow(line(c.upper)); math.Abs(float64(got-c.want)) > 0.05 {
			t.Errorf("upper bands %.1g of the lower ones: %.2f, want %.2f", c.upper, got, c.want)
		}
	}
	if got := l.narrow(make([]float32, 300*bands)); got != 0 {
		t.Errorf("of silence: %v", got)
	}
}

// What a channel gives a score changes nothing about which is higher, and nothing where there is none.
func TestScoresGainInAChannel(t *testing.T) {
	w := Word{Noise: 2, Narrow: 1}
	last := float32(-1)
	for s := float32(0); s <= 1; s += 0.05 {
		got := w.Adjusted(s, Channel{Noise: 0.3, Narrow: 0.4})
		if got < s-1e-3 || got < last || got > 1 {
			t.Errorf("%v becomes %v, the one before %v", s, got, last)
		}
		if w.Adjusted(s, Channel{}) != s || (Word{}).Adjusted(s, Channel{1, 1}) != s {
			t.Errorf("%v changes without a reason", s)
		}
		last = got
	}
}

// What room and line do to all bands alike in time is half taken away, a gain wholly.
func TestTheInputForgetsGainAndHalfTheLine(t *testing.T) {
	var l leveller
	plain := bursts(300, 30, flat)
	level := func(p []float32) []float32 {
		out := make([]float32, len(p))
		l.level(p, out)
		return out
	}
	distance := func(a, b []float32) float64 {
		sum := 0.0
		for i := range a {
			sum += math.Abs(float64(a[i]-b[i])) / float64(len(a))
		}
		return sum
	}
	louder := make([]float32, len(plain))
	for i, p := range plain {
		louder[i] = 40 * p
	}
	if d := distance(level(plain), level(louder)); d > 1e-3 {
		t.Errorf("16 dB louder: the input differs by %v", d)
	}
	tilted := bursts(300, 30, func(b int) float64 { return math.Exp(-float64(b) / 20) }) // 2 nepers over all
	if d := distance(level(plain), level(tilted)); d > 0.12 {                            // 0.5 nepers on average, a third of which is 0.17
		t.Errorf("another line: the input differs by %v", d)
	}
}
