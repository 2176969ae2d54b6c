package export_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot/audit"
	"earshot/audit/export"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// log is n entries under a signed checkpoint.
type log struct {
	bodies [][]byte
	signed []byte
	trust  *audit.Trust
}

func newLog(tb testing.TB, n int) *log {
	tb.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "example.org/log")
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		tb.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		tb.Fatal(err)
	}
	l := &log{trust: audit.TrustKey(v)}
	var tree audit.Accumulator
	for i := range n {
		id := audit.EntryID("intent", fmt.Sprint(i/2))
		e := audit.Entry{ID: id, Kind: audit.KindIntent, TS: int64(1e15 + i), Run: "run-1", Actor: &audit.Actor{Kind: "person", Tag: "ab"},
			Intent: &audit.Intent{Action: "delete", Recording: "00", Object: "11", Rule: "r,\"x", Basis: []string{}}}
		if i%2 == 1 {
			e = audit.Entry{ID: audit.EntryID("outcome", fmt.Sprint(i)), Kind: audit.KindOutcome, TS: int64(1e15 + i), Run: "run-1", Outcome: &audit.Outcome{IntentID: id, Result: "ok"}}
		}
		e.Intent = clean(e.Intent)
		leaf, err := e.Leaf()
		if err != nil {
			tb.Fatal(err)
		}
		l.bodies = append(l.bodies, leaf.Body)
		tree.Add(leaf.Body)
	}
	text := fmt.Sprintf("example.org/log\n%d\n%s\n", n, tlog.Hash(tree.Root()))
	if l.signed, err = note.Sign(&note.Note{Text: text}, signer); err != nil {
		tb.Fatal(err)
	}
	return l
}

// clean takes out of a rule what entries cannot hold.
func clean(in *audit.Intent) *audit.Intent {
	if in != nil {
		in.Rule = strings.ReplaceAll(in.Rule, `"`, "'")
	}
	return in
}

func (l *log) write(tb testing.TB, dir string, f export.Format, choose func(i int) bool) export.Manifest {
	tb.Helper()
	w, err := export.Begin(dir, f, l.signed, export.Query{})
	if err != nil {
		tb.Fatal(err)
	}
	for i, b := range l.bodies {
		if choose(i) {
			if err := w.Add(int64(i), b); err != nil {
				tb.Fatal(err)
			}
		}
	}
	m, err := w.Finish(int64(len(l.bodies)))
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func every(int) bool { return true }

func TestAnExportIsCheckedFromItsFilesAlone(t *testing.T) {
	l := newLog(t, 300)
	for _, f := range []export.Format{export.CSV, export.JSONL, export.Parquet} {
		t.Run(string(f), func(t *testing.T) {
			dir := t.TempDir()
			m := l.write(t, dir, f, every)
			got, err := export.Check(dir, l.trust, nil)
			if err != nil || len(got.Findings) > 0 || !got.Proved || m.Rows != 300 || !m.Complete {
				t.Fatalf("%+v, %v", got, err)
			}
			if _, err := export.Begin(dir, f, l.signed, export.Query{}); err == nil {
				t.Error("an export was written over")
			}
			path := filepath.Join(dir, m.File)
			clean, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(clean); i += 1 + len(clean)/200 {
				bad := append([]byte(nil), clean...)
				bad[i] ^= 1
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				if got, err := export.Check(dir, l.trust, nil); err == nil && got.Proved {
					t.Fatalf("byte %d was changed and nobody noticed", i)
				}
			}
		})
	}
}

// TestALineLeftOutIsFound: with the file's sum set right again, only the root tells.
func TestALineLeftOutIsFound(t *testing.T) {
	l := newLog(t, 40)
	dir, other := t.TempDir(), t.TempDir()
	l.write(t, dir, export.JSONL, every)
	l.write(t, other, export.JSONL, func(i int) bool { return i != 7 })
	var m export.Manifest
	text, err := os.ReadFile(filepath.Join(other, export.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if got, err := export.Check(other, l.trust, nil); err != nil || len(got.Findings) > 0 || got.Proved {
		t.Errorf("a filtered export is unchanged, and not proved complete: %+v, %v", got, err)
	}
	truth := export.Truth{Leaves: map[int64]string{}}
	for i, body := range l.bodies {
		if r, err := export.RowOf(int64(i), body); err == nil && i != 7 {
			truth.Leaves[int64(i)] = r.LeafHash
		}
	}
	ask := func(export.Manifest) (export.Truth, error) { return truth, nil }
	if got, err := export.Check(other, l.trust, ask); err != nil || !got.Proved || !got.Complete {
		t.Errorf("compared with the log: %+v, %v", got, err)
	}
	truth.All = true
	if got, err := export.Check(other, l.trust, ask); err != nil || !got.Proved || got.Complete {
		t.Errorf("where the query cannot be asked again: %+v, %v", got, err)
	}
	truth.All = false
	truth.Leaves[999] = "00"
	if got, err := export.Check(other, l.trust, ask); err != nil || got.Proved || len(got.Findings) != 1 || !strings.Contains(got.Findings[0], "missing") {
		t.Errorf("a row is missing: %+v, %v", got, err)
	}
	delete(truth.Leaves, 999)
	for i := range truth.Leaves {
		truth.Leaves[i] = "00"
	}
	if got, err := export.Check(other, l.trust, ask); err != nil || got.Proved {
		t.Errorf("compared with another log: %+v, %v", got, err)
	}
	m.Complete = true
	text, err = json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, export.ManifestFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := export.Check(other, l.trust, nil); err != nil || len(got.Findings) == 0 {
		t.Errorf("it says that it is complete: %+v, %v", got, err)
	}
}

func TestSIEMsGetOutcomesAsOCSF(t *testing.T) {
	l := newLog(t, 10)
	dir := t.TempDir()
	m := l.write(t, dir, export.OCSF, every)
	text, err := os.ReadFile(filepath.Join(dir, m.File))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d events, want 5", len(lines))
	}
	var e map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]float64{"class_uid": 6005, "activity_id": 7, "type_uid": 600507, "category_uid": 6, "status_id": 1, "time": 1e12} {
		if e[k] != want {
			t.Errorf("%s: %v, want %v", k, e[k], want)
		}
	}
}

func TestAWebhookTriesAgainAndGivesUpWhereItIsRefused(t *testing.T) {
	l := newLog(t, 250)
	var got []string
	fails := 2
	status := http.StatusServiceUnavailable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if fails > 0 {
			fails--
			w.WriteHeader(status)
			return
		}
		var batch []struct{ ID, Type, Source, LogIndex string }
		if err := json.Unmarshal(body, &batch); err != nil || r.Header.Get("Content-Type") != "application/cloudevents-batch+json" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, e := range batch {
			got = append(got, e.LogIndex)
		}
	}))
	defer server.Close()
	send := func() error {
		w := &export.Webhook{URL: server.URL, Origin: "example.org/log", Tries: 3, Wait: func(int) time.Duration { return 0 }}
		for i, b := range l.bodies {
			if _, err := w.Add(context.Background(), int64(i), b); err != nil {
				return err
			}
		}
		return w.Flush(context.Background())
	}
	if err := send(); err != nil || len(got) != 250 || got[249] != "249" {
		t.Fatalf("%d events arrived, %v", len(got), err)
	}
	fails = 3
	if err := send(); err == nil {
		t.Error("three failures were taken for success")
	}
	fails, status = 1, http.StatusForbidden
	if err := send(); !errors.Is(err, export.ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
}
