package redact

import (
	"math/bits"
	"time"

	"earshot"
)

// clock turns times into positions (samples per channel) and back. A position's time is rounded
// to the nearest nanosecond, and a time within half a nanosecond of a position is that position,
// so that Erased spans name the same samples when they come back.
type clock struct{ rate int64 } // samples per second, 1 to 1e8

// run is a stretch of samples, blocks or frames [from, to).
type run struct{ from, to int64 }

// floor is the last position at or before t.
func (c clock) floor(t time.Duration) int64 {
	hi, lo := bits.Mul64(2*uint64(t)+1, uint64(c.rate))
	q, _ := bits.Div64(hi, lo, 2e9)
	return int64(q)
}

// ceil is the first position at or after t.
func (c clock) ceil(t time.Duration) int64 {
	if t <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(2*uint64(t)-1, uint64(c.rate))
	q, rest := bits.Div64(hi, lo, 2e9)
	if rest > 0 {
		q++
	}
	return int64(q)
}

// startAt is the time of position n, exact halves rounded down.
func (c clock) startAt(n int64) time.Duration { return c.at(n, uint64(c.rate)-1) }

// endAt is the time of position n, exact halves rounded up.
func (c clock) endAt(n int64) time.Duration { return c.at(n, uint64(c.rate)) }

// at is floor((2e9*n + half) / (2*rate)).
func (c clock) at(n int64, half uint64) time.Duration {
	hi, lo := bits.Mul64(uint64(n), 2e9)
	lo, carry := bits.Add64(lo, half, 0)
	hi += carry
	if hi >= 2*uint64(c.rate) {
		return earshot.ToEnd - 1
	}
	q, _ := bits.Div64(hi, lo, 2*uint64(c.rate))
	return time.Duration(min(q, uint64(earshot.ToEnd-1)))
}

// runs are the samples that spans touch, clipped to [0, total), merged and in order.
func (c clock) runs(spans earshot.Spans, total int64) []run {
	var out []run
	for _, s := range spans.Merge() {
		r := run{c.floor(s.Start), total}
		if s.End != earshot.ToEnd {
			r.to = min(total, c.ceil(s.End))
		}
		out = appendRun(out, r)
	}
	return out
}

// spans is the inverse of runs.
func (c clock) spans(runs []run) earshot.Spans {
	var out earshot.Spans
	for _, r := range runs {
		out = append(out, earshot.Span{Start: c.startAt(r.from), End: c.endAt(r.to)})
	}
	return out
}

// appendRun adds a run that begins at or after the last one's start, merging what touches.
func appendRun(runs []run, r run) []run {
	if r.from >= r.to {
		return runs
	}
	if n := len(runs); n > 0 && r.from <= runs[n-1].to {
		runs[n-1].to = max(runs[n-1].to, r.to)
		return runs
	}
	return append(runs, r)
}

// widen rounds runs outwards to multiples of grain, clipped to total.
func widen(runs []run, grain, total int64) []run {
	if grain == 1 {
		return runs
	}
	var out []run
	for _, r := range runs {
		out = appendRun(out, run{r.from / grain * grain, min(total, (r.to+grain-1)/grain*grain)})
	}
	return out
}
