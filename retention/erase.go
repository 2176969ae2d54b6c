package retention

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"earshot"
	"earshot/redact"
)

// erase applies the decision's redactions, cuts last since they move what follows, and verifies
// each step.
func (w *redaction) erase(src *os.File) (*os.File, error) {
	order := slices.Clone(w.a.Decision.Redactions)
	slices.SortStableFunc(order, func(x, y earshot.Redaction) int { return rank(x.Fill) - rank(y.Fill) })
	history := cuts(w.known.Erased)
	for _, red := range order {
		size, err := src.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, err
		}
		dst, err := w.spool()
		if err != nil {
			return nil, err
		}
		spans := history.toCurrent(red.Spans)
		report, err := redact.Redact(dst, src, size, redact.Edit{Spans: spans, Fill: red.Fill})
		if err != nil {
			return nil, err
		}
		if err := misplaced(spans, report.Length); err != nil {
			return nil, err
		}
		written, err := dst.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, err
		}
		if err := redact.Verify(src, size, dst, written, report); err != nil {
			return nil, err
		}
		if w.length == 0 && len(history) == 0 {
			w.length = report.Length
		}
		really := toTheEnd(report.Erased, report.Length)
		w.erased = append(w.erased, earshot.Redaction{Fill: red.Fill, Spans: append(history.toFirst(really), red.Spans...).Merge()})
		w.steps = append(w.steps, report)
		w.after = report.After
		src = dst
	}
	return src, nil
}

// behindEnd is how far behind the end of the sound a span may begin: by rounding, and where a word is the last
// that is heard.
const behindEnd = time.Second

// errMisplaced: nothing of what is to be erased lies in the recording.
var errMisplaced = errors.New("what is to be erased lies behind the end of the recording")

// misplaced refuses spans that lie behind the end of the sound, all of them: whoever told of them told of another
// recording, and that nothing was erased must not pass for a redaction.
func misplaced(spans earshot.Spans, length time.Duration) error {
	for _, s := range spans {
		if s.Start < length+behindEnd {
			return nil
		}
	}
	if len(spans) == 0 {
		return nil
	}
	return fmt.Errorf("%w: it begins at %s, and that ends at %s", errMisplaced, spans[0].Start, length)
}

func rank(f earshot.Fill) int {
	if f == earshot.FillCut {
		return 1
	}
	return 0
}

// toTheEnd lets a span that ends with the sound reach to the end, however a later reader measures
// the length.
func toTheEnd(spans earshot.Spans, length time.Duration) earshot.Spans {
	out := slices.Clone(spans)
	for i := range out {
		if out[i].End >= length {
			out[i].End = earshot.ToEnd
		}
	}
	return out
}
