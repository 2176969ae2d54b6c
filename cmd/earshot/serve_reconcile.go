package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"earshot/retention"
	"earshot/storage/catalog"

	"github.com/robfig/cron/v3"
)

// elsewhereFor is how long after its time a reconcile may be left to the machine that has the inventories.
const elsewhereFor = 3 * 24 * time.Hour

// reconcileChore names the chore. Where several machines share the catalog each has its own, since only the one with
// the inventories can do it: the others must not take its turn.
func (i *installation) reconcileChore() (string, error) {
	if !i.db.Shared() {
		return "reconcile", nil
	}
	where, err := retention.Keeping(i.cfg.Inventory)
	return "reconcile in " + where, err
}

// overdue reports whether the machine that took an inventory has let the time of the next pass by days.
func (w *watching) overdue(taken time.Time) bool {
	spec, err := cron.ParseStandard(w.i.cfg.Reconcile)
	return err != nil || time.Now().After(spec.Next(taken).Add(elsewhereFor))
}

// reconcile compares every bucket of the policies with its last inventory. Those whose inventories another machine
// has are left to that, unless it is overdue.
func (w *watching) reconcile(ctx context.Context, r *retention.Runner) (string, error) {
	errs := []error{w.i.renew(ctx)}
	var sum retention.Reconciled
	left := 0
	for _, bucket := range r.Buckets() {
		got, err := r.Reconcile(ctx, bucket, w.i.cfg.Inventory)
		if errors.Is(err, catalog.ErrBusy) {
			left++
			continue
		}
		elsewhere := errors.Is(err, retention.ErrElsewhere)
		if !elsewhere || w.overdue(got.Inventory.TakenAt) {
			errs = append(errs, err)
		}
		if elsewhere {
			left++
			continue
		}
		sum.Appeared, sum.Explained, sum.Vanished = sum.Appeared+got.Appeared, sum.Explained+got.Explained, sum.Vanished+got.Vanished
		sum.Changed, sum.Hidden = sum.Changed+got.Changed, sum.Hidden+got.Hidden
	}
	if left > 0 && left == len(r.Buckets()) {
		return "left to the machine that has the inventories", errors.Join(errs...)
	}
	w.vanished.Store(sum.Faults())
	w.last.Store(time.Now().Unix())
	return fmt.Sprintf("%d appeared, %d went as the log says, %d vanished without an entry, %d changed, %d hidden", sum.Appeared, sum.Explained, sum.Vanished, sum.Changed, sum.Hidden), errors.Join(errs...)
}
