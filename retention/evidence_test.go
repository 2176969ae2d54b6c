package retention_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/storage"
	"earshot/storage/storagetest"
)

func (w *world) inventory() string { return filepath.Join(w.dir, "inventory") }

// entries reads the log's entries of one kind.
func (w *world) entries(kind audit.Kind) (out []audit.Entry) {
	w.tb.Helper()
	_, err := audit.VerifyAll(w.tb.Context(), w.mustTiles(), audit.TrustKey(w.keys.Verifier), audit.VerifyOptions{Visit: func(_ int64, body []byte) error {
		e, err := audit.Parse(body)
		if err == nil && e.Kind == kind {
			out = append(out, e)
		}
		return err
	}})
	if err != nil {
		w.tb.Fatal(err)
	}
	return out
}

// TestWhatVanishesBehindOurBackIsFound: the log is whole, and only the inventory tells that
// something never got into it.
func TestWhatVanishesBehindOurBackIsFound(t *testing.T) {
	for name, versioned := range map[string]bool{"versioned": true, "unversioned": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), versioned, false)
			due := w.record("s1", "old", 400, 300)
			talk := w.record("s1", "talk", 5, 300)
			behind := w.put("clips/s1/behind.wav", clip(100), w.ago(1))
			changed := w.put("clips/s1/changed.wav", clip(100), w.ago(1))
			p := w.mustStart()
			defer p.stop()
			if got, err := p.runner.Reconcile(t.Context(), w.name, w.inventory()); err != nil || !got.First || got.Inventory.Versions < 8 {
				t.Fatalf("%+v, %v", got, err)
			}
			planned, err := p.plan(t.Context())
			if err != nil || planned.Deletes != 1 || planned.Redacts != 1 {
				t.Fatalf("%+v, %v", planned, err)
			}
			if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
				t.Fatal(err)
			}
			got, err := p.runner.Reconcile(t.Context(), w.name, w.inventory())
			if err != nil || got.Vanished != 0 || got.Explained < 5 || got.Appeared == 0 {
				t.Fatalf("after a run of our own (%s, %s): %+v, %v", due, talk, got, err)
			}
			if errs := w.plain.Destroy(t.Context(), []earshot.RecordingID{behind}); errs[0] != nil {
				t.Fatal(errs[0])
			}
			want := int64(1)
			w.put(changed.Key, clip(200), nil)
			if !versioned { // the old bytes are gone with the old object
				want = 2
			}
			got, err = p.runner.Reconcile(t.Context(), w.name, w.inventory())
			if !errors.Is(err, retention.ErrVanished) || got.Vanished != want || got.Missing[0].Key != behind.Key {
				t.Fatalf("%+v, %v, want %d vanished", got, err, want)
			}
			if strings.Contains(err.Error(), "behind") {
				t.Errorf("the error names the recording: %v", err)
			}
			if !versioned && !got.Missing[1].Replaced {
				t.Errorf("%+v, want it known that another object took its place", got.Missing)
			}
			es := w.entries(audit.KindReconcile)
			if len(es) != 2 || es[1].Reconcile.Vanished != want || es[0].Reconcile.Vanished != 0 {
				t.Errorf("entries: %+v", es)
			}
			if got, err := p.runner.Reconcile(t.Context(), w.name, w.inventory()); err != nil || got.Vanished != 0 {
				t.Errorf("once told, it is told: %+v, %v", got, err)
			}
			w.verified()
		})
	}
}

func TestASecondLookConfirmsOrContradicts(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	deleted := w.record("s1", "old", 400, 300)
	w.record("s1", "talk", 5, 300)
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
		t.Fatal(err)
	}
	got, err := p.runner.Confirm(t.Context(), planned.Run.ID, w.store(nil), "other")
	if err != nil || got.Confirmed != 2 || got.Contradicted+got.Unknown != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if again, err := p.runner.Confirm(t.Context(), planned.Run.ID, w.store(nil), "other"); err != nil || again.Confirmed != 2 {
		t.Errorf("%+v, %v", again, err)
	}
	if es := w.entries(audit.KindVerification); len(es) != 2 || es[0].Verification.Result != "confirmed" || es[0].Verification.Method != "list_versions_and_uploads" {
		t.Errorf("%d entries: %+v", len(es), es)
	}
	// The same verifier, later: what it says now is in the log too.
	time.Sleep(1100 * time.Millisecond) // stores tell times in whole seconds
	put := w.put(deleted, clip(10), nil)
	if newer, err := p.runner.Confirm(t.Context(), planned.Run.ID, w.store(nil), "fourth"); err != nil || newer.Confirmed != 2 {
		t.Errorf("an object that is newer than the act: %+v, %v", newer, err)
	}
	counted := 0
	for _, e := range w.entries(audit.KindVerification) {
		counted += e.Verification.Newer
	}
	if counted != 1 {
		t.Errorf("%d newer objects are counted, want 1", counted)
	}
	w.destroy(put)
	w.put(deleted, clip(10), nil) // stored before the outcome by the clock of the log: it was never deleted
	w.now = w.now.AddDate(0, 0, 1)
	if err := w.settleLater(planned.Run.ID); err != nil {
		t.Fatal(err)
	}
	got, err = p.runner.Confirm(t.Context(), planned.Run.ID, w.store(nil), "other")
	if err != nil || got.Contradicted != 1 {
		t.Errorf("%+v, %v, want one contradicted", got, err)
	}
	results := map[string]int{}
	for _, e := range w.entries(audit.KindVerification) {
		results[e.Verification.Result]++
	}
	if results["contradicted"] != 1 || results["confirmed"] != 4 {
		t.Errorf("in the log: %v", results)
	}
	w.verified()
}

// TestNothingThatTellsOfAPersonIsInTheLog plants names, keys and words and looks for them in all that
// is published, and in what earshot prints.
func TestNothingThatTellsOfAPersonIsInTheLog(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.policy = strings.Replace(w.policy, "  rules:", "  limits: {maxCount: 1, approvals: 1}\n  rules:", 1)
	w.record("Anneliese-Kowalczyk", "zeitansage", 400, 300)
	w.record("Anneliese-Kowalczyk", "wunschkonzert", 5, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "Kowalczyk ./. Hersteller", Subject: "Somebody-Else"}); err != nil {
		t.Fatal(err)
	}
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Approve(t.Context(), planned.Run.ID, planned.Run.Digest, earshot.Principal{Kind: earshot.Person, Name: "ann"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.FileRequest(t.Context(), earshot.RequestErasure, "Anneliese-Kowalczyk", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.DiscloseKey(t.Context(), "Anneliese-Kowalczyk", "Prüferin Müller"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Reconcile(t.Context(), w.name, w.inventory()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Confirm(t.Context(), planned.Run.ID, w.store(nil), "other"); err != nil {
		t.Fatal(err)
	}
	if err := p.runner.SayRead(t.Context(), audit.KindRead, audit.Read{Entries: 1}, "recording=clips/Anneliese-Kowalczyk/zeitansage.wav"); err != nil {
		t.Fatal(err)
	}
	tiles := w.mustTiles()
	planted := []string{"Anneliese", "Kowalczyk", "zeitansage", "wunschkonzert", "Somebody-Else", "Hersteller", "Müller", "secret", "computer", w.name, "clips/"}
	if n := len(w.entries(audit.KindApproval)); n != 1 {
		t.Fatalf("%d approvals are in the log", n)
	}
	w.unguessable(planted)
	objects := 0
	for key, err := range tiles.Keys(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, _, err := tiles.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		objects++
		for _, word := range planted {
			if bytes.Contains(data, []byte(word)) {
				t.Errorf("%s holds %q", key, word)
			}
		}
	}
	ring, err := os.ReadFile(filepath.Join(w.dir, "keys", "subjects.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range planted {
		if bytes.Contains(ring, []byte(word)) {
			t.Errorf("the file of subjects' keys holds %q", word)
		}
	}
	if objects < 10 {
		t.Errorf("only %d objects were looked at", objects)
	}
	w.ended(planned.Run.ID, "Anneliese-Kowalczyk")
}

// unguessable tries whether ids of entries are plain hashes over a name and what the log tells besides.
func (w *world) unguessable(planted []string) {
	w.tb.Helper()
	ids, known := map[string]bool{}, map[string]bool{"": true, "policy": true}
	var kinds []audit.Kind
	_, err := audit.VerifyAll(w.tb.Context(), w.mustTiles(), audit.TrustKey(w.keys.Verifier), audit.VerifyOptions{Visit: func(_ int64, body []byte) error {
		e, err := audit.Parse(body)
		if err != nil {
			return err
		}
		ids[e.ID], known[e.Run] = true, true
		if kinds = append(kinds, e.Kind); e.Policy != nil {
			known[e.Policy.SHA256] = true
		}
		return nil
	}})
	if err != nil {
		w.tb.Fatal(err)
	}
	slices.Sort(kinds)
	for _, kind := range slices.Compact(kinds) {
		for thing := range known {
			for _, name := range append(planted, w.by.Name, "ann", "Anneliese-Kowalczyk") {
				for _, parts := range [][]string{{string(kind), thing, name}, {string(kind), name, thing}, {string(kind), name}} {
					if ids[audit.EntryID(parts...)] {
						w.tb.Errorf("the id of an entry of kind %s is a plain hash over %q", kind, name)
					}
				}
			}
		}
	}
}

// ended checks that a person's entries are found with the key, cannot be linked without it, and are
// found by nobody once it is destroyed.
func (w *world) ended(run earshot.RunID, subject earshot.SubjectID) {
	w.tb.Helper()
	p := w.mustStart()
	defer p.stop()
	tags, err := p.runner.SubjectTagger(w.tb.Context(), subject)
	if err != nil {
		w.tb.Fatal(err)
	}
	seen := map[string]bool{}
	found := 0
	for _, e := range w.entries(audit.KindIntent) {
		if e.Run != string(run) {
			continue
		}
		if e.Intent.Subject == tags.Tag("subject", e.ID, string(subject)) {
			found++
		}
		if seen[e.Intent.Subject] {
			w.tb.Error("two entries carry the same tag: they can be linked without the key")
		}
		seen[e.Intent.Subject] = true
	}
	if found != 2 {
		w.tb.Errorf("with the key %d entries were found, want 2", found)
	}
	if _, err := p.runner.ForgetKey(w.tb.Context(), subject); err != nil {
		w.tb.Fatal(err)
	}
	if _, err := p.runner.SubjectTagger(w.tb.Context(), subject); !errors.Is(err, retention.ErrNoKey) {
		w.tb.Errorf("after the key was destroyed: %v, want ErrNoKey", err)
	}
	if _, err := p.runner.ForgetKey(w.tb.Context(), subject); !errors.Is(err, retention.ErrNoKey) {
		w.tb.Errorf("destroying it twice: %v, want ErrNoKey", err)
	}
	if len(w.entries(audit.KindKeyGone)) != 1 {
		w.tb.Error("no entry says that the key was destroyed")
	}
}

// TestAnAuditorSeesWhatWasLaidOverTheLog: Object Lock keeps the old version, and whoever looks at the
// newest only is deceived.
func TestAnAuditorSeesWhatWasLaidOverTheLog(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.record("s1", "a", 400, 300)
	p := w.mustStart()
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
		t.Fatal(err)
	}
	p.stop()
	tiles := w.mustTiles()
	trust := audit.TrustKey(w.keys.Verifier)
	if r, err := audit.Examine(t.Context(), below{tiles}, trust, audit.VerifyOptions{MayBeUnlocked: true}); err != nil || !r.OK() || len(r.Notes) == 0 {
		t.Fatalf("before: %+v, %v", r, err)
	}
	size := w.verified().Entries
	bundle := ""
	for key := range tiles.Keys(t.Context(), "tile/entries/") {
		bundle = key
	}
	data, _, err := tiles.Get(t.Context(), bundle)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(data, []byte(`"result":"ok"`), []byte(`"result":"xx"`), 1)
	if bytes.Equal(forged, data) {
		t.Fatal("the bundle holds no outcome")
	}
	if err := tiles.Replace(t.Context(), bundle, forged); err != nil {
		t.Fatal(err)
	}
	w.hideIn(w.logs, "tile/0/000.p/"+strings.TrimPrefix(bundle, "tile/entries/000.p/"))
	r, err := audit.Examine(t.Context(), below{tiles}, trust, audit.VerifyOptions{MayBeUnlocked: true})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(r.Findings, "\n")
	if r.Entries != size || !strings.Contains(text, "overwritten") || !strings.Contains(text, "hidden") || len(r.Findings) != 2 {
		t.Errorf("%d of %d entries read; findings:\n%s", r.Entries, size, text)
	}
}

// below adapts a folder, as the command line does.
type below struct{ *storage.Folder }
