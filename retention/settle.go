package retention

import (
	"context"
	"errors"
	"fmt"
)

// Settle brings to an end what a crash left intended, by what is true in the store now, and
// returns how many actions that were.
func (r *Runner) Settle(ctx context.Context) (int, error) {
	release, err := r.alone(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	return r.settle(ctx)
}

// settleBatch takes over actions that nobody is at any more and brings them to an end. What cannot
// be brought to an end now stays ours until the lease ends, so that this goes on with the next.
func (r *Runner) settleBatch(ctx context.Context, published int64) (settled int, failed, err error) {
	l := r.hire(ctx)
	defer l.letGo()
	open, err := r.o.Catalog.TakeOver(ctx, l.current(), settleBatch)
	if err != nil {
		return 0, nil, err
	}
	for _, a := range open {
		if ctx.Err() != nil {
			return settled, failed, ctx.Err()
		}
		if err := r.carryOut(l.under(context.WithoutCancel(ctx)), a, published, true, "recovery"); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		settled++
	}
	return settled, failed, nil
}

func (r *Runner) settle(ctx context.Context) (int, error) {
	if err := r.reviewed(ctx); err != nil {
		return 0, err
	}
	published, err := r.o.Log.Publish(ctx)
	if err != nil {
		return 0, err
	}
	var failed error
	settled := 0
	for {
		n, errs, err := r.settleBatch(ctx, published)
		settled, failed = settled+n, errors.Join(failed, errs)
		if err != nil {
			return settled, err
		}
		if n == 0 && errs == nil {
			break
		}
	}
	if failed != nil {
		return settled, fmt.Errorf("%w: settling what was cut off: %w", ErrPartly, failed)
	}
	_, err = r.o.Log.Publish(ctx)
	return settled, err
}
