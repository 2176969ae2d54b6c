package sound

import "math"

const (
	melWindow = 400 // 25 ms
	melFFT    = 512
	melLow    = 80.0
	melHigh   = 7600.0
)

// Mel computes power mel spectra: a Hann window of 25 ms, 512 points, 40 triangles from 80 to
// 7,600 Hz on the scale 2595 log10(1+f/700), each of unit sum. One Mel serves one goroutine.
type Mel struct {
	window  []float32
	spec    *realPower
	re, im  []float32
	power   []float32
	start   [Bands]int
	weights [Bands][]float32
}

// NewMel makes the tables.
func NewMel() *Mel {
	m := &Mel{
		window: hann(melWindow), spec: newRealPower(melFFT),
		re: make([]float32, melFFT/2), im: make([]float32, melFFT/2), power: make([]float32, melFFT/2+1),
	}
	scale := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
	edges := make([]float64, Bands+2)
	for i := range edges {
		x := scale(melLow) + (scale(melHigh)-scale(melLow))*float64(i)/float64(Bands+1)
		edges[i] = 700 * (math.Pow(10, x/2595) - 1)
	}
	for b := range Bands {
		sum := 0.0
		var all [melFFT/2 + 1]float64
		first, last := -1, -1
		for k := range all {
			f := float64(k) * Rate / melFFT
			up, down := (f-edges[b])/(edges[b+1]-edges[b]), (edges[b+2]-f)/(edges[b+2]-edges[b+1])
			if w := min(up, down); w > 0 {
				all[k] = w
				sum += w
				if first < 0 {
					first = k
				}
				last = k
			}
		}
		m.start[b] = first
		for k := first; k <= last; k++ {
			m.weights[b] = append(m.weights[b], float32(all[k]/sum))
		}
	}
	return m
}

// hann is the symmetric window of n points.
func hann(n int) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n-1)))
	}
	return w
}

// Frame writes the powers of frame t into out[:Bands].
func (m *Mel) Frame(pcm []float32, t int, out []float32) {
	clear(m.re)
	clear(m.im)
	from := t*Hop - melWindow/2
	lo, hi := max(0, -from), min(melWindow, len(pcm)-from)
	for i := lo; i < hi; i++ {
		x := pcm[from+i] * m.window[i]
		if i&1 == 0 {
			m.re[i>>1] = x
		} else {
			m.im[i>>1] = x
		}
	}
	m.spec.power(m.re, m.im, m.power)
	for b := range Bands {
		sum := float32(0)
		w := m.weights[b]
		p := m.power[m.start[b]:][:len(w)]
		for i := range w {
			sum += w[i] * p[i]
		}
		out[b] = sum
	}
}

// Powers computes all frames of pcm into one slice of Frames(len(pcm))*Bands. The slice dst is
// used if it is long enough.
func (m *Mel) Powers(pcm, dst []float32) []float32 {
	n := Frames(len(pcm)) * Bands
	if cap(dst) < n {
		dst = make([]float32, n)
	}
	dst = dst[:n]
	for t := range Frames(len(pcm)) {
		m.Frame(pcm, t, dst[t*Bands:(t+1)*Bands])
	}
	return dst
}
