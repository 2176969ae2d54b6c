package mpeg

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"earshot/redact/internal/bits"
	"earshot/redact/internal/opaque"
)

// Frame is what is remembered of one frame: 8 bytes, so that hours of sound stay small.
type Frame struct {
	size  uint16
	back  uint16 // main_data_begin
	bits  uint16 // of main data
	index uint8  // bitrate
	flags uint8
}

const (
	flagCRC = 1 << iota
	flagPadding
	flagMissing  // its main data begins before the first slot
	flagOverflow // its main data ends behind its own slot
	flagBlank    // layer III: side information is all zero but for main_data_begin, or a tone's
	flagAfterGap // junk stood before it
)

// Gap is a stretch of bytes that belongs to no frame.
type Gap struct {
	Frame        int // the frame that follows; the number of frames at the end
	Offset, Size int64
	Kind         string // ID3v2, ID3v1, APE, Lyrics3, VBRI, truncated frame or junk
}

// Stream is a scanned file.
type Stream struct {
	Head   Header // of the first audio frame
	Frames []Frame
	Gaps   []Gap
	Info   *Info // the Xing, Info or LAME frame, nil without
	Fixed  bool  // constant bitrate or free format: every frame has the same bitrate index
	free   int   // free format: frame length without padding
}

// Len is the number of audio frames.
func (s *Stream) Len() int { return len(s.Frames) }

const (
	window   = 256 << 10 // bytes held while scanning
	maxFrame = 8000
	lookout  = 3*maxFrame + 16 // bytes that must be in sight to judge a frame
	maxGaps  = 1000
)

// scanner walks a file through a window.
type scanner struct {
	src  io.ReaderAt
	size int64
	buf  []byte
	base int64
	s    *Stream
	main int64  // S of the next frame
	gap  int64  // start of the current junk, -1 for none
	tone []byte // side information of a tone frame
}

// Scan finds all frames of the file. Errors of src come back as they are, everything else as
// [opaque.Error].
func Scan(src io.ReaderAt, size int64) (*Stream, error) {
	c := &scanner{src: src, size: size, s: &Stream{Fixed: true}, gap: -1}
	if err := c.run(); err != nil {
		return nil, err
	}
	if len(c.s.Frames) == 0 {
		return nil, opaque.At(0, "no MPEG audio frames")
	}
	if i := c.s.Info; i != nil && i.frames > int64(len(c.s.Frames)) {
		i.Padding = 0 // the end, which the encoder padded, is missing
	}
	return c.s, nil
}

func (c *scanner) run() error {
	at := int64(0)
	for at < c.size {
		b, err := c.see(at)
		if err != nil {
			return err
		}
		if h, n, ok := c.frame(b); ok {
			if err := c.endGap(at, "junk"); err != nil {
				return err
			}
			c.add(b[:n], h, at)
			at += int64(n)
			continue
		}
		if kind, n := tag(b, c.size-at); n > 0 {
			if err := c.endGap(at, "junk"); err != nil {
				return err
			}
			c.gap = at
			at += n
			if err := c.endGap(at, kind); err != nil {
				return err
			}
			continue
		}
		if err := c.foreign(b, at); err != nil {
			return err
		}
		if c.gap < 0 {
			c.gap = at
		}
		at = c.skip(b, at)
	}
	return c.endGap(c.size, "junk")
}

// skip moves on to the next byte that may begin a frame or a tag.
func (c *scanner) skip(b []byte, at int64) int64 {
	n := len(b)
	if c.size-at > int64(n) && n > lookout {
		n -= lookout
	}
	for i := 1; i < n; i++ {
		switch b[i] {
		case 0xFF, 'I', 'T', 'A', 'L':
			return at + int64(i)
		}
	}
	return at + int64(max(1, n))
}

// see gives the bytes from at on, at least lookout of them unless the file ends before.
func (c *scanner) see(at int64) ([]byte, error) {
	off := at - c.base
	if off >= 0 && off <= int64(len(c.buf)) && (int64(len(c.buf))-off >= lookout || c.base+int64(len(c.buf)) == c.size) && len(c.buf) > 0 {
		return c.buf[off:], nil
	}
	n := min(window, c.size-at)
	if int64(cap(c.buf)) < n {
		c.buf = make([]byte, n)
	}
	c.buf, c.base = c.buf[:n], at
	got, err := c.src.ReadAt(c.buf, at)
	if int64(got) < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return c.buf, nil
}

// frame reports the frame at the start of b. The first frame must be followed by two like it, and
// one after a gap by one, or by the end of the file or a tag.
func (c *scanner) frame(b []byte) (Header, int, bool) {
	h, ok := ParseHeader(b)
	if !ok {
		return h, 0, false
	}
	first := len(c.s.Frames) == 0
	free := c.s.free
	if first {
		if h.Free {
			free = freeSize(b, h)
		}
	} else if !h.alike(c.s.Head) {
		return h, 0, false
	}
	n := h.size(free)
	if n < h.lead() || n > len(b) || n > maxFrame || h.Free && free == 0 {
		return h, 0, false
	}
	want := 0
	if first {
		want = 2
	} else if c.gap >= 0 {
		want = 1
	}
	if want > 0 && !followed(b[n:], h, free, want) {
		return h, 0, false
	}
	if first {
		c.s.free = free
	}
	return h, n, true
}

// followed reports whether want frames like h stand at the start of b, or fewer and then the end
// or a tag.
func followed(b []byte, h Header, free, want int) bool {
	for range want {
		if len(b) < 4 {
			return true
		}
		next, ok := ParseHeader(b)
		if !ok || !next.alike(h) {
			kind, _ := tag(b, int64(len(b)))
			return kind != ""
		}
		n := next.size(free)
		if n < next.lead() {
			return false
		}
		if n >= len(b) {
			return true
		}
		b = b[n:]
	}
	return true
}

// freeSize finds the frame length of a free-format stream, without padding: the distance at which
// headers like h repeat.
func freeSize(b []byte, h Header) int {
	step := 1
	if h.Layer == 1 {
		step = 4
	}
	pad := func(h Header) int {
		if h.Padding {
			return step
		}
		return 0
	}
	for d := h.lead() + 1; d+4 <= len(b) && d <= maxFrame; d++ {
		next, ok := ParseHeader(b[d:])
		if !ok || !next.alike(h) {
			continue
		}
		free := d - pad(h)
		two := d + free + pad(next)
		if two+4 > len(b) {
			return 0
		}
		if third, ok := ParseHeader(b[two:]); ok && third.alike(h) {
			return free
		}
	}
	return 0
}

// foreign refuses a stream that goes on with frames of another kind: dropping them as junk would
// drop sound.
func (c *scanner) foreign(b []byte, at int64) error {
	if len(c.s.Frames) == 0 {
		return nil
	}
	h, ok := ParseHeader(b)
	if !ok || h.alike(c.s.Head) {
		return nil
	}
	free := 0
	if h.Free {
		if free = freeSize(b, h); free == 0 {
			return nil
		}
	}
	n := h.size(free)
	if n < h.lead() || n+4 > len(b) {
		return nil
	}
	next, ok := ParseHeader(b[n:])
	if !ok || !next.alike(h) {
		return nil
	}
	if m := n + next.size(free); m+4 <= len(b) {
		if third, ok := ParseHeader(b[m:]); ok && third.alike(h) {
			return opaque.At(at, "the stream changes to another version, layer, rate or number of channels")
		}
	}
	return nil
}

func (c *scanner) endGap(at int64, kind string) error {
	if c.gap < 0 || c.gap == at {
		c.gap = -1
		return nil
	}
	if len(c.s.Gaps) == maxGaps {
		return opaque.At(c.gap, "more than %d gaps between frames", maxGaps)
	}
	if kind == "junk" && at == c.size && len(c.s.Frames) > 0 {
		if b, err := c.see(c.gap); err == nil {
			if h, ok := ParseHeader(b); ok && h.alike(c.s.Head) {
				kind = "truncated frame"
			}
		}
	}
	c.s.Gaps = append(c.s.Gaps, Gap{len(c.s.Frames), c.gap, at - c.gap, kind})
	c.gap = -1
	return nil
}

// add remembers a frame. The first may be a Xing, Info or VBRI frame, which is not sound.
func (c *scanner) add(b []byte, h Header, at int64) {
	s := c.s
	if len(s.Frames) == 0 && s.Info == nil && h.Layer == 3 {
		if bytes.HasPrefix(b[min(len(b), 36):], []byte("VBRI")) {
			s.Gaps = append(s.Gaps, Gap{0, at, int64(len(b)), "VBRI"})
			return
		}
		if info := parseInfo(b, h); info != nil {
			info.offset, s.Info = at, info
			return
		}
	}
	if len(s.Frames) == 0 {
		s.Head = h
	}
	s.Fixed = s.Fixed && h.Index == s.Head.Index
	f := Frame{size: uint16(len(b)), index: uint8(h.Index)}
	if h.CRC {
		f.flags |= flagCRC
	}
	if h.Padding {
		f.flags |= flagPadding
	}
	if n := len(s.Gaps); n > 0 && s.Gaps[n-1].Frame == len(s.Frames) && len(s.Frames) > 0 {
		f.flags |= flagAfterGap
	}
	slot := len(b) - h.lead()
	if h.Layer == 3 {
		side := b[h.lead()-h.side() : h.lead()]
		back, n := sideInfo(side, h)
		f.back, f.bits = uint16(back), uint16(n)
		if int64(back) > c.main {
			f.flags |= flagMissing
		}
		if n > 8*(back+slot) {
			f.flags |= flagOverflow
		}
		if c.isBlank(side, h) {
			f.flags |= flagBlank
		}
	} else {
		f.bits = uint16(8 * slot)
	}
	c.main += int64(slot)
	if len(s.Frames) == cap(s.Frames) {
		s.Frames = slices.Grow(s.Frames, c.expect(at+int64(len(b))))
	}
	s.Frames = append(s.Frames, f)
}

// expect guesses how many frames are still to come when at bytes are read, by the mean length of
// those so far. Millions of frames shall not be copied to a larger place again and again.
func (c *scanner) expect(at int64) int {
	n := int64(len(c.s.Frames))
	if n < 256 {
		return 256
	}
	more := float64(n) * float64(c.size-at) / float64(at)
	return int(more*1.02) + 256
}

// slot is the length of frame k's slot in bytes.
func (s *Stream) slot(k int) int {
	f := s.Frames[k]
	n := int(f.size) - 4 - s.Head.side()
	if f.flags&flagCRC != 0 {
		n -= 2
	}
	return n
}

// sideInfo reads main_data_begin and the sum of part2_3_length in bits.
func sideInfo(side []byte, h Header) (back, sum int) {
	ch := h.Channels()
	if h.Version == MPEG1 {
		back = int(bits.Get(side, 0, 9))
		at := 18 + 2*(ch-1) // private bits: 5 or 3, then 4 scfsi bits per channel
		for range 2 * ch {
			sum += int(bits.Get(side, at, 12))
			at += 59
		}
		return back, sum
	}
	back = int(bits.Get(side, 0, 8))
	at := 8 + ch // private bits: 1 or 2
	for range ch {
		sum += int(bits.Get(side, at, 12))
		at += 63
	}
	return back, sum
}
