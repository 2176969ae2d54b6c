package redact

import (
	"bytes"
	"errors"
	"slices"

	pion "github.com/pion/opus"
)

// Where silence begins, a decoder may still fade for so many samples; how many packets before an
// erased stretch are decoded, and how many in it.
const (
	opusFade   = 480
	opusBefore = 6
	opusInside = 3
)

// opusEar listens with pion/opus to the packets at the beginning of each erased stretch: those
// before must sound alike, those within must be silent. What comes behind is predicted from the
// sound before, so that it cannot be alike; there the packets are compared, and that is all.
type opusEar struct {
	h        *Hearing
	channels int
	in, out  [][]byte // kept packets before
	blanks   [][]byte
	open     bool // within an erased stretch
}

// newOpusEar is nil where pion/opus cannot decode the stream.
func newOpusEar(h *Hearing, head []byte) *opusEar {
	if head[18] != 0 {
		h.skip("pion/opus does not decode multistream packets")
		return nil
	}
	h.Decoder = "pion/opus"
	return &opusEar{h: h, channels: int(head[9])}
}

// kept takes a packet as it stands in the input and in the output.
func (e *opusEar) kept(a, b []byte) error {
	if e == nil {
		return nil
	}
	if e.open {
		if err := e.end(); err != nil {
			return err
		}
	}
	e.in, e.out = append(e.in, bytes.Clone(a)), append(e.out, bytes.Clone(b))
	if n := len(e.in) - opusBefore; n > 0 {
		e.in, e.out = slices.Delete(e.in, 0, n), slices.Delete(e.out, 0, n)
	}
	return nil
}

// gone says that the input's next packet was erased.
func (e *opusEar) gone() {
	if e != nil {
		e.open = true
	}
}

// blank takes a packet of the output that stands for erased ones.
func (e *opusEar) blank(b []byte) {
	if e != nil && len(e.blanks) < opusInside {
		e.blanks = append(e.blanks, bytes.Clone(b))
	}
}

// end comes behind an erased stretch.
func (e *opusEar) end() error {
	if e == nil || !e.open {
		return nil
	}
	in, out, blanks := e.in, e.out, e.blanks
	e.in, e.out, e.blanks, e.open = nil, nil, nil, false
	if len(in)+len(blanks) == 0 || e.h.enough() {
		return nil
	}
	a, err := e.play(in)
	if err != nil {
		e.h.skip("damaged: pion/opus gives up on the input")
		return nil
	}
	b, err := e.play(append(out[:len(out):len(out)], blanks...))
	if err != nil {
		return unproved("pion/opus decodes the input but not the output: %v", err)
	}
	e.h.Windows++
	if !slices.Equal(a, b[:min(len(b), len(a))]) {
		return unproved("pion/opus hears a difference before an erased span")
	}
	for _, v := range b[min(len(b), len(a)+opusFade*e.channels):] {
		if v > 1e-4 || v < -1e-4 { // 3 of 32768
			return unproved("pion/opus hears sound in an erased span")
		}
	}
	return nil
}

// play decodes packets with a new decoder.
func (e *opusEar) play(packets [][]byte) (pcm []float32, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("pion/opus panics")
		}
	}()
	d, err := pion.NewDecoderWithOutput(48000, e.channels)
	if err != nil {
		return nil, err
	}
	for _, p := range packets {
		want := int(opusLength(p)) * e.channels
		buf := make([]float32, 5760*e.channels)
		n, err := d.DecodeToFloat32(p, buf)
		if err != nil {
			return nil, err
		}
		if n*e.channels != want {
			return nil, errShort
		}
		pcm = append(pcm, buf[:want]...)
	}
	return pcm, nil
}
