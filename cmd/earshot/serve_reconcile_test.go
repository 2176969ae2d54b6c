package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot/retention"
	"earshot/storage/storagetest"
)

// TestMachinesLeaveTheInventoriesToOne: what serve does at night on two machines of one installation.
func TestMachinesLeaveTheInventoriesToOne(t *testing.T) {
	pg := newServer(t)
	catalogURL, err1 := pg.Schema(t.Context(), "catalog")
	keysURL, err2 := pg.Schema(t.Context(), "subject_keys")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	a, _, _ := siteOn(t, storagetest.Embedded(t), initOptions{catalog: catalogURL, subjectKeys: keysURL}, scalePolicy)
	i, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	w := &watching{i: i}
	night := func(machine string) (string, string, error) {
		t.Helper()
		i.cfg.Inventory = filepath.Join(t.TempDir(), machine)
		chore, err := i.reconcileChore()
		if err != nil {
			t.Fatal(err)
		}
		text, err := w.reconcile(t.Context(), i.runner)
		return chore, text, err
	}
	one, text, err := night("one")
	if err != nil || !strings.Contains(text, "0 vanished") || w.last.Load() == 0 {
		t.Fatalf("the first machine: %q, %v", text, err)
	}
	w.last.Store(0)
	two, text, err := night("two")
	if err != nil || !strings.Contains(text, "left to the machine") || w.last.Load() != 0 || one == two {
		t.Errorf("the second machine: %q, %v; chores %q and %q; want it left alone", text, err, one, two)
	}
	long := time.Now().Add(-5 * 24 * time.Hour)
	if w.overdue(time.Now()) || !w.overdue(long) {
		t.Error("an inventory of now is overdue, or one of five days ago is not")
	}
	i.cfg.Reconcile = "0 3 1 1 *"
	if w.overdue(long) {
		t.Error("where there is one a year, one of five days ago is overdue")
	}
	i.cfg.Reconcile = "@every 1ns" // and three days
	if w.overdue(time.Now().Add(-2*24*time.Hour)) || !w.overdue(long) {
		t.Error("the days of grace do not count")
	}
	_, err = i.runner.Reconcile(t.Context(), "voice", i.cfg.Inventory)
	if !errors.Is(err, retention.ErrElsewhere) || !strings.Contains(err.Error(), "--take-over") {
		t.Errorf("by hand: %v; want to be told where, and what to do", err)
	}
}
