package earshot_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportRule holds the imports against the rule of ARCHITECTURE.md: the packages below know
// the root and nothing of one another, retention alone combines them, faces sit on top.
func TestImportRule(t *testing.T) {
	below := []string{"policies", "redact", "voice", "storage", "storage/catalog", "storage/inventory", "audit", "events"}
	allowed := map[string][]string{
		"":                   {},
		"policies/packs":     {},
		"audit/export":       {"audit"},
		"storage/embedded":   {},
		"retention":          below,
		"voice/pcm":          {""},
		"voice/picture":      {"", "voice"},
		"voice/wyoming":      {"", "voice"},
		"voice/outside":      {"", "voice"},
		"voice/ear":          {"", "voice", "voice/pcm"},
		"retention/schedule": {"policies", "retention", "storage/catalog"},
		"retention/work":     {"", "retention"},
		"retention/notify":   {"", "storage/catalog"},
	}
	for _, p := range below {
		allowed[p] = []string{""}
	}
	allowed["retention"] = append(slices.Clone(below), "")
	allowed["retention/schedule"] = append(allowed["retention/schedule"], "")
	free := []string{"cmd/", "bench", "storage/storagetest", "storage/catalog/catalogtest", "internal/fault", "scripts/"}
	seen := 0
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "earshot"), "/")
		if slices.ContainsFunc(free, func(f string) bool { return strings.HasPrefix(name, f) }) {
			continue
		}
		seen++
		rule, known := allowed[name]
		if owner, _, ok := strings.Cut(name, "/internal/"); ok {
			rule, known = []string{""}, true
			for _, q := range p.Imports { // the inner packages of one owner may know one another
				if strings.HasPrefix(q, "earshot/"+owner+"/internal/") {
					rule = append(rule, strings.TrimPrefix(q, "earshot/"))
				}
			}
		}
		if !known {
			t.Errorf("package %q has no place in the import rule: give it one here and in ARCHITECTURE.md", name)
		}
		for _, q := range p.Imports {
			other := strings.TrimPrefix(strings.TrimPrefix(q, "earshot"), "/")
			ours := q == "earshot" || strings.HasPrefix(q, "earshot/")
			inner := strings.HasPrefix(other, name+"/internal/")
			if ours && !inner && !slices.Contains(rule, other) {
				t.Errorf("%s must not import %s", p.ImportPath, q)
			}
			if name == "" && strings.Contains(q, ".") {
				t.Errorf("the root must import the standard library only, not %s", q)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
