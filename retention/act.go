package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/events"
	"earshot/redact"
	"earshot/storage"
	"earshot/storage/catalog"
)

// verdict is how an action ended.
type verdict struct {
	outcome audit.Outcome
	state   earshot.ActionState
	effect  catalog.Effect
	freed   int64 // bytes
	begun   bool  // something was destroyed or replaced
}

// abandoned ends an action of which nothing was begun.
func abandoned(code string) verdict {
	return verdict{outcome: audit.Outcome{Result: "abandoned", Code: code}, state: earshot.ActionSkipped}
}

// stopped ends an action that was cut off, and that may not go on: nobody knows how much of it had
// been done, and the fresh look says what is left.
func stopped(code string, left int) verdict {
	return verdict{outcome: audit.Outcome{Result: "stopped", Code: code, VersionsAfter: left}, state: earshot.ActionSkipped}
}

// errBegun: something was destroyed or replaced already, so that the action is neither done nor
// failed. It stays open, and settling goes on with it when that is possible.
var errBegun = errors.New("stopped in the middle")

func (v *verdict) broken(err error) error {
	if v.begun {
		return fmt.Errorf("%w: %w", errBegun, err)
	}
	return err
}

// perform does what the intent says, or finds out that it is done. It looks at the store first, and
// every step may be repeated, so that the happy path and the recovery from a crash are one. An
// error leaves the action open; whatever ends it is a verdict.
func (r *Runner) perform(ctx context.Context, a earshot.Action, recovering bool) (verdict, error) {
	// A hold may have been placed while we prepared; from here it is a matter of milliseconds.
	p, err := r.people(ctx)
	if err != nil {
		return verdict{}, err
	}
	held, err := r.heldNow(ctx, a, p.holds)
	if err != nil {
		return verdict{}, err
	}
	b, err := r.bucket(ctx, a.Recording.ID.Bucket)
	if err != nil {
		return verdict{}, err
	}
	var v verdict
	if a.Decision.Disposition == earshot.Delete {
		v, err = r.destroy(ctx, b, a, held, recovering)
	} else {
		v, err = r.redact(ctx, b, a, held, recovering)
	}
	if code := conclusive(err); code != "" {
		// Retrying would not help, and nothing was begun: the recording is as it was, and stays due.
		return verdict{outcome: audit.Outcome{Result: "failed", Code: code}, state: earshot.ActionFailed}, nil
	}
	return v, err
}

// conclusive names an error that another try would meet again.
func conclusive(err error) string {
	switch {
	case errors.Is(err, errBegun), errors.Is(err, storage.ErrCredentials):
		return "" // it must be brought to an end; and credentials are renewed
	case errors.Is(err, storage.ErrLocked):
		return "locked"
	case errors.Is(err, storage.ErrDenied):
		return "denied"
	case errors.Is(err, storage.ErrTooLarge):
		return "too_large"
	case errors.Is(err, redact.ErrOpaque):
		return "opaque"
	case errors.Is(err, redact.ErrUnproved), errors.Is(err, events.ErrUnproved):
		return "unproved"
	case errors.Is(err, errLeft):
		return "still_present"
	case errors.Is(err, errMisplaced):
		return "misplaced"
	}
	return ""
}

// errLeft: a fresh listing shows what should be gone.
var errLeft = errors.New("a fresh listing still shows it")

// held reports whether a hold covers the recording, or one of the companions that its layout gives
// it: what happens to the one happens to the other.
func (r *Runner) held(rec earshot.Recording, holds []earshot.Hold) []earshot.Hold {
	var out []earshot.Hold
	for _, h := range holds {
		covers := h.Covers(rec)
		for _, c := range r.layout.companionKeys(rec.ID.Key) {
			beside := rec
			beside.ID.Key = c.key
			covers = covers || h.Covers(beside)
		}
		if covers {
			out = append(out, h)
		}
	}
	return out
}

// standing reports whether any of the versions is protected by the store now.
func standing(ctx context.Context, b *storage.Bucket, versions []storage.Version, now time.Time) (bool, error) {
	if !b.Locking() {
		return false, nil
	}
	for _, v := range versions {
		if v.Marker {
			continue
		}
		lock, err := b.Lock(ctx, v.ID)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return false, err
		}
		if lock.LegalHold || lock.RetainUntil.After(now) {
			return true, nil
		}
	}
	return false, nil
}

// doomed is one key with exactly the versions that are to go.
type doomed struct {
	place    *storage.Bucket // nil: the recording's own bucket
	key      string
	versions []storage.Version
	// derived: newer versions go too, since everything derived from a recording goes with it.
	derived bool
	// successor: a newer version is what took the place of these.
	successor bool
}

// in gives the bucket that it lies in.
func (d doomed) in(own *storage.Bucket) *storage.Bucket {
	if d.place != nil {
		return d.place
	}
	return own
}

// gather lists what is to go, before the first of it is touched, and whether the store protects any
// of it: a thing half destroyed is worse than one left alone.
func (r *Runner) gather(ctx context.Context, b *storage.Bucket, own doomed, a earshot.Action) (all []doomed, locked bool, err error) {
	for _, c := range a.Companions {
		if c.Fate != earshot.CompanionDelete {
			continue
		}
		versions, err := b.Versions(ctx, c.ID.Key)
		if err != nil {
			return nil, false, err
		}
		all = append(all, doomed{key: c.ID.Key, versions: versions, derived: true})
	}
	all = append(all, own) // last: no companion may outlive its recording
	var mark string
	if own.successor {
		mark = redactedMark(a)
	}
	copies, err := r.gatherCopies(ctx, b, own.key, mark, a.Companions)
	if err != nil {
		return nil, false, err
	}
	all = append(copies, all...)
	for _, d := range all {
		if locked, err = standing(ctx, d.in(b), d.versions, r.now()); locked || err != nil {
			return nil, locked, err
		}
	}
	return all, false, nil
}

// destroy deletes every version of the recording and of the companions that go with it.
func (r *Runner) destroy(ctx context.Context, b *storage.Bucket, a earshot.Action, held, recovering bool) (verdict, error) {
	key := a.Recording.ID.Key
	before, err := b.Versions(ctx, key)
	if err != nil {
		return verdict{}, err
	}
	ours := slices.IndexFunc(before, func(v storage.Version) bool {
		return !v.Marker && v.ETag == a.Recording.ETag && v.ID.Version == a.Recording.ID.Version
	})
	switch {
	case held && !recovering:
		return abandoned("hold"), nil
	case held:
		return stopped("hold", len(before)), nil
	case len(before) == 0, newest(before, ours): // it is gone; or it is what was planned for
	case recovering && ours < 0: // ours went last, so all of it is gone; what lies there is newer
		return verdict{outcome: audit.Outcome{Result: "ok", Code: "newer_version", VersionsAfter: len(before)}, state: earshot.ActionDone}, nil
	case recovering:
		return stopped("changed", len(before)), nil
	default: // another object lies there, or over it
		return abandoned("changed"), nil
	}
	all, locked, err := r.gather(ctx, b, doomed{key: key, versions: before}, a)
	switch {
	case err != nil:
		return verdict{}, err
	case locked && recovering:
		return stopped("locked", len(before)), nil
	case locked:
		return abandoned("locked"), nil
	}
	v := verdict{outcome: audit.Outcome{Result: "ok", VersionsBefore: len(before), CompanionsLeft: keptBeside(a)}, state: earshot.ActionDone}
	if len(before) == 0 && !recovering {
		v.outcome.Result = "already_absent"
	}
	for _, d := range all {
		if err := d.destroy(ctx, b, &v); err != nil {
			return verdict{}, err
		}
	}
	v.effect.Gone = v.outcome.VersionsAfter == 0
	if err := r.wentAlong(ctx, a); err != nil {
		return verdict{}, v.broken(err)
	}
	return v, nil
}

// keptBeside counts the companions that a rule keeps although their recording goes.
func keptBeside(a earshot.Action) (n int) {
	for _, c := range a.Companions {
		if c.Fate == earshot.CompanionKeep {
			n++
		}
	}
	return n
}

// newest reports whether versions[at] is the newest that holds data: only delete markers, which
// hide and do not replace, lie over it.
func newest(versions []storage.Version, at int) bool {
	return at >= 0 && !slices.ContainsFunc(versions[:at], func(v storage.Version) bool { return !v.Marker })
}

// destroy destroys the versions, the newest last, gives up unfinished uploads and looks afresh. It
// adds to the verdict what went. Once anything has gone an error is [errBegun].
//
// The newest goes last so that what a crash leaves is still recognised as the object that the
// intent spoke of.
func (d doomed) destroy(ctx context.Context, b *storage.Bucket, v *verdict) error {
	b = d.in(b)
	for range 4 { // newer versions of what is derived may come while we are at it
		for _, version := range slices.Backward(d.versions) {
			if err := ours(ctx); err != nil {
				return v.broken(err)
			}
			if err := b.Destroy(ctx, []earshot.RecordingID{version.ID})[0]; err != nil {
				return v.broken(err)
			}
			v.begun = true
			v.outcome.CopiesGone++
			v.freed += version.Size
		}
		uploads, err := b.AbortUploads(ctx, d.key)
		if err != nil {
			return v.broken(err)
		}
		v.begun = v.begun || uploads > 0
		v.outcome.CopiesGone += uploads
		left, err := b.Present(ctx, d.key)
		if err != nil {
			return v.broken(err)
		}
		for _, l := range left.Versions {
			if slices.ContainsFunc(d.versions, func(x storage.Version) bool { return x.ID == l.ID }) {
				return v.broken(fmt.Errorf("destroying a recording: %w", errLeft))
			}
		}
		if len(left.Versions) == 0 || !d.derived {
			if newer := len(left.Versions); newer > 0 && !d.successor {
				v.outcome.VersionsAfter, v.outcome.Code = newer, "newer_version"
			}
			return nil
		}
		d.versions = left.Versions
	}
	return v.broken(fmt.Errorf("destroying a companion: %w", errLeft))
}
