package riff

import "math"

// Tone fills dst, which holds whole blocks (the last may be an ADPCM block cut short), with a
// 1 kHz sine at -20 dB of full scale, in every channel alike. first is the number of the first
// sample frame in the recording: the tone depends on the format and on that number alone, so
// filling in pieces or twice gives the same bytes.
func (f Format) Tone(dst []byte, first int64) {
	if f.BlockFrames > 1 {
		for len(dst) > 0 {
			n := min(len(dst), f.BlockAlign)
			f.toneBlock(dst[:n], first)
			dst, first = dst[n:], first+int64(f.BlockFrames)
		}
		return
	}
	for i := 0; i+f.BlockAlign <= len(dst); i += f.BlockAlign {
		v := f.toneAt(first)
		first++
		for c := range f.Channels {
			f.putSample(dst[i+c*f.Container:i+(c+1)*f.Container], v)
		}
	}
}

// toneAt is the sine at one sample frame, in [-0.1, 0.1]. Below 4 kHz a quarter of the rate
// takes the place of 1 kHz.
func (f Format) toneAt(frame int64) float64 {
	rate := int64(f.Rate)
	hz := min(1000, max(1, rate/4))
	phase := float64(frame%rate*hz%rate) / float64(rate)
	return 0.1 * math.Sin(2*math.Pi*phase)
}

func (f Format) putSample(dst []byte, v float64) {
	switch f.Tag {
	case TagFloat:
		if len(dst) == 4 {
			f.order.PutUint32(dst, math.Float32bits(float32(v)))
		} else {
			f.order.PutUint64(dst, math.Float64bits(v))
		}
		return
	case TagALaw:
		dst[0] = aLaw(int(v * 32767))
		return
	case TagMuLaw:
		dst[0] = muLaw(int(v * 32767))
		return
	}
	if len(dst) == 1 {
		dst[0] = byte(128 + int(math.Round(v*127)))
		return
	}
	// 24 bits are plenty; they stand at the top of the container.
	n := uint64(int64(math.Round(v*(1<<23-1)))) << 40
	if f.Bits < 24 {
		n &= ^uint64(0) << (64 - uint(f.Bits))
	}
	if f.Container*8 > f.Bits && f.Tag == TagPCM && !f.leftJustified() {
		n = uint64(int64(n) >> (uint(f.Container)*8 - uint(f.Bits)))
	}
	for i := range dst {
		b := byte(n >> (64 - 8*uint(len(dst)-i)))
		if f.order.String() == "BigEndian" {
			b = byte(n >> (56 - 8*uint(i)))
		}
		dst[i] = b
	}
}

// leftJustified reports whether the sample stands at the top of its container, as the format
// prescribes. 24 bits in 4 bytes without EXTENSIBLE are written at the bottom by the programs
// that write such files at all.
func (f Format) leftJustified() bool { return f.Extensible || (f.Bits+7)/8 == f.Container }

// aLaw and muLaw encode 16-bit samples (ITU-T G.711).
func aLaw(v int) byte {
	mask := byte(0xD5)
	if v < 0 {
		mask, v = 0x55, -v-1
	}
	v >>= 4 // 12 bits of magnitude
	exp := 0
	for m := v >> 5; m > 0; m >>= 1 {
		exp++
	}
	if exp > 0 {
		v = v >> (exp - 1) & 0x0F
	} else {
		v = v >> 1
	}
	return byte(exp<<4|v&0x0F) ^ mask
}

func muLaw(v int) byte {
	sign := byte(0)
	if v < 0 {
		sign, v = 0x80, -v
	}
	v = min(v, 32635) + 132
	exp := 0
	for m := v >> 8; m > 0; m >>= 1 {
		exp++
	}
	return ^(sign | byte(exp<<4) | byte(v>>(exp+3)&0x0F))
}

// imaSteps is the step table of the IMA ADPCM recommendation, computed: step n is about 7 * 1.1^n.
var imaSteps = [89]int{
	7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97,
	107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796,
	876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871,
	5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623,
	27086, 29794, 32767,
}

var imaIndex = [8]int{-1, -1, -1, -1, 2, 4, 6, 8}

var msAdapt = [16]int{230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230}

func (f Format) toneBlock(dst []byte, first int64) {
	clear(dst)
	if len(dst) < f.blockHeader() {
		return
	}
	for c := range f.Channels {
		if f.Tag == TagMSADPCM {
			f.toneMS(dst, c, first)
		} else {
			f.toneIMA(dst, c, first)
		}
	}
}

// toneIMA writes channel c of one block: a header of the first sample and the step index, then
// nibbles, low first, in groups of 4 bytes per channel.
func (f Format) toneIMA(dst []byte, c int, first int64) {
	target := func(i int) int { return int(f.toneAt(first+int64(i)) * 32767) }
	value, index := target(0), 40
	f.order.PutUint16(dst[4*c:], uint16(int16(value)))
	dst[4*c+2] = byte(index)
	for i := 1; i < f.PartFrames(len(dst)); i++ {
		step := imaSteps[index]
		diff, code := target(i)-value, 0
		if diff < 0 {
			diff, code = -diff, 8
		}
		code |= min(7, diff*4/step)
		delta := step >> 3
		for bit, s := 4, step; bit > 0; bit, s = bit>>1, s>>1 {
			if code&bit != 0 {
				delta += s
			}
		}
		if code&8 != 0 {
			delta = -delta
		}
		value = max(-32768, min(32767, value+delta))
		index = max(0, min(88, index+imaIndex[code&7]))
		n := i - 1
		dst[4*f.Channels+n/8*4*f.Channels+4*c+n%8/2] |= byte(code << (4 * (n & 1)))
	}
}

// toneMS writes channel c of one block: predictor 0 (the last sample), delta, the second and the
// first sample, then nibbles, high first, channels interleaved.
func (f Format) toneMS(dst []byte, c int, first int64) {
	ch := f.Channels
	target := func(i int) int { return int(f.toneAt(first+int64(i)) * 32767) }
	value, delta := target(1), 256
	f.order.PutUint16(dst[ch+2*c:], uint16(delta))
	f.order.PutUint16(dst[3*ch+2*c:], uint16(int16(value)))
	f.order.PutUint16(dst[5*ch+2*c:], uint16(int16(target(0))))
	for i := 2; i < f.PartFrames(len(dst)); i++ {
		code := max(-8, min(7, (target(i)-value)/delta))
		value = max(-32768, min(32767, value+code*delta))
		delta = max(16, msAdapt[code&15]*delta>>8)
		n := (i-2)*ch + c
		dst[7*ch+n/2] |= byte(code & 15 << (4 * (1 - n&1)))
	}
}
