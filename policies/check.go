package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"earshot"
)

// Result is how a case went.
type Result struct {
	Case   string   `json:"case"`
	Faults []string `json:"faults,omitempty"`
	Rule   string   `json:"rule"`  // that decided
	Rules  []string `json:"rules"` // that had a say, so that one can see which rules no case reaches
}

// OK reports whether the case went as expected.
func (r Result) OK() bool { return len(r.Faults) == 0 }

// String is one line for people.
func (r Result) String() string {
	if r.OK() {
		return fmt.Sprintf("ok    %s (%s)", r.Case, r.Rule)
	}
	return fmt.Sprintf("FAIL  %s: %s", r.Case, strings.Join(r.Faults, "; "))
}

// Check runs cases against a policy. It is what `earshot policy test` and our own tests run.
func Check(p *Policy, c *Cases) []Result {
	out := make([]Result, 0, len(c.Cases))
	for _, one := range c.Cases {
		d := p.Decide(one.Facts, one.Now)
		r := Result{Case: one.Name, Rule: d.Rule, Faults: one.Expect.faults(d)}
		for _, reason := range d.Reasons {
			r.Rules = append(r.Rules, reason.Rule)
		}
		out = append(out, r)
	}
	for _, one := range c.Rows {
		out = append(out, checkRow(p, one))
	}
	return out
}

// Unreached lists the rules that no case reached: those that had no say in any of the results.
func (p *Policy) Unreached(results []Result) []string {
	var out []string
	var names []string
	for i := range p.rules {
		names = append(names, p.rules[i].name)
	}
	for i := range p.rows {
		names = append(names, p.rows[i].rule.Name)
	}
	for _, name := range names {
		if !slices.ContainsFunc(results, func(r Result) bool { return slices.Contains(r.Rules, name) }) {
			out = append(out, name)
		}
	}
	return out
}

func (e Expectation) faults(d earshot.Decision) []string {
	var faults []string
	differ := func(what, got, want string) {
		if got != want {
			faults = append(faults, fmt.Sprintf("%s is %s, want %s", what, or(got, "none"), or(want, "none")))
		}
	}
	differ("disposition", d.Disposition.String(), e.Disposition.String())
	if e.Rule != "" {
		differ("rule", d.Rule, e.Rule)
	}
	var spans earshot.Spans
	var fills []string
	for _, r := range d.Redactions {
		spans, fills = append(spans, r.Spans...), append(fills, string(r.Fill))
	}
	if e.Spans != "" {
		differ("spans", spans.Merge().String(), e.Spans)
	}
	if e.Fill != "" {
		differ("fill", strings.Join(fills, ","), e.Fill)
	}
	if !e.Since.IsZero() && !e.Since.Equal(d.Since) {
		differ("since", moment(d.Since), moment(e.Since))
	}
	if e.Forever || !e.Until.IsZero() && !e.Until.Equal(d.Until) {
		differ("until", moment(d.Until), moment(e.Until))
	}
	if e.Missing != nil {
		differ("missing", strings.Join(d.Missing, ","), strings.Join(slices.Sorted(slices.Values(e.Missing)), ","))
	}
	for _, class := range slices.Sorted(maps.Keys(e.Companions)) {
		differ("companion "+class, string(d.Companions[class]), e.Companions[class])
	}
	if !slices.ContainsFunc(d.Reasons, func(r earshot.Reason) bool { return strings.Contains(r.Text, e.Reason) }) {
		faults = append(faults, fmt.Sprintf("no reason says %q", e.Reason))
	}
	return faults
}

// moment writes a date, and never for the zero one.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return day(t)
}
