package retention_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/storage/storagetest"
)

// acted is a world in which an inventory was taken and then a run deleted clips/s1/old.wav, and redacted
// clips/s1/talk.wav; victim is kept by every rule.
func acted(t *testing.T) (w *world, p *process, victim earshot.RecordingID) {
	t.Helper()
	w = newWorld(t, storagetest.Embedded(t), true, false)
	w.record("s1", "old", 400, 300)
	w.record("s1", "talk", 5, 300)
	victim = w.put("clips/s1/victim.wav", clip(100), w.ago(1))
	p = w.mustStart()
	t.Cleanup(p.stop)
	w.reconcile(p, 0)
	planned, err := p.plan(t.Context())
	if err != nil || planned.Deletes != 1 || planned.Redacts != 1 {
		t.Fatalf("%+v, %v", planned, err)
	}
	w.now = w.now.Add(time.Second)
	if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
		t.Fatal(err)
	}
	return w, p, victim
}

// reconcile wants so many faults.
func (w *world) reconcile(p *process, faults int64) retention.Reconciled {
	w.tb.Helper()
	w.now = w.now.Add(time.Second)
	got, err := p.runner.Reconcile(w.tb.Context(), w.name, w.inventory())
	if (err != nil) != (faults > 0) || err != nil && !errors.Is(err, retention.ErrVanished) || got.Faults() != faults {
		w.tb.Fatalf("%+v, %v, want %d faults", got, err, faults)
	}
	return got
}

func (w *world) destroy(ids ...earshot.RecordingID) {
	w.tb.Helper()
	for _, err := range w.plain.Destroy(w.tb.Context(), ids) {
		if err != nil {
			w.tb.Fatal(err)
		}
	}
}

// TestADatabaseThatClaimsWhatTheLogDoesNotSayExplainsNothing: somebody deletes an object and writes
// into the catalog that a run did it.
func TestADatabaseThatClaimsWhatTheLogDoesNotSayExplainsNothing(t *testing.T) {
	const old = "clips/s1/old.wav"
	for name, sql := range map[string]string{
		"theRecordingIsAnother": `update actions set key = $2, doc = replace(doc, $1, $2) where key = $1`,
		"ofNobody":              `update actions set key = $2, state = 'intended', doc = json_set(replace(doc, $1, $2), '$.recording.subject', 'nobody-at-all', '$.companions', json('[]'), '$.state', 'intended') where key = $1`,
		"aFurtherCompanion":     `update actions set doc = json_set(doc, '$.companions[#]', json_object('class', 'event', 'id', json_object('bucket', json_extract(doc, '$.recording.id.bucket'), 'key', $2), 'etag', 'x', 'size', 1, 'fate', 'delete')) where key = $1`,
		"anotherCompanion":      `update actions set doc = json_set(doc, '$.companions[0].id.key', $2) where key = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			w, p, victim := acted(t)
			w.destroy(victim)
			db := w.raw()
			defer db.Close()
			if res, err := db.ExecContext(t.Context(), sql, old, victim.Key); err != nil {
				t.Fatal(err)
			} else if n, err := res.RowsAffected(); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			w.now = w.now.Add(time.Second)
			got, err := p.runner.Reconcile(t.Context(), w.name, w.inventory())
			if !errors.Is(err, retention.ErrVanished) || len(got.Missing) == 0 {
				t.Fatalf("%+v, %v: the forged row was believed", got, err)
			}
			named := false
			for _, m := range got.Missing {
				named = named || m.Key == victim.Key
			}
			if !named {
				t.Errorf("%+v: the victim is not named", got.Missing)
			}
		})
	}
}

// TestAnInventoryThatWasAlteredOrRemovedIsFound: its lines lie with the operator, its root in the log.
func TestAnInventoryThatWasAlteredOrRemovedIsFound(t *testing.T) {
	lines := func(w *world) string {
		found, err := filepath.Glob(filepath.Join(w.inventory(), "*.tsv.gz"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return found[0]
	}
	for name, attack := range map[string]func(w *world, victim string){
		"aLineTakenOut": func(w *world, victim string) {
			file := lines(w)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewReader(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			again := gzip.NewWriter(&out)
			for l := range strings.Lines(string(plain)) {
				if !strings.Contains(l, victim) {
					_, _ = io.WriteString(again, l)
				}
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"theFolder": func(w *world, _ string) {
			if err := os.RemoveAll(w.inventory()); err != nil {
				t.Fatal(err)
			}
		},
		"theLines": func(w *world, _ string) { _ = os.Remove(lines(w)) },
	} {
		t.Run(name, func(t *testing.T) {
			w, p, victim := acted(t)
			w.destroy(victim)
			attack(w, "victim")
			got, err := p.runner.Reconcile(t.Context(), w.name, w.inventory())
			if !errors.Is(err, retention.ErrVanished) || !got.Lost {
				t.Fatalf("%+v, %v", got, err)
			}
			if es := w.entries(audit.KindReconcile); len(es) != 1 || !es[0].Reconcile.Lost {
				t.Errorf("entries: %+v", es)
			}
			w.reconcile(p, 0)
			w.verified()
		})
	}
	t.Run("theHeadAlone", func(t *testing.T) { // the log tells as much
		w, p, victim := acted(t)
		w.destroy(victim)
		heads, _ := filepath.Glob(filepath.Join(w.inventory(), "*.json"))
		for _, h := range heads {
			_ = os.Remove(h)
		}
		got, err := p.runner.Reconcile(t.Context(), w.name, w.inventory())
		if !errors.Is(err, retention.ErrVanished) || got.Vanished != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

// TestWhatWasLaidOverARecordingIsFound: overwritten, or hidden, by somebody else, in a bucket that keeps
// versions.
func TestWhatWasLaidOverARecordingIsFound(t *testing.T) {
	w, p, victim := acted(t)
	other := w.put("clips/s1/other.wav", clip(100), w.ago(1))
	w.reconcile(p, 0) // what is new is no fault, nor what our own run put in the place of another
	w.put(other.Key, clip(200), nil)
	w.hide(victim.Key)
	got := w.reconcile(p, 2)
	if got.Changed != 1 || got.Hidden != 1 || got.Missing[0].What != "changed" || got.Missing[1].What != "hidden" || got.Missing[1].Key != victim.Key {
		t.Errorf("%+v", got)
	}
	es := w.entries(audit.KindReconcile)
	if e := es[len(es)-1].Reconcile; e.Changed != 1 || e.Hidden != 1 || len(e.Objects) != 2 {
		t.Errorf("%+v", e)
	}
	w.reconcile(p, 0)
}

// TestWhatVanishesBetweenTwoInventoriesIsFound: what was redacted must still be there, and what a scan has
// seen was there.
func TestWhatVanishesBetweenTwoInventoriesIsFound(t *testing.T) {
	w, p, _ := acted(t)
	brief := w.put("clips/s1/brief.wav", clip(100), w.ago(1))
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := w.plain.Versions(t.Context(), "clips/s1/talk.wav")
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
	w.destroy(brief, left[0].ID)
	w.now = w.now.Add(time.Second)
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := w.reconcile(p, 2)
	for i, key := range []string{"clips/s1/talk.wav", "clips/s1/brief.wav"} {
		if got.Missing[i].Key != key {
			t.Errorf("%+v, want %s", got.Missing, key)
		}
	}
	w.reconcile(p, 0)
}

// TestWhatVanishedBeforeTheFirstInventoryIsFound: scans had seen it.
func TestWhatVanishedBeforeTheFirstInventoryIsFound(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	gone := w.put("clips/s1/gone.wav", clip(100), w.ago(1))
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.destroy(gone)
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.reconcile(p, 1); !got.First || got.Missing[0].Key != gone.Key {
		t.Errorf("%+v", got)
	}
}

// TestForgettingSomebodyLeavesNothingUnexplained: the inventory is taken before the key goes.
func TestForgettingSomebodyLeavesNothingUnexplained(t *testing.T) {
	w, p, _ := acted(t)
	if _, err := p.runner.ForgetKey(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	w.reconcile(p, 0)
}

// TestWhoIsForgottenIsNotNamedByTheCatalog, once nothing of theirs is there.
func TestWhoIsForgottenIsNotNamedByTheCatalog(t *testing.T) {
	for name, left := range map[string]bool{"nothingIsLeft": false, "somethingIsThere": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.record("Anneliese", "old", 400, 300)
			if left {
				w.record("Anneliese", "new", 5, 50)
			}
			p := w.mustStart()
			defer p.stop()
			planned, err := p.plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
				t.Fatal(err)
			}
			scrubbed, err := p.runner.ForgetKey(t.Context(), "Anneliese")
			if err != nil || scrubbed == left {
				t.Fatalf("scrubbed %v, %v", scrubbed, err)
			}
			p.stop()
			db := w.raw()
			defer db.Close()
			if _, err := db.ExecContext(t.Context(), "pragma wal_checkpoint(truncate)"); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(w.db())
			if err != nil {
				t.Fatal(err)
			}
			if named := bytes.Contains(text, []byte("Anneliese")); named != left {
				t.Errorf("the catalog names the person: %v", named)
			}
			lists, err := filepath.Glob(filepath.Join(w.inventory(), "*"))
			if err != nil || len(lists) == 0 {
				t.Error(lists, err)
			}
			q := w.mustStart()
			defer q.stop()
			w.reconcile(q, 0)
		})
	}
}
