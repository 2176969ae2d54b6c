package sound

import "math"

// fft is a complex transform of a fixed power-of-two size, with its tables and no scratch of its
// own. Radix 2, decimation in time.
type fft struct {
	n        int
	cos, sin []float32 // by stage, contiguous: size 2, 4, ... n
	swap     []int32   // pairs of the bit-reversal permutation
}

func newFFT(n int) *fft {
	f := &fft{n: n}
	for size := 2; size <= n; size *= 2 {
		for k := range size / 2 {
			s, c := math.Sincos(-2 * math.Pi * float64(k) / float64(size))
			f.cos, f.sin = append(f.cos, float32(c)), append(f.sin, float32(s))
		}
	}
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			f.swap = append(f.swap, int32(i), int32(j))
		}
	}
	return f
}

// forward transforms re + i*im in place.
func (f *fft) forward(re, im []float32) {
	n := f.n
	re, im = re[:n], im[:n]
	for p := 0; p < len(f.swap); p += 2 {
		i, j := f.swap[p], f.swap[p+1]
		re[i], re[j] = re[j], re[i]
		im[i], im[j] = im[j], im[i]
	}
	for i := 0; i < n; i += 2 { // the stage of size 2 has no multiplication
		a, b := re[i], re[i+1]
		re[i], re[i+1] = a+b, a-b
		a, b = im[i], im[i+1]
		im[i], im[i+1] = a+b, a-b
	}
	for at, half := 1, 2; half < n; at, half = at+half, half*2 {
		cos, sin := f.cos[at:at+half], f.sin[at:at+half]
		for base := 0; base < n; base += 2 * half {
			ur, ui := re[base:base+half], im[base:base+half]
			vr, vi := re[base+half:base+2*half], im[base+half:base+2*half]
			ui, vr, vi, sin := ui[:len(ur)], vr[:len(ur)], vi[:len(ur)], sin[:len(ur)]
			cos := cos[:len(ur)]
			for k := range ur {
				tr := vr[k]*cos[k] - vi[k]*sin[k]
				ti := vr[k]*sin[k] + vi[k]*cos[k]
				vr[k], vi[k] = ur[k]-tr, ui[k]-ti
				ur[k], ui[k] = ur[k]+tr, ui[k]+ti
			}
		}
	}
}

// realPower gives the power spectrum of 2n real samples, packed as re = even, im = odd samples,
// into power[0..n]. The contents of re and im are lost.
type realPower struct {
	half     *fft
	cos, sin []float32
}

func newRealPower(n int) *realPower {
	r := &realPower{half: newFFT(n / 2)}
	for k := range n/2 + 1 {
		s, c := math.Sincos(-2 * math.Pi * float64(k) / float64(n))
		r.cos, r.sin = append(r.cos, float32(c)), append(r.sin, float32(s))
	}
	return r
}

func (r *realPower) power(re, im, power []float32) {
	n := r.half.n
	r.half.forward(re, im)
	power[0] = (re[0] + im[0]) * (re[0] + im[0])
	power[n] = (re[0] - im[0]) * (re[0] - im[0])
	for k := 1; k < n; k++ {
		ar, ai, br, bi := re[k], im[k], re[n-k], -im[n-k]
		er, ei := (ar+br)/2, (ai+bi)/2
		or, oi := (ai-bi)/2, -(ar-br)/2
		c, s := r.cos[k], r.sin[k]
		xr, xi := er+or*c-oi*s, ei+or*s+oi*c
		power[k] = xr*xr + xi*xi
	}
}
