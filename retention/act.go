package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"earshot"
	"earshot/audit"
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
}

func abandoned(code string) verdict {
	return verdict{outcome: audit.Outcome{Result: "abandoned", Code: code}, state: earshot.ActionSkipped}
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
	if slices.ContainsFunc(p.holds, func(h earshot.Hold) bool { return h.Covers(a.Recording) }) {
		return abandoned("hold"), nil
	}
	b, err := r.bucket(ctx, a.Recording.ID.Bucket)
	if err != nil {
		return verdict{}, err
	}
	var v verdict
	if a.Decision.Disposition == earshot.Delete {
		v, err = r.destroy(ctx, b, a, recovering)
	} else {
		v, err = r.redact(ctx, b, a)
	}
	if code := conclusive(err); code != "" {
		// Retrying would not help. What was destroyed so far stays destroyed, and the recording
		// stays due; the entry says that it was not completed.
		return verdict{outcome: audit.Outcome{Result: "failed", Code: code}, state: earshot.ActionFailed}, nil
	}
	return v, err
}

// conclusive names an error that another try would meet again.
func conclusive(err error) string {
	switch {
	case errors.Is(err, storage.ErrLocked):
		return "locked"
	case errors.Is(err, storage.ErrDenied):
		return "denied"
	case errors.Is(err, storage.ErrTooLarge):
		return "too_large"
	case errors.Is(err, redact.ErrOpaque):
		return "opaque"
	case errors.Is(err, redact.ErrUnproved):
		return "unproved"
	case errors.Is(err, errLeft):
		return "still_present"
	}
	return ""
}

// errLeft: a fresh listing shows what should be gone.
var errLeft = errors.New("a fresh listing still shows it")

// checkLocks looks at what the store protects of several keys before the first of them is touched:
// a thing half destroyed is worse than one left alone.
func checkLocks(ctx context.Context, b *storage.Bucket, keys []string, now time.Time) error {
	if !b.Locking() {
		return nil
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
			lock, err := b.Lock(ctx, v.ID)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			if lock.LegalHold || lock.RetainUntil.After(now) {
				return storage.ErrLocked
			}
		}
	}
	return nil
}

// destroy deletes every version of the recording and of the companions that go with it.
func (r *Runner) destroy(ctx context.Context, b *storage.Bucket, a earshot.Action, recovering bool) (verdict, error) {
	key := a.Recording.ID.Key
	before, err := b.Versions(ctx, key)
	if err != nil {
		return verdict{}, err
	}
	ours := slices.IndexFunc(before, func(v storage.Version) bool {
		return !v.Marker && v.ETag == a.Recording.ETag && v.ID.Version == a.Recording.ID.Version
	})
	switch {
	case ours == 0: // it is the current version, as planned
	case ours < 0 && recovering && len(before) == 0: // we did it, and died before we could say so
	case ours < 0 && len(before) == 0:
	default: // another object lies there, or over it
		return abandoned("changed"), nil
	}
	keys := []string{key}
	var gone []string // companions that go, first: none may outlive its recording
	for _, c := range a.Companions {
		if r.companionRule(a.Decision, c.Class) == earshot.CompanionDelete {
			gone = append(gone, c.ID.Key)
		}
	}
	if err := checkLocks(ctx, b, append(slices.Clone(gone), key), r.now()); err != nil {
		if errors.Is(err, storage.ErrLocked) {
			return abandoned("locked"), nil
		}
		return verdict{}, err
	}
	v := verdict{outcome: audit.Outcome{Result: "ok", VersionsBefore: len(before)}, state: earshot.ActionDone}
	if len(before) == 0 && !recovering {
		v.outcome.Result = "already_absent"
	}
	for _, k := range append(gone, keys...) {
		n, freed, err := destroyKey(ctx, b, k, earshot.RecordingID{})
		if err != nil {
			return verdict{}, err
		}
		v.outcome.CopiesGone += n
		v.freed += freed
	}
	v.effect.Gone = true
	return v, nil
}

// destroyKey destroys all versions of a key but one, the newest last, gives up unfinished uploads,
// and looks afresh. It returns how many copies went and their bytes.
//
// The newest goes last so that what a crash leaves is still recognised as the object that the
// intent spoke of.
func destroyKey(ctx context.Context, b *storage.Bucket, key string, keep earshot.RecordingID) (int, int64, error) {
	versions, err := b.Versions(ctx, key)
	if err != nil {
		return 0, 0, err
	}
	n, freed := 0, int64(0)
	for _, v := range slices.Backward(versions) {
		if v.ID == keep {
			continue
		}
		if err := b.Destroy(ctx, []earshot.RecordingID{v.ID})[0]; err != nil {
			return n, freed, err
		}
		n++
		freed += v.Size
	}
	uploads, err := b.AbortUploads(ctx, key)
	if err != nil {
		return n, freed, err
	}
	n += uploads
	left, err := b.Present(ctx, key)
	if err != nil {
		return n, freed, err
	}
	for _, v := range left.Versions {
		if v.ID != keep {
			return n, freed, fmt.Errorf("destroying a recording: %w", errLeft)
		}
	}
	if left.Uploads > 0 {
		return n, freed, fmt.Errorf("destroying a recording: %w", errLeft)
	}
	return n, freed, nil
}
