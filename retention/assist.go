package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"earshot"
)

// How a process that applies a run waits for those that help it.
const (
	awaitPoll = 250 * time.Millisecond
	// awaitStill is how long nothing may happen before what is left is left to the next run: longer
	// than a lease, so that the actions of a worker that died have been taken over.
	awaitStill = 3 * leaseFor
)

// await waits until nothing of the run is left, and takes over what other workers leave behind.
func (r *Runner) await(ctx context.Context, run earshot.Run) error {
	left, since := -1, time.Now()
	for {
		counts, err := r.o.Catalog.Progress(ctx, run.ID)
		if err != nil {
			return err
		}
		now := counts[earshot.ActionPlanned] + counts[earshot.ActionIntended]
		if now == 0 {
			return nil
		}
		if now != left {
			left, since = now, time.Now()
		}
		if time.Since(since) > awaitStill {
			return fmt.Errorf("%w: %d action(s) of run %s are left; run earshot apply %s again", ErrPartly, left, run.ID, run.ID)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(awaitPoll):
		}
		if _, err := r.settle(ctx); err != nil && !errors.Is(err, ErrPartly) {
			return err
		}
		if _, err := r.work(ctx, run, run.Actions); err != nil {
			return err
		}
	}
}

// Assist works on a run that another process has begun to apply, until about `most` actions are done
// or nothing is left that nobody is at, and returns how many actions it could not bring to an end. A
// run that is not being applied, or was planned under other policies than this process has, is
// [ErrStaleRun].
func (r *Runner) Assist(ctx context.Context, id earshot.RunID, most int) (unfinished int, err error) {
	if !r.o.Catalog.Shared() {
		return 0, errors.New("the catalog is not shared: one process applies a run")
	}
	run, err := r.o.Catalog.Run(ctx, id)
	if err != nil {
		return 0, err
	}
	if run.State != earshot.RunApplying {
		return 0, fmt.Errorf("%w: run %s is %s", ErrStaleRun, id, run.State)
	}
	if r, err = r.renewed(); err != nil {
		return 0, err
	}
	if _, err := r.fit(ctx, run); err != nil {
		return 0, err
	}
	return r.work(ctx, run, most)
}

// fit checks that the run is one of this process's policies, young enough, and as it was sealed.
func (r *Runner) fit(ctx context.Context, run earshot.Run) (earshot.Run, error) {
	if err := r.reviewed(ctx); err != nil {
		return run, err
	}
	switch {
	case run.PolicyDigest != r.rules.digest:
		return run, fmt.Errorf("%w: run %s was planned under other policies than are in force now; plan again", ErrStaleRun, run.ID)
	case run.Session != r.session():
		return run, fmt.Errorf("%w: run %s was planned with another hearing.session than the one in force now; plan again", ErrStaleRun, run.ID)
	case r.now().Sub(run.AsOf) > planLife:
		return run, fmt.Errorf("%w: run %s was planned on %s, more than a week ago; plan again", ErrStaleRun, run.ID, run.AsOf.Format("2006-01-02"))
	}
	r.mu.Lock()
	sealed := r.sealed[run.ID]
	r.mu.Unlock()
	if sealed == run.Digest && run.State == earshot.RunApplying {
		return run, nil
	}
	digest, err := r.recompute(ctx, run)
	if err != nil {
		return run, err
	}
	if digest != run.Digest {
		return run, fmt.Errorf("%w: the actions of run %s are not those that were sealed; plan again, and find out who changed the catalog", ErrStaleRun, run.ID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.sealed) // one is enough: runs come one after the other
	r.sealed[run.ID] = digest
	return run, nil
}
