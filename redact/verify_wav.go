package redact

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"earshot"
	"earshot/redact/internal/riff"
)

// wavFacts is what the proof knows of a WAVE file. It is read by code of its own.
type wavFacts struct {
	order      binary.ByteOrder
	fmtOffset  int64
	fmtSize    int64
	tag        uint16
	channels   int
	rate       int64
	align      int64
	bits       int
	grain      int64 // sample frames in a block
	fact       int64 // -1: none
	data, size int64 // offset and length of the sound
	frames     int64
}

func (wavCodec) verify(src io.ReaderAt, srcSize int64, dst io.ReaderAt, dstSize int64, r Report) error {
	r.Heard.deaf("no decoder is needed: bytes are samples, and each is compared")
	in, err := readWavFacts(src, srcSize, false)
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	out, err := readWavFacts(dst, dstSize, true)
	if err != nil {
		return fmt.Errorf("output: %w", err)
	}
	if in.order != out.order || in.tag != out.tag || in.channels != out.channels || in.rate != out.rate ||
		in.align != out.align || in.bits != out.bits || in.grain != out.grain {
		return unproved("the format has changed")
	}
	if r.Length != (clock{in.rate}).endAt(in.frames) {
		return unproved("the length of the sound is reported wrongly")
	}
	p := wavProof{in: in, out: out, src: src, dst: dst, fill: r.Fill}
	return p.prove((clock{in.rate}).runs(r.Erased, in.frames))
}

// wavProof compares the sound of two files.
type wavProof struct {
	in, out  wavFacts
	src, dst io.ReaderAt
	fill     earshot.Fill
	tone     riff.Format // for FillTone only: see the package comment
}

func (p *wavProof) prove(erased []run) error {
	if p.fill == earshot.FillTone {
		w, err := riff.Parse(p.dst, p.out.data+p.out.size)
		if err != nil {
			return fmt.Errorf("output: %w", err)
		}
		p.tone = w.Format
	}
	var at, to int64 // bytes of sound looked at in the input and in the output
	var gone int64   // sample frames cut
	for _, e := range erased {
		if e.from%p.in.grain != 0 || e.to%p.in.grain != 0 && e.to != p.in.frames {
			return unproved("an erased span does not lie on block boundaries")
		}
		from := e.from / p.in.grain * p.in.align
		end := min(p.in.size, (e.to+p.in.grain-1)/p.in.grain*p.in.align)
		if err := p.same(at, to, from-at); err != nil {
			return err
		}
		to += from - at
		at = end
		if p.fill == earshot.FillCut {
			gone += e.to - e.from
			continue
		}
		if err := p.covered(to, end-from, e.from); err != nil {
			return err
		}
		to += end - from
	}
	if err := p.same(at, to, p.in.size-at); err != nil {
		return err
	}
	to += p.in.size - at
	if to != p.out.size {
		return unproved("the sound is %d bytes long, want %d", p.out.size, to)
	}
	if p.out.fact >= 0 && p.out.fact != min(p.in.frames-gone, 0xFFFFFFFF) {
		return unproved("fact says %d sample frames, want %d", p.out.fact, p.in.frames-gone)
	}
	return nil
}

// same compares n bytes of kept sound.
func (p *wavProof) same(at, to, n int64) error {
	a, b := make([]byte, min(n, 128<<10)), make([]byte, min(n, 128<<10))
	for done := int64(0); done < n; {
		k := min(int64(len(a)), n-done)
		if err := p.read(p.src, p.in, a[:k], at+done); err != nil {
			return err
		}
		if err := p.read(p.dst, p.out, b[:k], to+done); err != nil {
			return err
		}
		if !bytes.Equal(a[:k], b[:k]) {
			return unproved("kept sound differs after byte %d of the sound", at+done)
		}
		done += k
	}
	return nil
}

func (p *wavProof) read(f io.ReaderAt, w wavFacts, buf []byte, at int64) error {
	if at+int64(len(buf)) > w.size {
		return unproved("the sound ends too early")
	}
	if n, err := f.ReadAt(buf, w.data+at); n < len(buf) {
		return fmt.Errorf("reading the sound: %w", err)
	}
	return nil
}

// covered checks that n bytes of the output, which begin with sample frame first, are fill.
func (p *wavProof) covered(at, n, first int64) error {
	step := max(1, (128<<10)/p.out.align) * p.out.align
	buf, want := make([]byte, min(n, step)), make([]byte, min(n, step))
	for done := int64(0); done < n; {
		k := min(step, n-done)
		if err := p.read(p.dst, p.out, buf[:k], at+done); err != nil {
			return err
		}
		if p.fill == earshot.FillTone {
			p.tone.Tone(want[:k], first+done/p.out.align*p.out.grain)
		} else {
			p.silence(want[:k])
		}
		if !bytes.Equal(buf[:k], want[:k]) {
			return unproved("the erased sound at byte %d of the output is not all %s", p.out.data+at+done, p.fill)
		}
		done += k
	}
	return nil
}

// silence is digital silence as the standards define it: G.711 for the companded laws, unsigned
// 8-bit PCM, ADPCM blocks that start at 0 and stay there, and zero for all else.
func (p *wavProof) silence(want []byte) {
	quiet := map[bool]byte{p.out.tag == 1 && p.out.bits <= 8: 0x80, p.out.tag == 6: 0xD5, p.out.tag == 7: 0xFF}[true]
	for i := range want {
		want[i] = quiet
		if p.out.tag != 2 {
			continue
		}
		// The step of 16 stands behind the predictor bytes, one 16-bit number per channel.
		in := int64(i)%p.out.align - int64(p.out.channels)
		low := int64(0)
		if p.out.order == binary.BigEndian {
			low = 1
		}
		if in >= 0 && in < 2*int64(p.out.channels) && in%2 == low && int64(i)-in%2+1 < int64(len(want)) {
			want[i] = 16
		}
	}
}
