package policies

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"earshot"
)

// spanExpr is one of a rule's spans: a name, or a fixed span.
type spanExpr struct {
	name  string
	fixed earshot.Span
}

// verdict is what one rule says of a set of facts, at any time from `from` on.
type verdict struct {
	rule    *rule
	from    time.Time // zero: since ever
	matched bool
	spans   earshot.Spans // of a redact rule that matched
	missing []string      // facts that it hangs on
	doubt   string        // why it could not be told; not empty means review
	said    string        // for explanations: why it does not apply
}

// Timeline is everything that the policy will ever say of a recording, if its facts stay as they
// are: steps [Since, Until) without gaps, in order, the first since ever and the last for ever.
// Neighbouring steps differ.
func (p *Policy) Timeline(f earshot.Facts) []earshot.Decision {
	verdicts := p.evaluate(&f)
	times := boundaries(&f, verdicts)
	steps := make([]earshot.Decision, 0, len(times)+1)
	for i := -1; i < len(times); i++ {
		var at time.Time
		if i >= 0 {
			at = times[i]
		}
		d := p.at(&f, verdicts, at)
		d.Since = at
		if n := len(steps); n > 0 && same(steps[n-1], d) {
			continue
		} else if n > 0 {
			steps[n-1].Until = at
		}
		steps = append(steps, d)
	}
	return steps
}

// Decide is the step of the timeline that now lies in. It always has an answer.
func (p *Policy) Decide(f earshot.Facts, now time.Time) earshot.Decision {
	steps := p.Timeline(f)
	for _, s := range steps[:len(steps)-1] {
		if s.At(now) {
			return s
		}
	}
	return steps[len(steps)-1]
}

// same reports whether two decisions say the same, whatever their dates.
func same(a, b earshot.Decision) bool {
	return a.Disposition == b.Disposition && a.Rule == b.Rule && slices.Equal(a.Missing, b.Missing) &&
		slices.Equal(a.Reasons, b.Reasons) && reflect.DeepEqual(a.Redactions, b.Redactions)
}

// boundaries are the moments at which a decision may change.
func boundaries(f *earshot.Facts, verdicts []verdict) []time.Time {
	var out []time.Time
	if !f.Lock.RetainUntil.IsZero() {
		out = append(out, f.Lock.RetainUntil.UTC())
	}
	for _, v := range verdicts {
		if !v.from.IsZero() {
			out = append(out, v.from)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return slices.CompactFunc(out, time.Time.Equal)
}

// evaluate asks each rule for what it says of the facts. Rules behind one that ends the search
// since ever are not asked: nothing hangs on them.
func (p *Policy) evaluate(f *earshot.Facts) []verdict {
	if len(p.rules) == 0 {
		return nil
	}
	out := make([]verdict, 0, len(p.rules))
	a, err := newActivation(f)
	if err != nil { // this cannot be, and is no reason to delete
		return append(out, verdict{rule: &p.rules[0], doubt: "the facts cannot be read: " + err.Error()})
	}
	for i := range p.rules {
		v := p.rules[i].evaluate(a)
		out = append(out, v)
		if v.from.IsZero() && (v.doubt != "" || v.matched && v.rule.then != earshot.Redact) {
			break
		}
	}
	return out
}

func (r *rule) evaluate(a *activation) verdict {
	v := verdict{rule: r}
	if r.when != nil {
		t := r.when.eval(a)
		switch {
		case len(t.missing) > 0:
			v.missing, v.doubt = heard(a.facts, t.missing)
		case t.err != "":
			v.doubt = t.err
		case !t.is:
			v.said = "its condition is not met"
			return v
		}
	}
	if r.period != nil {
		from, missing, doubt := r.period.end(a.facts)
		switch {
		case doubt != "" && v.doubt == "":
			v.missing, v.doubt = missing, doubt
		case doubt == "":
			v.from = from // a condition in doubt matters only once the period is over
		}
	}
	if v.doubt != "" {
		return v
	}
	v.matched = true
	if r.then == earshot.Redact {
		v.resolve(a.facts)
	}
	return v
}

// heard splits missing facts into those that can be found out and those that nobody can tell, and
// says so in words.
func heard(f *earshot.Facts, missing []string) ([]string, string) {
	var open, words []string
	for _, m := range missing {
		if why, deaf := f.Deaf[earshot.Kind(m)]; deaf {
			words = append(words, fmt.Sprintf("%s: %s", m, why))
			continue
		}
		open = append(open, m)
		words = append(words, map[string]string{
			"wake": "nobody has listened for the wake word yet", "child": "nobody has listened for a child's voice yet",
			"speech": "nobody has listened for speech yet", "head": "the object's metadata has not been read yet",
		}[m])
	}
	return open, strings.Join(words, "; ")
}

// end is when a period is over.
func (k *period) end(f *earshot.Facts) (end time.Time, missing []string, doubt string) {
	length := k.fixed
	if k.fact != "" {
		if f.Subject == nil || f.Subject.AutoDelete <= 0 {
			return end, nil, "the person's own period is not known"
		}
		length = f.Subject.AutoDelete
	}
	var from time.Time
	switch k.from {
	case "captured":
		if from = f.Recording.CapturedAt; from.IsZero() && !f.HeadKnown {
			return end, []string{"head"}, "the object's metadata has not been read yet"
		}
	case "stored":
		from = f.Recording.StoredAt
	case "subject.lastActive":
		if f.Subject != nil {
			from = f.Subject.LastActive
		} else if !f.HeadKnown && f.Recording.Subject == "" {
			return end, []string{"head"}, "the object's metadata has not been read yet"
		}
	case "consent.withdrawn":
		if from, doubt = withdrawn(f, k.purpose); doubt != "" {
			return end, nil, doubt
		}
	}
	if from.IsZero() {
		return end, nil, fmt.Sprintf("the date that the period counts from (%s) is not known", k.from)
	}
	return from.Add(length).UTC(), nil, ""
}

// withdrawn is when the last consent for the purpose was withdrawn.
func withdrawn(f *earshot.Facts, purpose string) (time.Time, string) {
	var last time.Time
	if f.Subject != nil {
		for _, c := range f.Subject.Consents {
			if c.Purpose != purpose {
				continue
			}
			if c.WithdrawnAt.IsZero() {
				return last, "the consent for " + purpose + " is in force"
			}
			if c.WithdrawnAt.After(last) {
				last = c.WithdrawnAt
			}
		}
	}
	return last, ""
}

// resolve finds the spans of a redact rule. A rule that has nothing (left) to erase says nothing.
func (v *verdict) resolve(f *earshot.Facts) {
	var all earshot.Spans
	for _, s := range v.rule.spans {
		spans, kind := s.resolve(f)
		if kind != "" {
			if _, ok := f.Heard[kind]; !ok {
				v.missing, v.doubt = heard(f, []string{string(kind)})
			} else {
				v.doubt = fmt.Sprintf("what was heard does not tell where %s is", s.name)
			}
			v.matched = false
			return
		}
		all = append(all, spans...)
	}
	all = all.Pad(v.rule.pad, v.rule.pad)
	switch {
	case len(all) == 0:
		v.matched, v.said = false, "there is nothing to erase"
	case f.Erased.Covers(all):
		v.matched, v.said = false, "what it asks for is erased already"
	}
	v.spans = all
}

// resolve gives the spans, or the kind of listening that they need and that does not tell.
func (s spanExpr) resolve(f *earshot.Facts) (earshot.Spans, earshot.Kind) {
	wake := f.Heard[earshot.KindWake].Findings
	first, heardWake := firstFinding(f, earshot.KindWake)
	switch s.name {
	case "":
		return earshot.Spans{s.fixed}, ""
	case "everything":
		return earshot.Spans{{End: earshot.ToEnd}}, ""
	case "child-speech":
		l, ok := f.Heard[earshot.KindChild]
		if !ok {
			return nil, earshot.KindChild
		}
		return findings(l.Findings), ""
	case "after-command":
		end := f.Heard[earshot.KindWake].CommandEnd
		if l := f.Heard[earshot.KindSpeech]; l.CommandEnd > 0 {
			end = l.CommandEnd
		}
		if end == 0 {
			return nil, earshot.KindSpeech
		}
		return earshot.Spans{{Start: end, End: earshot.ToEnd}}, ""
	}
	if !heardWake {
		return nil, earshot.KindWake
	}
	switch s.name {
	case "before-wake-word":
		return earshot.Spans{{End: first.Span.Start}}, ""
	case "wake-word":
		return findings(wake), ""
	default: // after-wake-word: what follows the last of them
		last := time.Duration(0)
		for _, w := range wake {
			last = max(last, w.Span.End)
		}
		return earshot.Spans{{Start: last, End: earshot.ToEnd}}, ""
	}
}

func findings(fs []earshot.Finding) earshot.Spans {
	out := make(earshot.Spans, 0, len(fs))
	for _, x := range fs {
		out = append(out, x.Span)
	}
	return out
}

// at decides for one moment. The law comes first, in this order.
func (p *Policy) at(f *earshot.Facts, verdicts []verdict, now time.Time) earshot.Decision {
	d := earshot.Decision{Policy: p.digest}
	say := func(what earshot.Disposition, rule, format string, args ...any) earshot.Decision {
		d.Disposition, d.Rule = what, rule
		d.Reasons = append(d.Reasons, earshot.Reason{Policy: p.Name(), Rule: rule, Text: fmt.Sprintf(format, args...)})
		return d
	}
	switch {
	case f.Lock.LegalHold:
		return say(earshot.Keep, RuleLock, "the store itself holds it (legal hold)")
	case !f.Lock.RetainUntil.IsZero() && now.Before(f.Lock.RetainUntil):
		return say(earshot.Keep, RuleLock, "the store itself keeps it until %s", date(f.Lock.RetainUntil))
	case len(f.Holds) > 0:
		return say(earshot.Keep, RuleHold, "a legal hold covers it (%s)", f.Holds[0].ID)
	}
	for _, r := range f.Requests {
		if r.Kind == earshot.RequestErasure && r.ClosedAt.IsZero() {
			return say(earshot.Delete, RuleErasure, "the person asked for erasure (%s)", r.ID)
		}
	}
	if f.Fault != "" {
		return say(earshot.Review, RuleFault, "%s", f.Fault)
	}
	for i := range verdicts {
		if v := &verdicts[i]; v.applies(now) && v.apply(p, &d) {
			return d
		}
	}
	if len(d.Redactions) > 0 {
		return d
	}
	text := "no rule says otherwise"
	if p.otherwise == earshot.Review {
		text = "no rule speaks of it"
	}
	return say(p.otherwise, RuleOtherwise, "%s", text)
}

func (v *verdict) applies(now time.Time) bool {
	return (v.matched || v.doubt != "") && (v.from.IsZero() || !now.IsZero() && !now.Before(v.from))
}

// apply adds what a rule says to a decision and reports whether the search ends with it.
func (v *verdict) apply(p *Policy, d *earshot.Decision) bool {
	r := v.rule
	reason := earshot.Reason{Policy: p.Name(), Rule: r.name, Because: r.because, Text: v.text()}
	if v.doubt != "" {
		d.Disposition, d.Rule, d.Redactions, d.Companions, d.Missing = earshot.Review, r.name, nil, nil, v.missing
		d.Reasons = append([]earshot.Reason{reason}, d.Reasons...)
		return true
	}
	switch r.then {
	case earshot.Redact:
		if d.Rule == "" {
			d.Rule = r.name
		}
		d.Disposition = earshot.Redact
		d.Redactions = addRedaction(d.Redactions, earshot.Redaction{Spans: v.spans, Fill: r.fill})
		d.Companions = addCompanions(d.Companions, r.companions)
		d.Reasons = append(d.Reasons, reason)
		return false
	case earshot.Keep:
		if len(d.Redactions) == 0 {
			d.Disposition, d.Rule = earshot.Keep, r.name
		}
		d.Reasons = append(d.Reasons, reason)
	default: // delete and review override what was to be erased
		d.Disposition, d.Rule, d.Redactions = r.then, r.name, nil
		d.Companions = addCompanions(nil, r.companions)
		d.Reasons = append([]earshot.Reason{reason}, d.Reasons...)
	}
	return true
}

// text is a rule's reason in words.
func (v *verdict) text() string {
	r := v.rule
	switch {
	case v.doubt != "":
		return v.doubt
	case r.period != nil:
		return fmt.Sprintf("kept until %s (%s from %s)", date(v.from), r.period.text(), r.period.from)
	case r.when != nil:
		return "its condition is met: " + strings.Join(strings.Fields(r.when.text), " ")
	}
	return "the rule speaks of every recording"
}

func (k *period) text() string {
	if k.fact != "" {
		return k.fact
	}
	if k.fixed%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", k.fixed/(24*time.Hour))
	}
	return k.fixed.String()
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// addRedaction merges spans of the same fill; the order of fills is fixed.
func addRedaction(all []earshot.Redaction, r earshot.Redaction) []earshot.Redaction {
	for i := range all {
		if all[i].Fill == r.Fill {
			all[i].Spans = append(slices.Clone(all[i].Spans), r.Spans...).Merge()
			return all
		}
	}
	r.Spans = r.Spans.Merge()
	order := []earshot.Fill{earshot.FillSilence, earshot.FillTone, earshot.FillCut}
	all = append(slices.Clone(all), r)
	slices.SortFunc(all, func(a, b earshot.Redaction) int { return slices.Index(order, a.Fill) - slices.Index(order, b.Fill) })
	return all
}

// addCompanions merges what rules say of companions; the strictest stands.
func addCompanions(all, more map[string]earshot.CompanionRule) map[string]earshot.CompanionRule {
	order := []earshot.CompanionRule{earshot.CompanionKeep, earshot.CompanionTrim, earshot.CompanionReview, earshot.CompanionDelete}
	for class, rule := range more {
		if all == nil {
			all = map[string]earshot.CompanionRule{}
		}
		if old, ok := all[class]; !ok || slices.Index(order, rule) > slices.Index(order, old) {
			all[class] = rule
		}
	}
	return all
}

// Combine makes one decision of what several policies say of one recording at one moment: the
// strictest disposition wins and all reasons are kept, but what the law keeps stays kept. It holds
// as long as all of them do.
func Combine(ds ...earshot.Decision) earshot.Decision {
	if len(ds) == 0 {
		return earshot.Decision{Disposition: earshot.Keep, Rule: "no-policy"}
	}
	best := ds[0]
	law := func(d earshot.Decision) bool {
		return d.Disposition == earshot.Keep && (d.Rule == RuleHold || d.Rule == RuleLock)
	}
	for _, d := range ds[1:] {
		if law(best) {
			break
		}
		if law(d) || d.Disposition > best.Disposition {
			best = d
		}
	}
	out := best
	out.Redactions, out.Companions, out.Missing, out.Reasons = nil, nil, nil, slices.Clone(best.Reasons)
	for _, d := range ds {
		if d.Since.After(out.Since) {
			out.Since = d.Since
		}
		if !d.Until.IsZero() && (out.Until.IsZero() || d.Until.Before(out.Until)) {
			out.Until = d.Until
		}
		for _, r := range d.Reasons {
			if !slices.Contains(out.Reasons, r) {
				out.Reasons = append(out.Reasons, r)
			}
		}
		if d.Disposition != best.Disposition {
			// What one policy could not tell is still to be found out, so that it can speak too.
			if best.Disposition == earshot.Keep && !law(best) || best.Disposition == earshot.Redact {
				out.Missing = append(out.Missing, d.Missing...)
			}
			continue
		}
		out.Missing = append(out.Missing, d.Missing...)
		for _, r := range d.Redactions {
			out.Redactions = addRedaction(out.Redactions, r)
		}
		out.Companions = addCompanions(out.Companions, d.Companions)
	}
	slices.Sort(out.Missing)
	out.Missing = slices.Compact(out.Missing)
	return out
}
