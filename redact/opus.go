package redact

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"earshot"
	"earshot/redact/internal/ogg"
	"earshot/redact/internal/opaque"
	"earshot/redact/internal/opuspacket"
)

// opusCodec redacts Ogg Opus. The grain is a packet, and one more on each side: overlap and
// look-ahead reach back, in-band error correction repeats a packet in the next. Erased packets
// become silent ones of one size, all others are copied, and pages are made anew, so that their
// borders do not tell of old sizes. What is kept is kept as packets: a decoder's state after
// erased sound differs, and so do the samples for up to half a second (GRAIN.md).
type opusCodec struct{}

func (opusCodec) Coding() earshot.Coding { return earshot.CodingOpus }

func (opusCodec) Sniff(head []byte) bool {
	return len(head) >= 36 && string(head[:5]) == "OggS\x00" && bytes.Contains(head[27:min(len(head), 300)], []byte("OpusHead"))
}

// opusLink is one of the streams of a chain.
type opusLink struct {
	head    opuspacket.Head
	serial  uint32
	packets int   // of sound
	total   int64 // samples at 48 kHz in all packets
	decoded int64 // of which the last page lets through
	tags    int   // bytes of OpusTags
	extra   int   // bytes behind the known fields of OpusHead
	at      int64 // content samples of the links before
}

// content is the number of samples that a player shows.
func (l opusLink) content() int64 { return max(0, l.decoded-int64(l.head.PreSkip)) }

// opusFile is a scanned file.
type opusFile struct {
	links []opusLink
	runs  [][]run // packets to erase, per link
	junk  int64
}

func (f *opusFile) length() int64 {
	last := f.links[len(f.links)-1]
	return last.at + last.content()
}

// opusRate is the rate at which Ogg Opus counts, whatever was encoded.
var opusClock = clock{48000}

// eachPacket calls sound for every packet of sound, and head for the two headers of each link. The
// position is that of the packet's first sample within its link.
func eachPacket(src io.ReaderAt, size int64, head func(h opuspacket.Head, tags int, p ogg.Packet, extra int) error,
	sound func(p ogg.Packet, position int64, duration int) error,
) (junk int64, err error) {
	r := ogg.NewReader(src, size)
	var position, start int64
	for n := 0; ; n++ {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Junk, nil
		}
		if err != nil {
			return 0, err
		}
		if p.First {
			n, position, start = 0, 0, -1
		}
		if n == 0 {
			h, ok := opuspacket.ParseHead(p.Data)
			if !ok {
				return 0, opaque.At(p.Offset, "not an OpusHead that is known")
			}
			extra := len(p.Data) - len(h.Bytes())
			tags, err := r.Next()
			if err != nil || tags.First || !bytes.HasPrefix(tags.Data, []byte("OpusTags")) {
				return 0, opaque.At(p.Offset, "no OpusTags behind OpusHead")
			}
			if err := head(h, len(tags.Data), tags, extra); err != nil {
				return 0, err
			}
			continue
		}
		d := opuspacket.Duration(p.Data)
		if d == 0 {
			return 0, opaque.At(p.Offset, "a packet of no or impossible length")
		}
		end := position + int64(d)
		if p.Granule >= 0 {
			if start < 0 { // the first page of sound tells where the stream begins
				start = p.Granule - end
				if start < 0 {
					start = 0
				}
			}
			if got := p.Granule - start; got != end && !(p.Last && got < end && got >= 0) {
				return 0, opaque.At(p.Offset, "granule position %d, want %d", p.Granule, end+start)
			}
			p.Granule -= start
		}
		if err := sound(p, position, d); err != nil {
			return 0, err
		}
		position = end
	}
}

func scanOpus(src io.ReaderAt, size int64) (*opusFile, error) {
	f := &opusFile{}
	junk, err := eachPacket(src, size, func(h opuspacket.Head, tags int, p ogg.Packet, extra int) error {
		f.links = append(f.links, opusLink{head: h, serial: p.Serial, tags: tags, extra: extra})
		return nil
	}, func(p ogg.Packet, _ int64, d int) error {
		l := &f.links[len(f.links)-1]
		l.packets++
		l.total += int64(d)
		l.decoded = l.total
		if p.Granule >= 0 {
			l.decoded = p.Granule
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(f.links) == 0 {
		return nil, opaque.At(0, "no Opus stream")
	}
	f.junk = junk
	at := int64(0)
	for i := range f.links {
		f.links[i].at = at
		at += f.links[i].content()
	}
	return f, nil
}

func (opusCodec) Inspect(src io.ReaderAt, size int64) (Info, error) {
	f, err := scanOpus(src, size)
	if err != nil {
		return Info{}, err
	}
	return Info{
		Coding: earshot.CodingOpus, Format: fmt.Sprintf("Ogg Opus, %d stream(s) in %d link(s)", f.links[0].head.Streams, len(f.links)),
		SampleRate: 48000, Channels: f.links[0].head.Channels,
		Length: opusClock.endAt(f.length()), Leaks: opusLeaks(f),
	}, nil
}

func opusLeaks(f *opusFile) []Leak {
	var leaks []Leak
	for _, l := range f.links {
		if l.tags != len(opuspacket.Tags()) {
			leaks = append(leaks, Leak{"OpusTags", fmt.Sprintf("tags: any text, lyrics, pictures, gain (%d bytes)", l.tags)})
		}
		if l.extra > 0 {
			leaks = append(leaks, Leak{"OpusHead", fmt.Sprintf("unknown bytes behind the fields (%d bytes)", l.extra)})
		}
	}
	if f.junk > 0 {
		leaks = append(leaks, Leak{"end of file", fmt.Sprintf("bytes behind the last page (%d bytes)", f.junk)})
	}
	return leaks
}

// plan finds the packets to erase.
func (f *opusFile) plan(src io.ReaderAt, size int64, spans earshot.Spans) error {
	asked := opusClock.runs(spans, f.length())
	f.runs = make([][]run, len(f.links))
	shown := make([]run, len(f.links)) // packets that show anything
	link, n := -1, int64(0)
	_, err := eachPacket(src, size, func(opuspacket.Head, int, ogg.Packet, int) error {
		link, n = link+1, 0
		shown[link].from = -1
		return nil
	}, func(_ ogg.Packet, position int64, d int) error {
		l := f.links[link]
		from := max(0, position-int64(l.head.PreSkip)) + l.at
		to := max(0, min(l.content(), position+int64(d)-int64(l.head.PreSkip))) + l.at
		if from < to {
			shown[link].to = n + 1
			if shown[link].from < 0 {
				shown[link].from = n
			}
		}
		for len(asked) > 0 && asked[0].to <= from && from < f.length() && asked[0].to < from {
			asked = asked[1:]
		}
		for _, a := range asked {
			if a.from > to {
				break
			}
			// A packet that shows nothing of its own, at an end, goes with its neighbour.
			if a.from < to && from < a.to || from == to && a.from <= from && to <= a.to {
				f.runs[link] = appendRun(f.runs[link], run{max(0, n-1), min(int64(l.packets), n+2)})
				break
			}
		}
		n++
		return nil
	})
	for i, l := range f.links { // what shows nothing goes with the first and the last that does
		if n := len(f.runs[i]); n > 0 && f.runs[i][0].from <= shown[i].from {
			f.runs[i][0].from = 0
		}
		if n := len(f.runs[i]); n > 0 && f.runs[i][n-1].to >= shown[i].to {
			f.runs[i][n-1].to = int64(l.packets)
		}
	}
	if f.length() == 0 && len(spans) > 0 {
		for i, l := range f.links {
			f.runs[i] = appendRun(nil, run{0, int64(l.packets)})
		}
	}
	return err
}

func (opusCodec) Redact(dst io.Writer, file io.ReaderAt, size int64, e Edit) (Report, error) {
	src := newSummedReader(file, size)
	f, err := scanOpus(src, size)
	if err != nil {
		return Report{}, err
	}
	if e.Fill == earshot.FillTone && len(e.Spans) > 0 {
		return Report{}, opaque.At(0, "no tone in Opus: silence and cut work")
	}
	if err := f.plan(src, size, e.Spans); err != nil {
		return Report{}, err
	}
	r := Report{
		Coding: earshot.CodingOpus, Fill: e.Fill, Asked: e.Spans, Stripped: opusLeaks(f),
		BeforeBytes: size, Length: opusClock.endAt(f.length()),
	}
	if r.Before, err = src.digest(); err != nil {
		return Report{}, fmt.Errorf("reading the input: %w", err)
	}
	out := newHashingWriter(dst)
	defer out.stop()
	w := &opusWriter{f: f, cut: e.Fill == earshot.FillCut, buf: bufio.NewWriterSize(out, 64<<10), link: -1}
	if err := w.run(src, size); err != nil {
		return Report{}, err
	}
	r.Erased = w.erased.Merge()
	r.After, r.AfterBytes = out.digest(), out.written
	return r, nil
}

// opusWriter writes one file.
type opusWriter struct {
	f      *opusFile
	cut    bool
	buf    *bufio.Writer
	page   *ogg.Writer
	link   int
	n      int64 // packet of the link
	runs   []run
	at     int64 // granule position reached in the output
	paged  int64 // granule position at which the current page began
	trim   int64 // samples of the last packet that are not shown
	erased earshot.Spans
}

func (w *opusWriter) run(src io.ReaderAt, size int64) error {
	_, err := eachPacket(src, size, w.head, w.sound)
	if err != nil {
		return err
	}
	if err := w.endLink(); err != nil {
		return err
	}
	if err := w.buf.Flush(); err != nil {
		return fmt.Errorf("writing pages: %w", err)
	}
	return nil
}

func (w *opusWriter) head(h opuspacket.Head, _ int, p ogg.Packet, _ int) error {
	if err := w.endLink(); err != nil {
		return err
	}
	w.link++
	w.page = ogg.NewWriter(w.buf, p.Serial)
	w.runs, w.n, w.at, w.paged = w.f.runs[w.link], 0, 0, 0
	l := w.f.links[w.link]
	w.trim = l.total - l.decoded
	for _, packet := range [][]byte{h.Bytes(), opuspacket.Tags()} {
		if err := errors.Join(w.page.Add(packet, 0), w.page.Flush(false)); err != nil {
			return fmt.Errorf("writing the headers: %w", err)
		}
	}
	return nil
}

func (w *opusWriter) endLink() error {
	if w.link < 0 {
		return nil
	}
	w.page.SetEnd(w.at - w.trim)
	if err := w.page.Flush(true); err != nil {
		return fmt.Errorf("writing the last page: %w", err)
	}
	return nil
}

func (w *opusWriter) sound(p ogg.Packet, position int64, d int) error {
	l := w.f.links[w.link]
	n := w.n
	w.n++
	for len(w.runs) > 0 && w.runs[0].to <= n {
		w.runs = w.runs[1:]
	}
	if len(w.runs) == 0 || n < w.runs[0].from {
		return w.write(p.Data, d)
	}
	r := w.runs[0]
	from, to := max(0, position-int64(l.head.PreSkip)), max(0, min(l.content(), position+int64(d)-int64(l.head.PreSkip)))
	last := n == int64(l.packets)-1
	if w.cut && last {
		w.trim = 0
	}
	switch {
	case !w.cut:
		w.erase(l, from, to)
		return w.write(l.head.Silence(d), d)
	case r.from == 0:
		return w.cutHead(l, n, r.to, to)
	case n == r.from && r.to < int64(l.packets): // between two pieces of sound: of the time of the cut it takes its own
		return w.write(l.head.Silence(d), d)
	}
	w.erase(l, from, to)
	return nil
}

func (w *opusWriter) erase(l opusLink, from, to int64) {
	if from < to {
		w.erased = append(w.erased, earshot.Span{Start: opusClock.startAt(from + l.at), End: opusClock.endAt(to + l.at)})
	}
}

// opusBridge is how much silence a cut leaves at the beginning: what the decoder drops, rounded up
// to a frame.
func opusBridge(preSkip int) int64 { return max(120, (int64(preSkip)+119)/120*120) }

// cutHead deals with packet n, which shows sound up to to, of end packets cut off at the beginning:
// in front of the sound stands as much silence as the decoder drops.
func (w *opusWriter) cutHead(l opusLink, n, end, to int64) error {
	bridge := opusBridge(l.head.PreSkip)
	for left := bridge; n == 0 && left > 0; left -= 5760 {
		d := int(min(left, 5760))
		if err := w.write(l.head.Silence(d), d); err != nil {
			return err
		}
	}
	switch {
	case n == int64(l.packets)-1:
		w.erase(l, 0, l.content())
	case n == end-1:
		w.erase(l, 0, to-bridge+int64(l.head.PreSkip))
	}
	return nil
}

// write adds a packet to the current page, which holds a second at most.
func (w *opusWriter) write(packet []byte, d int) error {
	if w.at+int64(d)-w.paged > 48000 {
		if err := w.page.Flush(false); err != nil {
			return fmt.Errorf("writing a page: %w", err)
		}
		w.paged = w.at
	}
	w.at += int64(d)
	if err := w.page.Add(packet, w.at); err != nil {
		return fmt.Errorf("writing a page: %w", err)
	}
	return nil
}
