package redact

import (
	"bytes"
	"fmt"
	"io"

	"earshot"
	"earshot/redact/internal/bits"
	"earshot/redact/internal/mpeg"
)

// verify proves an MPEG audio file bit by bit: it walks input and output side by side and accounts
// for every bit of the output. The output is a row of frames and nothing else; kept frames have
// the header, the side information and the main data of the input's; the others are blank; and no
// bit of main data is set that no kept frame owns.
func (mp3Codec) verify(src io.ReaderAt, srcSize int64, dst io.ReaderAt, dstSize int64, r Report) error {
	return proveMP3(src, srcSize, dst, dstSize, r, true)
}

// proveMP3 accounts for every bit, and where it is to listen lets go-mp3 hear the edges.
func proveMP3(src io.ReaderAt, srcSize int64, dst io.ReaderAt, dstSize int64, r Report, listen bool) error {
	head, err := exactly(dst, 0, 4, dstSize)
	if err != nil {
		return err
	}
	count := newMP3Walk(src, srcSize, head, false)
	for ok := true; ok; {
		if _, ok, err = count.next(); err != nil {
			return fmt.Errorf("input: %w", err)
		}
	}
	p := mp3Proof{
		r: r, in: newMP3Walk(src, srcSize, head, false), out: newMP3Walk(dst, dstSize, head, true),
		frames: count.n, fixed: count.fixed, inInfo: count.info, unit: count.unit,
	}
	if err := p.timeline(); err != nil {
		return err
	}
	if listen {
		p.ear = newMP3Ear(r.Heard, p.in, p.out, r.Fill == earshot.FillTone)
	}
	if err := p.walk(); err != nil {
		return err
	}
	if p.outInfo = p.out.info; (p.outInfo == nil) != (p.inInfo == nil) {
		return unproved("an info frame came or went")
	}
	if p.outInfo != nil {
		return p.checkInfo(dst, dstSize)
	}
	return nil
}

// mp3Proof holds the two walks.
type mp3Proof struct {
	r               Report
	in, out         *mp3Walk
	frames          int64 // of the input
	fixed           bool
	cut             bool
	bridge          int64 // frames that stand where sound was cut out of the middle
	unit            int   // free format: bytes of a frame without padding
	inInfo, outInfo []byte
	runs            []run // frames replaced, in the input
	owned           []run // bits of the output's main data that frames own
	checked         int64 // bits of the output's main data proved so far
	ear             *mp3Ear
}

// timeline finds which frames were replaced: Erased says it exactly.
func (p *mp3Proof) timeline() error {
	samples, reach := p.in.perFrame, int64(1056)
	if p.in.layer != 3 {
		reach = 480
	}
	offset, length := int64(0), p.frames*samples
	if delay, padding, ok := lameDelays(p.inInfo, p.frames); ok {
		offset = delay + 529
		length = max(0, length-offset-max(0, padding-529))
	}
	gapless := offset > 0
	if p.cut = p.r.Fill == earshot.FillCut; p.cut {
		p.bridge = p.bridgeOf()
	}
	c := clock{p.in.rate}
	if p.r.Length != c.endAt(length) {
		return unproved("the length of the sound is reported wrongly")
	}
	for _, e := range c.runs(p.r.Erased, length) {
		from, to := e.from+offset, e.to+offset-reach
		if p.cut { // the bridge takes up some of the time of what was cut
			to += reach
			switch {
			case e.to == length:
			case e.from > 0:
				from -= p.bridge * samples
			case gapless: // a delay has 12 bits
				to += p.bridge*samples - min(4095+529, p.bridge*samples+reach)
			default:
				to += p.bridge * samples
			}
		}
		if e.from == 0 {
			from = 0
		}
		if e.to == length {
			to = p.frames * samples
		}
		if from%samples != 0 || to%samples != 0 || from < 0 || to > p.frames*samples {
			return unproved("an erased span does not begin or end with a frame")
		}
		p.runs = append(p.runs, run{from / samples, to / samples})
	}
	if length == 0 && len(p.r.Asked) > 0 {
		p.runs = []run{{0, p.frames}}
	}
	return nil
}

func (p *mp3Proof) walk() error {
	runs := p.runs
	for k := int64(0); ; {
		if len(runs) > 0 && k == runs[0].from {
			if err := p.replaced(runs[0]); err != nil {
				return err
			}
			k = runs[0].to
			runs = runs[1:]
			continue
		}
		a, okA, err := p.in.next()
		if err != nil {
			return fmt.Errorf("input: %w", err)
		}
		b, okB, err := p.out.next()
		if err != nil {
			return fmt.Errorf("output: %w", err)
		}
		if okA != okB {
			return unproved("the output has too few or too many frames")
		}
		if !okA {
			if err := p.ear.begin(); err != nil {
				return err
			}
			return p.settle(p.out.end * 8)
		}
		if err := p.same(a, b); err != nil {
			return err
		}
		if err := p.ear.kept(a, b, len(runs) > 0 && runs[0].from-k <= p.ear.reach()); err != nil {
			return err
		}
		k++
	}
}

// same compares a kept frame with its original.
func (p *mp3Proof) same(a, b mp3Unit) error {
	if !bytes.Equal(a.lead, b.lead) || a.slot != b.slot {
		return unproved("header or side information of kept frame %d differs", p.in.n-1)
	}
	from := p.in.end - int64(a.slot) - int64(a.back)
	to := p.out.end - int64(b.slot) - int64(b.back)
	n := min(int64(a.bits), 8*int64(a.slot+a.back))
	skip := max(0, -from, -to) // main data that lies before the first frame, and nowhere
	n -= 8 * skip
	if n > 0 && !sameBits(p.in.main(from+skip), p.out.main(to+skip), int(n)) {
		return unproved("main data of kept frame %d differs", p.in.n-1)
	}
	return p.own(8*(to+skip), max(0, n))
}

func sameBits(a, b []byte, n int) bool {
	whole := n / 8
	if len(a) < (n+7)/8 || len(b) < (n+7)/8 || !bytes.Equal(a[:whole], b[:whole]) {
		return false
	}
	rest := n % 8
	return rest == 0 || a[whole]>>(8-rest) == b[whole]>>(8-rest)
}

// own notes that a frame owns n bits, and settles what no later frame can reach.
func (p *mp3Proof) own(from, n int64) error {
	p.owned = append(p.owned, run{from, from + n})
	return p.settle(8 * (p.out.end - 511 - int64(p.out.slotLen)))
}

// settle proves that the bits up to to which no frame owns are zero.
func (p *mp3Proof) settle(to int64) error {
	for p.checked < to {
		stop, skip := to, to
		for _, o := range p.owned {
			if o.to > p.checked && o.from < stop {
				stop, skip = max(o.from, p.checked), o.to
			}
		}
		b := p.out.main(p.checked / 8)
		base := p.checked / 8 * 8
		if !bits.Zero(b, int(p.checked-base), int(stop-base)) {
			return unproved("main data that no kept frame owns is not zero, bit %d", p.checked)
		}
		if stop == to {
			p.checked = to
			break
		}
		p.checked = min(to, max(stop, skip))
	}
	kept := p.owned[:0]
	for _, o := range p.owned {
		if o.to > p.checked {
			kept = append(kept, o)
		}
	}
	p.owned = kept
	return nil
}

// bridgeOf is one frame, but in free format as many as hold the most that main_data_begin can ask.
func (p *mp3Proof) bridgeOf() int64 {
	if p.in.layer != 3 || p.in.like[2]>>4 != 0 {
		return 1
	}
	most := int64(1)<<p.in.backBits - 1
	slot := max(1, int64(p.unit-4-p.in.side))
	return (most + slot - 1) / slot
}

// replaced checks the frames that took a run's place. They are as many as before; a cut leaves the
// bridge, but nothing at the end of the file.
func (p *mp3Proof) replaced(r run) error {
	if err := p.ear.begin(); err != nil {
		return err
	}
	sizes := make([]int, 0, 64)
	for range r.to - r.from {
		a, ok, err := p.in.next()
		if err != nil || !ok {
			return unproved("the input ends within an erased span: %v", err)
		}
		if p.fixed && p.r.Fill != earshot.FillCut {
			sizes = append(sizes, len(a.lead)+a.slot)
		}
	}
	want := r.to - r.from
	if p.cut {
		want = p.bridge
		if r.to == p.frames && r.from > 0 {
			want = 0
		}
	}
	var first []byte
	for i := range want {
		b, ok, err := p.out.next()
		if err != nil || !ok {
			return unproved("the output ends within an erased span: %v", err)
		}
		if len(sizes) > 0 {
			if sizes[i] != len(b.lead)+b.slot {
				return unproved("a silent frame differs in size from the frame that it replaces")
			}
		} else if first == nil {
			first = bytes.Clone(b.lead[:4])
		} else if !bytes.Equal(first, b.lead[:4]) {
			return unproved("silent frames of a span differ from each other")
		}
		if err := p.blank(b); err != nil {
			return err
		}
		p.ear.blank(b, i, want)
	}
	return p.ear.end()
}

// blank checks one silent or tone frame.
func (p *mp3Proof) blank(b mp3Unit) error {
	if b.lead[2]&1 != 0 || b.lead[3]&0x30 != 0 {
		return unproved("private or mode bits in a silent frame")
	}
	if p.out.layer != 3 {
		if b.lead[1]&1 == 0 {
			return unproved("a silent frame with a CRC")
		}
		return p.own(8*p.out.end, 0)
	}
	side := b.lead[len(b.lead)-p.out.side:]
	if bits.Zero(side, p.out.backBits, 8*len(side)) {
		return p.own(8*p.out.end, 0)
	}
	side = bytes.Clone(side)
	bits.Put(side, 0, p.out.backBits, 0)
	want, data, n := mpeg.ToneFrame(b.lead[:4])
	at := p.out.end - int64(b.slot) - int64(b.back)
	if p.r.Fill != earshot.FillTone || !bytes.Equal(side, want) || !sameBits(p.out.main(at), data, n) {
		return unproved("a frame in an erased span is neither silent nor a tone")
	}
	return p.own(8*at, int64(n))
}
