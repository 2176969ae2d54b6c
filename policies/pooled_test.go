package policies_test

import (
	"strings"
	"testing"

	"earshot"
	"earshot/policies"
)

const pooledPolicy = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: session}
spec:
  scope: {bucket: voice}
  rules:
    - {name: said, when: has(child.declared) && !child.declared, then: keep}
    - {name: session, when: child.pooled >= 0.8, then: delete}
  otherwise: keep
`

// What a session tells is known when the recording itself was listened to, or cannot be.
func TestTheSessionSpeaksAfterTheRecording(t *testing.T) {
	p := compile(t, pooledPolicy)
	rec := earshot.Recording{ID: earshot.RecordingID{Bucket: "voice", Key: "k"}, ETag: "e", StoredAt: origin}
	heard := map[earshot.Kind]earshot.Listening{earshot.KindChild: {Kind: earshot.KindChild, Score: 0.4}}
	deaf := map[earshot.Kind]string{earshot.KindChild: "too little was heard to judge"}
	child, adult := &earshot.Pooled{Probability: 0.9, Of: 3}, &earshot.Pooled{Probability: 0.3, Of: 3}
	grown := false
	for name, c := range map[string]struct {
		f       earshot.Facts
		want    earshot.Disposition
		missing string
		reason  string
	}{
		"nothing":        {earshot.Facts{}, earshot.Review, "child", "listening for child"},
		"unheard":        {earshot.Facts{Pooled: child}, earshot.Review, "child", "listening for child"},
		"heard":          {earshot.Facts{Heard: heard}, earshot.Review, "pooled", "not known yet: what the other recordings of its session tell"},
		"child":          {earshot.Facts{Heard: heard, Pooled: child}, earshot.Delete, "", "when child.pooled >= 0.8"},
		"adult":          {earshot.Facts{Heard: heard, Pooled: adult}, earshot.Keep, "", ""},
		"deaf":           {earshot.Facts{Deaf: deaf}, earshot.Review, "pooled", ""},
		"others":         {earshot.Facts{Deaf: deaf, Pooled: child}, earshot.Delete, "", ""},
		"nobody":         {earshot.Facts{Deaf: deaf, Pooled: &earshot.Pooled{Why: "nobody was"}}, earshot.Review, "", "child.pooled cannot be known: nobody was"},
		"aBadFigure":     {earshot.Facts{Heard: heard, Pooled: &earshot.Pooled{Probability: 2, Of: 2}}, earshot.Review, "", "child.pooled is missing"},
		"declaredBefore": {earshot.Facts{Heard: heard, Pooled: child, Subject: &earshot.Subject{DeclaredMinor: &grown}}, earshot.Keep, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.f.HeadKnown, c.f.Recording = true, rec
			d := p.Decide(c.f, origin)
			if d.Disposition != c.want || strings.Join(d.Missing, ",") != c.missing || !strings.Contains(d.Reasons[0].Text, c.reason) {
				t.Errorf("%s, missing %q, because %q", d.Disposition, d.Missing, d.Reasons[0].Text)
			}
		})
	}
	e := p.Explain(earshot.Facts{HeadKnown: true, Recording: rec, Heard: heard, Pooled: adult}, origin).String()
	for _, want := range []string{"child.pooled = 0.3", "session sounded like a child (probability 0.95)"} {
		if !strings.Contains(e, want) {
			t.Errorf("the explanation lacks %q:\n%s", want, e)
		}
	}
}

func TestCasesHaveAFigureOfTheSession(t *testing.T) {
	p := compile(t, pooledPolicy)
	cases, err := policies.ParseCases("cases.yaml", []byte(`
cases:
  - {name: alone, now: 2026-01-31, facts: {child: {probability: 0.9}}, expect: {disposition: delete, rule: session, reason: child.pooled}}
  - {name: among children, now: 2026-01-31, facts: {child: {probability: 0.4, pooled: 0.9}}, expect: {disposition: delete, missing: []}}
  - {name: among adults, now: 2026-01-31, facts: {child: {probability: 0.9, pooled: 0.5}}, expect: {disposition: keep}}
  - {name: too short, now: 2026-01-31, facts: {deaf: {child: too short}, child: {pooled: 0.9}}, expect: {disposition: delete}}
  - {name: nobody, now: 2026-01-31, facts: {deaf: {child: too short}}, expect: {disposition: review, missing: []}}
  - {name: not yet, now: 2026-01-31, expect: {disposition: review, missing: [child]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range policies.Check(p, cases) {
		if !r.OK() {
			t.Errorf("%s: %q", r.Case, r.Faults)
		}
	}
	if _, err := policies.ParseCases("cases.yaml", []byte("cases:\n  - {name: a, now: 2026-01-31, facts: {wake: {pooled: 0.9}}, expect: {disposition: keep}}\n")); err == nil {
		t.Error("a wake word has no session")
	}
}
