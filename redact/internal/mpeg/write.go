package mpeg

import (
	"errors"
	"fmt"
	"io"

	"earshot/redact/internal/bits"
)

// Write writes the output. It reads src twice where a music CRC has to be known first.
func (p *Plan) Write(dst io.Writer, src io.ReaderAt) error {
	if p.s.Info != nil {
		sum := summary{frames: p.frames, bytes: p.bytes + int64(p.s.Info.size), toc: p.toc(), delay: p.delay, padding: p.padding}
		if p.s.Info.lame != nil {
			var crc arc
			if err := p.sound(&crc, src); err != nil {
				return err
			}
			sum.musicCRC = uint16(crc)
		}
		if _, err := dst.Write(p.s.Info.render(sum)); err != nil {
			return fmt.Errorf("writing the info frame: %w", err)
		}
	}
	return p.sound(dst, src)
}

// toc is the table of contents: for each percent of the frames, where in 256ths of the file.
func (p *Plan) toc() (toc [100]byte) {
	total := p.bytes + int64(p.s.Info.size)
	at := int64(p.s.Info.size)
	c := cursor{p: p}
	for n, percent := int64(0), int64(0); percent < 100; n++ {
		for ; percent < 100 && percent*p.frames/100 <= n; percent++ {
			toc[percent] = byte(min(255, at*256/total))
		}
		f, ok := c.next()
		if !ok {
			break
		}
		at += int64(f.lead + f.slot)
	}
	return toc
}

// interval is a stretch of bits of the output's main data that a frame owns.
type interval struct{ from, to int64 }

// writer lays out main data.
type writer struct {
	p     *Plan
	src   *source
	ahead cursor // runs ahead of the frame being written, for the frames that reach back
	next  outFrame
	more  bool
	start int64 // S of the frame that ahead is at
	owned []interval
	recent
	tail []byte // what the frame behind the current blanks needs
	buf  []byte
}

// recent holds the last bytes of the input's main data.
type recent struct{ bytes []byte }

func (r *recent) add(slot []byte) {
	const most = 511
	if len(slot) >= most {
		r.bytes = append(r.bytes[:0], slot[len(slot)-most:]...)
		return
	}
	if over := len(r.bytes) + len(slot) - most; over > 0 {
		r.bytes = r.bytes[:copy(r.bytes, r.bytes[over:])]
	}
	r.bytes = append(r.bytes, slot...)
}

func (p *Plan) sound(dst io.Writer, src io.ReaderAt) error {
	w := &writer{p: p, src: newSource(src, p.s), ahead: cursor{p: p}}
	w.next, w.more = w.ahead.next()
	out := newBatch(dst)
	at := cursor{p: p}
	start := int64(0)
	for f, ok := at.next(); ok; f, ok = at.next() {
		w.lookAhead(start + int64(f.slot))
		frame, err := w.frame(f)
		if err != nil {
			return err
		}
		w.scrub(frame[f.lead:], start)
		if err := out.add(frame); err != nil {
			return fmt.Errorf("writing frames: %w", err)
		}
		start += int64(f.slot)
	}
	if err := out.flush(); err != nil {
		return fmt.Errorf("writing frames: %w", err)
	}
	return nil
}

// lookAhead notes the intervals of all frames that may reach back before byte end of M.
func (w *writer) lookAhead(end int64) {
	for w.more && w.start-int64(w.p.s.Head.maxBack()) < end {
		f := w.next
		from := 8 * (w.start - int64(f.back))
		if f.bits > 0 {
			w.owned = append(w.owned, interval{from, min(from+int64(f.bits), 8*(w.start+int64(f.slot)))})
		}
		w.start += int64(f.slot)
		w.next, w.more = w.ahead.next()
	}
}

// scrub zeroes the bits of a slot, which begins at byte start of M, that no frame owns.
func (w *writer) scrub(slot []byte, start int64) {
	from, to := 8*start, 8*(start+int64(len(slot)))
	done := from
	keep := w.owned[:0]
	for _, v := range w.owned {
		if v.to > from {
			keep = append(keep, v)
		}
	}
	w.owned = keep
	// Intervals of sound streams are in order; of others perhaps not, so look for the next one.
	for done < to {
		next, end := to, to
		for _, v := range w.owned {
			if v.to > done && v.from < next {
				next, end = max(v.from, done), v.to
			}
		}
		bits.Clear(slot, int(done-from), int(next-from))
		done = max(next, min(end, to))
		if next == to {
			break
		}
	}
}

// frame makes the bytes of an output frame, not yet scrubbed.
func (w *writer) frame(f outFrame) ([]byte, error) {
	if f.in >= 0 {
		if err := w.skipTo(f.in); err != nil {
			return nil, err
		}
		b, err := w.src.frame(f.in)
		if err != nil {
			return nil, err
		}
		w.recent.add(b[f.lead:])
		return b, nil
	}
	if f.first {
		if err := w.skipTo(f.blank.run.To); err != nil {
			return nil, err
		}
		have := w.recent.bytes
		w.tail = append(w.tail[:0], have[max(0, len(have)-f.blank.back):]...)
	}
	w.buf = append(w.buf[:0], f.head.blankLead(f.back, f.tone)...)
	w.buf = append(w.buf, make([]byte, f.slot)...)
	slot := w.buf[f.lead:]
	if f.tone {
		f.head.toneData(slot)
	}
	// The tail stands right-aligned at the end of the last blank slots.
	if at := f.blank.slots - len(w.tail) - f.before; at < len(slot) && f.before < f.blank.slots {
		from := max(0, at)
		copy(slot[from:], w.tail[from-at:])
	}
	return w.buf, nil
}

// skipTo passes over input frames up to frame k, keeping their main data in mind.
func (w *writer) skipTo(k int) error {
	for w.src.frameNo < k {
		n := w.src.frameNo
		b, err := w.src.frame(n)
		if err != nil {
			return err
		}
		w.recent.add(b[len(b)-w.p.s.slot(n):])
	}
	return nil
}

// source reads the frames of a file in order, through one buffer.
type source struct {
	src     io.ReaderAt
	s       *Stream
	frameNo int
	gap     int
	at      int64
	buf     []byte
	base    int64
}

func newSource(src io.ReaderAt, s *Stream) *source {
	return &source{src: src, s: s}
}

// frame reads frame k, which must be the next. The bytes may be changed, and are valid until the
// next call.
func (r *source) frame(k int) ([]byte, error) {
	for r.gap < len(r.s.Gaps) && r.s.Gaps[r.gap].Frame <= k {
		r.at = r.s.Gaps[r.gap].Offset + r.s.Gaps[r.gap].Size
		r.gap++
	}
	if i := r.s.Info; k == 0 && i != nil {
		r.at = max(r.at, i.offset+int64(i.size))
	}
	n := int64(r.s.Frames[k].size)
	if r.at < r.base || r.at+n > r.base+int64(len(r.buf)) {
		if err := r.fill(int(n)); err != nil {
			return nil, fmt.Errorf("reading frame %d: %w", k, err)
		}
	}
	b := r.buf[r.at-r.base:][:n]
	r.at += n
	r.frameNo = k + 1
	return b, nil
}

// fill reads a buffer full from r.at, at least least bytes.
func (r *source) fill(least int) error {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	r.buf, r.base = r.buf[:cap(r.buf)], r.at
	n, err := r.src.ReadAt(r.buf, r.at)
	r.buf = r.buf[:n]
	if n < least {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// batch gathers small writes.
type batch struct {
	dst io.Writer
	buf []byte
}

func newBatch(dst io.Writer) *batch { return &batch{dst: dst, buf: make([]byte, 0, 64<<10)} }

func (b *batch) add(p []byte) error {
	if len(b.buf)+len(p) > cap(b.buf) {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.buf = append(b.buf, p...)
	return nil
}

func (b *batch) flush() error {
	_, err := b.dst.Write(b.buf)
	b.buf = b.buf[:0]
	return err
}
