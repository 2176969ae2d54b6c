package policies_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot/policies"
)

func build(name string, src []byte) (*policies.Policy, error) {
	doc, err := policies.Parse(name, src)
	if err != nil {
		return nil, err
	}
	return policies.Compile(doc)
}

func samples(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s: %v", dir, err)
	}
	out := map[string][]byte{}
	for _, file := range files {
		if out[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestValidSamplesCompile(t *testing.T) {
	for name, src := range samples(t, "valid") {
		if _, err := build(name, src); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// TestInvalidSamplesFailWhereTheySay: the first line of each sample is a comment that gives the
// errors, in order: # want LINE:COL beginning of a message|LINE:COL ...
func TestInvalidSamplesFailWhereTheySay(t *testing.T) {
	for name, src := range samples(t, "invalid") {
		t.Run(name, func(t *testing.T) {
			first, _, _ := strings.Cut(string(src), "\n")
			wants := strings.Split(strings.TrimPrefix(first, "# want "), "|")
			_, err := build(name, src)
			var all policies.Errors
			if !errors.As(err, &all) {
				t.Fatalf("error is %T %v, want policies.Errors", err, err)
			}
			if len(all) != len(wants) {
				t.Errorf("%d errors, want %d", len(all), len(wants))
			}
			for i, e := range all {
				if i < len(wants) {
					at, msg, _ := strings.Cut(wants[i], " ")
					if got := fmt.Sprintf("%d:%d", e.Line, e.Col); got != at || !strings.Contains(e.Msg, msg) || e.File != name {
						t.Errorf("got  %v\nwant %s:%s: ...%s...", e, name, at, msg)
					}
				} else {
					t.Errorf("also %v", e)
				}
			}
		})
	}
}

func TestDigestIsOfTheMeaningNotTheLayout(t *testing.T) {
	digest := func(src string) string { return compile(t, src).Digest().String() }
	base := digest(tenRules)
	if again := digest("# a comment\n" + strings.ReplaceAll(tenRules, "spec:\n", "spec: # of the policy\n")); again != base {
		t.Error("a comment changes the digest")
	}
	for _, change := range [][2]string{
		{"90d", "91d"}, {"otherwise: review", "otherwise: keep"}, {"wake.found &&", "!wake.found &&"}, {"prefix: clips/", "prefix: clip/"},
		{"name: default", "name: defaults"}, {"spans: [before-wake-word]", "spans: [before-wake-word], fill: tone"},
	} {
		if digest(strings.Replace(tenRules, change[0], change[1], 1)) == base {
			t.Errorf("changing %q to %q does not change the digest", change[0], change[1])
		}
	}
	if digest(strings.Replace(tenRules, "spans: [before-wake-word]", "spans: [before-wake-word], fill: silence", 1)) != base {
		t.Error("saying the default changes the digest")
	}
}

func TestCompiledPolicyIsNotChangedThroughItsDocument(t *testing.T) {
	doc, err := policies.Parse("a.yaml", []byte(tenRules))
	if err != nil {
		t.Fatal(err)
	}
	p, err := policies.Compile(doc)
	if err != nil {
		t.Fatal(err)
	}
	doc.Spec.Rules[0].Name, doc.Spec.Rules[3].Spans[0] = "other", "everything"
	if again := p.Document(); again.Spec.Rules[0].Name != "do-not-save" || again.Spec.Rules[3].Spans[0] != "before-wake-word" {
		t.Errorf("changed: %+v", again.Spec.Rules[0])
	}
}

func TestParseLength(t *testing.T) {
	const d = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"90d": 90 * d, "2w": 14 * d, "1mo": 30 * d, "3y": 3 * 365 * d, "1y6mo": (365 + 180) * d, "36h": 36 * time.Hour, "1.5d": 36 * time.Hour,
		"200ms": 200 * time.Millisecond, "1m30s": 90 * time.Second, "0s": 0, "10us": 10 * time.Microsecond, "7ns": 7,
	} {
		if got, err := policies.ParseLength(text); err != nil || got != want {
			t.Errorf("%s is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "90", "d", "-1d", "1x", "1d-1d", "1.2.3d", "300y", "9999999999y", "1e3d", " 1d", "1 d", "NaNd", strings.Repeat("1d", 100)} {
		if got, err := policies.ParseLength(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

func TestHugeAndHostileInputIsRefusedQuickly(t *testing.T) {
	start := time.Now()
	for name, src := range map[string]string{
		"too long":      strings.Repeat("# comment\n", 10_000),
		"not text":      "a: \xff\xfe",
		"nested flow":   "a: " + strings.Repeat("{a: ", 10_000),
		"nested dashes": strings.Repeat("- ", 10_000) + "a",
		"nested lines":  nestedLines(300),
		"many keys":     strings.Repeat("a: b\n", 10_000),
		"deep CEL":      strings.Replace(tenRules, "wake.found &&", strings.Repeat("(", 3000)+"true"+strings.Repeat(")", 3000)+" &&", 1),
		"long CEL":      strings.Replace(tenRules, "wake.found &&", strings.Repeat("wake.found && ", 3000), 1),
		"wide CEL":      strings.Replace(tenRules, "wake.found &&", strings.Repeat("wake.found && ", 280), 1),
	} {
		if _, err := build("x.yaml", []byte(src)); err == nil && name != "wide CEL" {
			t.Errorf("%s: no error", name)
		} else if err != nil && len(err.Error()) > 20_000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func nestedLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

func FuzzParseAndCompile(f *testing.F) {
	for _, dir := range []string{"valid", "invalid"} {
		for _, src := range samples(f, dir) {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := build("fuzz.yaml", src)
		var all policies.Errors
		switch {
		case err != nil && !errors.As(err, &all):
			t.Errorf("%T: %v", err, err)
		case err == nil:
			if d := p.Decide(benchFacts(), origin); len(d.Reasons) == 0 {
				t.Error("a decision without a reason")
			}
		}
		if cases, err := policies.ParseCases("fuzz.test.yaml", src); err == nil && p != nil {
			policies.Check(p, cases)
		}
	})
}

func FuzzCondition(f *testing.F) {
	for _, text := range atoms {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, msg := policies.CompileCondition(text)
		if msg != "" {
			return
		}
		if fast, ours, cels, _, _ := policies.Ask(c, benchFacts()); fast && ours != cels {
			t.Errorf("ours %s, CEL's %s", ours, cels)
		}
	})
}

func FuzzSchedule(f *testing.F) {
	for _, text := range []string{"15 3 * * *", "CRON_TZ=UTC 0 0 * * 0", "TZ=UTC", "CRON_TZ=", "@every 1h", "0 0 31 2 *", "*/0 * * * *"} {
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text string) { _ = policies.CheckSchedule(text) })
}
