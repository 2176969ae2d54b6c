package sound

import "math"

const lpcOrder = 14

// Formants finds the lowest four resonances of the vocal tract in frames: the peaks of a prediction
// filter of order 14 between 150 and 6,500 Hz. One Formants serves one goroutine.
type Formants struct {
	mel      *Mel
	emphasis [melFFT/2 + 1]float32
	corr     [lpcOrder + 1]float64
	filter   [lpcOrder + 1]float64
	before   [lpcOrder + 1]float64
}

// NewFormants makes the tables.
func NewFormants() *Formants {
	f := &Formants{mel: NewMel()}
	for k := range f.emphasis { // |1 - 0.97 exp(-iw)|^2
		w := 2 * math.Pi * float64(k) / melFFT
		f.emphasis[k] = float32(1 + 0.97*0.97 - 2*0.97*math.Cos(w))
	}
	return f
}

// Frame writes the resonances of frame t in hertz, lowest first, 0 for those that are missing.
func (f *Formants) Frame(pcm []float32, t int, out *[4]float32) {
	m := f.mel
	var bands [Bands]float32
	m.Frame(pcm, t, bands[:])
	n := melFFT / 2
	for k := range n { // the power spectrum is real and even: its transform is the autocorrelation
		a, b := 2*k, 2*k+1
		if a > n {
			a = melFFT - a
		}
		if b > n {
			b = melFFT - b
		}
		m.re[k], m.im[k] = m.power[a]*f.emphasis[a], m.power[b]*f.emphasis[b]
	}
	m.spec.half.forward(m.re, m.im)
	f.corr[0] = float64(m.re[0]+m.im[0])*1.0001 + 1e-9
	for k := 1; k <= lpcOrder; k++ {
		ar, ai, br, bi := m.re[k], m.im[k], m.re[n-k], -m.im[n-k]
		or, oi := (ai-bi)/2, -(ar-br)/2
		f.corr[k] = float64((ar+br)/2 + or*m.spec.cos[k] - oi*m.spec.sin[k])
	}
	f.predict()
	clear(m.re)
	clear(m.im)
	for i, a := range f.filter {
		if i&1 == 0 {
			m.re[i>>1] = float32(a)
		} else {
			m.im[i>>1] = float32(a)
		}
	}
	m.spec.power(m.re, m.im, m.power)
	*out = [4]float32{}
	const hertz = float32(Rate) / melFFT
	found := 0
	for k := 5; k < 208 && found < 4; k++ { // 156 to 6,500 Hz
		a, b, c := m.power[k-1], m.power[k], m.power[k+1]
		if b > a || b >= c {
			continue
		}
		offset := 0.5 * (a - c) / (a - 2*b + c)
		out[found] = (float32(k) + offset) * hertz
		found++
	}
}

// predict is Levinson's and Durbin's recursion.
func (f *Formants) predict() {
	f.filter = [lpcOrder + 1]float64{1}
	e := f.corr[0]
	for i := 1; i <= lpcOrder; i++ {
		sum := f.corr[i]
		for j := 1; j < i; j++ {
			sum += f.filter[j] * f.corr[i-j]
		}
		k := -sum / e
		f.before = f.filter
		for j := 1; j < i; j++ {
			f.filter[j] += k * f.before[i-j]
		}
		f.filter[i] = k
		e *= 1 - k*k
	}
}
