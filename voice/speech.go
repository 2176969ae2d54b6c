package voice

import (
	"math"
	"time"

	"earshot"
	"earshot/voice/internal/child"
	"earshot/voice/internal/sound"
)

const (
	// speechMargin is what a speech span is wider than its loud frames: soft ends of words.
	speechMargin = 80 * time.Millisecond
	// commandPause is the silence that ends a command.
	commandPause = 900 * time.Millisecond
	// commandDelay is how long after the wake word a command may begin.
	commandDelay = 3 * time.Second
	// wordTail is how far the speech of the wake word may reach beyond its end.
	wordTail = 250 * time.Millisecond
	// A stretch is speech if this many frames, and this share of it, are voiced.
	leastVoicedFrames = 6
	leastVoicedShare  = 0.12
	// A stretch whose level hardly changes is a tone, a fan or a mains hum: the standard deviation of
	// speech in decibels is several times this.
	leastLevelSpread = 1.5
)

// listenToSpeech adds the speech of the block that was analysed last, with the voices in it.
func (l *Listener) listenToSpeech(h *Heard, offset time.Duration) {
	a := l.analysis
	heard := time.Duration(0) // how far the block before has told
	if n := len(h.Speech); n > 0 {
		heard = h.Speech[n-1].End
	}
	for _, s := range child.Stretches(a) {
		if !isSpeech(a, s) {
			continue
		}
		span := earshot.Span{Start: offset + frameTime(s.From), End: offset + frameTime(s.To)}
		// In the overlap of two blocks a stretch may have been heard, or begun: only the rest of it is new.
		if span.Start = max(span.Start, heard); !span.Valid() {
			continue
		}
		h.Speech = append(h.Speech, span)
		h.Segments = append(h.Segments, l.segment(s, span))
	}
	if offset == 0 {
		l.whole(h)
	}
}

// isSpeech tells speech from noises that stand out as much.
func isSpeech(a *sound.Analysis, s child.Stretch) bool {
	voiced, active, sum, square := 0, 0.0, 0.0, 0.0
	for t := s.From; t < s.To; t++ {
		if a.Voiced(t) {
			voiced++
		}
		if a.Active[t] {
			v := float64(a.Level[t])
			active, sum, square = active+1, sum+v, square+v*v
		}
	}
	mean := sum / max(1, active)
	spread := math.Sqrt(max(0, square/max(1, active)-mean*mean))
	return voiced >= leastVoicedFrames && float64(voiced) >= leastVoicedShare*float64(s.To-s.From) && spread >= leastLevelSpread
}

// segment judges one stretch.
func (l *Listener) segment(s child.Stretch, span earshot.Span) Segment {
	out := Segment{Span: span}
	if parts, ok := l.judge.Score(l.analysis, s.From, s.To); ok {
		out.Known, out.logit = true, parts.Logit()
	}
	out.Voice = l.tuning.Segment.judge(out.Voice)
	return out
}

// whole judges a recording of one block as one stretch, from its first speech to its last: the
// networks do better on one long stretch than on pieces. Longer recordings are pooled from pieces.
func (l *Listener) whole(h *Heard) {
	if len(h.Segments) == 0 || h.Length > wholeAtMost {
		return
	}
	first, last := h.Segments[0].Span.Start, h.Segments[len(h.Segments)-1].Span.End
	parts, ok := l.judge.Score(l.analysis, int(first/frameTime(1)), int(last/frameTime(1)))
	if ok {
		h.Voice.Known, h.Voice.logit = true, parts.Logit()
	}
}

// wholeAtMost is the longest recording that is judged as one stretch: the networks were taught on
// sentences.
const wholeAtMost = 12 * time.Second

// commandEnd is the end of the speech after the first wake word that was found, up to a pause.
func commandEnd(wakes []Wake, speech earshot.Spans) time.Duration {
	for _, w := range wakes {
		if w.Verdict != Found {
			continue
		}
		end := time.Duration(0)
		for _, s := range speech.Merge() {
			switch {
			case s.End <= w.Span.End+wordTail: // the word itself
			case end == 0 && s.Start <= w.Span.End+commandDelay:
				end = s.End
			case end != 0 && s.Start-end <= commandPause:
				end = s.End
			}
		}
		return end
	}
	return 0
}
