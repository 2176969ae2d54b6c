package mpeg

import "earshot/redact/internal/opaque"

// Run is a row of frames [From, To).
type Run struct{ From, To int }

// Fill is what takes the place of frames.
type Fill int

// The fills.
const (
	Silence Fill = iota
	Tone
	Cut
)

// Close widens a run until it can be taken out without touching what is kept: no frame before it
// has main data within or behind it, no frame behind it needs main data that a frame of the run
// owns too or that the file does not hold. It reports trouble that no widening heals.
func (s *Stream) Close(r Run) (Run, error) {
	for {
		was := r
		for r.From > 0 && s.Frames[r.From-1].flags&flagOverflow != 0 {
			r.From--
		}
		for r.To < len(s.Frames) && s.entangled(r) {
			r.To++
		}
		if to := s.reachesBack(r); to > r.To {
			r.To = to
		}
		if r == was {
			break
		}
	}
	for k := max(1, r.From-2); k < min(len(s.Frames), r.To+2); k++ {
		if s.Frames[k].flags&flagAfterGap != 0 {
			return r, opaque.At(s.gapAt(k), "junk between frames next to the span")
		}
	}
	return r, nil
}

func (s *Stream) gapAt(frame int) int64 {
	for _, g := range s.Gaps {
		if g.Frame == frame {
			return g.Offset
		}
	}
	return 0
}

// entangled reports whether the first frame behind the run cannot be kept: its main data is
// missing, or begins before the end of that of a frame of the run or just before it.
func (s *Stream) entangled(r Run) bool {
	j := s.Frames[r.To]
	if j.flags&flagMissing != 0 {
		return true
	}
	begin := -8 * int(j.back)
	dist := 0 // bits from S(k) to S(r.To)
	for k := r.To - 1; k >= max(0, r.From-1) && dist <= 8*(s.Head.maxBack()+maxFrame); k-- {
		dist += 8 * s.slot(k)
		f := s.Frames[k]
		if -dist-8*int(f.back)+int(f.bits) > begin && f.bits > 0 {
			return true
		}
	}
	return false
}

// reachesBack is the end of the run if a later frame's main data begins before that of the first
// kept frame.
func (s *Stream) reachesBack(r Run) int {
	if r.To >= len(s.Frames) {
		return r.To
	}
	begin, dist, to := -int(s.Frames[r.To].back), 0, r.To
	for k := r.To; k < len(s.Frames) && dist < s.Head.maxBack(); k++ {
		if dist-int(s.Frames[k].back) < begin {
			to = k + 1
		}
		dist += s.slot(k)
	}
	return to
}

// blanks is a run of frames that takes the place of another.
type blanks struct {
	run     Run
	inPlace bool // the frames keep number, size and protection of those that they replace
	head    Header
	count   int
	back    int // main_data_begin of the frame behind the run
	slots   int // sum of the slots, in bytes
	tone    bool
}

// Plan is the layout of an output.
type Plan struct {
	s              *Stream
	runs           []blanks
	frames         int64
	bytes          int64 // without the Info frame
	delay, padding int
	toneBits       int // of a tone frame's main data
}

// Plan lays out the stream with the runs, which are closed, sorted and apart, replaced.
func (s *Stream) Plan(runs []Run, fill Fill) (*Plan, error) {
	if s.Head.Layer != 3 && fill == Tone && len(runs) > 0 {
		return nil, opaque.At(s.gapAt(0), "no tone in layers I and II: silence and cut work")
	}
	p := &Plan{s: s, toneBits: s.Head.toneBits()}
	if s.Info != nil {
		p.delay, p.padding = s.Info.Delay, s.Info.Padding
	}
	for _, r := range runs {
		b := blanks{run: r, tone: fill == Tone}
		if r.To < len(s.Frames) {
			b.back = int(s.Frames[r.To].back)
		}
		if s.Fixed && fill != Cut {
			b.inPlace, b.count = true, r.To-r.From
			for k := r.From; k < r.To; k++ {
				b.slots += s.slot(k)
			}
		} else if !p.relay(&b, fill) {
			return nil, opaque.At(0, "no frame size carries %d bytes of main data", b.back)
		}
		if fill == Cut {
			p.trim(b)
		}
		p.runs = append(p.runs, b)
	}
	c := cursor{p: p}
	for f, ok := c.next(); ok; f, ok = c.next() {
		p.frames++
		p.bytes += int64(f.lead + f.slot)
	}
	if s.Head.Free && p.frames < 3 {
		return nil, opaque.At(0, "a free-format stream of %d frames: their length cannot be told", p.frames)
	}
	return p, nil
}

// Widen takes blank frames of ours next to the run into it, where silent frames of a size of their
// own will be laid out: a stream that was laid out before is then laid out alike again.
func (s *Stream) Widen(r Run, fill Fill) Run {
	if s.Fixed || fill == Cut {
		return r
	}
	for r.From > 0 && s.Frames[r.From-1].flags&flagBlank != 0 {
		r.From--
	}
	for r.To < len(s.Frames) && s.Frames[r.To].flags&flagBlank != 0 {
		r.To++
	}
	return r
}

// relay chooses number and size of the blank frames, which must not tell anything of those that
// they replace but their number: the smallest constant bitrate whose slots hold the main data that
// the next kept frame needs. A cut leaves the fewest frames that will do.
func (p *Plan) relay(b *blanks, fill Fill) bool {
	s := p.s
	b.count = b.run.To - b.run.From
	least := 1
	if fill == Cut {
		b.count = s.Bridge()
		if b.run.To == len(s.Frames) && b.run.From > 0 {
			b.count = 0
			return true
		}
	}
	if s.Head.Free || s.Head.Layer != 3 {
		least = s.Head.Index
	} else if s.Fixed {
		least = s.Head.Index
	}
	need := 0
	if b.tone {
		need = (p.toneBits + 7) / 8
	}
	for index := least; index < 15; index++ {
		b.head = s.Head.blank(index, false, false)
		slot := b.head.size(s.free) - b.head.lead()
		if slot > 0 && b.count*slot >= b.back && slot >= need {
			b.slots = b.count * slot
			return true
		}
		if s.Head.Free || s.Head.Layer != 3 {
			break
		}
	}
	return false
}

// Bridge is the number of blank frames that a cut leaves: enough slots for the main data that any
// frame may reach back for. Free format may need more than one, for all its frames are of one size.
func (s *Stream) Bridge() int {
	if !s.Head.Free || s.Head.Layer != 3 {
		return 1
	}
	h := s.Head.blank(0, false, false)
	slot := max(1, h.size(s.free)-h.lead())
	return (s.Head.maxBack() + slot - 1) / slot
}

// trim sets delay and padding so that a gapless player begins and ends with whole sound where the
// beginning or the end was cut off. 1056 samples are what one frame leaves in the next through
// overlap and filter bank; 529 is the decoder's own delay, which players add.
func (p *Plan) trim(b blanks) {
	if !p.s.Info.Gapless() {
		return
	}
	spf := p.s.Head.Samples()
	if b.run.To == len(p.s.Frames) {
		p.padding = 529
	}
	if b.run.From == 0 {
		p.delay = min(4095, b.count*spf+1056-529)
		if b.run.To == len(p.s.Frames) {
			p.delay = max(0, spf-529)
		}
	}
}

// outFrame is one frame of the output.
type outFrame struct {
	in         int // number of the kept input frame, -1 for a blank one
	lead, slot int
	back, bits int
	blank      *blanks
	first      bool // of its blanks
	head       Header
	tone       bool
	before     int // bytes of slots of its blanks before it
}

// cursor walks the frames of the output in order.
type cursor struct {
	p      *Plan
	in     int // next input frame
	run    int // next run
	nth    int // next frame within the run
	before int
}

func (c *cursor) next() (outFrame, bool) {
	s := c.p.s
	for c.run < len(c.p.runs) && c.in == c.p.runs[c.run].run.From {
		b := &c.p.runs[c.run]
		if c.nth < b.count {
			return c.blank(b), true
		}
		c.in, c.nth, c.before = b.run.To, 0, 0
		c.run++
	}
	if c.in >= len(s.Frames) {
		return outFrame{}, false
	}
	f := s.Frames[c.in]
	slot := s.slot(c.in)
	o := outFrame{in: c.in, lead: int(f.size) - slot, slot: slot, back: int(f.back), bits: int(f.bits)}
	c.in++
	return o, true
}

func (c *cursor) blank(b *blanks) outFrame {
	s := c.p.s
	o := outFrame{in: -1, blank: b, first: c.nth == 0, head: b.head, before: c.before}
	if b.inPlace {
		f := s.Frames[b.run.From+c.nth]
		// Layers I and II go without CRC: it would cover the allocation, whose size varies.
		crc := f.flags&flagCRC != 0 && s.Head.Layer == 3
		o.head = s.Head.blank(int(f.index), f.flags&flagPadding != 0, crc)
		o.slot = s.slot(b.run.From + c.nth)
		if s.Head.Layer != 3 {
			o.slot = int(f.size) - 4
		}
	} else {
		o.slot = b.head.size(s.free) - b.head.lead()
	}
	o.lead = o.head.lead()
	// The frame behind needs the last back bytes: main data of the blank frames begins no later.
	begin := b.slots - b.back
	o.back = max(0, c.before-begin)
	if b.tone && 8*min(o.slot, begin-c.before) >= c.p.toneBits {
		o.tone, o.bits = true, c.p.toneBits
	}
	c.before += o.slot
	c.nth++
	return o
}
