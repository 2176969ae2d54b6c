package policies_test

import (
	"fmt"
	"time"

	"earshot"
	"earshot/policies"
)

const exampleSource = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: example}
spec:
  scope: {bucket: voice, prefix: clips/}
  otherwise: review
  rules:
    - name: nothing-before-the-wake-word
      because: nobody spoke to the assistant yet
      when: wake.found && wake.start > duration("300ms")
      then: redact
      spans: [before-wake-word]
    - name: three-months
      keep: {for: 90d, from: captured}
      then: delete
`

func examplePolicy() *policies.Policy {
	doc, err := policies.Parse("example.yaml", []byte(exampleSource))
	if err != nil {
		panic(err)
	}
	p, err := policies.Compile(doc)
	if err != nil {
		panic(err)
	}
	return p
}

func exampleFacts() earshot.Facts {
	captured := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	return earshot.Facts{
		Recording: earshot.Recording{
			ID: earshot.RecordingID{Bucket: "voice", Key: "clips/1.wav"}, Coding: earshot.CodingWAV, CapturedAt: captured, StoredAt: captured,
		},
		HeadKnown: true,
	}
}

// A policy says what is to become of a recording, and names what it would have to know.
func ExamplePolicy_Decide() {
	p, f := examplePolicy(), exampleFacts()
	now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	d := p.Decide(f, now)
	fmt.Println(d.Disposition, d.Missing)

	// Someone listens.
	f.Heard = map[earshot.Kind]earshot.Listening{earshot.KindWake: {
		Kind:     earshot.KindWake,
		Findings: []earshot.Finding{{Kind: earshot.KindWake, Span: earshot.Span{Start: 1500 * time.Millisecond, End: 2 * time.Second}}},
	}}
	d = p.Decide(f, now)
	fmt.Println(d.Disposition, d.Redactions[0].Spans, "by", d.Rule)
	// Output:
	// review [wake]
	// redact 0s-1.5s by nothing-before-the-wake-word
}

// The timeline is everything that the policy will ever say of the same facts.
func ExamplePolicy_Timeline() {
	f := exampleFacts()
	f.Deaf = map[earshot.Kind]string{earshot.KindWake: "the event is unreadable"}
	for _, d := range examplePolicy().Timeline(f) {
		fmt.Println(d.Disposition, "until", d.Until.Format(time.DateOnly), "-", d.Reasons[0].Text)
	}
	// Output:
	// review until 2026-04-01 - wake cannot be known: the event is unreadable
	// delete until 0001-01-01 - kept for 90d from capture, which is over
}

// Errors come all at once, each with its place.
func ExampleParse_errors() {
	_, err := policies.Parse("bad.yaml", []byte("apiVersion: earshot/v1\nkind: Policy\nspce: {}\nmetadata: {nmae: x}\n"))
	fmt.Println(err)
	// Output:
	// bad.yaml:3:1: unknown key "spce", did you mean "spec"?
	// bad.yaml:4:12: unknown key "nmae", did you mean "name"?
}

// Cases are written beside a policy, and run with it.
func ExampleCheck() {
	cases, err := policies.ParseCases("example.test.yaml", []byte(`
cases:
  - name: an old clip goes
    now: 2026-06-01
    facts: {captured: 2026-01-01}
    expect: {disposition: delete, rule: three-months}
  - name: a new one stays
    now: 2026-01-02
    facts: {captured: 2026-01-01, wake: {start: 2s, end: 3s}}
    expect: {disposition: keep}
`))
	if err != nil {
		panic(err)
	}
	for _, r := range policies.Check(examplePolicy(), cases) {
		fmt.Println(r)
	}
	// Output:
	// ok    an old clip goes (three-months)
	// FAIL  a new one stays: disposition is redact, want keep
}

// Several policies may speak of one recording.
func ExampleCombine() {
	a := earshot.Decision{Disposition: earshot.Keep, Rule: "research", Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	b := earshot.Decision{Disposition: earshot.Delete, Rule: "own-choice"}
	d := policies.Combine(a, b)
	fmt.Println(d.Disposition, d.Rule, d.Until.Year())
	// Output: delete own-choice 2027
}
