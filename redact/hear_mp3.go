package redact

import (
	"bytes"
	"errors"
	"io"

	gomp3 "github.com/hajimehoshi/go-mp3"

	"earshot/redact/internal/mpeg"
)

// mp3Ear listens with go-mp3 to the frames round each run that was replaced. It hands that decoder
// short streams of its own: one blank frame that carries the bit reservoir, then frames as they
// stand in the file. Sound depends on no more than that: a granule is heard for 1632 samples.
type mp3Ear struct {
	h       *Hearing
	tone    bool
	in, out *mp3Walk
	preroll int // frames that shape the sound of the one behind them
	settle  int // frames in which sound on one side of an edge fades
	left    earSide
	blanks  []earFrame // the first and the last of the run's
	right   earSide
	open    bool // right is being gathered
	refTone []byte
}

// earSide are kept frames, as they stand in the input and in the output.
type earSide struct{ in, out []earFrame }

// earFrame is a frame with the main data before it.
type earFrame struct {
	lead, slot []byte
	reservoir  []byte
	back, bits int
}

// newMP3Ear is nil where go-mp3 is not right about the stream; h says why.
func newMP3Ear(h *Hearing, in, out *mp3Walk, tone bool) *mp3Ear {
	switch version := in.like[1] >> 3 & 3; {
	case in.layer != 3:
		h.deaf("go-mp3 decodes layer III only")
	case version == 0:
		h.deaf("go-mp3 does not decode MPEG-2.5")
	case in.like[2]>>4 == 0:
		h.deaf("go-mp3 does not decode free format")
	case in.rate == 22050:
		h.deaf("go-mp3 is wrong about the frame sizes of 22.05 kHz")
	default:
		h.Decoder = "go-mp3"
		e := &mp3Ear{h: h, tone: tone, in: in, out: out, preroll: 1, settle: 1}
		if version != 3 {
			e.preroll, e.settle = 2, 2
		}
		return e
	}
	return nil
}

// heardFrame copies the frame that w has just read.
func (w *mp3Walk) heardFrame(u mp3Unit) earFrame {
	at := len(w.memory) - u.slot
	most := 1<<w.backBits - 1
	return earFrame{
		lead: bytes.Clone(u.lead), slot: bytes.Clone(w.memory[at:]),
		reservoir: bytes.Clone(w.memory[max(0, at-most):at]), back: u.back, bits: u.bits,
	}
}

// kept takes a frame that is in both files. near says that a run begins within reach.
func (e *mp3Ear) kept(a, b mp3Unit, near bool) error {
	if e == nil || !near && !e.open {
		return nil
	}
	x, y := e.in.heardFrame(a), e.out.heardFrame(b)
	if e.open {
		e.right.in, e.right.out = append(e.right.in, x), append(e.right.out, y)
		if len(e.right.in) == e.settle+1 {
			if err := e.behind(); err != nil {
				return err
			}
		}
	}
	if near {
		e.left.in, e.left.out = append(e.left.in, x), append(e.left.out, y)
		if n := len(e.left.in) - e.preroll - 1; n > 0 {
			e.left.in, e.left.out = e.left.in[n:], e.left.out[n:]
		}
	}
	return nil
}

// reach is how many kept frames before a run are listened to.
func (e *mp3Ear) reach() int64 {
	if e == nil {
		return 0
	}
	return int64(e.preroll + 1)
}

// begin closes what was gathered behind the run before.
func (e *mp3Ear) begin() error {
	if e == nil || !e.open {
		return nil
	}
	return e.behind()
}

// blank takes frame i of the n of the output that stand for what was erased. Those in the middle are
// not listened to.
func (e *mp3Ear) blank(b mp3Unit, i, n int64) {
	if edge := e.reach(); e != nil && (i <= edge || i >= n-edge-1) {
		e.blanks = append(e.blanks, e.out.heardFrame(b))
	}
}

// end comes behind a run's last frame: it listens to the edge before it.
func (e *mp3Ear) end() error {
	if e == nil {
		return nil
	}
	left, blanks := e.left, e.blanks
	e.left, e.open, e.right = earSide{}, true, earSide{}
	if len(left.in) == 0 {
		return nil
	}
	head := blanks[:min(len(blanks), e.settle+1)]
	in, out, ok, err := e.decode(left.in, append(left.out[:len(left.out):len(left.out)], head...))
	if err != nil || !ok {
		return err
	}
	block := e.block()
	for i := e.preroll; i < len(left.in); i++ {
		if !bytes.Equal(in[i*block:(i+1)*block], out[i*block:(i+1)*block]) {
			return e.differs(left, "before")
		}
	}
	if quiet := out[min(len(out), len(left.in)*block+4*reachIII):]; !e.tone && !allZero(quiet) {
		return unproved("go-mp3 hears sound in an erased span")
	}
	return nil
}

// behind listens to the edge behind a run.
func (e *mp3Ear) behind() error {
	right := e.right
	tail := e.blanks[max(0, len(e.blanks)-e.settle-1):]
	e.open, e.right, e.blanks = false, earSide{}, nil
	if len(right.in) == 0 && len(tail) == 0 {
		return nil
	}
	in, out, ok, err := e.decode(right.in, append(tail[:len(tail):len(tail)], right.out...))
	if err != nil || !ok {
		return err
	}
	block := e.block()
	if err := e.inside(tail, out); err != nil {
		return err
	}
	out = out[len(tail)*block:]
	if from := min(len(in), 4*reachIII); !bytes.Equal(in[from:], out[from:]) {
		return e.differs(right, "behind")
	}
	return nil
}

// inside checks the blocks of blank frames: zero, or the tone, where the frames that shape them are
// alike.
func (e *mp3Ear) inside(tail []earFrame, out []byte) error {
	block, alike := e.block(), e.preroll // silence goes before
	for i, f := range tail {
		if tone := f.bits > 0; i > 0 && tone == (tail[i-1].bits > 0) || i == 0 && !tone {
			alike++
		} else {
			alike = 1
		}
		got := out[i*block : (i+1)*block]
		switch {
		case alike <= e.preroll:
		case f.bits == 0:
			if !allZero(got) {
				return unproved("go-mp3 hears sound in an erased span")
			}
		default:
			if want, err := e.toneBlock(f); err != nil || !bytes.Equal(got, want) {
				return unproved("go-mp3 hears something else than the tone in an erased span: %v", err)
			}
		}
	}
	return nil
}

// toneBlock is what go-mp3 makes of a row of tone frames like f.
func (e *mp3Ear) toneBlock(f earFrame) ([]byte, error) {
	if e.refTone == nil {
		side, data, n := mpeg.ToneFrame(f.lead[:4])
		g := earFrame{lead: bytes.Clone(f.lead), slot: make([]byte, len(f.slot)), bits: n}
		copy(g.lead[len(g.lead)-len(side):], side)
		copy(g.slot, data)
		out, err := e.play([]earFrame{g, g, g, g}, false)
		if err != nil {
			return nil, err
		}
		e.refTone = out[len(out)-e.block():]
	}
	return e.refTone, nil
}

// block is the bytes of a frame's sound: always two channels of 16 bits.
func (e *mp3Ear) block() int { return 4 * int(e.in.perFrame) }

// decode decodes the same stretch of both files. It is not ok where go-mp3 cannot be asked.
func (e *mp3Ear) decode(in, out []earFrame) (a, b []byte, ok bool, err error) {
	if e.h.enough() {
		return nil, nil, false, nil
	}
	for _, f := range append(in[:len(in):len(in)], out...) {
		switch {
		case f.lead[3]>>6 == 1 && f.lead[3]&0x10 != 0:
			e.h.skip("go-mp3 is wrong about intensity stereo")
			return nil, nil, false, nil
		case e.in.backBits == 8 && f.lead[2]&2 != 0:
			e.h.skip("go-mp3 is wrong about padding in MPEG-2")
			return nil, nil, false, nil
		}
	}
	if a, err = e.play(in, false); err != nil {
		e.h.skip("damaged: go-mp3 gives up on the input")
		return nil, nil, false, nil
	}
	if b, err = e.play(out, false); err != nil {
		return nil, nil, false, unproved("go-mp3 decodes the input but not the output: %v", err)
	}
	e.h.Windows++
	return a, b, true, nil
}

// differs is the error for sound that was kept and is not the same, unless the input's sound depends
// on bits that belong to none of its frames, as damaged streams' does.
func (e *mp3Ear) differs(s earSide, where string) error {
	a, err1 := e.play(s.in, false)
	b, err2 := e.play(s.in, true)
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
		e.h.Windows--
		e.h.skip("damaged: the input's frames need bits that are not theirs")
		return nil
	}
	return unproved("go-mp3 hears a difference in what was kept %s an erased span", where)
}

var errShort = errors.New("fewer frames than there are")

// play decodes frames behind a blank one that carries their reservoir, which is not heard. With
// flip, bits that none of the frames owns are inverted.
func (e *mp3Ear) play(frames []earFrame, flip bool) (pcm []byte, err error) {
	if len(frames) == 0 {
		return nil, nil
	}
	defer func() {
		if recover() != nil {
			err = errors.New("go-mp3 panics")
		}
	}()
	head := [4]byte(frames[0].lead)
	head[1] |= 1
	head[2] = 14<<4 | head[2]&0x0C
	head[3] &^= 0x33
	n := e.in.length(head[:])
	stream := append(head[:], make([]byte, n-4)...)
	reservoir := frames[0].reservoir
	copy(stream[n-len(reservoir):], reservoir)
	places := []int{n - len(reservoir)} // where main data stands in the stream
	for _, f := range frames {
		places = append(places, len(stream)+len(f.lead))
		stream = append(append(stream, f.lead...), f.slot...)
		stream[len(stream)-len(f.slot)-len(f.lead)+3] &^= 3 // emphasis, of which one value throws it off
	}
	if flip {
		flipForeign(stream, frames, places)
	}
	d, err := gomp3.NewDecoder(struct{ io.Reader }{bytes.NewReader(stream)})
	if err != nil {
		return nil, err
	}
	pcm = make([]byte, (len(frames)+1)*e.block())
	if _, err := io.ReadFull(d, pcm); err != nil {
		return nil, errShort
	}
	return pcm[e.block():], nil
}

// flipForeign inverts the main data that belongs to none of the frames.
func flipForeign(stream []byte, frames []earFrame, places []int) {
	main := bytes.Clone(frames[0].reservoir)
	owned := []run{}
	for _, f := range frames {
		from := int64(8 * (len(main) - f.back))
		owned = append(owned, run{from, from + int64(f.bits)})
		main = append(main, f.slot...)
	}
	for at := range main {
		mask := byte(0)
		for i := range 8 {
			n, mine := int64(8*at+i), false
			for _, o := range owned {
				mine = mine || n >= o.from && n < o.to
			}
			if !mine {
				mask |= 0x80 >> i
			}
		}
		main[at] ^= mask
	}
	copy(stream[places[0]:], main[:len(frames[0].reservoir)])
	main = main[len(frames[0].reservoir):]
	for i, f := range frames {
		main = main[copy(stream[places[i+1]:places[i+1]+len(f.slot)], main):]
	}
}
