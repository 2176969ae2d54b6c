package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"earshot"
	"earshot/storage"
)

// Protected is what a hold protects, as far as it is known now.
type Protected struct {
	earshot.Hold
	// Waited is how many actions were under way on what it covers; it protects since they have ended.
	Waited int `json:"waited"`
	Covers int `json:"covers"` // recordings and event logs that the catalog has
	// Keeps counts those that would be deleted or redacted now.
	Keeps    int      `json:"keeps"`
	Mirrored Mirrored `json:"mirrored"`
}

// holdPoll is how often it is asked whether actions that were under way have ended.
const holdPoll = 200 * time.Millisecond

// Protect places a hold, waits until every action has ended that was under way on what it covers, puts
// the store's own legal hold on it where the bucket has object lock, and tells what it protects. The
// hold stands from the first moment: what had not begun by then is not begun.
func (r *Runner) Protect(ctx context.Context, h earshot.Hold) (Protected, error) {
	placed, err := r.PlaceHold(ctx, h)
	out := Protected{Hold: placed}
	if err != nil {
		return out, err
	}
	if out.Waited, err = r.awaitActions(ctx, placed); err != nil {
		return out, fmt.Errorf("%s is placed; whether all that was under way has ended is not known: %w", placed.ID, err)
	}
	if out.Mirrored, err = r.MirrorHolds(ctx); err != nil {
		return out, fmt.Errorf("%s is placed, and protects; the store's own legal hold is not on everything: %w", placed.ID, err)
	}
	effects, err := r.HoldEffects(ctx)
	for _, e := range effects {
		if e.ID == placed.ID {
			out.Covers, out.Keeps = e.Covers, e.Keeps
		}
	}
	return out, err
}

// awaitActions waits until no worker is at anything that the hold covers and that was begun before it
// was placed. A worker that died is waited for until its lease ends; whoever takes its work over asks
// for holds again.
func (r *Runner) awaitActions(ctx context.Context, h earshot.Hold) (waited int, err error) {
	seen := map[string]bool{}
	for {
		leased, err := r.o.Catalog.Leased(ctx, time.Now()) // leases go by the machine's clock
		if err != nil {
			return len(seen), err
		}
		open := false
		for _, a := range leased {
			covered, err := r.covers(ctx, h, a)
			if err != nil {
				return len(seen), err
			}
			if covered && !a.IntendedAt.After(h.PlacedAt) {
				seen[fmt.Sprintf("%s/%d", a.ID(), a.Attempt)], open = true, true
			}
		}
		if !open {
			return len(seen), nil
		}
		select {
		case <-ctx.Done():
			return len(seen), ctx.Err()
		case <-time.After(holdPoll):
		}
	}
}

func (r *Runner) covers(ctx context.Context, h earshot.Hold, a earshot.Action) (bool, error) {
	if a.Decision.Rows != nil {
		return true, nil // rows of anybody may be in an event log
	}
	return r.heldNow(ctx, a, []earshot.Hold{h})
}

// Mirrored counts what was put under the store's own legal hold, and taken out of it.
type Mirrored struct {
	Set      int `json:"set"`
	Lifted   int `json:"lifted"`
	Standing int `json:"standing"` // under it because of us
}

// MirrorHolds brings the store's own legal holds in line with those that stand, in buckets with object
// lock: every version of what a hold covers, with its companions, is put under it; what we put under it
// and no hold covers any more is taken out. What others put under it is left alone.
func (r *Runner) MirrorHolds(ctx context.Context) (Mirrored, error) {
	out := Mirrored{}
	for _, name := range r.Buckets() {
		b, err := r.bucket(ctx, name)
		if err != nil {
			return out, err
		}
		if !b.Locking() {
			continue
		}
		if err := r.mirror(ctx, b, &out); err != nil {
			return out, fmt.Errorf("mirroring holds in bucket %q: %w", name, err)
		}
	}
	return out, nil
}

func (r *Runner) mirror(ctx context.Context, b *storage.Bucket, out *Mirrored) error {
	p, err := r.people(ctx)
	if err != nil {
		return err
	}
	ours, err := r.o.Catalog.Mirrored(ctx, b.Name())
	if err != nil {
		return err
	}
	mine := map[earshot.RecordingID]bool{}
	for _, id := range ours {
		mine[id] = true
	}
	covered := map[earshot.RecordingID]bool{}
	if len(p.holds) > 0 {
		for row, err := range r.o.Catalog.Live(ctx, b.Name(), "") {
			if err != nil {
				return err
			}
			if err := r.mirrorOne(ctx, b, row.Recording, p, mine, covered, out); err != nil {
				return err
			}
		}
	}
	for _, id := range ours {
		if covered[id] {
			out.Standing++
			continue
		}
		if err := b.SetLegalHold(ctx, id, false); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		if err := r.o.Catalog.PutMirrored(ctx, id, false, r.now()); err != nil {
			return err
		}
		out.Lifted++
	}
	return nil
}

// mirrorOne puts the versions of one object, and of its companions, under the store's legal hold if a
// hold covers it. An event log of which only rows are held is rewritten and not locked.
func (r *Runner) mirrorOne(ctx context.Context, b *storage.Bucket, rec earshot.Recording, p people, mine, covered map[earshot.RecordingID]bool, out *Mirrored) error {
	r.layout.describe(&rec)
	var held []earshot.Hold
	if l := r.layout.log(rec.ID.Key); l != nil {
		held, _ = heldRows(rec, l, p.holds)
	} else {
		held = r.held(rec, p.holds)
	}
	if len(held) == 0 {
		return nil
	}
	keys := []string{rec.ID.Key}
	for _, c := range r.layout.companionKeys(rec.ID.Key) {
		keys = append(keys, c.key)
	}
	for _, key := range keys {
		versions, err := b.Versions(ctx, key)
		if err != nil {
			return err
		}
		for _, v := range versions {
			if v.Marker {
				continue
			}
			if covered[v.ID] = true; mine[v.ID] {
				continue
			}
			lock, err := b.Lock(ctx, v.ID)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			if lock.LegalHold {
				continue // somebody else's
			}
			// Noted first: what is under it and not noted would never be taken out.
			if err := r.o.Catalog.PutMirrored(ctx, v.ID, true, r.now()); err != nil {
				return err
			}
			if err := b.SetLegalHold(ctx, v.ID, true); err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			out.Set++
			out.Standing++
		}
	}
	return nil
}
