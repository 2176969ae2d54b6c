package retention_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

// restore puts a backup of the catalog in its place.
func (w *world) restore(backup []byte) {
	w.tb.Helper()
	if err := os.WriteFile(w.db(), backup, 0o600); err != nil {
		w.tb.Fatal(err)
	}
	for _, ending := range []string{"-wal", "-shm"} {
		_ = os.Remove(w.db() + ending)
	}
}

// TestAHoldThatARestoreLostStopsEverythingUntilAPersonHasLooked: the log knows that there was a hold,
// and not on what.
func TestAHoldThatARestoreLostStopsEverythingUntilAPersonHasLooked(t *testing.T) {
	for _, how := range []string{"reviewed", "placedAgain"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.record("s1", "a", 400, 300)
			w.record("s2", "b", 400, 300)
			p := w.mustStart()
			if _, err := p.plan(t.Context()); err != nil {
				t.Fatal(err)
			}
			// A key that is destroyed, and that the restore of the keys brings back.
			for _, s := range []earshot.SubjectID{"s1", "s2"} {
				if _, err := p.runner.PutSubject(t.Context(), earshot.Subject{ID: s}, "imported"); err != nil {
					t.Fatal(err)
				}
			}
			key, err := p.runner.DiscloseKey(t.Context(), "s2", "somebody")
			if err != nil {
				t.Fatal(err)
			}
			p.stop()
			backup, err := os.ReadFile(w.db())
			if err != nil {
				t.Fatal(err)
			}
			ring := w.subjects
			p = w.mustStart()
			hold := earshot.Hold{Matter: "M9", Subject: "s1"}
			if _, err := p.runner.PlaceHold(t.Context(), hold); err != nil {
				t.Fatal(err)
			}
			if _, err := p.runner.ForgetKey(t.Context(), "s2"); err != nil {
				t.Fatal(err)
			}
			p.stop()
			w.restore(backup)
			w.subjects = ring
			back := &returned{KeyRing: ring, subject: "s2", key: key}
			db := w.openDB()
			got, err := audit.Recover(t.Context(), audit.Options{Tiles: w.mustTiles(), Signer: w.keys.Signer, Verifier: w.keys.Verifier}, db.Head(),
				audit.RecoverOptions{Compare: retention.Restored(db, back, w.keys.Tagger, w.now)})
			db.Close()
			if err != nil || got.HoldsLost != 1 || got.SaidLost != 1 || got.KeysDestroyed != 1 || !back.destroyed {
				t.Fatalf("%+v, %v, key destroyed again: %v", got, err, back.destroyed)
			}
			if es := w.entries(audit.KindRecovered); len(es) != 1 || es[0].Recovered.HoldsLost != 1 {
				t.Errorf("entries: %+v", es)
			}
			if again, err := w.recover(); err != nil || again.HoldsLost != 1 {
				t.Errorf("recovering once more forgets it: %+v, %v", again, err)
			}
			w.stopped(how, hold)
		})
	}
}

// stopped checks that nothing is done until the hold is back, or a person has looked.
func (w *world) stopped(how string, hold earshot.Hold) {
	t := w.tb
	t.Helper()
	w.now = w.now.Add(time.Minute)
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil || planned.Deletes != 2 {
		t.Fatalf("%+v, %v", planned, err)
	}
	before := len(w.snapshot())
	if _, err := p.runner.Apply(t.Context(), planned.Run.ID); !errors.Is(err, retention.ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
	if _, err := p.runner.Settle(t.Context()); !errors.Is(err, retention.ErrLost) {
		t.Errorf("settling: got %v, want ErrLost", err)
	}
	if after := len(w.snapshot()); after != before {
		t.Fatalf("%d objects of %d are left", after, before)
	}
	want := 2
	if how == "reviewed" {
		if n, err := p.runner.Review(t.Context()); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		if es := w.entries(audit.KindReviewed); len(es) != 1 || len(es[0].Reviewed.Entries) != 1 {
			t.Errorf("entries: %+v", es)
		}
	} else {
		if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "another", Subject: "s1"}); err != nil {
			t.Fatal(err)
		}
		if left, err := p.runner.Outstanding(t.Context()); err != nil || len(left) != 1 {
			t.Fatalf("a hold of another matter counts: %v, %v", left, err)
		}
		if _, err := p.runner.PlaceHold(t.Context(), hold); err != nil {
			t.Fatal(err)
		}
		want = 1
	}
	got, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err != nil || got.Deleted != want {
		t.Errorf("%+v, %v, want %d deleted", got, err, want)
	}
	w.verified()
	if again, err := w.recover(); err != nil || how == "reviewed" && again.SaidLost != 0 {
		t.Errorf("what was reviewed counts as lost again: %+v, %v", again, err)
	}
}

// returned is a ring of keys in which one that was destroyed is there again.
type returned struct {
	*catalog.KeyRing
	subject   earshot.SubjectID
	key       []byte
	destroyed bool
}

func (r *returned) Existing(ctx context.Context, s earshot.SubjectID) ([]byte, bool, error) {
	if s == r.subject && !r.destroyed {
		return r.key, true, nil
	}
	return r.KeyRing.Existing(ctx, s)
}

func (r *returned) Destroy(ctx context.Context, s earshot.SubjectID) (bool, error) {
	if s == r.subject {
		r.destroyed = true
	}
	return r.KeyRing.Destroy(ctx, s)
}
