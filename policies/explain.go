package policies

import (
	"fmt"
	"strings"
	"time"

	"earshot"
)

// Explanation tells a person why a policy says what it says of one recording.
type Explanation struct {
	Policy   string             `json:"policy"`
	Digest   earshot.Digest     `json:"digest"`
	At       time.Time          `json:"at"`
	Decision earshot.Decision   `json:"decision"`
	Law      []LawSaid          `json:"law"`
	Rules    []RuleSaid         `json:"rules"`
	Timeline []earshot.Decision `json:"timeline"`
	// Changes is by what the decision would be another one.
	Changes []Otherwise `json:"changes,omitempty"`
}

// LawSaid is one step of the law in the code, in order of precedence.
type LawSaid struct {
	Law     string    `json:"law"`
	Applies bool      `json:"applies"`
	Until   time.Time `json:"until,omitzero"` // it ends by itself then
	Text    string    `json:"text"`
}

// How a rule stands.
const (
	Applies   = "applies"   // it acts now
	Waits     = "waits"     // it will act later
	Undecided = "undecided" // what is missing decides whether it acts
	Silent    = "silent"    // it says nothing
	Unreached = "unreached" // the search ended before it
)

// RuleSaid is what one rule said.
type RuleSaid struct {
	Rule    string              `json:"rule"`
	Stands  string              `json:"stands"` // Applies, Waits, Undecided, Silent or Unreached
	Decides bool                `json:"decides,omitempty"`
	Then    earshot.Disposition `json:"then"`
	From    time.Time           `json:"from,omitzero"` // its period ends and it acts then
	Text    string              `json:"text"`
	Because string              `json:"because,omitempty"`
	// Facts are what the condition read, as path = value.
	Facts []string `json:"facts,omitempty"`
}

// Explain goes through the policy for one recording: the law, every rule, the decision, the future.
// Unlike a decision it shows values of facts, such as a device's name: show it to those only who may
// know them, and do not log it.
func (p *Policy) Explain(f earshot.Facts, now time.Time) Explanation {
	w := p.prepare(&f)
	defer p.release(w)
	s, states := &w.sight, &w.states
	e := Explanation{
		Policy: p.Name(), Digest: p.digest, At: now.UTC(),
		Decision: p.Decide(f, now), Law: s.explainLaw(now), Timeline: p.timeline(w), Changes: p.WhatWouldChange(f, now),
	}
	ended := ""
	if l, ok := s.lawAt(now); ok {
		ended = "not asked: " + l.name() + " comes before rules"
	}
	for i := range p.rules {
		said := p.explainRule(s, &states[i], i, now)
		said.Decides = said.Rule == e.Decision.Rule
		if ended != "" {
			said.Stands, said.Text = Unreached, ended
		} else if said.Stands == Applies && said.Then != earshot.Redact {
			ended = "not reached: " + said.Rule + " ends the search"
		}
		e.Rules = append(e.Rules, said)
	}
	return e
}

func (s *sight) explainLaw(now time.Time) []LawSaid {
	texts := [lawCount][2]string{
		{"no legal hold", "a legal hold stands"}, {"no object lock", "the store's object lock or legal hold stands"},
		{"no open erasure request", "the subject has asked for erasure"},
		{"no restriction asked for", "the subject has asked for restriction"}, {"no doubt about the recording", s.fault()},
	}
	applies := [lawCount]bool{s.held(), s.locked(now), s.erasure(), s.restricted(), s.fault() != ""}
	var out []LawSaid
	for l := range lawCount {
		said := LawSaid{Law: l.name(), Applies: applies[l], Text: texts[l][0]}
		if said.Applies {
			said.Text = texts[l][1]
		}
		if l == lawLock && said.Applies && !s.lockedForEver() {
			said.Until = s.f.Lock.RetainUntil.UTC()
		}
		if l == lawHold && len(s.f.Holds) > 0 {
			said.Text += " (" + s.f.Holds[0].ID + ")"
		}
		out = append(out, said)
	}
	return out
}

func (p *Policy) explainRule(s *sight, st *ruleState, i int, now time.Time) RuleSaid {
	r := &p.rules[i]
	said := RuleSaid{Rule: r.name, Then: r.then, Because: r.because, Stands: Applies, Text: r.acts[0].Text}
	if r.when != nil {
		r.when.reads.each(func(x fact) { said.Facts = append(said.Facts, facts[x].path()+" = "+s.show(x)) })
	}
	if st.dated {
		said.From = st.due
	}
	switch {
	case st.answer == no:
		said.Stands, said.Text = Silent, r.silent(s)
	case st.waits(now):
		said.Stands, said.Text = Waits, r.waits[0].Text
		if st.answer == maybe {
			said.Stands, said.Text = Undecided, said.Text+", if: "+s.lack(st.gaps)
		}
	case st.answer == maybe:
		said.Stands, said.Text = Undecided, s.lack(st.gaps)
	}
	return said
}

// silent says why a rule says nothing.
func (r *rule) silent(s *sight) string {
	if r.when != nil {
		if a, _ := r.when.ask(s); a == no {
			return "not so: " + shorten(r.when.text)
		}
	}
	if r.keep != nil {
		if _, _, never := r.keep.due(s); never {
			return "no consent to " + r.keep.purpose + " was withdrawn"
		}
	}
	return "nothing to erase, or erased already"
}

// show writes the value of a fact.
func (s *sight) show(x fact) string {
	v, st := s.get(x)
	switch st {
	case pending:
		return "not known yet"
	case absent:
		return "none"
	}
	switch facts[x].sort {
	case aString:
		return fmt.Sprintf("%q", v.s)
	case anInt:
		return fmt.Sprint(v.i)
	case aDouble:
		return fmt.Sprint(v.f)
	case aBool:
		return fmt.Sprint(v.i != 0)
	case aTime:
		return day(time.Unix(v.i, int64(v.n)))
	case aDuration:
		return time.Duration(v.i).String()
	}
	return fmt.Sprintf("%v", s.celValue(x).Value())
}

// String is the explanation for people.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "policy %s (%s), as of %s: %s, by %s\n", e.Policy, e.Digest.Short(), day(e.At), e.Decision.Disposition, e.Decision.Rule)
	for _, r := range e.Decision.Reasons {
		fmt.Fprintf(&b, "  because %s: %s", r.Rule, r.Text)
		if r.Because != "" {
			fmt.Fprintf(&b, " [%s]", r.Because)
		}
		b.WriteByte('\n')
	}
	for _, r := range e.Decision.Redactions {
		fmt.Fprintf(&b, "  erase %s (%s)\n", r.Spans, r.Fill)
	}
	if len(e.Decision.Missing) > 0 {
		fmt.Fprintf(&b, "  to be found out: %s\n", strings.Join(e.Decision.Missing, ", "))
	}
	b.WriteString("law:\n")
	for _, l := range e.Law {
		fmt.Fprintf(&b, "  %s %s: %s", mark(l.Applies), l.Law, l.Text)
		if !l.Until.IsZero() {
			fmt.Fprintf(&b, ", until %s", day(l.Until))
		}
		b.WriteByte('\n')
	}
	b.WriteString("rules:\n")
	for _, r := range e.Rules {
		fmt.Fprintf(&b, "  %s %s (%s) %s: %s", mark(r.Decides), r.Rule, r.Then, r.Stands, r.Text)
		if !r.From.IsZero() && r.Stands != Unreached {
			fmt.Fprintf(&b, " (from %s)", day(r.From))
		}
		b.WriteByte('\n')
		if len(r.Facts) > 0 && r.Stands != Unreached {
			fmt.Fprintf(&b, "      %s\n", strings.Join(r.Facts, ", "))
		}
	}
	b.WriteString("timeline:\n")
	for _, d := range e.Timeline {
		from, to := "since ever", "for ever"
		if !d.Since.IsZero() {
			from = "from " + day(d.Since)
		}
		if !d.Until.IsZero() {
			to = "until " + day(d.Until)
		}
		fmt.Fprintf(&b, "  %s %s %s: %s (%s)\n", mark(d.At(e.At)), from, to, d.Disposition, d.Rule)
	}
	if len(e.Changes) > 0 {
		b.WriteString("what would change it:\n")
	}
	for _, o := range e.Changes {
		fmt.Fprintf(&b, "  %s\n", o)
	}
	return b.String()
}

func mark(on bool) string {
	if on {
		return "*"
	}
	return "-"
}
