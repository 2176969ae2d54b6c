package policies

import (
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"

	"earshot"
)

func first(set uint64) int { return bits.TrailingZeros64(set) }

// prepareReasons makes the reasons that are always the same, so that deciding makes none.
func (p *Policy) prepareReasons() {
	name := p.Name()
	for l := range lawCount {
		p.law[l] = []earshot.Reason{{Rule: l.name(), Text: lawTexts[l], Because: lawBecause[l]}}
	}
	p.silence = []earshot.Reason{{Policy: name, Rule: RuleOtherwise, Text: "no rule speaks of this recording: " + p.otherwise.String()}}
	for i := range p.rules {
		r := &p.rules[i]
		acts := "always"
		if r.when != nil {
			acts = "when " + shorten(r.when.text)
		}
		if r.keep != nil {
			acts = "kept for " + r.keep.phrase + ", which is over"
			r.waits = []earshot.Reason{{Policy: name, Rule: r.name, Text: "kept for " + r.keep.phrase + ", then " + past(r.then), Because: r.because}}
		}
		r.acts = []earshot.Reason{{Policy: name, Rule: r.name, Text: acts, Because: r.because}}
	}
}

func past(d earshot.Disposition) string {
	switch d {
	case earshot.Delete:
		return "deleted"
	case earshot.Redact:
		return "redacted"
	}
	return "for review"
}

// shorten puts an expression on one line of bearable length.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 120 {
		s = string(runes[:117]) + "..."
	}
	return s
}

// decision writes an outcome out.
func (p *Policy) decision(s *sight, states *[maxRules]ruleState, o outcome, since, until time.Time) earshot.Decision {
	d := earshot.Decision{Disposition: o.disposition, Since: since, Until: until, Policy: p.digest}
	switch {
	case o.open != 0:
		p.undecided(s, states, o, &d)
	case o.by <= byLaw:
		l := law(byLaw - o.by)
		d.Rule, d.Reasons = l.name(), p.law[l]
		if l == lawFault {
			d.Reasons = []earshot.Reason{{Rule: l.name(), Text: s.fault()}}
		}
	case o.disposition == earshot.Redact:
		p.redaction(s, o, &d)
	default:
		d.Rule, d.Reasons = p.saidBy(o.by, o.disposition)
		if o.disposition == earshot.Delete {
			d.Companions = p.rules[o.by].companions
		}
	}
	return d
}

// saidBy names the rule that ends a search, and its reason: it acts, or its period runs.
func (p *Policy) saidBy(by int8, d earshot.Disposition) (string, []earshot.Reason) {
	if by == byOtherwise {
		return RuleOtherwise, p.silence
	}
	r := &p.rules[by]
	if d != r.then {
		return r.name, r.waits
	}
	return r.name, r.acts
}

func (p *Policy) redaction(s *sight, o outcome, d *earshot.Decision) {
	d.Rule = p.rules[o.by].name
	d.Redactions = p.redactions(s, o.redacts)
	d.Reasons = make([]earshot.Reason, 0, bits.OnesCount64(o.redacts)+1)
	for i := range p.rules {
		if o.redacts&(1<<i) == 0 {
			continue
		}
		r := &p.rules[i]
		d.Reasons = append(d.Reasons, r.acts...)
		if i == int(o.by) {
			d.Companions = r.companions
		} else {
			d.Companions = strictest(d.Companions, earshot.CompanionTrim, r.companions, earshot.CompanionTrim)
		}
	}
	switch {
	case o.end < 0:
	case p.rules[o.end].then == earshot.Keep:
		d.Reasons = append(d.Reasons, p.rules[o.end].acts...)
	default:
		d.Reasons = append(d.Reasons, p.rules[o.end].waits...)
	}
}

// strictest joins two sets of rules about companions, each with what it means of a class that it
// does not name: delete before trim before review before keep. It may return one of its arguments.
func strictest(a map[string]earshot.CompanionRule, others earshot.CompanionRule, b map[string]earshot.CompanionRule, othersB earshot.CompanionRule) map[string]earshot.CompanionRule {
	if others == othersB && sameCompanions(a, b) {
		return a
	}
	out := maps.Clone(a)
	if out == nil {
		out = map[string]earshot.CompanionRule{}
	}
	for class := range b {
		if _, named := out[class]; !named {
			out[class] = others
		}
	}
	rank := []earshot.CompanionRule{earshot.CompanionKeep, earshot.CompanionReview, earshot.CompanionTrim, earshot.CompanionDelete}
	for class, rule := range out {
		other, named := b[class]
		if !named {
			other = othersB
		}
		if slices.Index(rank, other) > slices.Index(rank, rule) {
			out[class] = other
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// undecided says which rules could not be decided, for want of what, and what could be found out.
func (p *Policy) undecided(s *sight, states *[maxRules]ruleState, o outcome, d *earshot.Decision) {
	d.Rule = p.rules[o.by].name
	for i := range p.rules {
		if o.open&(1<<i) == 0 {
			continue
		}
		r := &p.rules[i]
		d.Reasons = append(d.Reasons, earshot.Reason{Policy: p.Name(), Rule: r.name, Text: s.lack(states[i].gaps), Because: r.because})
		states[i].gaps.each(func(x fact) {
			if m, ok := s.missing(x); ok && !slices.Contains(d.Missing, m) {
				d.Missing = append(d.Missing, m)
			}
		})
	}
	slices.Sort(d.Missing)
}

// MissingPooled is how a decision names that the other recordings of the session are missing.
const MissingPooled = "pooled"

// missing names what would have to be found out to know a fact, if it can be: a kind of listening, the
// object's own metadata ("head"), or the other recordings of its session ("pooled").
func (s *sight) missing(x fact) (string, bool) {
	_, st := s.get(x)
	if st != pending {
		return "", false
	}
	switch {
	case facts[x].variable == "recording", facts[x].variable == "subject", x == childDeclared:
		return "head", true
	case x == childPooled && s.child.standing != pending:
		return MissingPooled, true
	case x == speechCommandEnd && s.wake.standing == pending:
		return string(earshot.KindWake), true
	}
	return facts[x].variable, true
}

// lack says in words what is missing. It holds names of facts and reasons given by detectors, never
// a value.
func (s *sight) lack(gaps unknowns) string {
	var unheard, gone []string
	note := func(list *[]string, text string) {
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	gaps.each(func(x fact) {
		_, st := s.get(x)
		if st == pending {
			m, _ := s.missing(x)
			note(&unheard, lackWords(m))
			return
		}
		if p := s.f.Pooled; x == childPooled && p != nil && p.Why != "" {
			note(&gone, facts[x].path()+" cannot be known: "+p.Why)
			return
		}
		if why := s.deaf(facts[x].variable); why != "" {
			note(&gone, facts[x].variable+" cannot be known: "+why)
			return
		}
		note(&gone, facts[x].path()+" is missing")
	})
	var parts []string
	if len(unheard) > 0 {
		parts = append(parts, "not known yet: "+strings.Join(unheard, ", "))
	}
	parts = append(parts, gone...)
	if gaps&failed != 0 {
		parts = append(parts, "the condition could not be evaluated")
	}
	return strings.Join(parts, "; ")
}

func lackWords(missing string) string {
	if missing == "head" {
		return "the object's own metadata"
	}
	if missing == MissingPooled {
		return "what the other recordings of its session tell"
	}
	return "what listening for " + missing + " would tell"
}

// deaf is why listening came to nothing, "" where it did not.
func (s *sight) deaf(variable string) string {
	for _, h := range [...]*heard{&s.wake, &s.child, &s.speech} {
		if string(h.kind) == variable && h.standing == absent {
			if h.why == "" {
				return "no reason given"
			}
			return h.why
		}
	}
	return ""
}
