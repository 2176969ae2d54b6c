package main

import (
	"context"
	"errors"
	"time"

	"earshot"
	"earshot/storage/catalog"
)

// stalledAfter is how long nothing of a run may move: several leases, and the looks that come before a batch is announced.
const stalledAfter = 5 * time.Minute

// stalledRun was begun, and nobody goes on with it.
type stalledRun struct {
	Run   earshot.RunID `json:"run"`
	Left  int           `json:"actions_left"` // 0: it only has to be closed
	Since time.Time     `json:"since"`        // when something of it moved last
}

// stalled lists the runs that were begun and that nobody works on, as after a crash without earshot serve. In quiet hours,
// and right after, a run waits as it should. open are the actions whose end is not known.
func (i *installation) stalled(ctx context.Context, now time.Time, open []earshot.Action) ([]stalledRun, error) {
	pace := i.cfg.Store.Pace
	if !pace.quiet(now).IsZero() || !pace.quiet(now.Add(-stalledAfter)).IsZero() {
		return nil, nil
	}
	runs, err := i.db.RunsIn(ctx, earshot.RunApplying)
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	leased, err := i.db.Leased(ctx, now)
	if err != nil {
		return nil, err
	}
	var out []stalledRun
	for _, run := range runs {
		since, err := i.movedLast(ctx, run, open)
		if err != nil {
			return nil, err
		}
		for _, a := range leased {
			if a.Run == run.ID {
				since = now
			}
		}
		if now.Sub(since) < stalledAfter {
			continue
		}
		left, err := i.left(ctx, run.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, stalledRun{Run: run.ID, Left: left, Since: since})
	}
	if len(out) == 0 || i.db.Shared() {
		return out, nil
	}
	release, err := i.db.Exclusive("apply") // asked last: for this moment it keeps others from beginning
	if errors.Is(err, catalog.ErrBusy) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	release()
	return out, nil
}

// movedAround is how many actions on either side of the first that is left are looked at for the last movement: a run
// goes from front to end, in batches of a thousand.
const movedAround = 3000

// movedLast is when something of a run happened last, as far as can be told without reading all its actions.
func (i *installation) movedLast(ctx context.Context, run earshot.Run, open []earshot.Action) (time.Time, error) {
	last := run.CreatedAt
	later := func(ts ...time.Time) {
		for _, t := range ts {
			if t.After(last) {
				last = t
			}
		}
	}
	approvals, err := i.db.Approvals(ctx, run.ID)
	if err != nil {
		return last, err
	}
	for _, a := range approvals {
		later(a.At)
	}
	first, err := i.db.Actions(ctx, run.ID, earshot.ActionPlanned, 0, 1)
	if err != nil {
		return last, err
	}
	front := run.Actions
	if len(first) > 0 {
		front = first[0].Seq
	}
	near, err := i.db.Actions(ctx, run.ID, "", max(0, front-movedAround), 2*movedAround)
	if err != nil {
		return last, err
	}
	for _, a := range append(near, open...) {
		if a.Run == run.ID {
			later(a.IntendedAt, a.SettledAt)
		}
	}
	return last, nil
}

// left counts the actions of a run that are not over.
func (i *installation) left(ctx context.Context, run earshot.RunID) (int, error) {
	states, err := i.db.Progress(ctx, run)
	return states[earshot.ActionPlanned] + states[earshot.ActionIntended], err
}
