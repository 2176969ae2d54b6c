package policies

import (
	"time"

	"earshot"
)

// spanName is a stretch of sound that a rule names.
type spanName uint8

const (
	beforeWakeWord spanName = iota
	theWakeWord
	afterWakeWord
	afterCommand
	childSpeech
	everything
	explicit
)

var spanNames = []string{"before-wake-word", "wake-word", "after-wake-word", "after-command", "child-speech", "everything"}

type span struct {
	name spanName
	at   earshot.Span // for explicit
}

// resolve appends what the rule's spans are in this recording, unpadded, and says which facts are
// missing to tell. Where several wake words were heard, before is before the first and after is
// after the last.
func (r *rule) resolve(s *sight, out earshot.Spans) (earshot.Spans, unknowns) {
	var gaps unknowns
	for _, x := range r.spans {
		switch x.name {
		case beforeWakeWord:
			v, st := s.get(wakeStart)
			out, gaps = stretch(out, 0, time.Duration(v.i), st, gaps, wakeStart)
		case afterWakeWord:
			_, st := s.get(wakeEnd)
			out, gaps = stretch(out, s.wake.last.End, earshot.ToEnd, st, gaps, wakeEnd)
		case afterCommand:
			v, st := s.get(speechCommandEnd)
			out, gaps = stretch(out, time.Duration(v.i), earshot.ToEnd, st, gaps, speechCommandEnd)
		case theWakeWord:
			out, gaps = s.wake.every(out, s, wakeStart, gaps)
		case childSpeech:
			out, gaps = s.child.every(out, s, childSegments, gaps)
		case everything:
			out = append(out, earshot.Span{End: earshot.ToEnd})
		case explicit:
			out = append(out, x.at)
		}
	}
	return out, gaps
}

// stretch appends [start, end) if it is known and not empty.
func stretch(out earshot.Spans, start, end time.Duration, st standing, gaps unknowns, x fact) (earshot.Spans, unknowns) {
	at := earshot.Span{Start: start, End: end}
	switch {
	case st != present:
		return out, gaps | only(x)
	case at.Valid():
		return append(out, at), gaps
	}
	return out, gaps
}

// every appends all findings of the kind if where they are is known.
func (h *heard) every(out earshot.Spans, s *sight, x fact, gaps unknowns) (earshot.Spans, unknowns) {
	if _, st := s.get(x); st != present {
		return out, gaps | only(x)
	}
	for i := range h.findings {
		if f := &h.findings[i]; f.Kind == h.kind || f.Kind == "" {
			out = append(out, f.Span)
		}
	}
	return out, gaps
}

// erases says whether the rule has something left to erase: not where its spans are empty, lie
// behind the end, or have been erased already.
func (r *rule) erases(s *sight) (bool, unknowns) {
	var room [4]earshot.Span
	spans, gaps := r.resolve(s, room[:0])
	if gaps != 0 {
		return true, gaps
	}
	if len(s.f.Erased) == 0 {
		for i := range spans {
			if s.f.Length <= 0 || spans[i].Start-r.pad < s.f.Length {
				return true, 0
			}
		}
		return false, 0
	}
	// A copy, so that room above stays on the stack.
	want := r.widened(append(make(earshot.Spans, 0, len(spans)), spans...))
	if s.f.Length > 0 {
		want = want.Clip(s.f.Length)
	}
	return len(want) > 0 && !s.f.Erased.Covers(want), 0
}

// widened pads spans and puts them in canonical form.
func (r *rule) widened(spans earshot.Spans) earshot.Spans {
	if r.pad == 0 && len(spans) == 1 && spans[0].Valid() {
		return spans
	}
	return spans.Pad(r.pad, r.pad)
}

// redactions gives what the rules in the set erase, one element per fill.
func (p *Policy) redactions(s *sight, set uint64) []earshot.Redaction {
	var out []earshot.Redaction
	for i := range p.rules {
		r := &p.rules[i]
		if set&(1<<i) == 0 {
			continue
		}
		spans, _ := r.resolve(s, make(earshot.Spans, 0, len(r.spans)))
		out = addRedaction(out, r.fill, r.widened(spans))
	}
	return out
}

// addRedaction joins spans to those of the same fill.
func addRedaction(out []earshot.Redaction, fill earshot.Fill, spans earshot.Spans) []earshot.Redaction {
	for i := range out {
		if out[i].Fill == fill {
			out[i].Spans = append(append(earshot.Spans(nil), out[i].Spans...), spans...).Merge()
			return out
		}
	}
	return append(out, earshot.Redaction{Spans: spans, Fill: fill})
}

func (c *compiler) spans(path string, names []string) []span {
	var out []span
	for i, text := range names {
		if n := index(spanNames, text); n >= 0 {
			out = append(out, span{name: spanName(n)})
			continue
		}
		at, err := earshot.ParseSpan(text)
		switch {
		case err == nil:
			out = append(out, span{explicit, at})
		case text != "" && (text[0] >= '0' && text[0] <= '9' || text[0] == '-'):
			c.add(elem(path, i), "%s", err)
		default:
			c.add(elem(path, i), "unknown span %q%s", text, meant(text, append(append([]string(nil), spanNames...), "1s-2.5s")))
		}
	}
	return out
}
