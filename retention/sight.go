package retention

import (
	"context"
	"maps"
	"slices"
	"time"

	"earshot"
	"earshot/storage"
)

// sighting is one look at the recordings of a group, and at all that the layout puts beside them.
type sighting struct{ own, beside storage.Sweep }

// freshFor is how long what a plan saw of an object's metadata is relied on, where a listing shows
// that the object is still the same: tags can change without a trace.
const freshFor = 15 * time.Minute

// plain reports whether an action is a deletion that may go with others.
func (r *Runner) plain(b *storage.Bucket, a earshot.Action) bool {
	return a.Decision.Disposition == earshot.Delete && a.Decision.Rows == nil && a.Recording.Class == "" &&
		!b.Locking() && len(r.o.Layout.Copies[b.Name()]) == 0
}

// besideAsPlanned reports whether exactly the companions are there that the plan saw.
func (r *Runner) besideAsPlanned(sight sighting, a earshot.Action) bool {
	for _, c := range r.layout.companionKeys(a.Recording.ID.Key) {
		planned := slices.ContainsFunc(a.Companions, func(x earshot.Companion) bool { return x.ID.Key == c.key })
		if planned != (len(sight.beside.Versions(c.key)) > 0) {
			return false
		}
	}
	return true
}

// sight looks at what plain actions of a batch are about, for many of them with few requests. Where it fails
// each is asked for.
func (r *Runner) sight(ctx context.Context, batch []earshot.Action) map[string]sighting {
	out := map[string]sighting{}
	var buckets []*storage.Bucket
	keys := map[*storage.Bucket][]string{}
	for _, a := range batch {
		if b, err := r.bucket(ctx, a.Recording.ID.Bucket); err == nil && r.plain(b, a) {
			if keys[b] == nil {
				buckets = append(buckets, b)
			}
			keys[b] = append(keys[b], a.Recording.ID.Key)
		}
	}
	for _, b := range buckets {
		own, err := b.Sweep(ctx, keys[b], r.o.Workers)
		if err != nil {
			continue
		}
		if beside, err := r.sweepCompanions(ctx, b, keys[b], storage.Sweep{}); err == nil {
			out[b.Name()] = sighting{own, beside}
		}
	}
	return out
}

// unchanged reports whether the object that was planned for is there, with only delete markers over it.
func unchanged(versions []storage.Version, rec earshot.Recording) bool {
	at := slices.IndexFunc(versions, func(v storage.Version) bool {
		return !v.Marker && v.ETag == rec.ETag && v.ID.Version == rec.ID.Version &&
			v.StoredAt.Truncate(time.Second).Equal(rec.StoredAt.Truncate(time.Second)) // HEAD tells whole seconds
	})
	return newest(versions, at)
}

// sweepCompanions looks at all keys that the layout puts beside recordings, class by class, since the
// keys of one class lie close together. before is an earlier look, if there was one.
func (r *Runner) sweepCompanions(ctx context.Context, b *storage.Bucket, recordings []string, before storage.Sweep) (storage.Sweep, error) {
	byClass := map[string][]string{}
	for _, key := range recordings {
		for _, c := range r.layout.companionKeys(key) {
			byClass[c.Class] = append(byClass[c.Class], c.key)
		}
	}
	var all storage.Sweep
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		s, err := b.SweepAgain(ctx, byClass[class], r.o.Workers, before)
		if err != nil {
			return all, err
		}
		all = all.And(s)
	}
	return all, nil
}
