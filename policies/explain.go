package policies

import (
	"fmt"
	"strings"
	"time"

	"earshot"
)

// Explanation tells a person why a policy says what it says.
type Explanation struct {
	Policy   string             `json:"policy"`
	Digest   earshot.Digest     `json:"digest"`
	At       time.Time          `json:"at"`
	Decision earshot.Decision   `json:"decision"`
	Rules    []RuleSaid         `json:"rules"`
	Timeline []earshot.Decision `json:"timeline"`
}

// RuleSaid is what one rule said.
type RuleSaid struct {
	Rule    string    `json:"rule"`
	Applies bool      `json:"applies"`
	From    time.Time `json:"from,omitzero"` // it begins to apply then
	Text    string    `json:"text"`
	Because string    `json:"because,omitempty"`
}

// Explain goes through the policy for one recording.
func (p *Policy) Explain(f earshot.Facts, now time.Time) Explanation {
	e := Explanation{Policy: p.Name(), Digest: p.digest, At: now.UTC(), Decision: p.Decide(f, now), Timeline: p.Timeline(f)}
	verdicts := p.evaluate(&f)
	for i := range p.rules {
		r := &p.rules[i]
		said := RuleSaid{Rule: r.name, Because: r.because, Text: "not reached: a rule before it ends the search"}
		if i < len(verdicts) {
			v := &verdicts[i]
			said.Applies, said.From, said.Text = v.applies(now), v.from, v.said
			if said.Text == "" {
				said.Text = v.text()
			}
		}
		e.Rules = append(e.Rules, said)
	}
	return e
}

// String is the explanation for people.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "policy %s (%s), as of %s: %s, by %s\n", e.Policy, e.Digest.Short(), date(e.At), e.Decision.Disposition, e.Decision.Rule)
	for _, r := range e.Decision.Reasons {
		fmt.Fprintf(&b, "  because %s", r.Text)
		if r.Because != "" {
			fmt.Fprintf(&b, " [%s]", r.Because)
		}
		b.WriteByte('\n')
	}
	for _, red := range e.Decision.Redactions {
		fmt.Fprintf(&b, "  erase %s (%s)\n", red.Spans, red.Fill)
	}
	if len(e.Decision.Missing) > 0 {
		fmt.Fprintf(&b, "  to be found out: %s\n", strings.Join(e.Decision.Missing, ", "))
	}
	b.WriteString("rules:\n")
	for _, r := range e.Rules {
		mark := "-"
		if r.Applies {
			mark = "*"
		}
		fmt.Fprintf(&b, "  %s %s: %s\n", mark, r.Rule, r.Text)
	}
	b.WriteString("timeline:\n")
	for _, d := range e.Timeline {
		from, to := "since ever", "for ever"
		if !d.Since.IsZero() {
			from = "from " + date(d.Since)
		}
		if !d.Until.IsZero() {
			to = "until " + date(d.Until)
		}
		fmt.Fprintf(&b, "  %s %s: %s (%s)\n", from, to, d.Disposition, d.Rule)
	}
	return b.String()
}
