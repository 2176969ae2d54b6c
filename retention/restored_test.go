package retention_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/storage/storagetest"
)

// TestARestoredCatalogRecovers: runs go on after a backup of the catalog was restored and the log was
// adopted; nothing is done twice, and what the lost time did is in the log.
func TestARestoredCatalogRecovers(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.record("s1", "a", 400, 300)
	w.record("s1", "b", 5, 300)
	p := w.mustStart()
	if _, err := p.plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.stop()
	backup, err := os.ReadFile(w.db())
	if err != nil {
		t.Fatal(err)
	}
	p = w.mustStart()
	planned, err := p.plan(t.Context())
	if err != nil || planned.Run.Actions != 2 {
		t.Fatalf("%+v, %v", planned, err)
	}
	if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
		t.Fatal(err)
	}
	p.stop()
	before := w.snapshot()
	if err := os.WriteFile(w.db(), backup, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{"-wal", "-shm"} {
		_ = os.Remove(w.db() + ending)
	}
	if _, err := w.start(nil); !errors.Is(err, audit.ErrHalted) {
		t.Fatalf("got %v, want ErrHalted", err)
	}
	got, err := w.recover()
	if err != nil || got.Adopted < 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	p = w.mustStart()
	defer p.stop()
	planned, err = p.plan(t.Context())
	if err != nil || planned.Run.Actions != 0 {
		t.Fatalf("%+v, %v: it would do again what was done", planned, err)
	}
	r := w.verified()
	if r.Open != 0 || r.Intents != 2 || r.Outcomes != 2 {
		t.Errorf("%+v", r)
	}
	after := w.snapshot()
	if len(before) != len(after) {
		t.Errorf("the bucket changed: %v, %v", before, after)
	}
}

func (w *world) recover() (audit.Recovered, error) {
	w.tb.Helper()
	db := w.openDB()
	defer db.Close()
	o := audit.Options{Tiles: w.mustTiles(), Signer: w.keys.Signer, Verifier: w.keys.Verifier}
	return audit.Recover(w.tb.Context(), o, db.Head(), audit.RecoverOptions{Compare: retention.Restored(db, w.subjects, w.keys.Tagger, w.now), Known: func(ctx context.Context, run string) (bool, error) {
		_, err := db.Run(ctx, earshot.RunID(run))
		return err == nil, nil
	}})
}
