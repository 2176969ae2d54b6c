package redact

import (
	"errors"
	"fmt"
	"io"

	"earshot"
	"earshot/redact/internal/mpeg"
	"earshot/redact/internal/opaque"
)

// mp3Codec redacts MPEG audio of layers I, II and III. The grain is one frame, widened by what
// depends on the erased sound: GRAIN.md has the arithmetic. Frames that are kept keep header, side
// information and main data; silence of constant-bitrate files stands in place, that of others is
// laid out anew in frames of one size, because the old sizes would tell what was said.
type mp3Codec struct{}

func (mp3Codec) Coding() earshot.Coding { return earshot.CodingMP3 }

func (mp3Codec) Sniff(head []byte) bool { return mpeg.Sniff(head) }

// Through overlap and filter bank a frame is heard for so many samples behind its own end.
const (
	reachIII = 1056 // 1632 - 576
	reachII  = 480
)

// mp3Time places samples in frames. Raw samples are those of a decoder that leaves nothing out;
// content is what players show: they leave out the delay and the padding that a LAME tag names.
type mp3Time struct {
	clock
	frames, samples int64 // number, and samples per frame
	offset          int64 // raw sample at which the content begins
	length          int64 // of the content, in samples
	reach           int64
	gapless         bool  // a LAME tag names delay and padding
	bridge          int64 // frames that a cut leaves between two pieces of sound; 0 where nothing is cut
}

func newMP3Time(s *mpeg.Stream, fill mpeg.Fill) mp3Time {
	t := mp3Time{
		clock:  clock{int64(s.Head.Rate)},
		frames: int64(s.Len()), samples: int64(s.Head.Samples()), reach: reachIII, gapless: s.Info.Gapless(),
	}
	if fill == mpeg.Cut {
		t.bridge = int64(s.Bridge())
	}
	if s.Head.Layer != 3 {
		t.reach = reachII
	}
	t.length = t.frames * t.samples
	if t.gapless {
		t.offset = int64(s.Info.Delay) + 529
		t.length = max(0, t.length-t.offset-max(0, int64(s.Info.Padding)-529))
	}
	return t
}

// cover is the run of frames of which any sample of the content's [from, to) depends, and one more
// on each side: an encoder spends bits on a frame with its neighbours in mind.
func (t mp3Time) cover(r run) mpeg.Run {
	a, b := r.from+t.offset, r.to+t.offset
	if r.from == 0 {
		a = 0
	}
	if r.to == t.length {
		b = t.frames * t.samples
	}
	before := t.reach + t.samples // a frame is heard for [start, start+samples+reach)
	first := max(0, a-before+1+t.samples-1) / t.samples
	last := (b + t.samples - 1) / t.samples
	if t.reach == reachIII {
		gmin := max(0, a-1632+576) / 576
		first = gmin * 576 / t.samples
	}
	margin := max(1, t.bridge)
	return mpeg.Run{From: int(max(0, first-margin)), To: int(min(t.frames, last+margin))}
}

// snap takes a run to the beginning or the end of the file where its sound reaches that far.
func (t mp3Time) snap(r mpeg.Run) mpeg.Run {
	if int64(r.From)*t.samples <= t.offset {
		r.From = 0
	}
	if int64(r.To)*t.samples+t.reach >= t.offset+t.length {
		r.To = int(t.frames)
	}
	return r
}

// heard is the content that depends on the frames of a run. For a cut it is the content by which the
// file becomes shorter: the bridge takes up some of what the run took, and fades into the sound on
// both sides. What was asked for lies within it all the same, for the run has a margin.
func (t mp3Time) heard(r mpeg.Run) run {
	if t.bridge > 0 && (r.From > 0 || r.To < int(t.frames)) {
		h := run{(int64(r.From)+t.bridge)*t.samples - t.offset, int64(r.To)*t.samples - t.offset}
		switch {
		case r.To == int(t.frames):
			return run{int64(r.From)*t.samples - t.offset, t.length}
		case r.From == 0 && t.gapless: // players leave out the bridge and the fade
			return run{0, min(t.length, h.to+t.lead()-t.bridge*t.samples)}
		case r.From == 0:
			return run{0, h.to - t.bridge*t.samples}
		}
		return h
	}
	return run{
		max(0, int64(r.From)*t.samples-t.offset),
		max(0, min(t.length, int64(r.To)*t.samples+t.reach-t.offset)),
	}
}

// settle turns spans into runs of frames that can be taken out: closed under the bit reservoir,
// and so far apart that what is kept between two runs is heard.
func (t mp3Time) settle(s *mpeg.Stream, spans earshot.Spans, fill mpeg.Fill) ([]mpeg.Run, error) {
	var runs []mpeg.Run
	for _, r := range t.runs(spans, t.length) {
		runs = append(runs, t.cover(r))
	}
	if t.length == 0 && len(spans) > 0 {
		runs = []mpeg.Run{{From: 0, To: s.Len()}}
	}
	for changed := true; changed; {
		changed = false
		var out []mpeg.Run
		for _, r := range runs {
			closed, err := s.Close(s.Widen(t.snap(r), fill))
			if err != nil {
				return nil, err
			}
			changed = changed || closed != r
			if n := len(out); n > 0 && int64(closed.From)*t.samples <= int64(out[n-1].To)*t.samples+t.reach {
				out[n-1].From = min(out[n-1].From, closed.From)
				out[n-1].To = max(out[n-1].To, closed.To)
				changed = true
				continue
			}
			out = append(out, closed)
		}
		runs = out
	}
	return runs, nil
}

// lead is what players leave out behind a cut at the beginning: the bridge and its fade, as far as
// the 12 bits of a delay can tell.
func (t mp3Time) lead() int64 { return min(4095+529, t.bridge*t.samples+t.reach) }

func (mp3Codec) Inspect(src io.ReaderAt, size int64) (Info, error) {
	s, err := mpeg.Scan(src, size)
	if err != nil {
		return Info{}, err
	}
	t := newMP3Time(s, mpeg.Silence)
	return Info{
		Coding: earshot.CodingMP3, Format: mp3Format(s), SampleRate: s.Head.Rate, Channels: s.Head.Channels(),
		Length: t.endAt(t.length), Leaks: mp3Leaks(s),
	}, nil
}

func mp3Format(s *mpeg.Stream) string {
	version := map[int]string{mpeg.MPEG1: "1", mpeg.MPEG2: "2", mpeg.MPEG25: "2.5"}[s.Head.Version]
	rate := "variable bitrate"
	switch {
	case s.Head.Free:
		rate = "free format"
	case s.Fixed:
		rate = "constant bitrate"
	}
	return fmt.Sprintf("MPEG-%s layer %s, %s", version, "III"[:s.Head.Layer], rate)
}

func mp3Leaks(s *mpeg.Stream) []Leak {
	var leaks []Leak
	for _, g := range s.Gaps {
		what := map[string]string{
			"ID3v2":           "tags: names, comments, lyrics, chapters, pictures, transcripts",
			"ID3v1":           "tags: title, artist, comment",
			"APE":             "tags: any text or picture",
			"Lyrics3":         "lyrics or a transcript",
			"VBRI":            "sizes of all stretches of the stream",
			"truncated frame": "a frame that was cut short",
		}[g.Kind]
		if what == "" {
			what = "bytes that belong to no frame"
		}
		leaks = append(leaks, Leak{g.Kind, fmt.Sprintf("%s (%d bytes)", what, g.Size)})
	}
	if s.Info.Tells() {
		leaks = append(leaks, Leak{"LAME tag", "the peak and the gain of the whole recording"})
	}
	return leaks
}

func (mp3Codec) Redact(dst io.Writer, file io.ReaderAt, size int64, e Edit) (Report, error) {
	src := newSummedReader(file, size)
	s, err := mpeg.Scan(src, size)
	if err != nil {
		return Report{}, err
	}
	if err := agreeMP3(s, src, size); err != nil {
		return Report{}, err
	}
	fill := map[earshot.Fill]mpeg.Fill{earshot.FillSilence: mpeg.Silence, earshot.FillTone: mpeg.Tone, earshot.FillCut: mpeg.Cut}[e.Fill]
	t := newMP3Time(s, fill)
	runs, err := t.settle(s, e.Spans, fill)
	if err != nil {
		return Report{}, err
	}
	plan, err := s.Plan(runs, fill)
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Coding: earshot.CodingMP3, Fill: e.Fill, Asked: e.Spans, Stripped: mp3Leaks(s),
		BeforeBytes: size, Length: t.endAt(t.length),
	}
	for _, frames := range runs {
		if h := t.heard(frames); h.from < h.to {
			r.Erased = append(r.Erased, earshot.Span{Start: t.startAt(h.from), End: t.endAt(h.to)})
		}
	}
	if r.Before, err = src.digest(); err != nil {
		return Report{}, fmt.Errorf("reading the input: %w", err)
	}
	out := newHashingWriter(dst)
	defer out.stop()
	if err := plan.Write(out, src); err != nil {
		return Report{}, err
	}
	r.After, r.AfterBytes = out.digest(), out.written
	return r, nil
}

// agreeMP3 asks the proof's reader where it sees frames. Among junk two readers may differ, as
// players do; such a stream is refused before anything is made of it.
func agreeMP3(s *mpeg.Stream, src io.ReaderAt, size int64) error {
	head := s.Head.Bytes()
	w := newMP3Walk(src, size, head[:], false)
	for offset, n := range s.Places {
		u, ok, err := w.next()
		if err != nil {
			return err
		}
		if !ok || size-w.left != offset+int64(n) || len(u.lead)+u.slot != n {
			return opaque.At(offset, "two readers see different frames among junk")
		}
	}
	if _, more, err := w.next(); err != nil || more {
		return errors.Join(err, opaque.At(size-w.left, "two readers see different frames among junk"))
	}
	delay, padding, gapless := lameDelays(w.info, w.n)
	if w.fixed != s.Fixed || (w.info == nil) != (s.Info == nil) || gapless != s.Info.Gapless() ||
		gapless && (delay != int64(s.Info.Delay) || padding != int64(s.Info.Padding)) {
		return opaque.At(0, "two readers see different headers in the file")
	}
	return nil
}
