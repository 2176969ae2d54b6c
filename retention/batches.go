package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"earshot"
	"earshot/storage/catalog"

	"golang.org/x/sync/errgroup"
)

// lanes is how many batches of a large run a process has under way at once: while the store works on what one of them
// is told to destroy, the next is looked at and announced.
const lanes = 2

// batches gives out the batches of a run to those in this process that work on it side by side.
type batches struct {
	r    *Runner
	run  earshot.Run
	most int

	mu         sync.Mutex // guards what follows
	from       int        // where the next batch begins
	given      int        // actions that were given out
	done       int        // of them, came to an end
	unfinished int
	over       bool // nothing is left that nobody has, or something went wrong
}

// work takes batches of a run until about `most` actions were taken or nobody's are left, and returns how
// many it could not bring to an end.
func (r *Runner) work(ctx context.Context, run earshot.Run, most int) (unfinished int, err error) {
	b := &batches{r: r, run: run, most: most}
	if run.Actions <= r.batchOf(run) || r.o.Workers < lanes {
		err = b.drain(ctx)
		return b.unfinished, err
	}
	half := *r
	half.o.Workers /= lanes
	b.r = &half
	var group errgroup.Group
	for range lanes {
		group.Go(func() error { return b.drain(ctx) })
	}
	err = group.Wait()
	return b.unfinished, err
}

// drain does one batch after the other.
func (b *batches) drain(ctx context.Context) error {
	for {
		l := b.r.hire(ctx)
		batch, reserved, err := b.next(ctx, l)
		if err == nil && len(batch) > 0 {
			err = b.r.applyBatch(ctx, b, l, batch)
			err = errors.Join(err, b.r.o.Catalog.Release(context.WithoutCancel(ctx), l.owner, reserved))
		}
		l.letGo()
		if err != nil {
			b.end()
			return err
		}
		if len(batch) == 0 {
			return nil
		}
	}
}

// next reserves a batch, and nothing behind it.
func (b *batches) next(ctx context.Context, l *lease) (batch []earshot.Action, reserved catalog.Reserved, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || b.given >= b.most {
		return nil, reserved, nil
	}
	all, err := b.r.o.Catalog.Reserve(ctx, b.run.ID, l.current(), b.from, b.r.batchOf(b.run))
	if err != nil || len(all) == 0 {
		b.over = true
		return nil, reserved, err
	}
	batch = b.r.cutBatch(ctx, all)
	reserved = catalog.Reserved{Run: b.run.ID, First: all[0].Seq, Last: batch[len(batch)-1].Seq}
	b.from, b.given = reserved.Last+1, b.given+len(batch)
	if len(batch) < len(all) {
		err = b.r.o.Catalog.Release(ctx, l.owner, catalog.Reserved{Run: b.run.ID, First: b.from, Last: all[len(all)-1].Seq})
	}
	l.batch.Store(&reserved)
	return batch, reserved, err
}

// count adds what came of a batch.
func (b *batches) count(done, unfinished int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += done
	b.unfinished += unfinished
	b.r.o.Progress("apply", b.done, b.run.Actions)
}

func (b *batches) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}

// batchOf is how many actions are reserved at a time: on a shared catalog no more than leaves something
// for the others.
func (r *Runner) batchOf(run earshot.Run) int {
	if !r.o.Catalog.Shared() {
		return applyBatch
	}
	return min(applyBatch, max(32, run.Actions/16))
}

// applyBatch takes a batch that is reserved from planned to settled.
func (r *Runner) applyBatch(ctx context.Context, b *batches, l *lease, batch []earshot.Action) error {
	run := b.run
	sights := r.sight(ctx, batch)
	transitions, unread, err := r.preconditions(ctx, run, batch, sights)
	if err != nil {
		return err
	}
	claimed, err := r.o.Catalog.Claim(ctx, l.current(), transitions)
	if err != nil {
		return err
	}
	// From here on there are intents. Whatever happens to ctx, each is to get its outcome.
	firm := context.WithoutCancel(ctx)
	published, err := r.o.Log.Publish(firm)
	if err != nil {
		return fmt.Errorf("nothing was destroyed, since the intents could not be published: %w", err)
	}
	intended := slices.DeleteFunc(slices.Clone(claimed), func(a earshot.Action) bool { return a.State != earshot.ActionIntended })
	failed, err := r.act(ctx, l.under(firm), intended, published, sights)
	if err != nil {
		return err
	}
	for _, a := range intended {
		if err := failed[a.ID()]; err != nil {
			r.o.Logger.WarnContext(ctx, "action waits for the store", "run", string(run.ID), "object", objectHash(a.Recording.ID), "err", err)
		}
	}
	b.count(len(claimed)-len(failed), unread+len(failed))
	if _, err := r.o.Log.Publish(firm); err != nil {
		return err
	}
	return ctx.Err()
}
