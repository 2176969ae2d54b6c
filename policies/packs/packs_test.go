package packs_test

import (
	"strings"
	"testing"

	"earshot/policies"
	"earshot/policies/packs"
)

func TestEveryPackKeepsItsCasesAndEveryRuleIsReached(t *testing.T) {
	for _, name := range packs.Names() {
		t.Run(name, func(t *testing.T) {
			src, casesSrc, err := packs.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := policies.Parse(name+".yaml", src)
			if err != nil {
				t.Fatal(err)
			}
			p, err := policies.Compile(doc)
			if err != nil {
				t.Fatal(err)
			}
			cases, err := policies.ParseCases(name+".test.yaml", casesSrc)
			if err != nil {
				t.Fatal(err)
			}
			reached := map[string]bool{}
			for _, r := range policies.Check(p, cases) {
				if !r.OK() {
					t.Error(r)
				}
				reached[r.Rule] = true
			}
			for _, r := range doc.Spec.Rules {
				if !reached[r.Name] {
					t.Errorf("no case reaches the rule %s", r.Name)
				}
				if r.Because == "" {
					t.Errorf("rule %s gives no source", r.Name)
				}
			}
			if !strings.Contains(string(src), "not legal advice") {
				t.Error("the pack does not say that it is not legal advice")
			}
		})
	}
}
