package redact

import (
	"bytes"
	"fmt"
	"io"

	"earshot"
	"earshot/redact/internal/opaque"
	"earshot/redact/internal/riff"
)

// wavCodec redacts WAVE files. Linear formats (PCM, float, A-law, mu-law) have a grain of one
// sample; ADPCM has a grain of one block, which is widened to. Only fmt, fact, ds64 and data are
// written. Memory is constant: the sound streams through one buffer.
type wavCodec struct{}

func (wavCodec) Coding() earshot.Coding { return earshot.CodingWAV }

func (wavCodec) Sniff(head []byte) bool {
	if len(head) < 12 || string(head[8:12]) != "WAVE" {
		return false
	}
	switch string(head[:4]) {
	case "RIFF", "RIFX", "RF64", "BW64":
		return true
	}
	return false
}

func (wavCodec) Inspect(src io.ReaderAt, size int64) (Info, error) {
	w, err := riff.Parse(src, size)
	if err != nil {
		return Info{}, err
	}
	_, frames := w.Sound()
	return Info{
		Coding: earshot.CodingWAV, Format: w.Format.Name(),
		SampleRate: w.Format.Rate, Channels: w.Format.Channels,
		Length: clock{int64(w.Format.Rate)}.endAt(frames), Leaks: wavLeaks(w),
	}, nil
}

func (wavCodec) Redact(dst io.Writer, src io.ReaderAt, size int64, e Edit) (Report, error) {
	w, err := riff.Parse(src, size)
	if err != nil {
		return Report{}, err
	}
	soundSize, frames := w.Sound()
	time := clock{int64(w.Format.Rate)}
	erased := widen(time.runs(e.Spans, frames), int64(w.Format.BlockFrames), frames)
	r := Report{
		Coding: earshot.CodingWAV, Fill: e.Fill, Asked: e.Spans, Erased: time.spans(erased),
		Stripped: wavLeaks(w), BeforeBytes: size, Length: time.endAt(frames),
	}
	edit := wavEdit{w: w, fill: e.Fill, blocks: blocksOf(erased, int64(w.Format.BlockFrames)), size: soundSize}
	outSize := soundSize - edit.cutBytes()
	outFrames := frames
	if e.Fill == earshot.FillCut {
		for _, run := range erased {
			outFrames -= run.to - run.from
		}
	}
	head, ok := w.Head(outSize, outFrames)
	if !ok {
		return Report{}, opaque.At(0, "a RIFX file of more than 4 GiB")
	}
	in := newHashingReader(src)
	defer in.stop()
	out := newHashingWriter(dst)
	defer out.stop()
	if _, err := out.Write(head); err != nil {
		return Report{}, fmt.Errorf("writing the header: %w", err)
	}
	if err := in.skipTo(w.Data.Offset); err != nil {
		return Report{}, fmt.Errorf("reading the header: %w", err)
	}
	if err := edit.stream(out, in); err != nil {
		return Report{}, err
	}
	if outSize&1 == 1 {
		if _, err := out.Write([]byte{0}); err != nil {
			return Report{}, fmt.Errorf("writing the pad byte: %w", err)
		}
	}
	if err := in.skipTo(size); err != nil {
		return Report{}, fmt.Errorf("reading behind the sound: %w", err)
	}
	r.Before, r.After, r.AfterBytes = in.digest(), out.digest(), out.written
	return r, nil
}

// blocksOf divides runs of sample frames that begin on block boundaries by the block length.
func blocksOf(runs []run, grain int64) []run {
	out := make([]run, len(runs))
	for i, r := range runs {
		out[i] = run{r.from / grain, (r.to + grain - 1) / grain}
	}
	return out
}

// wavEdit streams the sound of one file.
type wavEdit struct {
	w      *riff.Wave
	fill   earshot.Fill
	blocks []run // to erase
	size   int64 // bytes of sound
}

// cutBytes is how many bytes of sound a cut takes out.
func (d *wavEdit) cutBytes() int64 {
	if d.fill != earshot.FillCut {
		return 0
	}
	var n int64
	align := int64(d.w.Format.BlockAlign)
	for _, b := range d.blocks {
		n += min(d.size, b.to*align) - min(d.size, b.from*align)
	}
	return n
}

// wavBuffer is about how much sound is held at a time, in bytes.
const wavBuffer = 256 << 10

func (d *wavEdit) stream(out io.Writer, in *hashingReader) error {
	align := int64(d.w.Format.BlockAlign)
	buf := make([]byte, min(max(wavBuffer/align, 1)*align, d.size))
	todo := d.blocks
	for at := int64(0); at < d.size; {
		piece := buf[:min(int64(len(buf)), d.size-at)]
		if err := in.readFull(piece); err != nil {
			return fmt.Errorf("reading the sound: %w", err)
		}
		end := at + int64(len(piece))
		kept := piece[:0]
		done := at
		for len(todo) > 0 && todo[0].from*align < end {
			from, to := max(at, todo[0].from*align), min(end, todo[0].to*align)
			if d.fill == earshot.FillCut {
				kept = append(kept, piece[done-at:from-at]...)
			} else {
				d.cover(piece[from-at:to-at], from/align*int64(d.w.Format.BlockFrames))
			}
			done = to
			if todo[0].to*align > end {
				break
			}
			todo = todo[1:]
		}
		if d.fill == earshot.FillCut {
			piece = append(kept, piece[done-at:]...)
		}
		if _, err := out.Write(piece); err != nil {
			return fmt.Errorf("writing the sound: %w", err)
		}
		at = end
	}
	return nil
}

// cover overwrites sound with silence or a tone. first is the number of its first sample frame.
func (d *wavEdit) cover(sound []byte, first int64) {
	f := d.w.Format
	switch {
	case d.fill == earshot.FillTone:
		f.Tone(sound, first)
	case f.Tag == riff.TagMSADPCM:
		clear(sound)
		for ; len(sound) > 0; sound = sound[min(len(sound), f.BlockAlign):] {
			for c := range f.Channels {
				// Predictor 0 and samples 0; a step of 16, the least, instead of an invalid 0.
				if at := f.Channels + 2*c; at+2 <= len(sound) {
					d.w.Order.PutUint16(sound[at:], 16)
				}
			}
		}
	default:
		fillBytes(sound, f.Silence())
	}
}

func fillBytes(b []byte, v byte) {
	if v == 0 {
		clear(b)
		return
	}
	if len(b) == 0 {
		return
	}
	b[0] = v
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// wavLeaks lists what Redact leaves out.
func wavLeaks(w *riff.Wave) []Leak {
	var leaks []Leak
	for _, c := range w.Other {
		where := chunkName(c.ID)
		if c.List != "" {
			where += "/" + chunkName(c.List)
		}
		leaks = append(leaks, Leak{where, fmt.Sprintf("%s (%d bytes)", wavChunkHolds(c), c.Size)})
	}
	if n := w.FmtExtra(); n > 0 {
		leaks = append(leaks, Leak{"fmt", fmt.Sprintf("unknown bytes behind the format (%d bytes)", n)})
	}
	if size, _ := w.Sound(); w.Data.Size > size {
		leaks = append(leaks, Leak{"data", fmt.Sprintf("bytes behind the last whole sample (%d bytes)", w.Data.Size-size)})
	}
	if w.PadByte != 0 {
		leaks = append(leaks, Leak{"data", "a pad byte that is not zero (1 byte)"})
	}
	if w.Tail > 0 {
		leaks = append(leaks, Leak{"end of file", fmt.Sprintf("bytes behind the last chunk (%d bytes)", w.Tail)})
	}
	return leaks
}

// chunkName is a four-letter name as it can be shown.
func chunkName(id string) string {
	name := bytes.TrimRight([]byte(id), " \x00")
	for i, b := range name {
		if b < 0x20 || b > 0x7E {
			name[i] = '?'
		}
	}
	return string(name)
}

func wavChunkHolds(c riff.Chunk) string {
	switch c.ID + c.List {
	case "LISTINFO":
		return "tags: title, artist, comment, software, dates"
	case "LISTadtl", "labl", "note", "ltxt":
		return "labels and texts of markers; may be a transcript"
	case "cue ":
		return "marker positions"
	case "smpl", "inst", "acid", "strc", "tlst":
		return "loops, tempo and markers"
	case "bext":
		return "broadcast extension: description, originator, date, loudness, coding history"
	case "iXML", "_PMX", "axml", "aXML", "XMP ":
		return "XML metadata"
	case "id3 ", "ID3 ":
		return "ID3 tags: names, comments, lyrics, pictures"
	case "PEAK":
		return "the loudest sample and where it is"
	case "levl":
		return "the envelope of the whole recording"
	case "afsp", "AFsp":
		return "text of the AFsp tools: date, user, program"
	case "JUNK", "junk", "PAD ", "FLLR", "fllr", "filr":
		return "filler, which may hold stale bytes"
	case "chna":
		return "audio object identifiers"
	case "cart", "umid", "link", "muma", "chrp", "MXrt", "SAUR", "regn", "minf", "elm1":
		return "an editor's own notes"
	case "fact", "ds64":
		return "unknown bytes behind the sizes"
	}
	return "unknown metadata"
}
