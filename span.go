package earshot

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// ToEnd is the End of a span that reaches to the end of the recording, however long that is.
const ToEnd = time.Duration(math.MaxInt64)

// Span is a stretch of sound [Start, End), measured from the first sample of the recording.
// Start is at least 0 and End is greater than Start, or [ToEnd].
type Span struct {
	Start time.Duration `json:"start"`
	End   time.Duration `json:"end"`
}

// Valid reports whether the span is a non-empty interval that begins at or after 0.
func (s Span) Valid() bool { return s.Start >= 0 && s.End > s.Start }

// Len is the length of the span. It means nothing for a span that reaches [ToEnd].
func (s Span) Len() time.Duration { return s.End - s.Start }

// String gives the span as the command line writes it: "1s-2.5s", and "7s-" up to the end.
func (s Span) String() string {
	if s.End == ToEnd {
		return s.Start.String() + "-"
	}
	return s.Start.String() + "-" + s.End.String()
}

// ParseSpan reads "1s-2.5s", "250ms-1s", "7s-" (to the end) or "-2s" (from the start).
func ParseSpan(text string) (Span, error) {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		return Span{}, fmt.Errorf("span %q: want START-END such as 1s-2.5s, or 7s- for the rest", text)
	}
	s := Span{End: ToEnd}
	var err error
	if from != "" {
		if s.Start, err = time.ParseDuration(from); err != nil {
			return Span{}, fmt.Errorf("span %q: start: %w", text, err)
		}
	}
	if to != "" {
		if s.End, err = time.ParseDuration(to); err != nil {
			return Span{}, fmt.Errorf("span %q: end: %w", text, err)
		}
	}
	if !s.Valid() {
		return Span{}, fmt.Errorf("span %q: the end must come after the start, and neither may be negative", text)
	}
	return s, nil
}

// Spans is a set of spans. Its methods take any order and overlap; [Spans.Merge] gives the
// canonical form: sorted, disjoint, not touching.
type Spans []Span

// Merge returns the same sound in canonical form. Invalid spans are left out.
func (s Spans) Merge() Spans {
	sorted := make(Spans, 0, len(s))
	for _, span := range s {
		if span.Valid() {
			sorted = append(sorted, span)
		}
	}
	slices.SortFunc(sorted, func(a, b Span) int {
		if a.Start != b.Start {
			return cmpDuration(a.Start, b.Start)
		}
		return cmpDuration(a.End, b.End)
	})
	out := sorted[:0]
	for _, span := range sorted {
		if n := len(out); n > 0 && span.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, span.End)
			continue
		}
		out = append(out, span)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Pad widens every span by before and after, and merges. Starts stop at 0.
func (s Spans) Pad(before, after time.Duration) Spans {
	out := make(Spans, 0, len(s))
	for _, span := range s {
		span.Start = max(0, span.Start-before)
		if span.End <= ToEnd-after {
			span.End += after
		} else {
			span.End = ToEnd
		}
		out = append(out, span)
	}
	return out.Merge()
}

// Covers reports whether every moment of other lies within s.
func (s Spans) Covers(other Spans) bool {
	have := s.Merge()
	for _, want := range other.Merge() {
		i := slices.IndexFunc(have, func(h Span) bool { return h.Start <= want.Start && want.Start < h.End })
		if i < 0 || have[i].End < want.End {
			return false
		}
	}
	return true
}

// Overlaps reports whether any moment of [start, end) lies within s.
func (s Spans) Overlaps(start, end time.Duration) bool {
	return slices.ContainsFunc(s, func(h Span) bool { return h.Valid() && h.Start < end && start < h.End })
}

// Clip cuts s to [0, length) and merges; a span that reaches [ToEnd] then ends at length.
func (s Spans) Clip(length time.Duration) Spans {
	out := make(Spans, 0, len(s))
	for _, span := range s {
		span.End = min(span.End, length)
		out = append(out, span)
	}
	return out.Merge()
}

// Total is the length of the sound covered, each moment counted once. It is [ToEnd] if any span
// reaches to the end.
func (s Spans) Total() time.Duration {
	var sum time.Duration
	for _, span := range s.Merge() {
		if span.End == ToEnd {
			return ToEnd
		}
		sum += span.Len()
	}
	return sum
}

// String lists the spans separated by commas.
func (s Spans) String() string {
	parts := make([]string, len(s))
	for i, span := range s {
		parts[i] = span.String()
	}
	return strings.Join(parts, ",")
}

func cmpDuration(a, b time.Duration) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
