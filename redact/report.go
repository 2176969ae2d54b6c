package redact

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"earshot"
)

// Leak is one thing in a file, besides its sound, that tells or could tell something.
type Leak struct {
	Where string `json:"where"` // chunk, tag or field, such as LIST/adtl
	What  string `json:"what"`  // what such a thing may hold; never its content
}

// Info is what [Inspect] finds.
type Info struct {
	Coding     earshot.Coding `json:"coding"`
	Format     string         `json:"format"`      // for people: "PCM 16 bit", "MPEG-1 layer III", ...
	SampleRate int            `json:"sample_rate"` // Hz
	Channels   int            `json:"channels"`
	Length     time.Duration  `json:"length_ns"`
	Leaks      []Leak         `json:"leaks"`
}

// Report is what a redaction did.
type Report struct {
	Coding earshot.Coding
	Fill   earshot.Fill
	Asked  earshot.Spans // merged; a span may reach earshot.ToEnd
	// Erased is what was really erased, in the input's timeline, widened to the coding's grain. Where
	// it was cut, the output is shorter by exactly these spans; a lossy coding's sound may fade within
	// 50 ms of the joint (GRAIN.md).
	Erased      earshot.Spans
	Stripped    []Leak
	Before      earshot.Digest // SHA-256 of the input
	After       earshot.Digest // SHA-256 of the output
	BeforeBytes int64
	AfterBytes  int64
	Length      time.Duration // of the input's sound
	Verified    bool          // set by the caller when Verify returned nil
	Heard       *Hearing      // filled in by Verify; nil if it is not to
}

type reportJSON struct {
	Coding      earshot.Coding `json:"coding"`
	Fill        earshot.Fill   `json:"fill"`
	Asked       []spanJSON     `json:"asked"`
	Erased      []spanJSON     `json:"erased"`
	Stripped    []Leak         `json:"stripped"`
	Before      earshot.Digest `json:"before_sha256"`
	After       earshot.Digest `json:"after_sha256"`
	BeforeBytes int64          `json:"before_bytes"`
	AfterBytes  int64          `json:"after_bytes"`
	Length      milliseconds   `json:"length_ms"`
	Verified    bool           `json:"verified"`
	Heard       *Hearing       `json:"decode_check,omitempty"`
}

// spanJSON has no end_ms where the span reaches to the end.
type spanJSON struct {
	Start milliseconds  `json:"start_ms"`
	End   *milliseconds `json:"end_ms,omitempty"`
}

// milliseconds writes a duration as decimal milliseconds, exact to the nanosecond.
type milliseconds time.Duration

func (m milliseconds) MarshalJSON() ([]byte, error) {
	if m < 0 {
		return nil, fmt.Errorf("negative time %d ns", int64(m))
	}
	text := fmt.Sprintf("%d.%06d", int64(m)/1e6, int64(m)%1e6)
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}

func (m *milliseconds) UnmarshalJSON(text []byte) error {
	whole, part, _ := strings.Cut(string(text), ".")
	if len(part) > 6 {
		return fmt.Errorf("milliseconds %s: more than 6 decimals", text)
	}
	ns, err := strconv.ParseInt(whole+part+strings.Repeat("0", 6-len(part)), 10, 64)
	if err != nil {
		return fmt.Errorf("milliseconds %s: %w", text, err)
	}
	*m = milliseconds(ns)
	return nil
}

func spansToJSON(spans earshot.Spans) []spanJSON {
	out := make([]spanJSON, 0, len(spans))
	for _, s := range spans {
		j := spanJSON{Start: milliseconds(s.Start)}
		if s.End != earshot.ToEnd {
			end := milliseconds(s.End)
			j.End = &end
		}
		out = append(out, j)
	}
	return out
}

func spansFromJSON(spans []spanJSON) earshot.Spans {
	var out earshot.Spans
	for _, j := range spans {
		s := earshot.Span{Start: time.Duration(j.Start), End: earshot.ToEnd}
		if j.End != nil {
			s.End = time.Duration(*j.End)
		}
		out = append(out, s)
	}
	return out
}

// MarshalJSON writes the report as `earshot redact --json` prints it, times in decimal
// milliseconds.
func (r Report) MarshalJSON() ([]byte, error) {
	stripped := r.Stripped
	if stripped == nil {
		stripped = []Leak{}
	}
	return json.Marshal(reportJSON{
		r.Coding, r.Fill, spansToJSON(r.Asked), spansToJSON(r.Erased), stripped,
		r.Before, r.After, r.BeforeBytes, r.AfterBytes, milliseconds(r.Length), r.Verified, r.Heard,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Report) UnmarshalJSON(text []byte) error {
	var j reportJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return fmt.Errorf("redaction report: %w", err)
	}
	*r = Report{
		j.Coding, j.Fill, spansFromJSON(j.Asked), spansFromJSON(j.Erased), j.Stripped,
		j.Before, j.After, j.BeforeBytes, j.AfterBytes, time.Duration(j.Length), j.Verified, j.Heard,
	}
	return nil
}
