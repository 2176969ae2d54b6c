package pcm

// blocks decodes whole blocks, and the last one as far as it goes.
func (w *wav) blocks(one func(out []float32, block []byte) []float32) func([]byte) []float32 {
	var out []float32
	return func(b []byte) []float32 {
		out = out[:0]
		for len(b) > 0 {
			n := min(len(b), w.block)
			before := len(out)
			out = one(out, b[:n])
			if limit := w.samplesPerBlock * w.channels; limit > 0 && len(out)-before > limit {
				out = out[:before+limit]
			}
			b = b[n:]
		}
		return out
	}
}

// The tables of IMA ADPCM (IMA Recommended Practices, 1992).
var (
	imaSteps = [89]int{7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107, 118, 130, 143,
		157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066,
		2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500,
		20350, 22385, 24623, 27086, 29794, 32767}
	imaIndex = [8]int{-1, -1, -1, -1, 2, 4, 6, 8}
	msAdapt  = [16]int{230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230}
)

func clip16(v int) int { return max(-32768, min(32767, v)) }

// ima decodes a block of Microsoft's IMA ADPCM: a header of 4 bytes for each channel, then 8 samples of
// each channel in turn.
func (w *wav) ima(out []float32, b []byte) []float32 {
	if len(b) < 4*w.channels {
		return out
	}
	value, index := make([]int, w.channels), make([]int, w.channels)
	for c := range w.channels {
		value[c] = int(int16(w.order.Uint16(b[4*c:])))
		index[c] = max(0, min(88, int(b[4*c+2])))
		out = append(out, float32(value[c])/32768)
	}
	b = b[4*w.channels:]
	for len(b) >= 4*w.channels {
		at := len(out)
		out = append(out, make([]float32, 8*w.channels)...)
		for c := range w.channels {
			for i := range 8 {
				nibble := int(b[4*c+i/2]>>(4*(i&1))) & 15
				step := imaSteps[index[c]]
				d := step >> 3
				if nibble&1 != 0 {
					d += step >> 2
				}
				if nibble&2 != 0 {
					d += step >> 1
				}
				if nibble&4 != 0 {
					d += step
				}
				if nibble&8 != 0 {
					d = -d
				}
				value[c] = clip16(value[c] + d)
				index[c] = max(0, min(88, index[c]+imaIndex[nibble&7]))
				out[at+i*w.channels+c] = float32(value[c]) / 32768
			}
		}
		b = b[4*w.channels:]
	}
	return out
}

// ms decodes a block of Microsoft ADPCM (mmreg.h; Multimedia Data Standards Update, 1994).
func (w *wav) ms(out []float32, b []byte) []float32 {
	n := w.channels
	if len(b) < 7*n {
		return out
	}
	type state struct{ c1, c2, delta, s1, s2 int }
	st := make([]state, n)
	s16 := func(i int) int { return int(int16(w.order.Uint16(b[i:]))) }
	for c := range n {
		k := w.coefficients[min(int(b[c]), len(w.coefficients)-1)]
		st[c] = state{k[0], k[1], s16(n + 2*c), s16(3*n + 2*c), s16(5*n + 2*c)}
	}
	for c := range n {
		out = append(out, float32(st[c].s2)/32768)
	}
	for c := range n {
		out = append(out, float32(st[c].s1)/32768)
	}
	c := 0
	for _, v := range b[7*n:] {
		for _, nibble := range [2]int{int(v >> 4), int(v & 15)} {
			s := &st[c]
			signed := nibble
			if signed >= 8 {
				signed -= 16
			}
			next := clip16((s.s1*s.c1+s.s2*s.c2)/256 + signed*s.delta)
			s.delta = max(16, s.delta*msAdapt[nibble]/256)
			s.s1, s.s2 = next, s.s1
			out = append(out, float32(next)/32768)
			if c++; c == n {
				c = 0
			}
		}
	}
	return out
}
