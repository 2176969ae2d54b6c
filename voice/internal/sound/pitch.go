package sound

import "math"

const (
	pitchRate   = Rate / 2
	pitchWindow = 384 // 48 ms
	pitchFFT    = 1024
	lagMin      = pitchRate / 620
	lagMax      = pitchRate / 65
	candidates  = 4
)

// Pitch finds the fundamental: the autocorrelation of 48 ms at 8 kHz, divided by that of the
// window, the four best peaks of each frame, and the cheapest path through them. Above about 500 Hz
// the octave below may win, for the lags are a coarse grid there. One Pitch serves
// one goroutine.
type Pitch struct {
	window []float32
	own    []float32 // autocorrelation of the window, 1 at lag 0
	spec   *realPower
	re, im []float32
	power  []float32
	half   []float32 // the recording at 8 kHz
	peaks  []peak
	cost   []float32
	back   []uint8
	corr   [lagMax + 2]float32
}

type peak struct{ octave, strength, score float32 }

// NewPitch makes the tables.
func NewPitch() *Pitch {
	p := &Pitch{
		window: hann(pitchWindow), spec: newRealPower(pitchFFT),
		re: make([]float32, pitchFFT/2), im: make([]float32, pitchFFT/2), power: make([]float32, pitchFFT/2+1),
		own: make([]float32, lagMax+2),
	}
	for lag := range p.own {
		for i := 0; i+lag < pitchWindow; i++ {
			p.own[lag] += p.window[i] * p.window[i+lag]
		}
	}
	for lag := len(p.own) - 1; lag >= 0; lag-- {
		p.own[lag] /= p.own[0]
	}
	return p
}

// Track writes, for each frame of pcm, log2 of the fundamental in hertz and the strength of the
// voicing (-1 to 1) into octave and strength, which hold Frames(len(pcm)) each. Frames that active
// leaves out get strength 0 and the middle of the range.
func (p *Pitch) Track(pcm []float32, active []bool, octave, strength []float32) {
	p.halve(pcm)
	frames := Frames(len(pcm))
	p.peaks = sized(p.peaks, frames*candidates)
	p.cost = sized(p.cost, frames*candidates)
	p.back = sized(p.back, frames*candidates)
	for t := range frames {
		if active[t] {
			p.frame(t, p.peaks[t*candidates:(t+1)*candidates])
			continue
		}
		for c := range candidates {
			p.peaks[t*candidates+c] = peak{octave: 7.6}
		}
	}
	p.path(frames, octave, strength)
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// halve filters and keeps each second sample. A short filter is enough: what folds back lies above
// 4.5 kHz and is 40 dB down.
func (p *Pitch) halve(pcm []float32) {
	const side = 11
	h := [side + 1]float32{0.5, 0.3142, 0, -0.0937, 0, 0.0445, 0, -0.0211, 0, 0.0088, 0, -0.0027}
	n := (len(pcm) + 1) / 2
	p.half = sized(p.half, n)
	for i := range n {
		at := 2 * i
		sum := h[0] * pcm[at]
		if at >= side && at+side < len(pcm) {
			for k := 1; k <= side; k += 2 {
				sum += h[k] * (pcm[at-k] + pcm[at+k])
			}
		} else {
			for k := 1; k <= side; k += 2 {
				if at-k >= 0 {
					sum += h[k] * pcm[at-k]
				}
				if at+k < len(pcm) {
					sum += h[k] * pcm[at+k]
				}
			}
		}
		p.half[i] = sum
	}
}

// frame finds the best peaks of the autocorrelation in frame t.
func (p *Pitch) frame(t int, out []peak) {
	from := t*Hop/2 - pitchWindow/2
	lo, hi := max(0, -from), min(pitchWindow, len(p.half)-from)
	mean := float32(0)
	for i := lo; i < hi; i++ {
		mean += p.half[from+i]
	}
	mean /= pitchWindow
	clear(p.re)
	clear(p.im)
	for i := range pitchWindow {
		x := -mean
		if i >= lo && i < hi {
			x += p.half[from+i]
		}
		x *= p.window[i]
		if i&1 == 0 {
			p.re[i>>1] = x
		} else {
			p.im[i>>1] = x
		}
	}
	p.spec.power(p.re, p.im, p.power)
	p.correlate()
	r0 := p.corr[0] + 1e-9*pitchWindow
	for lag := range p.corr {
		p.corr[lag] /= r0 * p.own[lag]
	}
	for c := range out {
		out[c] = peak{octave: 7.6, score: -1}
	}
	for lag := lagMin; lag <= lagMax; lag++ {
		a, b, c := p.corr[lag-1], p.corr[lag], p.corr[lag+1]
		if b < a || b <= c {
			continue
		}
		offset := float32(0)
		if d := a - 2*b + c; d < -1e-6 {
			offset = max(-1, min(1, 0.5*(a-c)/d))
			b -= 0.25 * (a - c) * offset // the height between the lags: short lags lie on a coarse grid
		}
		score := b - 0.02*float32(math.Log2(float64(lag)/lagMin))
		worst := candidates - 1
		if score <= out[worst].score {
			continue
		}
		for worst > 0 && out[worst-1].score < score {
			out[worst] = out[worst-1]
			worst--
		}
		out[worst] = peak{octave: float32(math.Log2(pitchRate / float64(float32(lag)+offset))), strength: min(1, b), score: score}
	}
}

// correlate turns the power spectrum, real and even, into the autocorrelation at the lags that
// matter. A real and even series is its own transform's transform: the same real transform serves.
func (p *Pitch) correlate() {
	n := pitchFFT / 2
	// z[k] = S[2k] + i S[2k+1] over the full circle; S[N-k] = S[k].
	for k := range n {
		a, b := 2*k, 2*k+1
		if a > n {
			a = pitchFFT - a
		}
		if b > n {
			b = pitchFFT - b
		}
		p.re[k], p.im[k] = p.power[a], p.power[b]
	}
	p.spec.half.forward(p.re, p.im)
	p.corr[0] = p.re[0] + p.im[0]
	for k := 1; k < len(p.corr); k++ {
		ar, ai, br, bi := p.re[k], p.im[k], p.re[n-k], -p.im[n-k]
		or, oi := (ai-bi)/2, -(ar-br)/2
		p.corr[k] = (ar+br)/2 + or*p.spec.cos[k] - oi*p.spec.sin[k]
	}
}

// path chooses one peak per frame: jumps cost half their size in octaves, less after weak voicing.
func (p *Pitch) path(frames int, octave, strength []float32) {
	for c := range candidates {
		p.cost[c] = p.peaks[c].score
	}
	for t := 1; t < frames; t++ {
		prev, cur := p.peaks[(t-1)*candidates:t*candidates], p.peaks[t*candidates:(t+1)*candidates]
		for c := range candidates {
			best, from := float32(math.Inf(-1)), 0
			for d := range candidates {
				jump := cur[c].octave - prev[d].octave
				if jump < 0 {
					jump = -jump
				}
				v := p.cost[(t-1)*candidates+d] - 0.5*jump*max(0, prev[d].strength)
				if v > best {
					best, from = v, d
				}
			}
			p.cost[t*candidates+c] = best + cur[c].score
			p.back[t*candidates+c] = uint8(from)
		}
	}
	at := 0
	last := (frames - 1) * candidates
	for c := range candidates {
		if p.cost[last+c] > p.cost[last+at] {
			at = c
		}
	}
	for t := frames - 1; t >= 0; t-- {
		k := p.peaks[t*candidates+at]
		octave[t], strength[t] = k.octave, max(-1, k.strength)
		if t > 0 {
			at = int(p.back[t*candidates+at])
		}
	}
}
