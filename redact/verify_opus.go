package redact

import (
	"bytes"
	"fmt"
	"io"

	"earshot"
)

// verify proves an Ogg Opus file packet by packet: kept packets are equal, erased ones are the
// silent packet of their length or gone, headers say nothing new, and pages hold whole packets at
// the granule positions that their lengths add up to.
func (opusCodec) verify(src io.ReaderAt, srcSize int64, dst io.ReaderAt, dstSize int64, r Report) error {
	links, err := measureOpus(src, srcSize)
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	length := int64(0)
	for i := range links {
		links[i].at = length
		length += links[i].content()
	}
	if r.Length != (clock{48000}).endAt(length) {
		return unproved("the length of the sound is reported wrongly")
	}
	everything := length == 0 && len(r.Asked) > 0
	erased := (clock{48000}).runs(r.Erased, length)
	p := opusProof{
		in:  &oggWalk{f: src, size: srcSize},
		out: &oggWalk{f: dst, size: dstSize, strict: true},
		cut: r.Fill == earshot.FillCut, heard: r.Heard,
	}
	for i := range links {
		links[i].judge(erased, everything, p.cut)
		if err := p.link(&links[i]); err != nil {
			return err
		}
	}
	if end, err := p.out.next(); err != nil || end != nil {
		return unproved("packets behind the last: %v", err)
	}
	return nil
}

// opusMeasure is what the proof knows of one link of the input.
type opusMeasure struct {
	head     []byte
	preSkip  int64
	lengths  []uint16 // of the packets, in samples at 48 kHz
	total    int64
	decoded  int64
	at       int64 // content before this link
	replaced []bool
}

func (m *opusMeasure) content() int64 { return max(0, m.decoded-m.preSkip) }

// measureOpus walks the input once.
func measureOpus(f io.ReaderAt, size int64) ([]opusMeasure, error) {
	var links []opusMeasure
	w := &oggWalk{f: f, size: size}
	start := int64(-1)
	for n := 0; ; n++ {
		p, err := w.next()
		if err != nil || p == nil {
			return links, err
		}
		if p.first {
			n, start = 0, -1
			if len(p.data) < 19 || string(p.data[:8]) != "OpusHead" {
				return nil, unproved("a stream that is not Opus")
			}
			links = append(links, opusMeasure{head: bytes.Clone(p.data), preSkip: int64(p.data[10]) | int64(p.data[11])<<8})
		}
		if n < 2 {
			continue
		}
		m := &links[len(links)-1]
		d := opusLength(p.data)
		m.lengths = append(m.lengths, uint16(d))
		m.total += d
		m.decoded = m.total
		if p.ends {
			if start < 0 {
				start = max(0, p.granule-m.total)
			}
			if p.granule-start < m.total && p.last {
				m.decoded = p.granule - start
			}
		}
	}
}

// opusLength is the length of a packet by RFC 6716, table 2: frame sizes in 2.5 ms.
func opusLength(p []byte) int64 {
	if len(p) < 1 || p[0]&3 == 3 && len(p) < 2 {
		return 0
	}
	units := map[bool]int64{true: []int64{4, 8, 16, 24}[p[0]>>3&3], false: []int64{1, 2, 4, 8}[p[0]>>3&3]}[p[0]>>3 < 12]
	if c := p[0] >> 3; c >= 12 && c < 16 {
		units = []int64{4, 8}[c&1]
	}
	frames := int64(1)
	switch p[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		frames = int64(p[1] & 63)
	}
	return 120 * units * frames
}

// judge marks the packets that must not be in the output: those of which any content was erased,
// and those without content at an end that was erased. Where sound was cut, silence stands for some
// of it, whose time Erased leaves out: a packet in the middle, what the decoder drops at the head.
func (m *opusMeasure) judge(erased []run, everything, cut bool) {
	m.replaced = make([]bool, len(m.lengths))
	begin, end := m.at, m.at+m.content()
	position := -m.preSkip
	for i, d := range m.lengths {
		from := min(m.content(), max(0, position)) + m.at
		to := max(0, min(m.content(), position+int64(d))) + m.at
		position += int64(d)
		gone := everything
		for _, e := range erased {
			if cut && e.from <= begin && e.to > begin && e.to < end {
				e.to += m.lead() - m.preSkip
			}
			bridge := cut && e.from > begin && e.to < end && from < to && to == e.from
			gone = gone || bridge || e.from < to && from < e.to || from == to && e.from <= from && to <= e.to
		}
		m.replaced[i] = gone
	}
}

// lead is the silence that a cut leaves at the beginning of a link.
func (m *opusMeasure) lead() int64 {
	n := (m.preSkip + 119) / 120
	return 120 * max(n, 1)
}

type opusProof struct {
	in, out *oggWalk
	cut     bool
	heard   *Hearing
	ear     *opusEar
}

// link compares one link of the chain.
func (p *opusProof) link(m *opusMeasure) error {
	if err := p.headers(m); err != nil {
		return err
	}
	trim := m.total - m.decoded
	if n := len(m.replaced); p.cut && n > 0 && m.replaced[n-1] {
		trim = 0
	}
	p.ear = newOpusEar(p.heard, m.head)
	position := int64(0)
	for i, gone := range m.replaced {
		a, err := p.in.next()
		if err != nil || a == nil {
			return unproved("the input has too few packets: %v", err)
		}
		data, d := bytes.Clone(a.data), int64(m.lengths[i])
		if gone {
			p.ear.gone()
		}
		switch {
		case !gone || !p.cut:
			if err := p.packet(m, data, d, gone, &position, trim); err != nil {
				return fmt.Errorf("packet %d: %w", i, err)
			}
		case i == 0:
			for left := m.lead(); left > 0; left -= 5760 {
				if err := p.packet(m, nil, min(left, 5760), true, &position, trim); err != nil {
					return fmt.Errorf("packet %d: %w", i, err)
				}
			}
		case !m.replaced[i-1] && !m.toEnd(i):
			if err := p.packet(m, nil, d, true, &position, trim); err != nil {
				return fmt.Errorf("packet %d: %w", i, err)
			}
		}
	}
	return p.ear.end()
}

// packet checks the next packet of the output: equal to data, or silent for d samples.
func (p *opusProof) packet(m *opusMeasure, data []byte, d int64, gone bool, position *int64, trim int64) error {
	b, err := p.out.next()
	if err != nil || b == nil || b.first {
		return unproved("the output has too few packets: %v", err)
	}
	if gone && !m.silent(b.data, d) {
		return unproved("neither kept nor silent")
	}
	if !gone && !bytes.Equal(data, b.data) {
		return unproved("kept, but differs")
	}
	*position += d
	want := *position
	if b.last {
		want -= trim
	}
	if b.ends && b.granule != want {
		return unproved("granule position %d, want %d", b.granule, want)
	}
	if !gone {
		return p.ear.kept(data, b.data)
	}
	p.ear.blank(b.data)
	return nil
}

// toEnd reports whether all packets from i on were erased.
func (m *opusMeasure) toEnd(i int) bool {
	for _, gone := range m.replaced[i:] {
		if !gone {
			return false
		}
	}
	return true
}

func (p *opusProof) headers(m *opusMeasure) error {
	for range 2 {
		if a, err := p.in.next(); err != nil || a == nil {
			return unproved("the input ends early: %v", err)
		}
	}
	b, err := p.out.next()
	if err != nil || b == nil || !b.first || !bytes.HasPrefix(m.head, b.data) {
		return unproved("OpusHead differs: %v", err)
	}
	want := 19
	if b.data[18] != 0 {
		want = 21 + int(b.data[9])
	}
	if len(b.data) != want {
		return unproved("OpusHead is %d bytes long, want %d", len(b.data), want)
	}
	b, err = p.out.next()
	if err != nil || b == nil || string(b.data) != "OpusTags\x07\x00\x00\x00earshot\x00\x00\x00\x00" {
		return unproved("OpusTags say something: %v", err)
	}
	return nil
}

// silent reports whether a packet is d samples of CELT silence in every stream: FF FE in each
// frame, never an empty frame.
func (m *opusMeasure) silent(p []byte, d int64) bool {
	streams, coupled := 1, int(m.head[9])-1
	if m.head[18] != 0 {
		streams, coupled = int(m.head[19]), int(m.head[20])
	}
	for s := range streams {
		if opusLength(p) != d || p[0] < 28<<3 || (p[0]&4 != 0) != (s < coupled) {
			return false
		}
		frames := 1
		switch p[0] & 3 {
		case 1:
			frames, p = 2, p[1:]
		case 3:
			if p[1] > 63 {
				return false
			}
			frames, p = int(p[1]), p[2:]
		case 0:
			p = p[1:]
		default:
			return false
		}
		if s < streams-1 {
			if len(p) < 1 || p[0] != 2 {
				return false
			}
			p = p[1:]
		}
		want := bytes.Repeat([]byte{0xFF, 0xFE}, frames)
		if !bytes.HasPrefix(p, want) {
			return false
		}
		p = p[len(want):]
	}
	return len(p) == 0
}
