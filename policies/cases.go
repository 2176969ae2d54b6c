package policies

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot"

	"github.com/goccy/go-yaml/ast"
)

// Cases is what a policy is expected to say, as NAME.test.yaml beside it holds it.
type Cases struct {
	Cases []Case
}

// Case is one set of facts and what is expected of them.
type Case struct {
	Name   string
	Now    time.Time
	Facts  earshot.Facts
	Expect Expectation
}

// Expectation is what a case wants; empty fields are not compared.
type Expectation struct {
	Disposition string
	Rule        string
	Spans       string // as earshot.Spans prints them, all fills together
	Until       time.Time
	Missing     []string
	Reason      string // part of any reason's text
}

// Result is how a case went.
type Result struct {
	Case   string   `json:"case"`
	Faults []string `json:"faults,omitempty"`
	Rule   string   `json:"rule"` // that decided, so that one can see which rules no case reaches
}

// OK reports whether the case went as expected.
func (r Result) OK() bool { return len(r.Faults) == 0 }

func (r Result) String() string {
	if r.OK() {
		return fmt.Sprintf("ok    %s (%s)", r.Case, r.Rule)
	}
	return fmt.Sprintf("FAIL  %s: %s", r.Case, strings.Join(r.Faults, "; "))
}

// Check runs cases.
func Check(p *Policy, c *Cases) []Result {
	out := make([]Result, 0, len(c.Cases))
	for _, one := range c.Cases {
		d := p.Decide(one.Facts, one.Now)
		out = append(out, Result{Case: one.Name, Rule: d.Rule, Faults: one.Expect.faults(d)})
	}
	return out
}

func (e Expectation) faults(d earshot.Decision) (faults []string) {
	differ := func(what, got, want string) {
		if want != "" && got != want {
			faults = append(faults, fmt.Sprintf("%s is %s, not %s", what, got, want))
		}
	}
	var spans earshot.Spans
	reasons := ""
	for _, r := range d.Redactions {
		spans = append(spans, r.Spans...)
	}
	for _, r := range d.Reasons {
		reasons += r.Text + "\n"
	}
	differ("disposition", d.Disposition.String(), e.Disposition)
	differ("rule", d.Rule, e.Rule)
	differ("spans", spans.Merge().String(), e.Spans)
	if !e.Until.IsZero() && !e.Until.Equal(d.Until) {
		faults = append(faults, fmt.Sprintf("until is %s, not %s", date(d.Until), date(e.Until)))
	}
	if e.Missing != nil && !slices.Equal(e.Missing, d.Missing) {
		faults = append(faults, fmt.Sprintf("missing is %v, not %v", d.Missing, e.Missing))
	}
	if !strings.Contains(reasons, e.Reason) {
		faults = append(faults, fmt.Sprintf("no reason says %q", e.Reason))
	}
	return faults
}

// ParseCases reads a file of cases; errors are [Errors].
func ParseCases(name string, src []byte) (*Cases, error) {
	r := &reader{file: name, pos: map[string]Pos{}}
	body, err := r.open(src)
	if err != nil {
		return nil, err
	}
	out := &Cases{}
	r.object(body, "", map[string]func(ast.Node, string){
		"cases": r.list(func(n ast.Node, path string) {
			c := Case{Facts: earshot.Facts{HeadKnown: true}}
			c.Facts.Recording = earshot.Recording{ID: earshot.RecordingID{Bucket: "voice", Key: "clips/case.wav"}, ETag: "e", Coding: earshot.CodingWAV}
			r.object(n, path, map[string]func(ast.Node, string){
				"name": r.text(&c.Name), "now": r.time(&c.Now),
				"facts":  func(n ast.Node, path string) { r.facts(n, path, &c.Facts) },
				"expect": func(n ast.Node, path string) { r.expect(n, path, &c.Expect) },
			})
			if c.Facts.Recording.StoredAt.IsZero() {
				c.Facts.Recording.StoredAt = c.Now
			}
			if c.Expect.Disposition == "" {
				r.fail(n, "case %q expects no disposition", c.Name)
			}
			out.Cases = append(out.Cases, c)
		}),
	})
	if len(r.errs) > 0 {
		return nil, r.sorted()
	}
	return out, nil
}

func (r *reader) expect(n ast.Node, path string, e *Expectation) {
	r.object(n, path, map[string]func(ast.Node, string){
		"disposition": r.text(&e.Disposition), "rule": r.text(&e.Rule), "spans": r.text(&e.Spans), "until": r.time(&e.Until),
		"reason": r.text(&e.Reason),
		"missing": func(n ast.Node, path string) {
			e.Missing = []string{}
			r.strings(&e.Missing)(n, path)
		},
	})
	if e.Missing != nil && len(e.Missing) == 0 {
		e.Missing = nil
	}
}

func (r *reader) facts(n ast.Node, path string, f *earshot.Facts) {
	rec := &f.Recording
	r.object(n, path, map[string]func(ast.Node, string){
		"key": r.text(&rec.ID.Key), "device": r.text(&rec.Device), "locale": r.text(&rec.Locale), "source": r.text(&rec.Source),
		"captured": r.time(&rec.CapturedAt), "stored": r.time(&rec.StoredAt),
		"head": r.bool(&f.HeadKnown), "fault": r.text(&f.Fault),
		"coding": func(n ast.Node, _ string) { s, _ := r.scalar(n); rec.Coding = earshot.Coding(s) },
		"wake":   r.listening(f, earshot.KindWake), "child": r.listening(f, earshot.KindChild), "speech": r.listening(f, earshot.KindSpeech),
		"deaf": r.list(func(n ast.Node, _ string) {
			s, _ := r.scalar(n)
			if f.Deaf == nil {
				f.Deaf = map[earshot.Kind]string{}
			}
			f.Deaf[earshot.Kind(s)] = "nobody can tell"
		}),
		"subject": func(n ast.Node, path string) {
			f.Subject = &earshot.Subject{ID: "s-case"}
			rec.Subject = f.Subject.ID
			r.subject(n, path, f.Subject)
		},
		"hold":        r.flag(func() { f.Holds = append(f.Holds, earshot.Hold{ID: "hold-case"}) }),
		"legalHold":   r.bool(&f.Lock.LegalHold),
		"retainUntil": r.time(&f.Lock.RetainUntil),
		"erasureRequest": r.flag(func() {
			f.Requests = append(f.Requests, earshot.Request{ID: "request-case", Kind: earshot.RequestErasure})
		}),
		"erased": r.list(func(n ast.Node, _ string) {
			s, _ := r.scalar(n)
			span, err := earshot.ParseSpan(s)
			if err != nil {
				r.fail(n, "%s", err)
			}
			f.Erased = append(f.Erased, span)
		}),
	})
}

func (r *reader) subject(n ast.Node, path string, s *earshot.Subject) {
	var age int
	var minor bool
	var purposes []string
	r.object(n, path, map[string]func(ast.Node, string){
		"declaredAge":   func(n ast.Node, p string) { r.number(&age)(n, p); s.DeclaredAge = &age },
		"declaredMinor": func(n ast.Node, p string) { r.bool(&minor)(n, p); s.DeclaredMinor = &minor },
		"lastActive":    r.time(&s.LastActive), "dontSave": r.bool(&s.DontSave), "noHumanReview": r.bool(&s.NoHumanReview),
		"autoDelete": func(n ast.Node, _ string) {
			text, _ := r.scalar(n)
			d, err := ParsePeriod(text)
			if err != nil {
				r.fail(n, "%s", err)
			}
			s.AutoDelete = d
		},
		"consents": r.strings(&purposes),
		"withdrawn": func(n ast.Node, p string) {
			values, _ := r.mapping(n)
			for _, v := range values {
				c := earshot.Consent{Subject: s.ID, Purpose: v.Key.String()}
				r.time(&c.WithdrawnAt)(v.Value, p)
				s.Consents = append(s.Consents, c)
			}
		},
	})
	for _, p := range purposes {
		s.Consents = append(s.Consents, earshot.Consent{Subject: s.ID, Purpose: p})
	}
}

// listening reads {start, end, word, score, commandEnd}, or the word nothing.
func (r *reader) listening(f *earshot.Facts, kind earshot.Kind) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		l := earshot.Listening{Kind: kind, Detector: "case"}
		if s, ok := n.(*ast.StringNode); ok && s.Value == "nothing" {
			r.heard(f, l)
			return
		}
		x := earshot.Finding{Kind: kind}
		r.object(n, path, map[string]func(ast.Node, string){
			"start": r.duration(&x.Span.Start), "end": r.duration(&x.Span.End), "commandEnd": r.duration(&l.CommandEnd), "word": r.text(&x.Word),
			"probability": func(n ast.Node, _ string) {
				s, _ := r.scalar(n)
				v, err := strconv.ParseFloat(s, 64)
				if err != nil || v < 0 || v > 1 {
					r.fail(n, "%q is not between 0 and 1", s)
				}
				l.Score, x.Score = v, v
			},
		})
		if x.Span.Valid() {
			l.Findings = []earshot.Finding{x}
		}
		r.heard(f, l)
	}
}

func (r *reader) heard(f *earshot.Facts, l earshot.Listening) {
	if f.Heard == nil {
		f.Heard = map[earshot.Kind]earshot.Listening{}
	}
	f.Heard[l.Kind] = l
}

func (r *reader) duration(to *time.Duration) func(ast.Node, string) {
	return func(n ast.Node, _ string) {
		s, _ := r.scalar(n)
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			r.fail(n, "%q is not a duration such as 500ms", s)
		}
		*to = d
	}
}

func (r *reader) time(to *time.Time) func(ast.Node, string) {
	return func(n ast.Node, _ string) {
		s, ok := r.scalar(n)
		if !ok {
			return
		}
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, s); err == nil {
				*to = t.UTC()
				return
			}
		}
		r.fail(n, "%q is not a date such as 2026-01-31 or 2026-01-31T12:00:00Z", s)
	}
}

func (r *reader) bool(to *bool) func(ast.Node, string) {
	return func(n ast.Node, _ string) {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			r.fail(n, "want true or false")
			return
		}
		*to = b.Value
	}
}

func (r *reader) flag(set func()) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		var on bool
		if r.bool(&on)(n, path); on {
			set()
		}
	}
}

func (r *reader) strings(to *[]string) func(ast.Node, string) {
	return r.list(func(n ast.Node, _ string) {
		if s, ok := r.scalar(n); ok {
			*to = append(*to, s)
		}
	})
}
