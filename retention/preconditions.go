package retention

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"earshot"
	"earshot/storage"
	"earshot/storage/catalog"

	"golang.org/x/sync/errgroup"
)

// preconditions looks afresh at what a batch is about to be done to, and says for each action
// whether it may go on or why not. An action that cannot be looked at stays planned; unread counts
// those.
func (r *Runner) preconditions(ctx context.Context, run earshot.Run, batch []earshot.Action, sights map[string]sighting) (seen []catalog.Transition, unread int, err error) {
	people, err := r.people(ctx)
	if err != nil {
		return nil, 0, err
	}
	rows, err := r.rowsOf(ctx, batch)
	if err != nil {
		return nil, 0, err
	}
	known := make([]catalog.Known, 0, len(batch))
	for _, a := range batch {
		known = append(known, rows[earshot.RecordingID{Bucket: a.Recording.ID.Bucket, Key: a.Recording.ID.Key}].Known)
	}
	if people, err = people.of(ctx, r, known); err != nil {
		return nil, 0, err
	}
	out := make([]catalog.Transition, len(batch))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(r.o.Workers)
	for i, a := range batch {
		group.Go(func() error {
			code, err := r.precondition(inner, run, a, people, rows, sights)
			if err != nil {
				if inner.Err() != nil {
					return inner.Err()
				}
				r.o.Logger.WarnContext(ctx, "recording could not be looked at", "run", string(run.ID), "object", objectHash(a.Recording.ID), "err", err)
				return nil
			}
			if code != "" {
				a.State, a.Why, a.SettledAt = earshot.ActionSkipped, code, r.now()
			} else {
				a.State, a.IntendedAt = earshot.ActionIntended, r.now()
			}
			out[i].Action = a
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	seen = slices.DeleteFunc(out, func(t catalog.Transition) bool { return t.Action.State == "" })
	return seen, len(batch) - len(seen), r.announce(ctx, seen)
}

// announce writes for each action the entry that says what is intended, or why not. Nobody is given a key of whom
// no entry is going to speak.
func (r *Runner) announce(ctx context.Context, seen []catalog.Transition) error {
	var subjects []earshot.SubjectID
	for _, t := range seen {
		subjects = append(subjects, t.Action.Recording.Subject)
	}
	tags, err := r.taggers(ctx, subjects)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(r.o.Workers)
	for i, t := range seen {
		group.Go(func() (err error) {
			write := r.intentLeaf
			if t.Action.State == earshot.ActionSkipped {
				write = r.skipLeaf
			}
			seen[i].Leaf, err = write(tags[t.Action.Recording.Subject], t.Action)
			return err
		})
	}
	return group.Wait()
}

// precondition is empty if the action may go on, else the code of what has changed.
func (r *Runner) precondition(ctx context.Context, run earshot.Run, a earshot.Action, p people, rows map[earshot.RecordingID]catalog.Row, sights map[string]sighting) (string, error) {
	row, ok := rows[earshot.RecordingID{Bucket: a.Recording.ID.Bucket, Key: a.Recording.ID.Key}]
	if !ok {
		return "", catalog.ErrNotFound
	}
	if !row.GoneAt.IsZero() {
		return "gone", nil
	}
	if row.Recording.ETag != a.Recording.ETag {
		return "changed", nil
	}
	var seen *storage.Head
	var beside *storage.Sweep
	b, err := r.bucket(ctx, a.Recording.ID.Bucket)
	if err != nil {
		return "", err
	}
	if sight, ok := sights[b.Name()]; ok && r.plain(b, a) {
		beside = &sight.beside
		if r.now().Sub(run.AsOf) <= freshFor {
			seen = r.seenByPlan(sight, a, row)
		}
	}
	res, err := r.resolveSeen(ctx, row.Known, seen, p, run.AsOf)
	if err == nil && destroys(res.decision) && seen == nil {
		err = r.complete(ctx, &res, beside)
	} else if seen != nil { // that they are as planned was seen
		res.companions = a.Companions
		if n, err := r.sharing(ctx, a); err != nil || n > 1 {
			return "companions", err
		}
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return "gone", nil
	case errors.Is(err, storage.ErrChanged):
		return "changed", nil
	case err != nil:
		return "", err
	}
	switch d := res.decision; {
	case d.Rule == catalog.RuleHold:
		return "hold", nil
	case d.Rule == catalog.RuleLock:
		return "locked", nil
	case d.Rule == "companion":
		return "companions", nil
	case d.Disposition != a.Decision.Disposition, !reflect.DeepEqual(d.Redactions, a.Decision.Redactions), !sameRows(d.Rows, a.Decision.Rows),
		!reflect.DeepEqual(d.Companions, a.Decision.Companions):
		return "facts", nil
	case res.known.Recording.ID.Version != a.Recording.ID.Version:
		return "changed", nil
	case !slices.EqualFunc(res.companions, a.Companions, func(x, y earshot.Companion) bool { return x.ID.Key == y.ID.Key && x.Fate == y.Fate }):
		return "companions", nil
	}
	return "", nil
}

// rowsOf reads what the catalog knows of a batch's recordings.
func (r *Runner) rowsOf(ctx context.Context, batch []earshot.Action) (map[earshot.RecordingID]catalog.Row, error) {
	keys := map[string][]string{}
	for _, a := range batch {
		keys[a.Recording.ID.Bucket] = append(keys[a.Recording.ID.Bucket], a.Recording.ID.Key)
	}
	out := map[earshot.RecordingID]catalog.Row{}
	for _, bucket := range slices.Sorted(maps.Keys(keys)) {
		rows, err := r.o.Catalog.Recordings(ctx, bucket, keys[bucket])
		if err != nil {
			return nil, err
		}
		for key, row := range rows {
			out[earshot.RecordingID{Bucket: bucket, Key: key}] = row
		}
	}
	return out, nil
}

// seenByPlan is what the plan saw of an object's metadata, where a fresh listing shows that the object and
// all that lies beside it are as the plan saw them; nil where more must be asked.
func (r *Runner) seenByPlan(sight sighting, a earshot.Action, row catalog.Row) *storage.Head {
	key := a.Recording.ID.Key
	if !row.HeadKnown || a.Recording.Hidden || !unchanged(sight.own.Versions(key), a.Recording) || !r.besideAsPlanned(sight, a) {
		return nil
	}
	k := row.Recording
	return &storage.Head{ID: k.ID, ETag: k.ETag, Size: k.Size, StoredAt: k.StoredAt}
}

// sharing counts the recordings that an action's companions may belong to.
func (r *Runner) sharing(ctx context.Context, a earshot.Action) (int, error) {
	if len(a.Companions) == 0 {
		return 1, nil
	}
	return r.o.Catalog.Sharing(ctx, a.Recording.ID.Bucket, r.layout.stem(a.Recording.ID.Key))
}
