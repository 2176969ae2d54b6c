package policies_test

import (
	"strings"
	"testing"
	"time"

	"earshot"
)

func TestWhatWouldChangeIsTrue(t *testing.T) {
	p := compiledText(t, `
apiVersion: earshot/v1
kind: Policy
metadata: {name: p, owner: a@example.org}
spec:
  scope: {bucket: voice, prefix: clips/}
  rules:
    - {name: child, when: 'child.declared && !("parental" in subject.consents)', then: delete}
    - {name: chosen, when: has(subject.dontSave) && subject.dontSave, then: delete}
    - {name: period, keep: {for: 90d, from: captured}, then: delete}
  otherwise: keep
`)
	at, age := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), 9
	f := earshot.Facts{
		Recording: earshot.Recording{ID: earshot.RecordingID{Bucket: "voice", Key: "clips/a.wav"}, Subject: "s-1", CapturedAt: at.AddDate(0, 0, -1), StoredAt: at},
		HeadKnown: true, Subject: &earshot.Subject{ID: "s-1", DeclaredAge: &age}, Holds: []earshot.Hold{{ID: "h"}},
	}
	text := func() string {
		var lines []string
		for _, o := range p.WhatWouldChange(f, at) {
			lines = append(lines, o.String())
		}
		return strings.Join(lines, "\n")
	}
	if got := text(); got != "if the legal hold were lifted: delete, by child" {
		t.Errorf("held: %s", got)
	}
	f.Holds = nil
	got := text()
	for _, want := range []string{"if consent to parental were given: keep, by period", "if the declared age were 40: keep, by period"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "wake word") || len(f.Subject.Consents) > 0 {
		t.Errorf("what changes nothing is told, or the facts were changed:\n%s", got)
	}
}
