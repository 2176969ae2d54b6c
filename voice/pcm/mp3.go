package pcm

import (
	"encoding/binary"
	"errors"
	"io"

	gomp3 "github.com/hajimehoshi/go-mp3"
)

// decoderDelay is what a layer III decoder adds to the encoder's delay, in samples (528 of the filter
// bank and 1).
const decoderDelay = 529

// survey is what a walk over all frames tells before anything is decoded.
type survey struct {
	start  walker // before the first frame of sound
	like   header
	frames int64
	info   info
}

// openMP3 decodes MPEG layer III. go-mp3 gets a stream of our own making: see [layout]. The first sample
// is the first of package redact's timeline.
func openMP3(src io.ReaderAt, size, start int64) (*source, error) {
	s, err := surveyMP3(&window{src: src, size: size}, start)
	if err != nil {
		return nil, err
	}
	lead, end := int64(0), s.frames*int64(s.like.frames)
	if s.info.gapless {
		lead = int64(s.info.delay + decoderDelay)
		if s.info.frames == s.frames {
			end = min(end, end-int64(s.info.padding)+decoderDelay)
		}
	}
	l := &layout{walk: s.start}
	d, err := gomp3.NewDecoder(struct{ io.Reader }{l}) // one that could seek it would read whole
	if err != nil {
		return nil, l.fault(err)
	}
	raw, out := make([]byte, 4*4096), make([]float32, 0, 4096)
	at := int64(0)
	return &source{rate: s.like.rate, channels: 1, samples: max(0, end-lead), read: func() ([]float32, error) {
		if at >= end {
			if l.muted > s.frames/100 {
				return nil, unheard("MPEG that is damaged: %d of %d frames need what is not there", l.muted, s.frames)
			}
			return nil, io.EOF
		}
		n, err := io.ReadFull(d, raw)
		if n < 4 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || l.err != nil {
			return nil, l.fault(err)
		}
		out = out[:0]
		for i := 0; i+4 <= n; i += 4 { // always two channels
			if at >= lead && at < end {
				left, right := int16(binary.LittleEndian.Uint16(raw[i:])), int16(binary.LittleEndian.Uint16(raw[i+2:]))
				out = append(out, (float32(left)+float32(right))/65536)
			}
			at++
		}
		return out, nil
	}}, nil
}

// surveyMP3 walks all frames, and refuses what go-mp3 is not right about before anything is heard.
func surveyMP3(w *window, at int64) (s survey, err error) {
	m, err := newWalker(w, at)
	if err != nil {
		return s, err
	}
	s.like = m.like
	switch {
	case s.like.layer != 3:
		return s, unheard("MPEG layer I or II, which no decoder at hand knows")
	case s.like.rate == 8000:
		return s, unheard("MPEG-2.5 at 8 kHz, which no decoder at hand knows")
	}
	for sawInfo := false; ; {
		before := *m
		f, ok, err := m.next()
		if err != nil {
			return s, err
		}
		if !ok {
			break
		}
		b, err := w.at(f.at, min(f.size, 256))
		if err != nil {
			return s, err
		}
		if s.frames == 0 && !sawInfo {
			if s.info, sawInfo = parseInfo(b, f.header); sawInfo {
				continue
			}
		}
		if s.frames == 0 {
			s.start = before
		}
		s.frames++
		if s.frames > 1 && m.junk > 0 { // players leave out more or less of what stands beside it
			return s, unheard("MPEG with junk between its frames")
		}
		if err := admit(b, f.header); err != nil {
			return s, err
		}
	}
	if s.frames == 0 {
		return s, unheard("MPEG without a frame of sound")
	}
	if m.junk > 4096 && m.junk > w.size/20 {
		return s, unheard("MPEG with %d bytes behind its last frame that are none", m.junk)
	}
	return s, nil
}

// admit refuses frames that go-mp3 decodes wrongly, as measured against mpg123.
func admit(b []byte, h header) error {
	switch {
	case len(b) < h.lead():
		return unheard("an MPEG frame of %d bytes", len(b))
	case h.mode == 1 && h.extension&1 != 0:
		return unheard("MPEG with intensity stereo, which go-mp3 decodes wrongly")
	}
	switch s := parseSide(b[h.lead()-h.side():h.lead()], h); {
	case s.mixed:
		return unheard("MPEG with mixed blocks, which go-mp3 decodes wrongly")
	case s.wild:
		return unheard("MPEG that is damaged: side information that makes no sense")
	}
	return nil
}

// layout is a stream as go-mp3 takes it rightly: the frames of the file, each with the largest bitrate, so
// that all have one size and it cannot be miscounted, without checksum, tags and junk. The main data of a
// frame stands as far before its slot as in the file, so that main_data_begin stays as it is: what lies
// at the end of one slot in the file lies at the end of the larger slot here. A frame whose main data is not
// in the file, or that makes no sense, is blank: go-mp3 would play other bits at full level.
//
// With slots so large that none reaches back over more than one, a frame may go out when the one
// behind is known. MPEG-2.5 at 11.025 and 12 kHz has the tables of MPEG-2 at 16 kHz, and says so here.
type layout struct {
	walk    walker
	pending []byte // the last frame but for its slot
	slot    []byte // and that
	memory  []byte // the last main data of the file
	out     []byte // ready
	sound   bool   // some frame was not blank: those before lost their main data when the file was cut
	muted   int64  // frames that are blank behind it
	ended   bool
	err     error
}

// Read gives go-mp3 its stream.
func (l *layout) Read(p []byte) (int, error) {
	for len(l.out) == 0 {
		if l.err != nil || l.ended {
			return 0, io.EOF
		}
		f, ok, err := l.walk.next()
		switch {
		case err != nil:
			l.err = err
		case !ok:
			l.ended = true
			l.out = append(append(l.out[:0], l.pending...), l.slot...)
		default:
			l.err = l.lay(f)
		}
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}

// fault is why go-mp3 stopped: our own reason, if there is one.
func (l *layout) fault(err error) error {
	if l.err != nil {
		return l.err
	}
	return unheard("MPEG that is damaged: go-mp3 gives up (%v)", err)
}

// target is the header of every frame here, and its size.
func target(h header) (b [4]byte, size int) {
	b = h.raw
	b[1] |= 1              // no checksum
	b[2] = 14<<4 | b[2]&12 // the largest bitrate
	b[3] &= 0xF0           // the mode and its extension only
	switch h.version {
	case 3:
		b[2] |= 2 // padding, which go-mp3 gets right here: the slot of 320 kbit/s may need it
	case 0:
		b[1] |= 0x10
		b[2] = b[2]&^12 | 2<<2
	}
	t, _ := parseHeader(b[:])
	return b, t.size(0)
}

// lay puts out the frame before f, and makes f pending.
func (l *layout) lay(f mpegFrame) error {
	b, err := l.walk.w.at(f.at, f.size)
	if err != nil {
		return err
	}
	lead, slot := b[:f.lead()], b[f.lead():]
	raw := lead[f.lead()-f.side():]
	side := parseSide(raw, f.header)
	head, size := target(f.header)
	room := size - 4 - f.side()
	blank := side.back > len(l.memory) || side.bits > 8*(side.back+len(slot))
	if !blank && (side.bits+7)/8-side.back > room {
		return unheard("MPEG frames of %d bytes, larger than go-mp3 takes", f.size)
	}
	if !blank {
		n := min(side.back, len(l.slot))
		copy(l.slot[len(l.slot)-n:], l.memory[len(l.memory)-n:])
	}
	l.out = append(append(l.out[:0], l.pending...), l.slot...)
	l.pending = append(l.pending[:0], head[:]...)
	switch {
	case blank && l.sound:
		l.muted++
	case !blank:
		l.sound = true
	}
	if blank {
		raw = make([]byte, f.side())
	}
	l.pending = append(l.pending, raw...)
	l.slot = append(l.slot[:0], make([]byte, room)...)
	if !blank {
		copy(l.slot, slot)
	}
	l.memory = append(l.memory, slot...)
	if n := len(l.memory) - 1024; n > 0 {
		l.memory = l.memory[:copy(l.memory, l.memory[n:])]
	}
	return nil
}
