package child

import (
	"math"
	"slices"

	"earshot/voice/internal/sound"
)

// Inputs is the number of channels per frame of the time network, Pooled that of the figures per
// stretch.
const (
	Inputs  = sound.Bands + 3
	Pooled  = 189
	cepstra = 20
)

// features computes the inputs of both kinds of network for a stretch of an analysis.
type features struct {
	logs    []float32
	series  []float32
	mask    []bool
	ceps    []float32
	cosine  [cepstra][sound.Bands]float32
	pooled  [Pooled]float32
	sorting []float32
	last    []float32
}

func newFeatures() *features {
	f := &features{}
	for k := range cepstra {
		for b := range sound.Bands {
			f.cosine[k][b] = float32(math.Cos(math.Pi*float64(k)*float64(2*b+1)/(2*sound.Bands)) * math.Sqrt(2.0/sound.Bands))
		}
	}
	return f
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// least is how many active and voiced frames a stretch needs to be judged.
const (
	leastActive = 20
	leastVoiced = 8
)

// enough reports whether frames from to to can be judged.
func enough(a *sound.Analysis, from, to int) bool {
	active, voiced := 0, 0
	for t := from; t < to; t++ {
		if a.Active[t] {
			active++
		}
		if a.Voiced(t) {
			voiced++
		}
	}
	return active >= leastActive && voiced >= leastVoiced
}

// logPowers copies the log spectra of a stretch.
func (f *features) logPowers(a *sound.Analysis, from, to int) []float32 {
	p := a.Powers[from*sound.Bands : to*sound.Bands]
	f.logs = sized(f.logs, len(p))
	for i, v := range p {
		f.logs[i] = sound.LogPower(v)
	}
	return f.logs
}

// timed is the input of the time network: each band over its mean, pitch, voicing, activity. logs
// may have been changed on purpose (training).
func (f *features) timed(a *sound.Analysis, logs []float32, from, to int) ([]float32, []bool) {
	n := to - from
	f.series, f.mask = sized(f.series, n*Inputs), sized(f.mask, n)
	var mean [sound.Bands]float32
	count := float32(0)
	for t := range n {
		f.mask[t] = a.Active[from+t]
		if f.mask[t] {
			count++
			for b, v := range logs[t*sound.Bands : (t+1)*sound.Bands] {
				mean[b] += v
			}
		}
	}
	for b := range mean {
		mean[b] /= max(1, count)
	}
	for t := range n {
		row := f.series[t*Inputs : (t+1)*Inputs]
		for b, v := range logs[t*sound.Bands : (t+1)*sound.Bands] {
			row[b] = (v - mean[b]) / 3
		}
		pitch, voicing, active := float32(0), float32(0), float32(0)
		if f.mask[t] {
			active, voicing = 1, a.Strength[from+t]
		}
		if a.Voiced(from + t) {
			pitch = (a.Octave[from+t] - 7.6) * 2
		}
		row[sound.Bands], row[sound.Bands+1], row[sound.Bands+2] = pitch, voicing, active
	}
	return f.series, f.mask
}

// pool computes the figures of a stretch: spread of cepstra (19) and of their slopes (13), pitch
// (16), resonances (16), tilt (9), fricatives (8), contrasts (32), density of resonances (30), rhythm
// (7), effort (35) and firmness of the voice (4).
func (f *features) pool(a *sound.Analysis, logs []float32, from, to int) []float32 {
	n := to - from
	f.ceps = sized(f.ceps, n*cepstra)
	for t := range n {
		row := logs[t*sound.Bands : (t+1)*sound.Bands]
		for k := range cepstra {
			sum := float32(0)
			for b, v := range row {
				sum += f.cosine[k][b] * v
			}
			f.ceps[t*cepstra+k] = sum
		}
	}
	out := f.pooled[:0]
	for k := 1; k < cepstra; k++ {
		out = append(out, f.spread(a, from, n, func(t int) float32 { return f.ceps[t*cepstra+k] }))
	}
	for k := range 13 {
		out = append(out, f.spread(a, from, n, func(t int) float32 {
			if t < 2 || t >= n-2 {
				return 0
			}
			c := f.ceps[k:]
			return (2*(c[(t+2)*cepstra]-c[(t-2)*cepstra]) + c[(t+1)*cepstra] - c[(t-1)*cepstra]) / 10
		}))
	}
	out = f.pitch(a, from, to, out)
	out = f.resonances(a, from, to, out)
	out = f.tilt(a, logs, from, n, out)
	out = f.fricatives(a, logs, from, n, out)
	s := stretch{a, logs, from, n}
	out = f.contrasts(s, out)
	out = f.density(s, out)
	out = f.rhythm(s, out)
	out = f.effort(s, out)
	return f.firmness(s, out)
}

// spread is the standard deviation of a figure over the voiced frames.
func (f *features) spread(a *sound.Analysis, from, n int, figure func(int) float32) float32 {
	_, dev := moments(n, func(t int) bool { return a.Voiced(from + t) }, figure)
	return dev
}

func moments(n int, use func(int) bool, figure func(int) float32) (mean, dev float32) {
	sum, square, count := 0.0, 0.0, 0.0
	for t := range n {
		if use(t) {
			v := float64(figure(t))
			sum, square, count = sum+v, square+v*v, count+1
		}
	}
	if count == 0 {
		return 0, 0
	}
	m := sum / count
	return float32(m), float32(math.Sqrt(max(0, square/count-m*m)))
}

func (f *features) pitch(a *sound.Analysis, from, to int, out []float32) []float32 {
	f.sorting, f.last = f.sorting[:0], f.last[:0]
	active := float32(0)
	for t := from; t < to; t++ {
		if a.Active[t] {
			active++
		}
		if a.Voiced(t) {
			f.sorting = append(f.sorting, a.Octave[t])
		}
	}
	voiced := float32(len(f.sorting))
	for i := 1; i < len(f.sorting); i++ {
		d := f.sorting[i] - f.sorting[i-1]
		f.last = append(f.last, max(d, -d))
	}
	slices.Sort(f.last)
	slices.Sort(f.sorting)
	s := f.sorting
	lo, hi := sound.Percentile(s, 10), sound.Percentile(s, 90)
	out = append(out, lo, sound.Percentile(s, 25), sound.Percentile(s, 50), sound.Percentile(s, 75), hi)
	is := func(t int) bool { return a.Voiced(from + t) }
	m, d := moments(to-from, is, func(t int) float32 { return a.Octave[from+t] })
	out = append(out, m, d, hi-lo, sound.Percentile(f.last, 50))
	m, d = moments(to-from, is, func(t int) float32 { return a.Strength[from+t] })
	out = append(out, m, d, voiced/max(1, active))
	share := func(lo, hi float32) float32 {
		count := float32(0)
		for _, v := range s {
			if v > lo && v < hi {
				count++
			}
		}
		return count / max(1, voiced)
	}
	return append(out, share(0, 7.2), share(0, 7.4), share(7.9, 99), share(8.1, 99))
}

func (f *features) resonances(a *sound.Analysis, from, to int, out []float32) []float32 {
	var quarters [3][4]float32
	for k := range 4 {
		f.sorting = f.sorting[:0]
		for t := from; t < to; t++ {
			if a.Voiced(t) && a.Formant[t][k] > 0 {
				f.sorting = append(f.sorting, a.Formant[t][k])
			}
		}
		slices.Sort(f.sorting)
		for q, p := range []float64{25, 50, 75} {
			quarters[q][k] = float32(math.Log(max(150, float64(sound.Percentile(f.sorting, p)))))
		}
	}
	for _, q := range quarters {
		out = append(out, q[:]...)
	}
	m := quarters[1]
	return append(out, (m[0]+m[1]+m[2]+m[3])/4, m[1]-m[0], m[2]-m[1], m[3]-m[2])
}

// tilt is the level of four higher bands over that of the lowest eight, mean and spread, and where
// the middle of the power lies.
func (f *features) tilt(a *sound.Analysis, logs []float32, from, n int, out []float32) []float32 {
	is := func(t int) bool { return a.Voiced(from + t) }
	group := func(t, g int) float32 {
		sum := 0.0
		for _, v := range logs[t*sound.Bands+8*g : t*sound.Bands+8*g+8] {
			sum += math.Exp(float64(v))
		}
		return float32(math.Log(sum/8 + 1e-9))
	}
	var devs [4]float32
	for g := 1; g <= 4; g++ {
		m, d := moments(n, is, func(t int) float32 { return group(t, g) - group(t, 0) })
		out = append(out, m)
		devs[g-1] = d
	}
	out = append(out, devs[:]...)
	weighted, total := 0.0, 1e-12
	for t := range n {
		if is(t) {
			for b, v := range logs[t*sound.Bands : (t+1)*sound.Bands] {
				p := math.Exp(float64(v))
				weighted, total = weighted+p*float64(b+1), total+p
			}
		}
	}
	return append(out, float32(weighted/total))
}

// fricatives is the mean spectrum of active frames without voice in eight bands over its own mean.
func (f *features) fricatives(a *sound.Analysis, logs []float32, from, n int, out []float32) []float32 {
	var sums [8]float64
	count, all := 0, 0.0
	for t := range n {
		if a.Active[from+t] && !a.Voiced(from+t) {
			count++
			for b, v := range logs[t*sound.Bands : (t+1)*sound.Bands] {
				p := math.Exp(float64(v))
				sums[b/5] += p
				all += p
			}
		}
	}
	for _, s := range sums {
		v := float32(0)
		if count > 3 {
			c := float64(count)
			v = float32(math.Log(s/c/5+1e-9) - math.Log(all/c/40+1e-9))
		}
		out = append(out, v)
	}
	return out
}
