package policies_test

import (
	"errors"
	"strings"
	"testing"

	"earshot/policies"
)

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	src := `apiVersion: earshot/v1
kind: Policy
metadata: {name: Loud, owner: a@example.org}
spec:
  scope: {bucket: voice, prefx: clips/}
  rules:
    - name: one
      when: wakee.found
      then: delet
    - name: two
      whn: wake.found
      thne: redact
    - name: three
      then: redact
      spans: [before-wakeword]
      fill: sillence
    - name: four
      when: true
      then: [delete]
  otherwise: delete
`
	_, err := policies.Parse("p.yaml", []byte(src))
	var all policies.Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v", err)
	}
	text := err.Error()
	for _, want := range []string{
		`p.yaml:3:`, `Loud`, `unknown key "prefx", did you mean "prefix"?`, `wakee`, `unknown disposition "delet", did you mean "delete"?`,
		`unknown key "whn", did you mean "when"?`, `unknown key "thne", did you mean "then"?`, `before-wakeword`, `unknown fill "sillence"`, `want keep or review`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing is said of %s in\n%s", want, text)
		}
	}
	// What only follows from a misspelt key is not said: rule two has its condition and its disposition.
	for _, not := range []string{`rule "two" has no`, `rule "four" has no`, `"two" deletes everything`} {
		if strings.Contains(text, not) {
			t.Errorf("it follows from another fault and is said: %s in\n%s", not, text)
		}
	}
	for i, e := range all[1:] {
		if e.Line < all[i].Line {
			t.Errorf("not in order of line: %v", all)
		}
	}
}
