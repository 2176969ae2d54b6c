package child

import (
	"math"
	"slices"

	"earshot/voice/internal/sound"
)

// stretch is what further figures are computed from: frames of an analysis and their log spectra,
// counted from the first.
type stretch struct {
	a    *sound.Analysis
	logs []float32
	from int
	n    int
}

func (s stretch) voiced(t int) bool    { return s.a.Voiced(s.from + t) }
func (s stretch) active(t int) bool    { return s.a.Active[s.from+t] }
func (s stretch) unvoiced(t int) bool  { return s.active(t) && !s.voiced(t) }
func (s stretch) level(t int) float32  { return s.a.Level[s.from+t] }
func (s stretch) octave(t int) float32 { return s.a.Octave[s.from+t] }

// formant is the logarithm of a resonance, 0 where it is missing.
func (s stretch) formant(t, k int) float32 {
	if h := s.a.Formant[s.from+t][k]; h > 0 {
		return float32(math.Log(float64(h)))
	}
	return 0
}

func (s stretch) count(is func(int) bool) float64 {
	n := 0.0
	for t := range s.n {
		if is(t) {
			n++
		}
	}
	return n
}

// leastUnvoiced is how many unvoiced frames a mean of them needs.
const leastUnvoiced = 4

// contrasts are differences of mean cepstra between two kinds of frames: what a microphone adds to
// both goes away. The kinds: voiced and unvoiced, loud and soft, high and low pitch.
func (f *features) contrasts(s stretch, out []float32) []float32 {
	enough := s.count(s.unvoiced) >= leastUnvoiced
	for k := 1; k <= 12; k++ {
		d := float32(0)
		if enough {
			d = f.contrast(s, k, s.voiced, s.unvoiced)
		}
		out = append(out, d)
	}
	levels := f.sorted(s, s.voiced, s.level)
	soft, loud := sound.Percentile(levels, 33), sound.Percentile(levels, 67)
	for k := 1; k <= 12; k++ {
		out = append(out, f.contrast(s, k,
			func(t int) bool { return s.voiced(t) && s.level(t) >= loud },
			func(t int) bool { return s.voiced(t) && s.level(t) <= soft }))
	}
	middle := sound.Percentile(f.sorted(s, s.voiced, s.octave), 50)
	for k := 1; k <= 8; k++ {
		out = append(out, f.contrast(s, k,
			func(t int) bool { return s.voiced(t) && s.octave(t) >= middle },
			func(t int) bool { return s.voiced(t) && s.octave(t) <= middle }))
	}
	return out
}

func (f *features) contrast(s stretch, k int, one, other func(int) bool) float32 {
	c := func(t int) float32 { return f.ceps[t*cepstra+k] }
	a, _ := moments(s.n, one, c)
	b, _ := moments(s.n, other, c)
	return a - b
}

// sorted gives a figure of the frames that count, smallest first, until it is called again.
func (f *features) sorted(s stretch, use func(int) bool, figure func(int) float32) []float32 {
	f.sorting = f.sorting[:0]
	for t := range s.n {
		if use(t) {
			f.sorting = append(f.sorting, figure(t))
		}
	}
	slices.Sort(f.sorting)
	return f.sorting
}

// The octaves in which resonances are counted.
const (
	places    = 24
	placeLow  = 200.0
	placeHigh = 6500.0
)

// density is how many resonances lie where, for each voiced frame: places do not move with the colour
// of a microphone, as levels do. Then the means in firmly voiced frames, of the higher two the spread.
func (f *features) density(s stretch, out []float32) []float32 {
	var share [places]float64
	voiced := max(1, s.count(s.voiced))
	low, span := math.Log(placeLow), math.Log(placeHigh/placeLow)
	for t := range s.n {
		if !s.voiced(t) {
			continue
		}
		for _, h := range s.a.Formant[s.from+t] {
			if h > 0 {
				x := max(0, min(places-1.001, (math.Log(float64(h))-low)/span*(places-1)))
				i := int(x)
				share[i] += (float64(i+1) - x) / voiced
				share[i+1] += (x - float64(i)) / voiced
			}
		}
	}
	for _, v := range share {
		out = append(out, float32(v))
	}
	for k := range 4 {
		is := func(t int) bool { return s.voiced(t) && s.a.Formant[s.from+t][k] > 0 }
		firm := func(t int) bool { return is(t) && s.a.Strength[s.from+t] > 0.8 }
		place := func(t int) float32 { return s.formant(t, k) }
		m, d := moments(s.n, firm, place)
		if m == 0 { // none is firmly voiced
			m, _ = moments(s.n, is, place)
		}
		out = append(out, m)
		if k >= 2 {
			out = append(out, d)
		}
	}
	return out
}

// rhythm is how much voice there is to judge by, up to where more is no surer; how dense speech is, how
// long its voiced runs are and how often they begin; how level moves.
func (f *features) rhythm(s stretch, out []float32) []float32 {
	runs, before := 0.0, false
	for t := range s.n {
		v := s.voiced(t)
		if v && !before {
			runs++
		}
		before = v
	}
	voiced, active := s.count(s.voiced), max(1, s.count(s.active))
	_, levels := moments(s.n, s.active, s.level)
	inner := func(t int) bool { return s.active(t) && t >= 2 && t < s.n-2 }
	_, slopes := moments(s.n, inner, func(t int) float32 {
		return (2*(s.level(t+2)-s.level(t-2)) + s.level(t+1) - s.level(t-1)) / 10
	})
	return append(out, float32(math.Log(max(1, min(voiced, 150)))), float32(math.Log(min(active, 200))),
		float32(active/float64(s.n)), float32(math.Log(max(1, voiced)/max(1, runs))), float32(runs/active*100), levels, slopes)
}

// effort is, for ten groups of bands, how they rise with the level, what that does not explain, and
// their spread; then how pitch, level and resonances go together.
func (f *features) effort(s stretch, out []float32) []float32 {
	const groups, each = 10, sound.Bands / 10
	levelMean, levelSpread := moments(s.n, s.voiced, s.level)
	var spreads [groups]float32
	for g := range groups {
		band := func(t int) float32 {
			sum := float32(0)
			for _, v := range s.logs[t*sound.Bands+each*g : t*sound.Bands+each*(g+1)] {
				sum += v / each
			}
			return sum
		}
		m, d := moments(s.n, s.voiced, band)
		c, _ := moments(s.n, s.voiced, func(t int) float32 { return (band(t) - m) * (s.level(t) - levelMean) })
		slope := c / (levelSpread*levelSpread + 1e-3)
		out = append(out, slope, float32(math.Sqrt(max(0, float64(d*d-slope*c)))))
		spreads[g] = d
	}
	out = append(out, spreads[:]...)
	whole := func(t int) bool { return s.voiced(t) && s.a.Formant[s.from+t][3] > 0 }
	first := func(t int) float32 { return s.formant(t, 0) }
	second := func(t int) float32 { return s.formant(t, 1) }
	third := func(t int) float32 { return s.formant(t, 2) }
	return append(out, s.together(s.voiced, s.octave, s.level), s.together(whole, first, second),
		s.together(whole, second, third), s.together(whole, first, s.level), s.together(whole, s.octave, first))
}

// together is the correlation of two figures over some frames.
func (s stretch) together(use func(int) bool, x, y func(int) float32) float32 {
	mx, dx := moments(s.n, use, x)
	my, dy := moments(s.n, use, y)
	c, _ := moments(s.n, use, func(t int) float32 { return (x(t) - mx) * (y(t) - my) })
	return c / (dx*dy + 1e-3)
}

// firmness is how firm the voicing is and how much the pitch trembles.
func (f *features) firmness(s stretch, out []float32) []float32 {
	firm := f.sorted(s, s.voiced, func(t int) float32 { return s.a.Strength[s.from+t] })
	out = append(out, sound.Percentile(firm, 10), sound.Percentile(firm, 50))
	inner := func(t int) bool { return t >= 1 && t < s.n-1 && s.voiced(t-1) && s.voiced(t) && s.voiced(t+1) }
	tremble := f.sorted(s, inner, func(t int) float32 {
		d := s.octave(t-1) - 2*s.octave(t) + s.octave(t+1)
		return max(d, -d)
	})
	return append(out, sound.Percentile(tremble, 50), sound.Percentile(tremble, 90))
}
