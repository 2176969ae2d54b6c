package retention

import (
	"context"
	"errors"
	"maps"
	"slices"

	"earshot"
	"earshot/audit"
	"earshot/storage"
	"earshot/storage/catalog"

	"golang.org/x/sync/errgroup"
)

// Plain deletions go together: the store is looked at, told and looked at again with few requests for
// many recordings. Whatever is out of the ordinary with one of them, here or in the store, leaves it to
// [Runner.perform], which handles one at a time; so does recovery.

// together is one of them on its way.
type together struct {
	a    earshot.Action
	keys []doomed // companions first, the recording last
	v    verdict
	err  error // it could not be brought to an end; with something begun, now is not the time to go on
	// alone: it is left to perform. With something begun, as what a crash would have left.
	alone bool
}

// party is the actions in one bucket that go together.
type party struct {
	b     *storage.Bucket
	group []*together
}

// sortOut parts the actions that go together, by bucket, from the others.
func (r *Runner) sortOut(ctx context.Context, actions []earshot.Action, sights map[string]sighting) (parties []party, alone []earshot.Action) {
	for _, a := range actions {
		b, err := r.bucket(ctx, a.Recording.ID.Bucket)
		if _, seen := sights[a.Recording.ID.Bucket]; err != nil || !seen || !r.plain(b, a) { // perform will meet the error and tell of it
			alone = append(alone, a)
			continue
		}
		i := slices.IndexFunc(parties, func(p party) bool { return p.b == b })
		if i < 0 {
			i, parties = len(parties), append(parties, party{b: b})
		}
		parties[i].group = append(parties[i].group, &together{a: a})
	}
	parties = slices.DeleteFunc(parties, func(p party) bool {
		if len(p.group) == 1 {
			alone = append(alone, p.group[0].a)
		}
		return len(p.group) == 1
	})
	return parties, alone
}

// carryOutTogether acts upon intended actions of one bucket and settles them. What is left to
// perform is returned: rest was not begun; begun was, and is to be gone on with.
func (r *Runner) carryOutTogether(ctx context.Context, b *storage.Bucket, group []*together, published int64, seen sighting) (rest []earshot.Action, begun []*together, failed map[string]error, err error) {
	var ids []string
	for _, t := range group {
		ids = append(ids, intentID(t.a))
	}
	if n, err := r.o.Catalog.Head().CountBelow(ctx, ids, published); err != nil {
		return nil, nil, nil, err
	} else if n != len(ids) {
		return nil, nil, nil, errGate
	}
	if err := r.lookTogether(ctx, b, group, &seen); err != nil {
		return actionsOf(group), nil, nil, nil //nolint:nilerr // each is looked at by itself, and tells what is wrong
	}
	r.destroyTogether(ctx, b, group)
	if err := r.proveTogether(ctx, b, group, seen); err != nil {
		for _, t := range group { // nobody knows: each is looked at by itself
			t.alone = true
		}
	}
	failed = map[string]error{}
	var done []catalog.Transition
	for _, t := range group {
		switch {
		case t.err != nil && t.v.begun:
			failed[t.a.ID()] = t.v.broken(t.err)
		case t.alone && t.v.begun:
			begun = append(begun, t)
		case t.alone:
			rest = append(rest, t.a)
		default:
			settled, err := r.settled(t.a, t.v)
			if err != nil {
				return rest, begun, failed, err
			}
			done = append(done, settled)
		}
	}
	return rest, begun, failed, r.o.Catalog.Settle(ctx, r.now().UnixMicro(), done...)
}

func actionsOf(group []*together) (out []earshot.Action) {
	for _, t := range group {
		out = append(out, t.a)
	}
	return out
}

// settled is an action with its outcome.
func (r *Runner) settled(a earshot.Action, v verdict) (catalog.Transition, error) {
	leaf, err := r.outcomeLeaf(a, v.outcome)
	a.State, a.Why, a.BytesFreed, a.SettledAt = v.state, v.outcome.Code, v.freed, r.now()
	return catalog.Transition{Action: a, Leaf: leaf, Effect: v.effect}, err
}

// lookTogether finds out what is to go. An action about which anything is not as planned is left alone.
// What was seen before the intents were published is good enough in a bucket that keeps versions, where
// exactly those versions go; elsewhere another object may lie there by now.
func (r *Runner) lookTogether(ctx context.Context, b *storage.Bucket, group []*together, seen *sighting) error {
	p, err := r.people(ctx)
	if err != nil {
		return err
	}
	if b.Versioning() == storage.Unversioned {
		var keys []string
		for _, t := range group {
			keys = append(keys, t.a.Recording.ID.Key)
		}
		if seen.own, err = b.Sweep(ctx, keys, r.o.Workers); err != nil {
			return err
		}
	}
	for _, t := range group {
		held, err := r.heldNow(ctx, t.a, p.holds)
		key := t.a.Recording.ID.Key
		before := seen.own.Versions(key)
		if err != nil || held || !unchanged(before, t.a.Recording) || !r.besideAsPlanned(*seen, t.a) {
			t.alone = true
			continue
		}
		for _, c := range t.a.Companions {
			if c.Fate == earshot.CompanionDelete {
				t.keys = append(t.keys, doomed{key: c.ID.Key, versions: seen.beside.Versions(c.ID.Key), derived: true})
			}
		}
		t.keys = append(t.keys, doomed{key: key, versions: before})
		t.v = verdict{outcome: audit.Outcome{Result: "ok", Settled: "apply", VersionsBefore: len(before), CompanionsLeft: keptBeside(t.a)}, state: earshot.ActionDone}
	}
	return nil
}

// destroyTogether destroys what was found, in three steps: companions, older versions, and the versions
// that the plan spoke of, so that what a crash leaves is still recognised. What fails in one step is
// not touched in the next.
func (r *Runner) destroyTogether(ctx context.Context, b *storage.Bucket, group []*together) {
	for step := range 3 {
		var ids []earshot.RecordingID
		var sizes []int64
		var whose []*together
		for _, t := range group {
			if t.alone || t.err != nil {
				continue
			}
			for i, d := range t.keys {
				own := i == len(t.keys)-1
				for n, v := range d.versions {
					if step != stepOf(own, n) {
						continue
					}
					ids, sizes, whose = append(ids, v.ID), append(sizes, v.Size), append(whose, t)
				}
			}
		}
		for i, err := range b.DestroyMany(ctx, ids, ours) {
			t := whose[i]
			if err != nil {
				t.err, t.alone = err, true // perform tries again, and knows what the error means
				continue
			}
			t.v.begun = true
			t.v.outcome.CopiesGone++
			t.v.freed += sizes[i]
		}
	}
}

// stepOf tells in which step the n-th newest version of a key goes.
func stepOf(own bool, n int) int {
	switch {
	case !own:
		return 0
	case n > 0:
		return 1
	}
	return 2
}

// proveTogether looks afresh, gives up unfinished uploads, and writes what is left into the verdicts.
// Where anything is left, or the look proves nothing, the action is left alone.
func (r *Runner) proveTogether(ctx context.Context, b *storage.Bucket, group []*together, seen sighting) error {
	var keys, classes []string
	for _, t := range group {
		if t.alone {
			continue
		}
		key := t.a.Recording.ID.Key
		keys = append(keys, key)
		for _, d := range t.keys[:len(t.keys)-1] {
			classes = append(classes, d.key)
		}
		if b.ListsUploads() { // of companions that were never finished, too, since it costs nothing
			for _, c := range r.layout.companionKeys(key) {
				classes = append(classes, c.key)
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	own, err := b.SweepAgain(ctx, keys, r.o.Workers, seen.own)
	if err != nil {
		return err
	}
	beside, err := r.sweepCompanions(ctx, b, keys, seen.beside)
	if err != nil {
		return err
	}
	uploads, err := b.Uploads(ctx, append(classes, keys...), r.o.Workers)
	if err != nil {
		return err
	}
	for _, t := range group {
		if t.alone {
			continue
		}
		for i, d := range t.keys {
			s := beside
			if i == len(t.keys)-1 {
				s = own
			}
			if len(s.Versions(d.key)) > 0 {
				t.alone = true
			}
		}
		if err := r.giveUpUploads(ctx, b, t, uploads); err != nil {
			t.alone = true
		}
		if err := r.wentAlong(ctx, t.a); err != nil {
			t.alone = true
		}
		t.v.effect.Gone = true
	}
	return nil
}

// giveUpUploads gives up the unfinished uploads of a recording and of what lies beside it, of a companion
// that was never finished too, and looks again.
func (r *Runner) giveUpUploads(ctx context.Context, b *storage.Bucket, t *together, uploads map[string][]string) error {
	keys := []string{t.a.Recording.ID.Key}
	for _, c := range r.layout.companionKeys(keys[0]) {
		if r.companionRule(t.a.Decision, c.Class) == earshot.CompanionDelete {
			keys = append(keys, c.key)
		}
	}
	for _, key := range keys {
		if len(uploads[key]) == 0 {
			continue
		}
		if err := ours(ctx); err != nil {
			return err
		}
		n, err := b.AbortUploads(ctx, key)
		if err != nil {
			return err
		}
		t.v.outcome.CopiesGone += n
		if left, err := b.Uploads(ctx, []string{key}, 1); err != nil || len(left) > 0 {
			return errors.Join(err, errLeft)
		}
	}
	return nil
}

// aloneMost is how many actions that are handled one by one are announced at a time; it bounds what an
// interruption gives back.
const aloneMost = 64

// cutBatch shortens a batch so that not too many of its actions are handled one by one.
func (r *Runner) cutBatch(ctx context.Context, batch []earshot.Action) []earshot.Action {
	n := 0
	for i, a := range batch {
		if b, err := r.bucket(ctx, a.Recording.ID.Bucket); err == nil && r.plain(b, a) {
			continue
		}
		if n++; n > aloneMost {
			return batch[:i]
		}
	}
	return batch
}

// act carries out what is intended, and returns an error for each action that could not be brought to
// an end.
func (r *Runner) act(ctx, firm context.Context, intended []earshot.Action, published int64, sights map[string]sighting) (failed map[string]error, err error) {
	failed = map[string]error{}
	parties, alone := r.sortOut(ctx, intended, sights)
	var begun []*together
	for _, p := range parties {
		b, group := p.b, p.group
		if ctx.Err() != nil {
			alone = append(alone, actionsOf(group)...) // to be given back
			continue
		}
		rest, on, left, err := r.carryOutTogether(firm, b, group, published, sights[b.Name()])
		maps.Copy(failed, left)
		if errors.Is(err, errGate) {
			return failed, err
		}
		if err != nil { // the catalog did not take it: what happened is found out by settling
			for _, t := range group {
				failed[t.a.ID()] = err
			}
			continue
		}
		alone, begun = append(alone, rest...), append(begun, on...)
	}
	errs := make([]error, len(alone)+len(begun))
	var workers errgroup.Group
	workers.SetLimit(r.o.Workers)
	all := slices.Concat(alone, actionsOf(begun))
	for i, a := range all {
		workers.Go(func() error {
			switch {
			case i >= len(alone):
				errs[i] = r.carryOn(firm, a, published, true, "apply", begun[i-len(alone)].v)
			case ctx.Err() != nil:
				errs[i] = r.giveBack(firm, a)
			default:
				errs[i] = r.carryOut(firm, a, published, false, "apply")
			}
			return nil
		})
	}
	_ = workers.Wait()
	for i, a := range all {
		if errors.Is(errs[i], errGate) {
			return failed, errs[i]
		}
		if errs[i] != nil {
			failed[a.ID()] = errs[i]
		}
	}
	return failed, nil
}
