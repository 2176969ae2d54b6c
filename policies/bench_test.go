package policies_test

import (
	"testing"
	"time"

	"earshot"
	"earshot/policies"
)

// tenRules is a policy as operators write them: what the benchmarks measure.
const tenRules = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: ten-rules}
spec:
  scope: {bucket: voice, prefix: clips/}
  otherwise: review
  rules:
    - {name: do-not-save, when: subject.known && subject.dontSave, then: delete}
    - {name: declared-child, when: 'has(subject.declaredAge) && subject.declaredAge < 13 && !("parental" in subject.consents)', then: delete}
    - {name: heard-child, when: 'child.probability >= 0.8 && !("parental" in subject.consents)', then: delete}
    - {name: before-wake-word, when: 'wake.found && wake.start > duration("300ms")', then: redact, spans: [before-wake-word]}
    - {name: accidental, when: wake.listened && !wake.found, then: delete}
    - {name: doorbell, when: 'recording.source == "doorbell" || recording.key.startsWith("clips/door/")', keep: {for: 30d, from: stored}, then: delete}
    - {name: germany, when: 'recording.locale in ["de-DE", "de-AT"]', keep: {for: 60d, from: captured}, then: delete}
    - {name: own-choice, when: has(subject.autoDelete), keep: {for: subject.autoDelete, from: captured}, then: delete}
    - {name: inactive, when: has(subject.lastActive), keep: {for: 1y, from: subject.lastActive}, then: delete}
    - {name: default, keep: {for: 90d, from: captured}, then: delete}
`

func benchFacts() earshot.Facts {
	age := 34
	span := earshot.Span{Start: 200 * time.Millisecond, End: 900 * time.Millisecond}
	return earshot.Facts{
		Recording: earshot.Recording{
			ID: earshot.RecordingID{Bucket: "voice", Key: "clips/s-1/kitchen/1.wav"}, Size: 64000, StoredAt: origin, CapturedAt: origin,
			Coding: earshot.CodingWAV, Subject: "s-1", Device: "kitchen", Locale: "en-GB", Source: "assistant",
		},
		HeadKnown: true, Length: 4 * time.Second,
		Heard: map[earshot.Kind]earshot.Listening{
			earshot.KindWake:  {Kind: earshot.KindWake, Findings: []earshot.Finding{{Kind: earshot.KindWake, Span: span, Score: 1, Word: "alexa"}}},
			earshot.KindChild: {Kind: earshot.KindChild, Score: 0.1},
		},
		Subject: &earshot.Subject{ID: "s-1", LastActive: origin, DeclaredAge: &age, AutoDelete: 30 * 24 * time.Hour,
			Consents: []earshot.Consent{{Purpose: "training", GivenAt: origin}}},
	}
}

func BenchmarkDecide(b *testing.B) {
	p := compile(b, tenRules)
	now := origin.Add(24 * time.Hour)
	kept, redacted, unheard := benchFacts(), benchFacts(), benchFacts()
	redacted.Heard = map[earshot.Kind]earshot.Listening{
		earshot.KindWake:  {Findings: []earshot.Finding{{Span: earshot.Span{Start: time.Second, End: 2 * time.Second}}}},
		earshot.KindChild: {},
	}
	unheard.Heard = nil
	for _, c := range []struct {
		name string
		f    earshot.Facts
		now  time.Time
		want earshot.Disposition
	}{
		{"kept", kept, now, earshot.Keep},
		{"expired", kept, origin.Add(100 * 24 * time.Hour), earshot.Delete},
		{"redacted", redacted, now, earshot.Redact},
		{"unheard", unheard, now, earshot.Review},
	} {
		b.Run(c.name, func(b *testing.B) {
			if d := p.Decide(c.f, c.now); d.Disposition != c.want {
				b.Fatalf("%+v", d)
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = p.Decide(c.f, c.now)
			}
		})
	}
}

func BenchmarkTimeline(b *testing.B) {
	p, f := compile(b, tenRules), benchFacts()
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Timeline(f)
	}
}

// BenchmarkDecideByCEL is the same question to conditions that only cel-go can evaluate.
func BenchmarkDecideByCEL(b *testing.B) {
	p, f := compile(b, `
apiVersion: earshot/v1
kind: Policy
metadata: {name: slow}
spec:
  scope: {bucket: voice}
  otherwise: keep
  rules:
    - {name: one, when: 'subject.consents.exists(c, c.startsWith("par"))', then: delete}
`), benchFacts()
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Decide(f, origin)
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		doc, err := policies.Parse("ten.yaml", []byte(tenRules))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := policies.Compile(doc); err != nil {
			b.Fatal(err)
		}
	}
}
