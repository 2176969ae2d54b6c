package retention

import (
	"time"

	"earshot"
)

// shifts maps between the timeline of a recording as it was first stored, in which facts and
// erased spans are kept, and the one that it has after cuts. It holds the cut spans, merged, in
// the first timeline.
type shifts earshot.Spans

func cuts(rs []earshot.Redaction) shifts {
	var out earshot.Spans
	for _, red := range rs {
		if red.Fill == earshot.FillCut {
			out = append(out, red.Spans...)
		}
	}
	return shifts(out.Merge())
}

// toCurrent maps spans to the sound as it is now; what was cut already vanishes.
func (s shifts) toCurrent(spans earshot.Spans) earshot.Spans {
	if len(s) == 0 {
		return spans
	}
	move := func(t time.Duration) time.Duration {
		if t == earshot.ToEnd {
			return t
		}
		gone := time.Duration(0)
		for _, c := range s {
			if c.Start >= t {
				break
			}
			gone += min(c.End, t) - c.Start
		}
		return t - gone
	}
	out := make(earshot.Spans, 0, len(spans))
	for _, span := range spans {
		out = append(out, earshot.Span{Start: move(span.Start), End: move(span.End)})
	}
	return out.Merge()
}

// toFirst maps spans of the sound as it is now back to the first timeline. A span that reaches
// over a place where something was cut covers the cut too.
func (s shifts) toFirst(spans earshot.Spans) earshot.Spans {
	if len(s) == 0 {
		return spans
	}
	move := func(t time.Duration, after bool) time.Duration {
		if t == earshot.ToEnd {
			return t
		}
		for _, c := range s {
			if c.End == earshot.ToEnd || c.Start > t || c.Start == t && !after {
				break
			}
			t += c.Len()
		}
		return t
	}
	out := make(earshot.Spans, 0, len(spans))
	for _, span := range spans {
		out = append(out, earshot.Span{Start: move(span.Start, true), End: move(span.End, false)})
	}
	return out.Merge()
}
