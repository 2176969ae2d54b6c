package redact

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"time"

	"earshot"
	"earshot/redact/internal/flac"
	"earshot/redact/internal/ogg"
	"earshot/redact/internal/opaque"
)

// flacCodec redacts FLAC, native and in Ogg. The grain is one sample: blocks within a span become
// constant zero, blocks at its edges are decoded, changed and written as they are (verbatim), all
// other blocks are copied. A cut renumbers what follows and makes the stream one of variable block
// sizes. STREAMINFO is all the metadata that is kept.
type flacCodec struct{}

func (flacCodec) Coding() earshot.Coding { return earshot.CodingFLAC }

func (flacCodec) Sniff(head []byte) bool {
	return bytes.HasPrefix(head, []byte("fLaC")) || isOggFLAC(head)
}

// scanFLAC passes over ID3v2 tags and scans.
func scanFLAC(src io.ReaderAt, size int64) (*flac.File, error) {
	head, err := readHead(src, 0, size, 64)
	if err != nil {
		return nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	if isOggFLAC(head) {
		return scanOggFLAC(src, size)
	}
	var at int64
	for range 16 {
		head, err := readHead(src, at, size, 10)
		if err != nil {
			return nil, fmt.Errorf("reading the first bytes: %w", err)
		}
		n := id3v2Len(head)
		if n == 0 || n > size-at {
			break
		}
		at += n
	}
	f, err := flac.Scan(src, size, at)
	if err != nil {
		return nil, err
	}
	if !flacDepth(f.Info.Bits) {
		return nil, opaque.At(at, "a depth of %d bits", f.Info.Bits)
	}
	if f.Tail != 0 && f.Tail != 128 {
		return nil, opaque.At(size-f.Tail, "an unknown tag of %d bytes behind the sound", f.Tail)
	}
	return f, nil
}

func flacDepth(bits int) bool {
	switch bits {
	case 8, 12, 16, 20, 24:
		return true
	}
	return false
}

func (flacCodec) Inspect(src io.ReaderAt, size int64) (Info, error) {
	links, err := flacLinks(src, size)
	if err != nil {
		return Info{}, err
	}
	var info Info
	for _, link := range links {
		f, err := scanFLAC(link, link.Size())
		if err != nil {
			return Info{}, within(err, link)
		}
		if info.Coding == "" {
			info = Info{
				Coding: earshot.CodingFLAC, Format: fmt.Sprintf("FLAC %d bit", f.Info.Bits),
				SampleRate: f.Info.Rate, Channels: f.Info.Channels,
			}
		}
		info.Length += clock{int64(f.Info.Rate)}.endAt(f.Samples)
		info.Leaks = append(info.Leaks, flacLeaks(f)...)
	}
	return info, nil
}

func flacLeaks(f *flac.File) []Leak {
	var leaks []Leak
	if f.Before > 0 {
		leaks = append(leaks, Leak{"ID3v2", fmt.Sprintf("tags: names, comments, lyrics, pictures (%d bytes)", f.Before)})
	}
	for _, b := range f.Meta {
		name, what := "metadata block", "unknown metadata"
		switch b.Type {
		case 1:
			name, what = "PADDING", "filler, which may hold stale bytes"
		case 2:
			name, what = "APPLICATION", "a program's own notes"
		case 3:
			name, what = "SEEKTABLE", "sizes of all stretches of the stream"
		case 4:
			name, what = "VORBIS_COMMENT", "tags: any text, lyrics, transcripts"
		case 5:
			name, what = "CUESHEET", "tracks and their marks"
		case 6:
			name, what = "PICTURE", "a picture and its description"
		}
		leaks = append(leaks, Leak{name, fmt.Sprintf("%s (%d bytes)", what, b.Size)})
	}
	if f.Told {
		leaks = append(leaks, Leak{"STREAMINFO", "MD5 of all samples and extreme frame sizes"})
	}
	if f.Tail > 0 {
		leaks = append(leaks, Leak{"ID3v1", fmt.Sprintf("tags: title, artist, comment (%d bytes)", f.Tail)})
	}
	return leaks
}

func (flacCodec) Redact(dst io.Writer, file io.ReaderAt, size int64, e Edit) (Report, error) {
	src := newSummedReader(file, size)
	links, err := flacLinks(src, size)
	if err != nil {
		return Report{}, err
	}
	r := Report{Coding: earshot.CodingFLAC, Fill: e.Fill, Asked: e.Spans, BeforeBytes: size}
	out := newHashingWriter(dst)
	defer out.stop()
	for _, link := range links {
		if err := r.redactFLAC(out, link, e); err != nil {
			return Report{}, within(err, link)
		}
	}
	if r.Before, err = src.digest(); err != nil {
		return Report{}, fmt.Errorf("reading the input: %w", err)
	}
	r.Erased = r.Erased.Merge()
	r.After, r.AfterBytes = out.digest(), out.written
	return r, nil
}

// redactFLAC redacts one link of a chain, which begins where the length of those before ends.
func (r *Report) redactFLAC(out io.Writer, link *io.SectionReader, e Edit) error {
	f, err := scanFLAC(link, link.Size())
	if err != nil {
		return err
	}
	samples := clock{int64(f.Info.Rate)}
	length := samples.endAt(f.Samples)
	erased := samples.runs(spansFrom(e.Spans, r.Length, length), f.Samples)
	for _, s := range samples.spans(erased) {
		r.Erased = append(r.Erased, earshot.Span{Start: s.Start + r.Length, End: s.End + r.Length})
	}
	r.Stripped = append(r.Stripped, flacLeaks(f)...)
	r.Length += length
	w := &flacWriter{
		f: f, fill: e.Fill, erased: erased, cut: e.Fill == earshot.FillCut && len(erased) > 0,
		out: bufio.NewWriterSize(out, 64<<10),
	}
	if f.Start < 0 {
		if w.oggIn, w.oggOut, err = openOggFLAC(link, link.Size(), w.out); err != nil {
			return err
		}
	} else {
		w.in = bufio.NewReaderSize(io.NewSectionReader(link, f.Start, link.Size()-f.Start-f.Tail), 64<<10)
	}
	return w.run()
}

// spansFrom are the parts of spans within [from, from+length), counted from from.
func spansFrom(spans earshot.Spans, from, length time.Duration) earshot.Spans {
	var out earshot.Spans
	for _, s := range spans {
		s.Start = max(0, s.Start-from)
		if s.End != earshot.ToEnd {
			s.End = min(length, s.End-from)
		}
		if s.Start < min(length, s.End) {
			out = append(out, s)
		}
	}
	return out
}

// flacWriter writes one file.
type flacWriter struct {
	f      *flac.File
	fill   earshot.Fill
	erased []run
	cut    bool // something is cut: blocks vary in size and are numbered by sample
	in     *bufio.Reader
	out    *bufio.Writer
	buf    []byte
	at     int64 // first sample of the current frame, in the input
	done   int64 // samples written
	// joint holds, for a cut, samples per channel that wait to be written as one block.
	joint [][]int32
	head  flac.Header // of the last frame read
	// For Ogg: where frames come from and go to, and the first sample of the current page.
	oggIn  *ogg.Reader
	oggOut *ogg.Writer
	paged  int64
}

func (w *flacWriter) run() error {
	if err := w.metadata(); err != nil {
		return err
	}
	for _, frame := range w.f.Frames {
		if err := w.read(int(frame.Size)); err != nil {
			return fmt.Errorf("reading a frame: %w", err)
		}
		h, ok := flac.ParseHeader(w.buf)
		if !ok {
			return fmt.Errorf("reading a frame: %w", io.ErrUnexpectedEOF)
		}
		w.head = h
		if err := w.frame(); err != nil {
			return fmt.Errorf("writing a frame: %w", err)
		}
		w.at += int64(h.Block)
	}
	if err := w.flushJoint(); err != nil {
		return fmt.Errorf("writing a frame: %w", err)
	}
	if w.oggOut != nil {
		if err := w.oggOut.Flush(true); err != nil {
			return fmt.Errorf("writing the last page: %w", err)
		}
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("writing frames: %w", err)
	}
	return nil
}

// read reads the next frame into w.buf.
func (w *flacWriter) read(size int) error {
	if w.oggIn != nil {
		p, err := w.oggIn.Next()
		w.buf = append(w.buf[:0], p.Data...)
		return err
	}
	w.buf = append(w.buf[:0], make([]byte, size)...)
	_, err := io.ReadFull(w.in, w.buf)
	return err
}

func (w *flacWriter) metadata() error {
	info := w.f.Info
	info.Samples = w.f.Samples
	for _, frame := range w.f.Frames {
		info.MaxBlock = max(info.MaxBlock, int(frame.Block))
	}
	if w.cut {
		info.MinBlock, info.MaxBlock = 16, max(16, info.MaxBlock)
		for _, r := range w.erased {
			info.Samples -= r.to - r.from
		}
	}
	if w.oggOut != nil {
		return writeOggFLACHead(w.oggOut, info)
	}
	if _, err := w.out.Write(append([]byte("fLaC\x80\x00\x00\x22"), info.Bytes()...)); err != nil {
		return fmt.Errorf("writing the metadata: %w", err)
	}
	return nil
}

// within lists what of the current frame is erased, counted from its first sample.
func (w *flacWriter) within() []run {
	end := w.at + int64(w.head.Block)
	for len(w.erased) > 0 && w.erased[0].to <= w.at {
		w.erased = w.erased[1:]
	}
	var out []run
	for _, r := range w.erased {
		if r.from >= end {
			break
		}
		out = append(out, run{max(r.from, w.at) - w.at, min(r.to, end) - w.at})
	}
	return out
}

func (w *flacWriter) frame() error {
	gone := w.within()
	whole := len(gone) == 1 && gone[0].to-gone[0].from == int64(w.head.Block)
	switch {
	case w.cut:
		return w.cutFrame(gone, whole)
	case len(gone) == 0:
		return w.write(w.buf, w.head.Block)
	case whole && w.fill == earshot.FillSilence:
		return w.write(flac.Zero(w.head, w.f.Info.Bits), w.head.Block)
	}
	samples, err := w.decode()
	if err != nil {
		return err
	}
	for _, r := range gone {
		for i := r.from; i < r.to; i++ {
			v := int32(0)
			if w.fill == earshot.FillTone {
				v = toneSample(w.at+i, int64(w.f.Info.Rate), w.f.Info.Bits)
			}
			for c := range samples {
				samples[c][i] = v
			}
		}
	}
	return w.write(flac.Verbatim(w.head, w.f.Info.Bits, samples), w.head.Block)
}

func (w *flacWriter) decode() ([][]int32, error) {
	samples, _, err := flac.Decode(w.buf, w.head, w.f.Info.Bits)
	if err != nil {
		return nil, opaque.At(0, "the block at sample %d: %v", w.at, err)
	}
	return samples, nil
}

// cutFrame keeps what is not erased of the current frame. Rests of blocks are gathered and written
// as one block, for a block within a stream must have 16 samples at least.
func (w *flacWriter) cutFrame(gone []run, whole bool) error {
	if whole {
		return nil
	}
	waiting := w.joint != nil && len(w.joint[0]) > 0
	if len(gone) == 0 && (!waiting || len(w.joint[0]) >= 16) {
		if err := w.flushJoint(); err != nil {
			return err
		}
		h := w.head
		h.Variable, h.Number = true, w.done
		return w.write(flac.Move(w.buf, w.head, h), h.Block)
	}
	samples, err := w.decode()
	if err != nil {
		return err
	}
	if w.joint == nil {
		w.joint = make([][]int32, len(samples))
	}
	for c := range samples {
		at := int64(0)
		for _, r := range gone {
			w.joint[c] = append(w.joint[c], samples[c][at:r.from]...)
			at = r.to
		}
		w.joint[c] = append(w.joint[c], samples[c][at:]...)
	}
	return nil
}

// flushJoint writes what waits, in blocks no longer than the stream's longest.
func (w *flacWriter) flushJoint() error {
	most := max(32, w.f.Info.MaxBlock)
	for w.joint != nil && len(w.joint[0]) > 0 {
		n := min(most, len(w.joint[0]))
		if rest := len(w.joint[0]) - n; rest > 0 && rest < 16 {
			n -= 16
		}
		piece := make([][]int32, len(w.joint))
		for c := range w.joint {
			piece[c], w.joint[c] = w.joint[c][:n], w.joint[c][n:]
		}
		h := w.head
		h.Variable, h.Number = true, w.done
		if err := w.write(flac.Verbatim(h, w.f.Info.Bits, piece), n); err != nil {
			return err
		}
	}
	w.joint = nil
	return nil
}

// write writes a frame of n samples.
func (w *flacWriter) write(b []byte, n int) error {
	w.done += int64(n)
	if w.oggOut == nil {
		_, err := w.out.Write(b)
		return err
	}
	if len(b) > ogg.MaxPacket {
		return opaque.At(0, "a block of %d bytes, more than fits into a page", len(b))
	}
	if w.done-w.paged > int64(w.f.Info.Rate) {
		if err := w.oggOut.Flush(false); err != nil {
			return err
		}
		w.paged = w.done - int64(n)
	}
	return w.oggOut.Add(b, w.done)
}
