package flac

import (
	"errors"

	"earshot/redact/internal/bits"
)

var errFrame = errors.New("a frame that cannot be decoded")

// bitReader reads a frame's body.
type bitReader struct {
	b  []byte
	at int
}

func (r *bitReader) get(n int) int64 {
	v := bits.Get(r.b, r.at, n)
	r.at += n
	return int64(v)
}

// signed reads an n-bit two's complement number, n up to 57.
func (r *bitReader) signed(n int) int64 {
	if n == 0 {
		return 0
	}
	v := r.get(n)
	return v << (64 - n) >> (64 - n)
}

// unary counts zeros up to a one.
func (r *bitReader) unary() int64 {
	n := int64(0)
	for r.at < 8*len(r.b) {
		if r.at&7 == 0 && r.b[r.at>>3] == 0 {
			n, r.at = n+8, r.at+8
			continue
		}
		if r.get(1) == 1 {
			return n
		}
		n++
	}
	return n
}

// Decode decodes a frame to samples per channel, and tells the length of the frame in bytes, which
// may be less than len(frame). The frame's header is h; depth is the bit depth, at most 24.
func Decode(frame []byte, h Header, depth int) (samples [][]int32, size int, err error) {
	r := &bitReader{frame, 8 * h.Len}
	wide := make([][]int64, h.Channels())
	for c := range wide {
		d := depth
		if h.Assign == 8 && c == 1 || h.Assign == 9 && c == 0 || h.Assign == 10 && c == 1 {
			d++ // the difference channel
		}
		if wide[c], err = r.subframe(h.Block, d); err != nil {
			return nil, 0, err
		}
	}
	size = (r.at+7)/8 + 2
	if size > len(frame) {
		return nil, 0, errFrame
	}
	for i := range h.Block {
		switch h.Assign {
		case 8: // left, difference
			wide[1][i] = wide[0][i] - wide[1][i]
		case 9: // difference, right
			wide[0][i] += wide[1][i]
		case 10: // mid, difference
			mid, side := wide[0][i]<<1|wide[1][i]&1, wide[1][i]
			wide[0][i], wide[1][i] = (mid+side)>>1, (mid-side)>>1
		}
	}
	samples = make([][]int32, len(wide))
	for c := range wide {
		samples[c] = make([]int32, h.Block)
		for i, v := range wide[c] {
			if v != v<<(64-depth)>>(64-depth) {
				return nil, 0, errFrame
			}
			samples[c][i] = int32(v)
		}
	}
	return samples, size, nil
}

func (r *bitReader) subframe(n, depth int) ([]int64, error) {
	if r.get(1) != 0 {
		return nil, errFrame
	}
	kind := int(r.get(6))
	wasted := 0
	if r.get(1) == 1 {
		wasted = int(r.unary()) + 1
	}
	depth -= wasted
	if depth < 1 {
		return nil, errFrame
	}
	out := make([]int64, n)
	var err error
	switch {
	case kind == 0:
		v := r.signed(depth)
		for i := range out {
			out[i] = v
		}
	case kind == 1:
		for i := range out {
			out[i] = r.signed(depth)
		}
	case kind >= 8 && kind <= 12:
		err = r.fixed(out, kind-8, depth)
	case kind >= 32:
		err = r.lpc(out, kind-31, depth)
	default:
		err = errFrame
	}
	if err != nil || r.at > 8*len(r.b) {
		return nil, errFrame
	}
	for i := range out {
		out[i] <<= wasted
	}
	return out, nil
}

var fixedCoefficients = [5][]int64{{}, {1}, {2, -1}, {3, -3, 1}, {4, -6, 4, -1}}

func (r *bitReader) fixed(out []int64, order, depth int) error {
	if order > len(out) {
		return errFrame
	}
	for i := range order {
		out[i] = r.signed(depth)
	}
	if err := r.residual(out, order); err != nil {
		return err
	}
	predict(out, fixedCoefficients[order], 0)
	return nil
}

func (r *bitReader) lpc(out []int64, order, depth int) error {
	if order > len(out) {
		return errFrame
	}
	for i := range order {
		out[i] = r.signed(depth)
	}
	precision := int(r.get(4)) + 1
	shift := r.signed(5)
	if precision == 16 || shift < 0 {
		return errFrame
	}
	coefficients := make([]int64, order)
	for i := range coefficients {
		coefficients[i] = r.signed(precision)
	}
	if err := r.residual(out, order); err != nil {
		return err
	}
	predict(out, coefficients, uint(shift))
	return nil
}

func predict(out, coefficients []int64, shift uint) {
	for i := len(coefficients); i < len(out); i++ {
		var sum int64
		for k, c := range coefficients {
			sum += c * out[i-1-k]
		}
		out[i] += sum >> shift
	}
}

// residual reads Rice-coded residuals into out[order:].
func (r *bitReader) residual(out []int64, order int) error {
	method := r.get(2)
	if method > 1 {
		return errFrame
	}
	width := 4 + int(method)
	partitions := 1 << r.get(4)
	if len(out)%partitions != 0 || len(out)/partitions < order {
		return errFrame
	}
	at := order
	for p := range partitions {
		end := (p + 1) * (len(out) / partitions)
		k := int(r.get(width))
		escape := k == 1<<width-1
		if escape {
			k = int(r.get(5))
		}
		for ; at < end; at++ {
			if r.at > 8*len(r.b) {
				return errFrame
			}
			if escape {
				out[at] = r.signed(k)
				continue
			}
			v := r.unary()<<k | r.low(k)
			out[at] = v>>1 ^ -(v & 1)
		}
	}
	return nil
}

func (r *bitReader) low(k int) int64 {
	if k == 0 {
		return 0
	}
	return r.get(k)
}
