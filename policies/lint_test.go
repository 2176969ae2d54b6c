package policies_test

import (
	"strings"
	"testing"

	"earshot/policies"
	"earshot/policies/packs"
)

const lintHead = `apiVersion: earshot/v1
kind: Policy
metadata: {name: p}
spec:
  scope: {bucket: voice, prefix: clips/}
  limits: {maxShare: 5%, approvals: 1}
  otherwise: keep
  rules:
`

func TestLintPointsOutWhatIsProbablyNotMeant(t *testing.T) {
	const childEnds = "    - {name: child-ends, because: law, when: has(subject.declaredMinor) && subject.declaredMinor == true, keep: {for: 30d, from: captured}, then: delete}\n"
	for name, c := range map[string]struct{ rules, want, not string }{
		"afterAnUnconditionalRule": {"    - {name: a, because: x, then: keep}\n    - {name: b, because: x, when: wake.found, then: delete}\n", "rule b: it is never reached: rule a", ""},
		"sameCondition":            {"    - {name: a, because: x, when: wake.found, then: keep}\n    - {name: b, because: x, when: 'wake.found ', then: delete}\n", "rule b: it is never reached: rule a", ""},
		"saysItAgain":              {"    - {name: a, because: x, keep: {for: 9d, from: captured}, then: delete}\n    - {name: b, because: x, keep: {for: 9d, from: captured}, then: delete}\n", "rule b: it says again", ""},
		"neverTrue":                {"    - {name: a, because: x, when: 'false', then: delete}\n", "rule a: its condition is never true", ""},
		"noReason":                 {"    - {name: a, keep: {for: 9d, from: captured}, then: delete}\n", "rule a: it gives no reason", ""},
		"childForEver":             {"    - {name: a, because: x, when: has(subject.declaredMinor) && subject.declaredMinor == false, keep: {for: 9d, from: captured}, then: delete}\n", "a child's recordings are kept for ever", "adults"},
		"adultForEver":             {childEnds, "adults who say nothing are kept for ever", "a child's recordings are kept"},
		"everybodyEnds":            {"    - {name: a, because: x, keep: {for: 9d, from: captured}, then: delete}\n", "no cases", "kept for ever"},
		"redactDoesNotEnd":         {"    - {name: a, because: x, when: wake.found, then: redact, spans: [before-wake-word]}\n    - {name: b, because: x, when: wake.found, then: delete}\n", "", "rule b: it is never reached"},
	} {
		p := compiledText(t, lintHead+c.rules)
		var lines []string
		for _, w := range policies.Lint(p, nil) {
			lines = append(lines, w.String())
		}
		text := strings.Join(lines, "\n")
		if !strings.Contains(text, c.want) || c.not != "" && strings.Contains(text, c.not) {
			t.Errorf("%s: want %q, not %q; got\n%s", name, c.want, c.not, text)
		}
		if c.want != "" && strings.Contains(c.want, "rule ") && !strings.Contains(text, "p.yaml:") {
			t.Errorf("%s: no place is named:\n%s", name, text)
		}
	}
	if got := policies.Lint(compiledText(t, strings.Replace(lintHead, "  limits: {maxShare: 5%, approvals: 1}\n", "", 1)+"    - {name: a, because: x, then: keep}\n"), nil); !strings.Contains(got[len(got)-2].Text, "no limits") {
		t.Errorf("without limits: %v", got)
	}
}

func compiledText(t *testing.T, text string) *policies.Policy {
	t.Helper()
	doc, err := policies.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := policies.Compile(doc)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPacksSayWhatTheyDo: the packs have cases for every rule, and their page names every rule, its
// period and its source.
func TestPacksSayWhatTheyDo(t *testing.T) {
	for _, name := range packs.Names() {
		text, casesText, err := packs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		p := compiledText(t, string(text))
		cases, err := policies.ParseCases(name+".test.yaml", casesText)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range policies.Lint(p, cases) {
			if !strings.Contains(w.Text, "adults who say nothing") {
				t.Errorf("%s: %s", name, w)
			}
		}
		page, err := policies.Publish(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Document().Spec.Rules {
			words := strings.ReplaceAll(r.Name, "-", " ")[1:]
			if !strings.Contains(string(page), words) || !strings.Contains(string(page), strings.NewReplacer("&", "&amp;", "'", "&#39;").Replace(r.Because)) {
				t.Errorf("%s: the page does not tell of rule %s", name, r.Name)
			}
		}
		if strings.Contains(string(page), "{{") || !strings.Contains(string(page), p.Digest().String()) {
			t.Errorf("%s: the page is not whole", name)
		}
	}
}

func TestPublishedPeriodsAreInWords(t *testing.T) {
	p := compiledText(t, lintHead+`    - {name: a, because: x, keep: {for: 1d, from: captured}, then: delete}
    - {name: b, because: x, keep: {for: 18mo, from: subject.lastActive}, then: delete}
    - {name: c, because: x, keep: {for: subject.autoDelete, from: stored}, then: delete}
    - {name: d, because: x, keep: {for: 2w, from: consent.withdrawn, purpose: voiceprint}, then: delete}
    - {name: e, because: x, then: redact, spans: [before-wake-word, child-speech], companions: {transcript: trim}}
`)
	page, err := policies.Publish(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Deleted 1 day after they were recorded, with everything made from them", "Deleted 18 months of 30 days after the account was last used",
		"Deleted the period that you chose after they were stored", "Deleted 2 weeks after consent to voiceprint was withdrawn",
		"What was said before the wake word and by a child is erased at the next run; transcript: the same words are taken out",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
