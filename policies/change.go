package policies

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"earshot"
)

// Otherwise is what a recording's decision would be if something about it were otherwise.
type Otherwise struct {
	If          string              `json:"if"`
	Disposition earshot.Disposition `json:"disposition"`
	Rule        string              `json:"rule"`
	Until       time.Time           `json:"until,omitzero"`
}

// supposition is one thing that might be otherwise.
type supposition struct {
	text   string
	change func(f *earshot.Facts)
}

// purposes are the consents that a condition asks for.
var purposes = regexp.MustCompile(`"([a-z0-9-]+)"\s+in\s+subject\.consents`)

// WhatWouldChange supposes one thing after the other about the recording and its subject, and gives
// those by which the decision would be another one: a hold lifted, a consent given or withdrawn, a choice
// made, something heard.
func (p *Policy) WhatWouldChange(f earshot.Facts, now time.Time) []Otherwise {
	is := p.Decide(f, now)
	var out []Otherwise
	for _, s := range p.suppositions(f) {
		other := f
		if f.Subject != nil {
			subject := *f.Subject
			subject.Consents = slices.Clone(subject.Consents)
			other.Subject = &subject
		}
		s.change(&other)
		d := p.Decide(other, now)
		if d.Disposition != is.Disposition || d.Rule != is.Rule {
			out = append(out, Otherwise{If: s.text, Disposition: d.Disposition, Rule: d.Rule, Until: d.Until})
		}
	}
	return out
}

func (p *Policy) suppositions(f earshot.Facts) []supposition {
	var out []supposition
	suppose := func(when bool, text string, change func(f *earshot.Facts)) {
		if when {
			out = append(out, supposition{text, change})
		}
	}
	without := func(kind earshot.RequestKind) func(f *earshot.Facts) {
		return func(f *earshot.Facts) {
			f.Requests = slices.DeleteFunc(slices.Clone(f.Requests), func(q earshot.Request) bool { return q.Kind == kind })
		}
	}
	asked := func(kind earshot.RequestKind) bool {
		return slices.ContainsFunc(f.Requests, func(q earshot.Request) bool { return q.Kind == kind })
	}
	suppose(len(f.Holds) > 0, "the legal hold were lifted", func(f *earshot.Facts) { f.Holds = nil })
	suppose(f.Lock != (earshot.Lock{}), "the store's lock ended", func(f *earshot.Facts) { f.Lock = earshot.Lock{} })
	suppose(asked(earshot.RequestErasure), "the subject had not asked for erasure", without(earshot.RequestErasure))
	suppose(asked(earshot.RequestRestriction), "the subject had not asked for restriction", without(earshot.RequestRestriction))
	suppose(f.Fault != "", "the doubt about the recording were cleared", func(f *earshot.Facts) { f.Fault = "" })
	suppose(f.Orphan != nil && !*f.Orphan, "its recording were gone", func(f *earshot.Facts) { yes := true; f.Orphan = &yes })
	out = append(out, p.aboutSubject(f)...)
	heard := func(kind earshot.Kind, score float64, found bool) func(f *earshot.Facts) {
		return func(f *earshot.Facts) {
			all := map[earshot.Kind]earshot.Listening{}
			for k, l := range f.Heard {
				all[k] = l
			}
			l := earshot.Listening{Kind: kind, Detector: "supposed", Score: score}
			if found {
				l.Findings = []earshot.Finding{{Kind: kind, Span: earshot.Span{Start: time.Second, End: 2 * time.Second}, Score: 1}}
			}
			all[kind] = l
			f.Heard, f.Deaf = all, nil
		}
	}
	wake, listened := f.Heard[earshot.KindWake]
	suppose(!listened || len(wake.Findings) > 0, "somebody listened and heard no wake word", heard(earshot.KindWake, 0, false))
	suppose(!listened || len(wake.Findings) == 0, "a wake word were heard after one second", heard(earshot.KindWake, 0, true))
	child, listened := f.Heard[earshot.KindChild]
	suppose(!listened || child.Score < 0.9, "a child were heard (probability 0.95)", heard(earshot.KindChild, 0.95, false))
	suppose(!listened || child.Score > 0.1, "an adult were heard (probability of a child 0.05)", heard(earshot.KindChild, 0.05, false))
	if p.Pools() {
		pooled := func(score float64) func(f *earshot.Facts) {
			return func(f *earshot.Facts) { f.Pooled = &earshot.Pooled{Probability: score, Of: 1} }
		}
		known := f.Pooled != nil && f.Pooled.Of > 0
		suppose(!known || f.Pooled.Probability < 0.9, "its session sounded like a child (probability 0.95)", pooled(0.95))
		suppose(!known || f.Pooled.Probability > 0.1, "its session sounded like an adult (probability of a child 0.05)", pooled(0.05))
	}
	return out
}

// aboutSubject supposes what the subject may give, withdraw, choose or be.
func (p *Policy) aboutSubject(f earshot.Facts) []supposition {
	var out []supposition
	s := f.Subject
	if s == nil {
		if f.Recording.Subject == "" {
			return nil
		}
		s = &earshot.Subject{ID: f.Recording.Subject}
	}
	with := func(text string, change func(s *earshot.Subject)) {
		out = append(out, supposition{text, func(f *earshot.Facts) {
			if f.Subject == nil {
				f.Subject = &earshot.Subject{ID: f.Recording.Subject}
			}
			change(f.Subject)
		}})
	}
	inForce := func(purpose string) bool {
		return slices.ContainsFunc(s.Consents, func(c earshot.Consent) bool { return c.Purpose == purpose && c.WithdrawnAt.IsZero() })
	}
	var asked []string
	for _, r := range p.doc.Spec.Rules {
		for _, m := range purposes.FindAllStringSubmatch(r.When, -1) {
			asked = append(asked, m[1])
		}
	}
	slices.Sort(asked)
	for _, purpose := range slices.Compact(asked) {
		if inForce(purpose) {
			with("consent to "+purpose+" were withdrawn", func(s *earshot.Subject) {
				s.Consents = slices.DeleteFunc(s.Consents, func(c earshot.Consent) bool { return c.Purpose == purpose })
			})
		} else {
			with("consent to "+purpose+" were given", func(s *earshot.Subject) {
				s.Consents = append(s.Consents, earshot.Consent{Subject: s.ID, Purpose: purpose})
			})
		}
	}
	if !s.DontSave {
		with("the subject chose that nothing is saved", func(s *earshot.Subject) { s.DontSave = true })
	}
	if s.AutoDelete == 0 {
		with("the subject chose to keep recordings for 30d", func(s *earshot.Subject) { s.AutoDelete = 30 * 24 * time.Hour })
	}
	if !s.NoHumanReview {
		with("the subject chose that nobody listens", func(s *earshot.Subject) { s.NoHumanReview = true })
	}
	for _, age := range []int{9, 40} {
		if s.DeclaredAge == nil || *s.DeclaredAge < 18 != (age < 18) {
			with(fmt.Sprintf("the declared age were %d", age), func(s *earshot.Subject) { minor := age < 18; s.DeclaredAge, s.DeclaredMinor = &age, &minor })
		}
	}
	return out
}

// String is one line for people.
func (o Otherwise) String() string {
	until := ""
	if !o.Until.IsZero() {
		until = ", until " + day(o.Until)
	}
	return fmt.Sprintf("if %s: %s, by %s%s", o.If, o.Disposition, o.Rule, until)
}
