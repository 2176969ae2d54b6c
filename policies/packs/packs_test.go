package packs_test

import (
	"strings"
	"testing"

	"earshot"
	"earshot/policies"
	"earshot/policies/packs"
)

func open(t *testing.T, name string) (*policies.Document, *policies.Cases, string) {
	t.Helper()
	src, casesSrc, err := packs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policies.Parse(name+".yaml", src)
	if err != nil {
		t.Fatal(err)
	}
	cases, err := policies.ParseCases(name+".test.yaml", casesSrc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, cases, string(src)
}

func failures(t *testing.T, doc *policies.Document, cases *policies.Cases) (failed []policies.Result, unreached []string) {
	t.Helper()
	p, err := policies.Compile(doc)
	if err != nil {
		t.Fatal(err)
	}
	results := policies.Check(p, cases)
	for _, r := range results {
		if !r.OK() {
			failed = append(failed, r)
		}
	}
	return failed, p.Unreached(results)
}

func TestEveryPackKeepsItsCasesAndEveryRuleIsReached(t *testing.T) {
	for _, name := range packs.Names() {
		t.Run(name, func(t *testing.T) {
			doc, cases, src := open(t, name)
			failed, unreached := failures(t, doc, cases)
			for _, r := range failed {
				t.Error(r)
			}
			if len(unreached) > 0 {
				t.Errorf("no case reaches %v", unreached)
			}
			for _, r := range doc.Spec.Rules {
				if r.Because == "" {
					t.Errorf("rule %s gives no source", r.Name)
				}
			}
			for _, r := range doc.Spec.Rows {
				if r.Because == "" {
					t.Errorf("rule %s gives no source", r.Name)
				}
			}
			if doc.Metadata.Name != name {
				t.Errorf("the policy is named %s", doc.Metadata.Name)
			}
			for _, words := range []string{"not legal advice", "Sources:"} {
				if !strings.Contains(src, words) {
					t.Errorf("the pack does not say %q", words)
				}
			}
		})
	}
}

// TestCasesNoticeARuleRemovedOrInverted: cases that pass whatever the rules say prove nothing.
func TestCasesNoticeARuleRemovedOrInverted(t *testing.T) {
	for _, name := range packs.Names() {
		doc, cases, _ := open(t, name)
		rules := doc.Spec.Rules
		for i, r := range rules {
			mutants := map[string][]policies.Rule{"removed": append(append([]policies.Rule(nil), rules[:i]...), rules[i+1:]...)}
			if r.When != "" {
				inverted := append([]policies.Rule(nil), rules...)
				inverted[i].When = "!(" + r.When + ")"
				mutants["inverted"] = inverted
			}
			if r.Keep != nil && strings.HasSuffix(r.Keep.For, "d") {
				longer := append([]policies.Rule(nil), rules...)
				longer[i].Keep = &policies.Period{For: r.Keep.For + "1d", From: r.Keep.From}
				mutants["a day longer"] = longer
			}
			for how, mutant := range mutants {
				changed := *doc
				changed.Spec.Rules = mutant
				if failed, _ := failures(t, &changed, cases); len(failed) == 0 {
					t.Errorf("%s: no case fails with rule %s %s", name, r.Name, how)
				}
			}
		}
	}
}

// TestCasesNoticeARuleOnRowsChanged does the same for the rules on rows of event logs.
func TestCasesNoticeARuleOnRowsChanged(t *testing.T) {
	mutated := 0
	for _, name := range packs.Names() {
		doc, cases, _ := open(t, name)
		for i, r := range doc.Spec.Rows {
			change := func(to policies.RowsRule) []policies.RowsRule {
				out := append([]policies.RowsRule(nil), doc.Spec.Rows...)
				out[i] = to
				return out
			}
			mutants := map[string][]policies.RowsRule{"removed": append(append([]policies.RowsRule(nil), doc.Spec.Rows[:i]...), doc.Spec.Rows[i+1:]...)}
			if r.After != "" {
				longer := r
				longer.After += "1h"
				mutants["an hour longer"] = change(longer)
			}
			if len(r.Of) > 0 {
				wider := r
				wider.Of = nil
				mutants["of all logs"] = change(wider)
			}
			if r.Coarsen != "" {
				finer := r
				finer.Coarsen = "minute"
				mutants["finer"] = change(finer)
			}
			if len(r.Drop) > 0 && len(r.Hash) > 0 {
				without := r
				without.Drop = nil
				mutants["without drop"] = change(without)
				without = r
				without.Hash = nil
				mutants["without hash"] = change(without)
			}
			for how, mutant := range mutants {
				mutated++
				changed := *doc
				changed.Spec.Rows = mutant
				if failed, _ := failures(t, &changed, cases); len(failed) == 0 {
					t.Errorf("%s: no case fails with rule %s %s", name, r.Name, how)
				}
			}
		}
	}
	if mutated < 10 {
		t.Errorf("only %d mutants were tried", mutated)
	}
}

// TestNoPackDeletesWithoutFacts: a pack switched on over a bucket it knows nothing of does no harm.
func TestNoPackDeletesWithoutFacts(t *testing.T) {
	for _, name := range packs.Names() {
		doc, _, _ := open(t, name)
		p, err := policies.Compile(doc)
		if err != nil {
			t.Fatal(err)
		}
		listed := earshot.Facts{Recording: earshot.Recording{ID: earshot.RecordingID{Bucket: "voice", Key: "clips/1.wav"}}}
		for _, f := range []earshot.Facts{{}, listed} {
			for _, d := range p.Timeline(f) {
				if d.Disposition > earshot.Review {
					t.Errorf("%s: %s by %s", name, d.Disposition, d.Rule)
				}
			}
		}
	}
}

func TestUnknownPackNamesTheOthers(t *testing.T) {
	if _, _, err := packs.Open("../packs"); err == nil || !strings.Contains(err.Error(), "voice-assistant") {
		t.Errorf("error %v", err)
	}
}
