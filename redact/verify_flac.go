package redact

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mewkiz/flac/frame"

	"earshot"
	"earshot/redact/internal/bits"
)

// verify proves a FLAC file block by block. Kept blocks are equal byte for byte but for a new
// number; erased blocks are constant zero or the tone; blocks at the edges are decoded with
// mewkiz/flac, which takes no part in the edit, and compared sample by sample.
func (flacCodec) verify(src io.ReaderAt, srcSize int64, dst io.ReaderAt, dstSize int64, r Report) error {
	in, err := oggStarts(src, srcSize)
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	out, err := oggStarts(dst, dstSize)
	if err != nil {
		return fmt.Errorf("output: %w", err)
	}
	if len(in) != len(out) {
		return unproved("%d streams in the chain, want %d", len(out)-1, len(in)-1)
	}
	r.Heard.Decoder = "mewkiz/flac"
	if len(in) == 2 {
		length, err := proveFLAC(io.NewSectionReader(src, 0, srcSize), io.NewSectionReader(dst, 0, dstSize), r)
		if err == nil && length != r.Length {
			err = unproved("the length of the sound is reported wrongly")
		}
		return err
	}
	return proveChain(src, dst, in, out, r)
}

// proveChain proves the streams that begin at in and out, each with what of r is its own.
func proveChain(src, dst io.ReaderAt, in, out []int64, r Report) (err error) {
	var length time.Duration
	for i := range len(in) - 1 {
		one := r
		a, b := io.NewSectionReader(src, in[i], in[i+1]-in[i]), io.NewSectionReader(dst, out[i], out[i+1]-out[i])
		if one.Length, err = lengthOfFLAC(a); err != nil {
			return fmt.Errorf("input: %w", err)
		}
		one.Erased = nil
		for _, e := range r.Erased {
			e.Start, e.End = max(e.Start, length), min(e.End, length+one.Length)
			if e.Start < e.End {
				one.Erased = append(one.Erased, earshot.Span{Start: e.Start - length, End: e.End - length})
			}
		}
		if _, err := proveFLAC(a, b, one); err != nil {
			return err
		}
		length += one.Length
	}
	if r.Length != length {
		return unproved("the length of the sound is reported wrongly")
	}
	return nil
}

// lengthOfFLAC counts the samples.
func lengthOfFLAC(f *io.SectionReader) (time.Duration, error) {
	w := &flacWalk{f: f, size: f.Size()}
	if err := w.open(false); err != nil {
		return 0, err
	}
	for {
		if b, _, err := w.next(); err != nil || b == nil {
			return clock{w.rate}.endAt(w.samples), err
		}
	}
}

// proveFLAC proves one stream and tells its length.
func proveFLAC(src, dst *io.SectionReader, r Report) (time.Duration, error) {
	in := &flacWalk{f: src, size: src.Size()}
	if err := in.open(false); err != nil {
		return 0, fmt.Errorf("input: %w", err)
	}
	out := &flacWalk{f: dst, size: dst.Size()}
	if err := out.open(true); err != nil {
		return 0, fmt.Errorf("output: %w", err)
	}
	if in.rate != out.rate || in.channels != out.channels || in.depth != out.depth {
		return 0, unproved("the format has changed")
	}
	p := flacProof{r: r, in: in, out: out}
	for _, e := range r.Erased {
		c := clock{in.rate}
		p.erased = append(p.erased, run{c.floor(e.Start), c.ceil(e.End)})
	}
	p.cut = r.Fill == earshot.FillCut && len(p.erased) > 0
	err := p.walk()
	return clock{in.rate}.endAt(in.samples), err
}

type flacProof struct {
	r       Report
	in, out *flacWalk
	erased  []run
	cut     bool
	joint   [][]int32 // samples that the output must show next, in blocks of their own
}

func (p *flacProof) walk() error {
	for {
		at := p.in.samples
		b, h, err := p.in.next()
		if err != nil {
			return fmt.Errorf("input: %w", err)
		}
		if b == nil {
			break
		}
		if err := p.block(b, h, at); err != nil {
			return err
		}
	}
	if err := p.drain(nil, flacHead{}); err != nil {
		return err
	}
	if b, _, err := p.out.next(); err != nil || b != nil {
		return unproved("the output does not end with its last block: %v", err)
	}
	if p.out.total != p.out.samples {
		return unproved("STREAMINFO counts %d samples, want %d", p.out.total, p.out.samples)
	}
	return nil
}

// block accounts for one block of the input.
func (p *flacProof) block(b []byte, h flacHead, at int64) error {
	var gone []run
	erased := int64(0)
	for _, e := range p.erased {
		if from, to := max(e.from, at), min(e.to, at+h.block); from < to {
			gone = append(gone, run{from - at, to - at})
			erased += to - from
		}
	}
	switch {
	case erased == 0 && !p.cut:
		o, _, err := p.out.next()
		if err != nil || !bytes.Equal(b, o) {
			return unproved("the kept block at sample %d differs: %v", at, err)
		}
		if p.near(at, h.block) {
			return p.hear(b, h, o, h)
		}
		return nil
	case erased == 0:
		return p.drain(b, h)
	case erased == h.block && p.cut:
		return nil
	}
	var samples [][]int32
	if erased < h.block {
		var err error
		if samples, err = p.in.decode(b, h); err != nil {
			return err
		}
	} else {
		samples = make([][]int32, p.in.channels)
		for c := range samples {
			samples[c] = make([]int32, h.block)
		}
	}
	if p.cut {
		p.wait(samples, gone)
		return nil
	}
	for _, g := range gone {
		for i := g.from; i < g.to; i++ {
			v := int32(0)
			if p.r.Fill == earshot.FillTone {
				v = toneSample(at+i, p.in.rate, p.in.depth)
			}
			for c := range samples {
				samples[c][i] = v
			}
		}
	}
	o, oh, err := p.out.next()
	if err != nil || o == nil || oh.block != h.block || oh.assign != p.in.channels-1 {
		return unproved("the erased block at sample %d has another shape: %v", at, err)
	}
	if erased == h.block && p.r.Fill == earshot.FillSilence {
		if n := (p.in.channels*(8+p.in.depth) + 7) / 8; len(o) != oh.size+n+2 || !allZero(o[oh.size:oh.size+n]) {
			return unproved("the erased block at sample %d is not constant zero", at)
		}
		if p.near(at, h.block) {
			return p.hearSamples(o, oh, samples)
		}
		return nil
	}
	return p.verbatim(o, oh, samples)
}

// wait keeps what was not cut out of a block.
func (p *flacProof) wait(samples [][]int32, gone []run) {
	if p.joint == nil {
		p.joint = make([][]int32, len(samples))
	}
	for c := range samples {
		at := int64(0)
		for _, g := range gone {
			p.joint[c] = append(p.joint[c], samples[c][at:g.from]...)
			at = g.to
		}
		p.joint[c] = append(p.joint[c], samples[c][at:]...)
	}
}

// drain matches waiting samples with verbatim blocks of the output, and then the kept block b,
// unless it had to join what waited.
func (p *flacProof) drain(b []byte, h flacHead) error {
	if p.joint != nil && len(p.joint[0]) > 0 && len(p.joint[0]) < 16 && b != nil {
		samples, err := p.in.decode(b, h)
		if err != nil {
			return err
		}
		p.wait(samples, nil)
		return nil
	}
	for p.joint != nil && len(p.joint[0]) > 0 {
		o, oh, err := p.out.next()
		if err != nil || o == nil || oh.block > int64(len(p.joint[0])) {
			return unproved("the block at a cut has another shape: %v", err)
		}
		piece := make([][]int32, len(p.joint))
		for c := range p.joint {
			piece[c], p.joint[c] = p.joint[c][:oh.block], p.joint[c][oh.block:]
		}
		if err := p.verbatim(o, oh, piece); err != nil {
			return err
		}
	}
	if b == nil {
		return nil
	}
	o, oh, err := p.out.next()
	if err != nil || o == nil || oh.block != h.block || oh.assign != h.assign || !bytes.Equal(o[oh.size:len(o)-2], b[h.size:len(b)-2]) {
		return unproved("a kept block differs behind the cut: %v", err)
	}
	if p.near(p.in.samples-h.block, h.block) {
		return p.hear(b, h, o, oh)
	}
	return nil
}

// near reports whether an edge of what was erased lies in the block or within one of its length
// beside it.
func (p *flacProof) near(at, block int64) bool {
	for _, e := range p.erased {
		if e.from >= at-block && e.from <= at+2*block || e.to >= at-block && e.to <= at+2*block {
			return true
		}
	}
	return false
}

// hear decodes a kept block of both files.
func (p *flacProof) hear(b []byte, h flacHead, o []byte, oh flacHead) error {
	if p.r.Heard.enough() {
		return nil
	}
	samples, err := p.in.decode(b, h)
	if err != nil {
		p.r.Heard.skip("damaged: mewkiz/flac gives up on the input")
		return nil
	}
	return p.hearSamples(o, oh, samples)
}

// hearSamples decodes a block of the output.
func (p *flacProof) hearSamples(o []byte, oh flacHead, want [][]int32) error {
	if p.r.Heard.enough() {
		return nil
	}
	got, err := p.out.decode(o, oh)
	if err != nil {
		return err
	}
	p.r.Heard.Windows++
	for c := range want {
		if len(got) != len(want) || !slices.Equal(got[c], want[c]) {
			return unproved("mewkiz/flac hears other samples in a block at an edge")
		}
	}
	return nil
}

// verbatim compares a verbatim block with the samples that it should hold.
func (p *flacProof) verbatim(o []byte, h flacHead, want [][]int32) error {
	at := 8 * h.size
	need := len(want) * (8 + p.in.depth*len(want[0]))
	if h.assign != len(want)-1 || h.block != int64(len(want[0])) || len(o) != h.size+(need+7)/8+2 {
		return unproved("a block at an edge has another shape")
	}
	for _, channel := range want {
		if bits.Get(o, at, 8) != 2 {
			return unproved("a block at an edge is not verbatim")
		}
		at += 8
		for _, v := range channel {
			if int32(bits.Get(o, at, p.in.depth))<<(32-p.in.depth)>>(32-p.in.depth) != v {
				return unproved("a sample in a block at an edge differs")
			}
			at += p.in.depth
		}
	}
	if !bits.Zero(o, at, 8*(len(o)-2)) {
		return unproved("padding in a block at an edge is not zero")
	}
	return p.hearSamples(o, h, want)
}

// decode decodes a block with mewkiz/flac. It looks for the depth in the header alone, and
// writes to the log about rates that it has not seen: so the header is put in its words.
func (w *flacWalk) decode(b []byte, h flacHead) (samples [][]int32, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = unproved("mewkiz/flac panics")
		}
	}()
	end := h.size - 1
	switch b[2] & 15 { // a rate of its own, which that decoder would complain of
	case 12:
		end--
	case 13, 14:
		end -= 2
	}
	own := append(append(bytes.Clone(b[:end]), 0), b[h.size:]...)
	own[2] = own[2]&0xF0 | 9
	own[3] = own[3]&^0x0E | byte(map[int]int{8: 1, 12: 2, 16: 4, 20: 5, 24: 6}[w.depth])<<1
	own[end] = flacCRC8(own[:end])
	sum := flacCRC16(own[:len(own)-2])
	own[len(own)-2], own[len(own)-1] = byte(sum>>8), byte(sum)
	f, err := frame.Parse(bytes.NewReader(own))
	if err != nil {
		return nil, unproved("mewkiz/flac cannot decode a block: %v", err)
	}
	for _, s := range f.Subframes {
		if int64(len(s.Samples)) != h.block {
			return nil, unproved("mewkiz/flac decodes %d samples, want %d", len(s.Samples), h.block)
		}
		samples = append(samples, s.Samples)
	}
	if len(samples) != w.channels {
		return nil, unproved("mewkiz/flac decodes %d channels, want %d", len(samples), w.channels)
	}
	return samples, nil
}
