package retention

import (
	"context"
	"errors"
	"fmt"

	"earshot/storage"
	"earshot/storage/catalog"
)

// mostUnread is when a scope is given up, since it is the store that is not well.
const mostUnread = 200

// unread notes what could not be read of a batch, so that the next plan passes over it for a while, and gives what
// sessions wait for.
func (p *planning) unread(ctx context.Context, batch []catalog.Row, results []resolved, errs []error) ([]catalog.Foresight, error) {
	now, err := p.moved(ctx, batch, errs)
	if err != nil {
		return nil, err
	}
	var troubles []catalog.Trouble
	var waiting []catalog.Foresight
	for i, err := range errs {
		if err == nil {
			continue
		}
		rec := batch[i].Recording
		row, looked := now[rec.ID.Key]
		if looked && !row.GoneAt.IsZero() { // there is nothing that could be read
			continue
		}
		p.out.Unread++
		if looked && row.Recording.ETag != rec.ETag {
			continue
		}
		if unwell(err) {
			p.unwell, p.last = p.unwell+1, err
		}
		p.r.o.Logger.WarnContext(ctx, "recording could not be read", "object", objectHash(rec.ID), "err", err)
		if f, ok := p.r.waiting(results[i], err); ok {
			waiting = append(waiting, f)
		}
		code := "unreadable"
		if errors.Is(err, storage.ErrDenied) {
			code = "denied"
		}
		troubles = append(troubles, catalog.Trouble{ID: rec.ID, ETag: rec.ETag, Code: code})
	}
	return waiting, p.r.o.Catalog.Failed(ctx, p.r.now(), troubles)
}

// moved looks afresh at those of a batch that are not in the store as the catalog has them, so that no later plan asks
// for them again, and gives what the catalog has of them by now.
func (p *planning) moved(ctx context.Context, batch []catalog.Row, errs []error) (map[string]catalog.Row, error) {
	var keys []string
	for i, err := range errs {
		if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrChanged) {
			keys = append(keys, batch[i].Recording.ID.Key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	bucket := batch[0].Recording.ID.Bucket
	if _, err := p.r.Look(ctx, bucket, keys); err != nil {
		p.r.o.Logger.WarnContext(ctx, "recordings that have changed could not be looked at", "bucket", bucket, "err", err)
		return nil, ctx.Err()
	}
	return p.r.o.Catalog.Recordings(ctx, bucket, keys)
}

// unwell reports whether an error speaks of the store or of what hears, and not of the one recording that it came of:
// many of those must not hold up the others.
func unwell(err error) bool {
	own := errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrChanged) ||
		errors.Is(err, storage.ErrDenied) && !errors.Is(err, storage.ErrCredentials)
	return !own
}

// errUnwell: a scope is given up.
var errUnwell = errors.New("the store, or what hears, is not well (see earshot doctor)")

// givenUp is why no more is planned in a scope, when a batch was written.
func (p *planning) givenUp() error {
	if p.unwell < mostUnread || p.unwell <= p.run.Actions-p.before {
		return nil
	}
	return fmt.Errorf("%w: %d recordings could not be read, the last one: %w", errUnwell, p.unwell, p.last)
}
