package policies_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/policies"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func household(t testing.TB) *policies.Policy {
	t.Helper()
	src, err := os.ReadFile("testdata/valid/household.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, string(src))
}

func householdCases(t *testing.T) *policies.Cases {
	t.Helper()
	src, err := os.ReadFile("testdata/semantics/household.test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := policies.ParseCases("household.test.yaml", src)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestSemantics(t *testing.T) {
	p := household(t)
	results := policies.Check(p, householdCases(t))
	for _, r := range results {
		if !r.OK() {
			t.Error(r)
		}
	}
	if left := p.Unreached(results); len(left) > 0 {
		t.Errorf("no case reaches %v", left)
	}
}

// TestExplanationsAreGolden: the explanation of every case of the semantics, in one file to read.
func TestExplanationsAreGolden(t *testing.T) {
	p := household(t)
	var b bytes.Buffer
	for _, c := range householdCases(t).Cases {
		e := p.Explain(c.Facts, c.Now)
		b.WriteString("# " + c.Name + "\n" + strings.ReplaceAll(e.String(), e.Digest.Short(), "DIGEST") + "\n")
		if !cmp.Equal(e.Decision, p.Decide(c.Facts, c.Now)) || !cmp.Equal(e.Timeline, p.Timeline(c.Facts)) {
			t.Errorf("%s: the explanation and the decision differ", c.Name)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	file := filepath.Join("testdata", "golden", "explanations.txt")
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("explanations (-want +got), -update rewrites:\n%s", diff)
	}
}

// rules wraps rules into a policy.
func rules(text string) string {
	return "apiVersion: earshot/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  scope: {bucket: voice, prefix: clips/}\n  otherwise: keep\n  rules:\n" + text
}

func TestSpansOfSound(t *testing.T) {
	ms := time.Millisecond
	heard := func(kind earshot.Kind, commandEnd time.Duration, score float64, spans ...earshot.Span) earshot.Listening {
		l := earshot.Listening{Kind: kind, CommandEnd: commandEnd, Score: score}
		for _, s := range spans {
			l.Findings = append(l.Findings, earshot.Finding{Kind: kind, Span: s})
		}
		return l
	}
	twice := heard(earshot.KindWake, 5000*ms, 0, earshot.Span{Start: 4000 * ms, End: 4500 * ms}, earshot.Span{Start: 1000 * ms, End: 1500 * ms})
	for _, c := range []struct {
		law, spans string
		heard      []earshot.Listening
		length     time.Duration
		want       string // review, keep or the spans
	}{
		{"theFirstWakeWordCountsForBefore", "before-wake-word", []earshot.Listening{twice}, 0, "0s-1s"},
		{"theLastForAfter", "after-wake-word", []earshot.Listening{twice}, 0, "4.5s-"},
		{"everyWakeWordIsErased", "wake-word", []earshot.Listening{twice}, 0, "1s-1.5s,4s-4.5s"},
		{"theCommandEndsWhereTheEventSays", "after-command", []earshot.Listening{twice}, 0, "5s-"},
		{"orWhereSpeechSays", "after-command", []earshot.Listening{heard(earshot.KindWake, 0, 0), heard(earshot.KindSpeech, 2000*ms, 0)}, 0, "2s-"},
		{"nobodyKnowsWhereTheCommandEnds", "after-command", []earshot.Listening{heard(earshot.KindWake, 0, 0), heard(earshot.KindSpeech, 0, 0)}, 0, "review"},
		{"aWakeWordAtTheStartLeavesNothingBefore", "before-wake-word", []earshot.Listening{heard(earshot.KindWake, 0, 0, earshot.Span{End: ms})}, 0, "keep"},
		{"noWakeWordNoBefore", "before-wake-word", []earshot.Listening{heard(earshot.KindWake, 0, 0)}, 0, "review"},
		{"aFindingWithoutAPlaceIsNoPlace", "before-wake-word", []earshot.Listening{heard(earshot.KindWake, 0, 0, earshot.Span{})}, 0, "review"},
		{"childrenWhereTheySpeak", "child-speech", []earshot.Listening{heard(earshot.KindChild, 0, 0.9, earshot.Span{Start: ms, End: 2 * ms}, earshot.Span{Start: 2 * ms, End: 3 * ms})}, 0, "1ms-3ms"},
		{"noChildNothingToErase", "child-speech", []earshot.Listening{heard(earshot.KindChild, 0, 0.1)}, 0, "keep"},
		{"aChildSomewhereIsNotNowhere", "child-speech", []earshot.Listening{heard(earshot.KindChild, 0, 0.9)}, 0, "review"},
		{"everything", "everything", nil, 0, "0s-"},
		{"explicitSpansMerge", "1s-2s, 1500ms-3s, 9s-", nil, 0, "1s-3s,9s-"},
		{"whatLiesBehindTheEndIsNothing", "9s-", nil, 5 * time.Second, "keep"},
	} {
		t.Run(c.law, func(t *testing.T) {
			p := compile(t, rules("    - {name: a, then: redact, spans: ["+c.spans+"]}\n"))
			f := benchFacts()
			f.Heard, f.Length = map[earshot.Kind]earshot.Listening{}, c.length
			for _, l := range c.heard {
				f.Heard[l.Kind] = l
			}
			d := p.Decide(f, origin)
			got := d.Disposition.String()
			if d.Disposition == earshot.Redact {
				got = d.Redactions[0].Spans.String()
			}
			if got != c.want {
				t.Errorf("%s, want %s: %+v", got, c.want, d.Reasons)
			}
			f.Erased = earshot.Spans{{End: earshot.ToEnd}}
			if d := p.Decide(f, origin); d.Disposition == earshot.Redact {
				t.Errorf("all is erased, and still: %v", d.Redactions)
			}
		})
	}
}

func TestSearchOfRules(t *testing.T) {
	f := benchFacts()
	for law, c := range map[string]struct{ rules, want string }{
		"keepEndsTheSearch":            {"{name: a, then: keep}|{name: b, when: true, then: delete}", "keep a"},
		"reviewEndsTheSearch":          {"{name: a, then: review}|{name: b, when: true, then: delete}", "review a"},
		"redactGoesOn":                 {"{name: a, then: redact, spans: [everything]}|{name: b, when: true, then: delete}", "delete b"},
		"redactThenKeepIsRedact":       {"{name: a, then: redact, spans: [everything]}|{name: b, then: keep}", "redact a"},
		"redactThenReviewIsReview":     {"{name: a, then: redact, spans: [everything]}|{name: b, then: review}", "review b"},
		"anUnheardRedactThenReview":    {"{name: a, when: child.probability > 0.5, then: redact, spans: [everything]}|{name: b, then: review}", "review b"},
		"aDeafDeleteIsReview":          {"{name: a, when: speech.listened && !speech.found, then: delete}", "review a"},
		"keepBeforeRedactKeeps":        {"{name: b, then: keep}|{name: a, then: redact, spans: [everything]}", "keep b"},
		"anErrorIsNoReasonToDelete":    {"{name: a, when: '10 / (recording.size - recording.size) > 1', then: delete}", "review a"},
		"anAbsentLabelIsAnError":       {"{name: a, when: 'recording.labels.room == \"x\"', then: delete}", "review a"},
		"anErrorThatDoesNotMatter":     {"{name: a, when: 'recording.labels.room == \"x\"', then: delete}|{name: b, when: true, then: delete}", "delete b"},
		"unlessCompanionsDiffer":       {"{name: a, when: 'recording.labels.room == \"x\"', then: delete, companions: {event: keep}}|{name: b, when: true, then: delete}", "review a"},
		"otherwise":                    {"{name: a, when: false, then: keep}", "keep otherwise"},
		"noWithdrawalNoPeriod":         {"{name: a, keep: {for: 1d, from: consent.withdrawn, purpose: x}, then: delete}", "keep otherwise"},
		"earliestPeriodIsNamed":        {"{name: a, keep: {for: 9d, from: captured}, then: delete}|{name: b, keep: {for: 5d, from: captured}, then: delete}", "keep b"},
		"aPeriodThatRunsHidesNoDelete": {"{name: a, keep: {for: 9d, from: captured}, then: delete}|{name: b, when: wake.found, then: delete}", "delete b"},
		"reviewAfterAPeriod":           {"{name: a, keep: {for: 1h, from: captured}, then: review}", "review a"},
	} {
		t.Run(law, func(t *testing.T) {
			p := compile(t, rules("    - "+strings.ReplaceAll(c.rules, "|", "\n    - ")+"\n"))
			d := p.Decide(f, origin.Add(24*time.Hour))
			if got := d.Disposition.String() + " " + d.Rule; got != c.want {
				t.Errorf("%s, want %s: %+v", got, c.want, d.Reasons)
			}
		})
	}
}

func TestFillsAreKeptApart(t *testing.T) {
	p := compile(t, rules("    - {name: a, then: redact, spans: [1s-2s], companions: {event: keep, transcript: trim, note: keep}}\n"+
		"    - {name: b, then: redact, spans: [5s-6s], fill: tone, companions: {event: delete}}\n    - {name: c, then: redact, spans: [2s-3s], pad: 1s}\n"))
	f := benchFacts()
	f.Length = 10 * time.Second
	d := p.Decide(f, origin)
	s := func(n int) time.Duration { return time.Duration(n) * time.Second }
	want := []earshot.Redaction{
		{Spans: earshot.Spans{{Start: s(1), End: s(4)}}, Fill: earshot.FillSilence},
		{Spans: earshot.Spans{{Start: s(5), End: s(6)}}, Fill: earshot.FillTone},
	}
	if diff := cmp.Diff(want, d.Redactions); diff != "" {
		t.Errorf("redactions (-want +got):\n%s", diff)
	}
	// Rules b and c say nothing of the note: it shares the recording's fate.
	if want := map[string]earshot.CompanionRule{"event": "delete", "transcript": "trim", "note": "trim"}; !cmp.Equal(want, d.Companions) {
		t.Errorf("companions %v, want %v", d.Companions, want)
	}
}

func TestInScope(t *testing.T) {
	p := household(t)
	for key, want := range map[string]bool{"clips/a": true, "clips/": true, "clip": false, "x/clips/a": false} {
		if got := p.InScope(earshot.Recording{ID: earshot.RecordingID{Bucket: "voice", Key: key}}); got != want {
			t.Errorf("%s in scope: %v, want %v", key, got, want)
		}
	}
	if p.InScope(earshot.Recording{ID: earshot.RecordingID{Bucket: "other", Key: "clips/a"}}) {
		t.Error("another bucket is in scope")
	}
}

func TestReasonsHoldNoPersonalData(t *testing.T) {
	p := household(t)
	f := benchFacts()
	f.Recording.ID.Key, f.Recording.Subject, f.Recording.Device = "clips/anna-schmidt.wav", "anna", "annas-bedroom"
	f.Subject.ID, f.Recording.Labels = "anna", map[string]string{"owner": "anna"}
	for _, d := range p.Timeline(f) {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(bytes.ToLower(text), []byte("anna")) {
			t.Errorf("personal data in %s", text)
		}
	}
}

func TestCasesAreStrict(t *testing.T) {
	_, err := policies.ParseCases("c.yaml", []byte("cases:\n  - name: a\n    now: yesterday\n    facts: {captured: 2026-01-01, wake: {start: 2s, end: 1s}, deaf: {ears: x}}\n    expect: {dispositoin: keep}\n"))
	var all policies.Errors
	if !errors.As(err, &all) || len(all) != 5 {
		t.Errorf("errors: %v", err)
	}
}

func TestSchemaNamesEveryKey(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(policies.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	text := string(policies.Schema())
	for _, key := range []string{
		"apiVersion", "kind", "metadata", "spec", "name", "owner", "description", "scope", "bucket", "prefix", "schedule", "limits", "maxShare",
		"maxCount", "approvals", "rules", "because", "when", "keep", "for", "from", "purpose", "then", "spans", "pad", "fill", "companions", "otherwise",
	} {
		if !strings.Contains(text, `"`+key+`": {`) {
			t.Errorf("the schema does not know %s", key)
		}
	}
	if !strings.Contains(text, `"additionalProperties": false`) {
		t.Error("the schema allows unknown keys")
	}
}
