package retention

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"earshot"
	"earshot/policies"
)

// rowRules gives what the policies in whose scope an event log lies say of its rows.
func (s ruleset) rowRules(rec earshot.Recording, class string) (rules []earshot.RowRule, digest earshot.Digest, spoken bool) {
	for _, p := range s.policies {
		if p.InScope(rec) {
			spoken = true
			rules = append(rules, p.RowRules(class)...)
		}
	}
	text, err := json.Marshal(rules)
	if err != nil {
		panic(err) // our own value types always marshal
	}
	return rules, earshot.DigestOf(text), spoken
}

// Rules that decisions about event logs name, besides the policies' own.
const (
	ruleRows   = "rows"            // something is due later
	ruleUnread = "rows-unreadable" // nobody can tell what is due
	missRows   = "rows"            // the fact that a look into the log gives
)

// decideLog decides about an event log. Holds and locks come first, as for recordings.
func (s ruleset) decideLog(f earshot.Facts, at time.Time) earshot.Decision {
	rules, digest, spoken := s.rowRules(f.Recording, f.Log)
	d := earshot.Decision{Disposition: earshot.Keep, Policy: s.digest}
	say := func(rule, text string) earshot.Decision {
		d.Rule, d.Reasons = rule, append(d.Reasons, earshot.Reason{Rule: rule, Text: text})
		return d
	}
	review := func(rule, text string) earshot.Decision {
		d.Disposition = earshot.Review
		return say(rule, text)
	}
	locked := f.Lock.LegalHold || f.Lock.RetainUntil.After(at)
	switch {
	case len(f.Holds) > 0:
		return say("hold", "a legal hold stands on the event log: nothing of it is changed")
	case locked:
		if !f.Lock.LegalHold {
			d.Until = f.Lock.RetainUntil
		}
		return say("object-lock", "the store's object lock or legal hold stands: nothing can be changed")
	case f.Fault != "":
		return review("fault", f.Fault)
	case !spoken:
		return say("no-policy", "no policy speaks of this event log")
	case f.Rows == nil || f.Rows.Rules != digest:
		d.Missing = []string{missRows}
		return review(ruleRows, "nobody has looked into the event log yet")
	case f.Rows.Fault != "":
		return review(ruleUnread, "the event log is kept as it is, since "+f.Rows.Fault)
	}
	e := f.Rows.Edit
	due := e.Go+e.Change > 0 || !f.Rows.Next.IsZero() && !at.Before(f.Rows.Next)
	if !due {
		d.Until = f.Rows.Next
		if d.Until.IsZero() {
			return say(ruleRows, "no rule will touch a row of it")
		}
		return say(ruleRows, "no row is due before that")
	}
	d.Disposition, d.Since = earshot.Redact, f.Rows.AsOf
	if e.Go == f.Rows.Rows && e.Go > 0 {
		d.Disposition = earshot.Delete // nothing is left of it
	}
	d.Rows = &e
	if len(e.Erase) > 0 {
		say("erasure-request", fmt.Sprintf("rows of %d person(s) who asked for erasure", len(e.Erase)))
	}
	for _, r := range rules {
		d.Reasons = append(d.Reasons, earshot.Reason{Policy: r.Policy, Rule: r.Name, Text: rowRuleText(r), Because: r.Because})
	}
	if d.Rule == "" {
		d.Rule = d.Reasons[0].Rule
	}
	return d
}

func rowRuleText(r earshot.RowRule) string {
	text := "rows"
	if r.After > 0 {
		text += " older than " + policiesLength(r.After)
	}
	if r.Delete {
		return text + " go"
	}
	var what []string
	if r.Coarsen != "" {
		what = append(what, "the time only to the "+string(r.Coarsen))
	}
	if len(r.Drop) > 0 {
		what = append(what, "without "+strings.Join(r.Drop, ", "))
	}
	if len(r.Hash) > 0 {
		what = append(what, "pseudonyms for "+strings.Join(r.Hash, ", "))
	}
	return text + " keep " + strings.Join(what, "; ")
}

// policiesLength writes a length in days where it is whole days.
func policiesLength(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// explainLog tells what a policy makes of an event log.
func explainLog(p *policies.Policy, res resolved) policies.Explanation {
	e := policies.Explanation{Policy: p.Name(), Digest: p.Digest(), At: res.facts.Recording.StoredAt, Decision: res.decision, Timeline: []earshot.Decision{res.decision}}
	if res.facts.Rows != nil {
		e.At = res.facts.Rows.AsOf
	}
	for _, r := range p.RowRules(res.facts.Log) {
		e.Rules = append(e.Rules, policies.RuleSaid{Rule: r.Name, Stands: policies.Applies, Then: then(r), Text: rowRuleText(r), Because: r.Because})
	}
	return e
}

func then(r earshot.RowRule) earshot.Disposition {
	if r.Delete {
		return earshot.Delete
	}
	return earshot.Redact
}
