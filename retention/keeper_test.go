package retention_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

// TestInventoriesStayOnOneMachine: what another machine has is not lost, and what this one had is.
func TestInventoriesStayOnOneMachine(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.together = true
	w.record("s1", "a", 5, 300)
	p := w.mustStart()
	defer p.stop()
	dir := func(machine string) string { return filepath.Join(w.dir, machine) }
	reconcile := func(machine string) (retention.Reconciled, error) {
		t.Helper()
		w.now = w.now.Add(time.Second)
		return p.runner.Reconcile(t.Context(), w.name, dir(machine))
	}
	first, err := reconcile("a")
	if err != nil || !first.First {
		t.Fatalf("the first: %+v, %v", first, err)
	}
	said := w.verified().Entries
	got, err := reconcile("b")
	if !errors.Is(err, retention.ErrElsewhere) || got.Lost || !got.Inventory.TakenAt.Equal(first.Inventory.TakenAt) {
		t.Errorf("on another machine: %+v, %v; want that the first has it", got, err)
	}
	if n := w.verified().Entries; n != said {
		t.Errorf("the log has %d entries of that", n-said)
	}
	if got, err := reconcile("a"); err != nil || got.First || got.Lost || got.Faults() != 0 {
		t.Errorf("on the machine that has it: %+v, %v", got, err)
	}
	// A folder that moved with what was in it is as good.
	if err := os.Rename(dir("a"), dir("c")); err != nil {
		t.Fatal(err)
	}
	if got, err := reconcile("c"); err != nil || got.First || got.Lost {
		t.Errorf("where the folder went: %+v, %v", got, err)
	}
	// A machine that is no more is made up for by hand, and the log says what that means.
	if err := p.runner.TakeOver(t.Context(), w.name, dir("d")); err != nil {
		t.Fatal(err)
	}
	if got, err := reconcile("d"); !errors.Is(err, retention.ErrVanished) || !got.Lost {
		t.Errorf("taken over: %+v, %v; want it lost", got, err)
	}
	if got, err := reconcile("d"); err != nil || got.Lost {
		t.Errorf("after that: %+v, %v", got, err)
	}
	// On the machine itself a list that is not there is lost.
	if err := os.RemoveAll(dir("d")); err != nil {
		t.Fatal(err)
	}
	if got, err := reconcile("d"); !errors.Is(err, retention.ErrVanished) || !got.Lost {
		t.Errorf("without its list: %+v, %v; want it lost", got, err)
	}
}

// TestWhoLooksOnDoesNotHoldUpTheKeeper: machines begin at the same minute, and each is told where the inventory is
// though another is at it; for what is another bucket's nobody waits.
func TestWhoLooksOnDoesNotHoldUpTheKeeper(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.together = true
	w.record("s1", "a", 5, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Reconcile(t.Context(), w.name, filepath.Join(w.dir, "a")); err != nil {
		t.Fatal(err)
	}
	release, err := p.db.Exclusive("reconcile " + w.name)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := p.runner.Reconcile(t.Context(), w.name, filepath.Join(w.dir, "b")); !errors.Is(err, retention.ErrElsewhere) {
		t.Errorf("while the keeper is at it: %v, want to be told where it is", err)
	}
	if _, err := p.runner.Reconcile(t.Context(), w.name, filepath.Join(w.dir, "a")); !errors.Is(err, catalog.ErrBusy) {
		t.Errorf("twice at once on the machine itself: %v", err)
	}
	if _, err := p.runner.Reconcile(t.Context(), w.logs, filepath.Join(w.dir, "a")); err != nil {
		t.Errorf("another bucket: %v", err)
	}
}

// TestAPersonIsForgottenAfterTheKeepersInventory: what went of a person is explained by the machine that has the
// inventory before another one makes the catalog forget whose it was.
func TestAPersonIsForgottenAfterTheKeepersInventory(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.together = true
	w.record("s1", "a", 5, 300)
	w.record("s2", "b", 5, 300)
	p := w.mustStart()
	defer p.stop()
	reconcile := func() {
		t.Helper()
		w.now = w.now.Add(time.Minute)
		if got, err := p.runner.Reconcile(t.Context(), w.name, filepath.Join(w.dir, "keeper")); err != nil {
			t.Errorf("%+v, %v; want all explained", got, err)
		}
	}
	p.run(t)
	reconcile()
	if _, err := p.runner.Ask(t.Context(), retention.Asked{Kind: earshot.RequestErasure, Subject: "s1"}); err != nil {
		t.Fatal(err)
	}
	if _, done := p.run(t); done.Deleted != 1 {
		t.Fatalf("%+v", done)
	}
	if _, err := p.runner.CloseRequests(t.Context(), "s1"); !errors.Is(err, retention.ErrElsewhere) {
		t.Errorf("before the keeper's inventory: %v", err)
	}
	if _, err := p.runner.ForgetKey(t.Context(), "s1"); !errors.Is(err, retention.ErrElsewhere) {
		t.Errorf("the key, before the keeper's inventory: %v", err)
	}
	reconcile()
	if closed, err := p.runner.CloseRequests(t.Context(), "s1"); err != nil || !closed.Scrubbed {
		t.Errorf("after it: %+v, %v", closed, err)
	}
	if scrubbed, err := p.runner.ForgetKey(t.Context(), "s1"); err != nil || !scrubbed {
		t.Errorf("the key, after it: %v, %v", scrubbed, err)
	}
	reconcile()
}
