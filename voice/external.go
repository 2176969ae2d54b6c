package voice

import (
	"context"
	"slices"
	"time"

	"earshot"
)

// Detector is an engine for wake words that is not ours: a server, or a program of the operator's.
type Detector interface {
	// Name names the engine and all that its answers hang on, as far as that is known.
	Name() string
	// Detect finds wake words in pcm, mono and at [Rate]. Span and Erase of what it gives hold the word;
	// engines that tell only when they were sure of it give a wide one. An error, the end of ctx
	// included, means that nothing is known: it is never taken for "nothing found". It is safe for
	// concurrent use.
	Detect(ctx context.Context, pcm []float32) ([]Wake, error)
}

// Before and After are how far around the moment at which an engine was sure of a word the word is
// looked for: engines lag behind the word, and words last up to two seconds.
const (
	Before = 2500 * time.Millisecond
	After  = 200 * time.Millisecond
)

// Around is where the word is that an engine was sure of at the given moment.
func Around(moment, length time.Duration) earshot.Span {
	return earshot.Span{Start: max(0, min(moment, length)-Before), End: min(moment+After, length)}
}

// Join adds what another engine found. A word that was heard within the other's span is confirmed: its
// own, closer boundaries stay, what is erased covers both if the other's are as close, and an uncertain
// word counts as found. All else is added as it is.
func (h *Heard) Join(found []Wake) {
	for _, f := range found {
		if !f.Span.Valid() {
			continue
		}
		if !f.Erase.Valid() {
			f.Erase = f.Span
		}
		met := false
		for i := range h.Wakes {
			w := &h.Wakes[i]
			if w.Span.Start >= f.Span.End || f.Span.Start >= w.Span.End {
				continue
			}
			met = true
			w.Verdict = Found
			w.Score = max(w.Score, f.Score)
			if f.Span.Len() < Before { // a span, and no window around a moment
				w.Erase = earshot.Span{Start: min(w.Erase.Start, f.Erase.Start), End: max(w.Erase.End, f.Erase.End)}
			}
		}
		if !met {
			h.Wakes = append(h.Wakes, f)
		}
	}
	slices.SortStableFunc(h.Wakes, func(a, b Wake) int {
		switch {
		case a.Span.Start < b.Span.Start:
			return -1
		case a.Span.Start > b.Span.Start:
			return 1
		}
		return 0
	})
	h.CommandEnd = commandEnd(h.Wakes, h.Speech)
}
