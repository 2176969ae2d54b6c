package voice

import (
	"context"
	"slices"
	"strings"
	"time"

	"earshot"
)

// Detector is an engine for wake words that is not ours: a server, or a program of the operator's.
type Detector interface {
	// Name names the engine and all that its answers hang on, as far as that is known.
	Name() string
	// Detect finds wake words in pcm, mono and at [Rate]. Span and Erase of what it gives hold the word;
	// engines that tell only when they were sure of it give a loose one. An error, the end of ctx
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

// lag is how long an engine may take to be sure of a word that has ended.
const lag = time.Second

// Join adds what another engine found. A word of the same name that was heard there is confirmed: its
// own, closer boundaries stay, what is erased covers both unless the other's are loose, and an uncertain
// word counts as found. So does a word of another name that lies there by half, but then both stay: nobody
// can tell which of them it was. All else is added as it is.
func (h *Heard) Join(found []Wake) {
	for _, f := range found {
		if !f.Span.Valid() {
			continue
		}
		if !f.Erase.Valid() {
			f.Erase = f.Span
		}
		known := false
		for i := range h.Wakes {
			if w := &h.Wakes[i]; w.meets(f) {
				w.confirm(f)
				known = known || w.named(f)
			}
		}
		if !known {
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

// meets tells whether both may be one occurrence of a word.
func (w Wake) meets(f Wake) bool {
	shared := min(w.Span.End, f.Span.End) - max(w.Span.Start, f.Span.Start)
	switch {
	case shared <= 0:
		return false
	case w.Loose && f.Loose:
		return w.named(f) && (w.Moment == 0 || f.Moment == 0 || (w.Moment-f.Moment).Abs() <= lag)
	case f.Loose:
		return w.named(f) && f.sureOf(w.Span)
	case w.Loose:
		return w.named(f) && w.sureOf(f.Span)
	}
	return w.named(f) || 2*shared >= min(w.Span.Len(), f.Span.Len())
}

// named tells whether both have the same name: engines write hey_nabu for hey nabu, and devices may give none.
func (w Wake) named(f Wake) bool {
	spaced := strings.NewReplacer("_", " ", "-", " ")
	return w.Word == "" || f.Word == "" || spaced.Replace(w.Word) == spaced.Replace(f.Word)
}

// sureOf tells whether the moment of a loose word, if it has one, is that of a word at the span.
func (w Wake) sureOf(span earshot.Span) bool {
	return w.Moment == 0 || span.End >= w.Moment-lag && span.End <= w.Moment+After
}

// confirm takes over from f what is better known.
func (w *Wake) confirm(f Wake) {
	w.Verdict, w.Score = Found, max(w.Score, f.Score)
	switch {
	case f.Loose:
	case w.Loose:
		w.Span, w.Erase, w.Loose, w.Moment = f.Span, f.Erase, false, 0
	default:
		w.Erase = earshot.Span{Start: min(w.Erase.Start, f.Erase.Start), End: max(w.Erase.End, f.Erase.End)}
	}
}
