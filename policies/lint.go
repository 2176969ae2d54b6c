package policies

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"earshot"
)

// Warning is something about a policy that is allowed and probably not meant.
type Warning struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule,omitempty"`
	Place  string `json:"place,omitempty"` // file:line
	Text   string `json:"text"`
}

// String is the warning as one line.
func (w Warning) String() string {
	where := w.Place
	if where == "" {
		where = w.Policy
	}
	if w.Rule != "" {
		return fmt.Sprintf("%s: rule %s: %s", where, w.Rule, w.Text)
	}
	return where + ": " + w.Text
}

// Lint looks for rules that can never act, for recordings of children that no rule ever ends, and
// for what else an author would want to be told. cases, if not nil, are the policy's own.
func Lint(p *Policy, cases *Cases) []Warning {
	var out []Warning
	warn := func(rule int, format string, args ...any) {
		w := Warning{Policy: p.Name(), Text: fmt.Sprintf(format, args...)}
		if rule >= 0 {
			path := elem("spec.rules", rule)
			w.Rule = p.doc.Spec.Rules[rule].Name
			if at := p.doc.at(path); at.line > 0 {
				w.Place = fmt.Sprintf("%s:%d", p.doc.file, at.line)
			}
		}
		out = append(out, w)
	}
	rules := p.doc.Spec.Rules
	for i, r := range rules {
		for j := range i {
			switch before := rules[j]; {
			case before.ends() && before.Keep == nil && before.When == "":
				warn(i, "it is never reached: rule %s before it speaks of every recording, and ends the search", before.Name)
			case before.ends() && before.Keep == nil && same(before.When, r.When):
				warn(i, "it is never reached: rule %s before it has the same condition, and ends the search", before.Name)
			case before.Then == r.Then && same(before.When, r.When) && samePeriod(before.Keep, r.Keep) && strings.Join(before.Spans, ",") == strings.Join(r.Spans, ","):
				warn(i, "it says again what rule %s says", before.Name)
			default:
				continue
			}
			break
		}
		if same(r.When, "false") {
			warn(i, "its condition is never true")
		}
		if r.Because == "" {
			warn(i, "it gives no reason: because: is printed with every decision, and in the published policy")
		}
	}
	p.lintRows(func(path, rule, text string) {
		w := Warning{Policy: p.Name(), Rule: rule, Text: text}
		if at := p.doc.at(path); at.line > 0 {
			w.Place = fmt.Sprintf("%s:%d", p.doc.file, at.line)
		}
		out = append(out, w)
	})
	for _, child := range []bool{true, false} {
		if (len(rules) > 0 || child && len(p.rows) == 0) && keptForEver(p, child) {
			if child {
				warn(-1, "a child's recordings are kept for ever, even with a parent's consent: 16 CFR 312.10 asks for an end")
			} else {
				warn(-1, "recordings of adults who say nothing are kept for ever: GDPR art. 5(1)(e) asks for an end (another policy may give it)")
			}
		}
	}
	if p.limits.MaxShare == 0 && p.limits.MaxCount == 0 {
		warn(-1, "it has no limits: a mistake in it could delete everything in one run, and nobody would be asked")
	}
	if cases == nil {
		warn(-1, "it has no cases")
	} else {
		for _, name := range p.Unreached(Check(p, cases)) {
			for i, r := range rules {
				if r.Name == name {
					warn(i, "no case of the policy's own hits it")
				}
			}
			if slices.ContainsFunc(p.doc.Spec.Rows, func(r RowsRule) bool { return r.Name == name }) {
				out = append(out, Warning{Policy: p.Name(), Rule: name, Text: "no case of the policy's own hits it"})
			}
		}
	}
	return out
}

// ends reports whether the rule ends the search where it acts.
func (r *Rule) ends() bool { return r.Then != "redact" }

func same(a, b string) bool {
	return strings.Join(strings.Fields(a), " ") == strings.Join(strings.Fields(b), " ")
}

func samePeriod(a, b *Period) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// keptForEver asks the policy itself: what does it say of an old recording, of which everything is
// known, at the end of time? A policy for one country ends what is of that country: one end is enough.
func keptForEver(p *Policy, child bool) bool {
	for _, locale := range []string{"en-US", "en-GB", "de-DE"} {
		if !keptThere(p, child, locale) {
			return false
		}
	}
	return true
}

func keptThere(p *Policy, child bool, locale string) bool {
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	age := 40
	if child {
		age = 8
	}
	scope := p.Scope()
	id := earshot.SubjectID("lint")
	f := earshot.Facts{
		Recording: earshot.Recording{
			ID: earshot.RecordingID{Bucket: scope.Bucket, Key: scope.Prefix + "lint.wav"}, ETag: "lint", Size: 1,
			StoredAt: at, CapturedAt: at, Coding: earshot.CodingWAV, Subject: id, Device: "lint", Class: scope.Class, Locale: locale, Source: "assistant",
		},
		Pooled:    &earshot.Pooled{Probability: map[bool]float64{true: 0.99, false: 0.01}[child], Of: 1},
		HeadKnown: true, Length: 4 * time.Second,
		Heard: map[earshot.Kind]earshot.Listening{
			earshot.KindWake:   {Kind: earshot.KindWake, Detector: "lint", At: at, Findings: []earshot.Finding{{Kind: earshot.KindWake, Span: earshot.Span{Start: 0, End: time.Second}, Score: 1, Word: "lint"}}},
			earshot.KindChild:  {Kind: earshot.KindChild, Detector: "lint", At: at, Score: map[bool]float64{true: 0.99, false: 0.01}[child]},
			earshot.KindSpeech: {Kind: earshot.KindSpeech, Detector: "lint", At: at, CommandEnd: 3 * time.Second, Findings: []earshot.Finding{{Kind: earshot.KindSpeech, Span: earshot.Span{Start: 0, End: 3 * time.Second}, Score: 1}}},
		},
		Subject: &earshot.Subject{
			ID: id, LastActive: at, DeclaredAge: &age, DeclaredMinor: &child,
			Consents: []earshot.Consent{{Subject: id, Purpose: "parental", GivenAt: at}, {Subject: id, Purpose: "voiceprint", GivenAt: at}},
		},
		Erased: earshot.Spans{{Start: 0, End: earshot.ToEnd}},
	}
	steps := p.Timeline(f)
	return steps[len(steps)-1].Disposition == earshot.Keep
}
