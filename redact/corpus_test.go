package redact_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

var fills = []earshot.Fill{earshot.FillSilence, earshot.FillTone, earshot.FillCut}

// corpus lists the test recordings of one coding, or skips the test.
func corpus(t testing.TB, coding string) []string {
	t.Helper()
	root := os.Getenv("EARSHOT_TESTDATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	files, err := filepath.Glob(filepath.Join(root, "audio", coding, "*"))
	if err != nil || len(files) == 0 {
		t.Skipf("no test recordings under %s; set EARSHOT_TESTDATA", filepath.Join(root, "audio", coding))
	}
	return files
}

// tool looks up a decoder that is not ours, or skips the test.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// spanSets draws n span sets for a recording, the same ones every time.
func spanSets(name string, length time.Duration, n int) []earshot.Spans {
	sum := fnv.New64a()
	sum.Write([]byte(name))
	rng := rand.New(rand.NewPCG(sum.Sum64(), 7))
	sets := make([]earshot.Spans, 0, n)
	for i := range n {
		var s earshot.Spans
		for range 1 + rng.IntN(3) {
			from := time.Duration(rng.Int64N(int64(max(length, 1))))
			s = append(s, earshot.Span{Start: from, End: from + 1 + time.Duration(rng.Int64N(int64(length/3+1)))})
		}
		switch i {
		case 0:
			s = append(s, earshot.Span{Start: 0, End: 1 + length/10})
		case 1:
			s = append(s, earshot.Span{Start: length - length/10, End: earshot.ToEnd})
		}
		sets = append(sets, s)
	}
	return sets
}

// redactVerified redacts in memory and verifies; the error is one or the other's.
func redactVerified(src []byte, e redact.Edit) ([]byte, redact.Report, error) {
	var out bytes.Buffer
	r, err := redact.Redact(&out, bytes.NewReader(src), int64(len(src)), e)
	if err != nil {
		return nil, r, err
	}
	dst := out.Bytes()
	if err := redact.Verify(bytes.NewReader(src), int64(len(src)), bytes.NewReader(dst), int64(len(dst)), r); err != nil {
		return dst, r, fmt.Errorf("VERIFY: %w", err)
	}
	return dst, r, nil
}

// checkLaws holds for every coding: verified or refused, erased covers asked, twice is once, and
// metadata is gone.
func checkLaws(t *testing.T, src []byte, e redact.Edit) ([]byte, redact.Report, error) {
	t.Helper()
	out, r, err := redactVerified(src, e)
	if err != nil {
		if !errors.Is(err, redact.ErrOpaque) {
			t.Errorf("%s %s: %v, want verified or ErrOpaque", e.Fill, e.Spans, err)
		}
		return nil, r, err
	}
	if !r.Erased.Covers(e.Spans.Clip(r.Length)) {
		t.Errorf("erased %s does not cover %s", r.Erased, e.Spans)
	}
	again := e
	if e.Fill == earshot.FillCut {
		again.Spans = nil
	}
	twice, _, err := redactVerified(out, again)
	if err != nil {
		t.Errorf("%s %s: redacting again: %v", e.Fill, e.Spans, err)
	} else if !bytes.Equal(twice, out) {
		t.Errorf("%s %s: redacting twice differs from once: %d and %d bytes", e.Fill, e.Spans, len(twice), len(out))
	}
	info, err := redact.Inspect(bytes.NewReader(out), int64(len(out)))
	if err != nil || len(info.Leaks) > 0 {
		t.Errorf("output still leaks %v (%v)", info.Leaks, err)
	}
	return out, r, nil
}

// table is printed in the test's output and kept in GRAIN.md.
type table struct{ rows []string }

func (tb *table) add(file, verdict, why string) {
	tb.rows = append(tb.rows, fmt.Sprintf("%-70.70s %-9s %s", filepath.Base(file), verdict, why))
}

func (tb *table) print(t *testing.T) {
	t.Helper()
	slices.Sort(tb.rows)
	refused := 0
	for _, row := range tb.rows {
		if strings.Contains(row, " refused ") {
			refused++
		}
	}
	t.Logf("%d files, %d refused\n%s", len(tb.rows), refused, strings.Join(tb.rows, "\n"))
}

func opaqueReason(err error) string {
	var o *redact.OpaqueError
	if errors.As(err, &o) {
		return fmt.Sprintf("byte %d: %s", o.Offset, o.Reason)
	}
	return err.Error()
}
