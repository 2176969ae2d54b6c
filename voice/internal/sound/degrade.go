package sound

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Speed plays pcm faster by a factor, as a tape would: pitch and formants move too.
func Speed(pcm []float32, factor float64) []float32 {
	if factor == 1 {
		return pcm
	}
	out := make([]float32, int(float64(len(pcm))/factor))
	for i := range out {
		out[i] = cubic(pcm, float64(i)*factor)
	}
	return out
}

func cubic(x []float32, at float64) float32 {
	i := int(at)
	f := float32(at - float64(i))
	get := func(k int) float32 {
		if k < 0 || k >= len(x) {
			return 0
		}
		return x[k]
	}
	a, b, c, d := get(i-1), get(i), get(i+1), get(i+2)
	return b + 0.5*f*(c-a+f*(2*a-5*b+4*c-d+f*(3*(b-c)+d-a)))
}

// Noise is n samples of coloured noise of about unit power: slope 0 is white, 1 pink, 2 brown.
func Noise(n int, slope float64, r *rand.Rand) []float32 {
	size := 2
	for size < n {
		size *= 2
	}
	re, im := make([]float32, size), make([]float32, size)
	for k := 1; k < size/2; k++ {
		a := math.Pow(float64(k), -slope/2)
		re[k], im[k] = float32(a*r.NormFloat64()), float32(a*r.NormFloat64())
		re[size-k], im[size-k] = re[k], -im[k]
	}
	newFFT(size).forward(re, im)
	scaleTo(re[:n], 1)
	return re[:n]
}

func scaleTo(x []float32, rms float64) {
	sum := 1e-12
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	g := float32(rms / math.Sqrt(sum/float64(len(x))))
	for i := range x {
		x[i] *= g
	}
}

// Loudness is the root mean square of the louder 40 % of a recording's 20 ms pieces.
func Loudness(x []float32) float64 {
	var e []float32
	for i := 0; i+320 <= len(x); i += 320 {
		sum := float32(0)
		for _, v := range x[i : i+320] {
			sum += v * v
		}
		e = append(e, sum/320)
	}
	slices.Sort(e)
	sum, n := 1e-12, 1e-9
	for _, v := range e[len(e)*6/10:] {
		sum += float64(v)
		n++
	}
	return math.Sqrt(sum / n)
}

// AddNoise adds noise, which is scaled, snr decibels below the loudness of x. It changes noise.
func AddNoise(x, noise []float32, snr float64) []float32 {
	scaleTo(noise, Loudness(x)*math.Pow(10, -snr/20))
	out := make([]float32, len(x))
	for i := range x {
		out[i] = x[i] + noise[i]
	}
	return out
}

// Filter convolves with a symmetric filter whose middle lies at its centre.
func Filter(x, taps []float32) []float32 {
	side := len(taps) / 2
	out := make([]float32, len(x))
	for i := range out {
		first, last := max(0, side-i), min(len(taps), len(x)+side-i)
		sum := float32(0)
		part := x[i+first-side:]
		for k, w := range taps[first:max(first, last)] {
			sum += w * part[k]
		}
		out[i] = sum
	}
	return out
}

// Curve designs a symmetric filter of 129 taps with the gains (decibels) at the frequencies (hertz).
func Curve(hertz, gain []float64) []float32 {
	const n = 129
	taps := make([]float32, n)
	at := func(f float64) float64 {
		i := 1
		for i < len(hertz)-1 && hertz[i] < f {
			i++
		}
		x := (f - hertz[i-1]) / (hertz[i] - hertz[i-1])
		return math.Pow(10, (gain[i-1]+(gain[i]-gain[i-1])*min(1, max(0, x)))/20)
	}
	const grid = 512
	var gains [grid]float64
	for j := range gains {
		gains[j] = at((float64(j) + 0.5) / grid * Rate / 2)
	}
	for k := range taps {
		sum := 0.0
		for j, g := range gains {
			f := (float64(j) + 0.5) / grid * Rate / 2
			sum += g * math.Cos(2*math.Pi*f/Rate*float64(k-n/2))
		}
		taps[k] = float32(sum/grid) * float32(0.54+0.46*math.Cos(math.Pi*float64(k-n/2)/(n/2)))
	}
	return taps
}

// Colour filters with a random curve of up to db decibels.
func Colour(x []float32, db float64, r *rand.Rand) []float32 {
	hertz := []float64{0, 150, 400, 900, 1800, 3200, 5000, 8000}
	gain := make([]float64, len(hertz))
	for i := range gain {
		gain[i] = (2*r.Float64() - 1) * db
	}
	return Filter(x, Curve(hertz, gain))
}

// Telephone keeps 300 to 3,400 Hz and rounds as mu-law does.
func Telephone(x []float32) []float32 {
	y := Filter(x, Curve([]float64{0, 200, 350, 3300, 3700, 8000}, []float64{-50, -35, 0, 0, -50, -80}))
	for i, v := range y {
		a := math.Min(1, math.Abs(float64(v)))
		q := math.Round(math.Log1p(255*a)/math.Log1p(255)*127) / 127
		y[i] = float32(math.Copysign((math.Pow(256, q)-1)/255, float64(v)))
	}
	return y
}

// Reverb adds a random tail of rt seconds (to -60 dB), drr decibels below the direct sound.
func Reverb(x []float32, rt, drr float64, r *rand.Rand) []float32 {
	n := int(rt * Rate)
	size := 2
	for size < len(x)+n {
		size *= 2
	}
	hr, hi := make([]float32, size), make([]float32, size)
	for i := 40; i < n; i++ {
		hr[i] = float32(r.NormFloat64() * math.Pow(10, -3*float64(i)/float64(n)))
	}
	sum := 1e-12
	for _, v := range hr[:n] {
		sum += float64(v) * float64(v)
	}
	g := float32(math.Pow(10, -drr/20) / math.Sqrt(sum))
	for i := range hr[:n] {
		hr[i] *= g
	}
	hr[0] = 1
	xr, xi := make([]float32, size), make([]float32, size)
	copy(xr, x)
	f := newFFT(size)
	f.forward(hr, hi)
	f.forward(xr, xi)
	for k := range xr { // the inverse transform is the transform with re and im exchanged
		xr[k], xi[k] = xr[k]*hi[k]+xi[k]*hr[k], xr[k]*hr[k]-xi[k]*hi[k]
	}
	f.forward(xr, xi)
	out := make([]float32, len(x))
	for i := range out {
		out[i] = xi[i] / float32(size)
	}
	return out
}
