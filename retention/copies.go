package retention

import (
	"context"
	"fmt"
	"slices"

	"earshot"
	"earshot/storage"
)

// Further copies of a bucket's objects lie under the same keys in other buckets, where replication or a
// nightly job put them. What is deleted is deleted there too, and looked for afresh; of what is redacted
// every copy goes that is not the redacted one.

// copies opens the buckets that hold copies of a bucket.
func (r *Runner) copies(ctx context.Context, bucket string) ([]*storage.Bucket, error) {
	var out []*storage.Bucket
	for _, name := range r.o.Layout.Copies[bucket] {
		b, err := r.bucket(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("the bucket of copies %q: %w", name, err)
		}
		out = append(out, b)
	}
	return out, nil
}

// gatherCopies lists what is to go of the copies of an object and of its companions. mark is what a
// redacted object carries; empty where everything goes.
func (r *Runner) gatherCopies(ctx context.Context, b *storage.Bucket, key, mark string, companions []earshot.Companion) ([]doomed, error) {
	places, err := r.copies(ctx, b.Name())
	if err != nil || len(places) == 0 {
		return nil, err
	}
	var keys []string
	for _, c := range companions {
		if c.Fate != earshot.CompanionKeep {
			keys = append(keys, c.ID.Key)
		}
	}
	var out []doomed
	for _, place := range places {
		for _, k := range append(slices.Clone(keys), key) { // the object last, as everywhere
			versions, err := place.Versions(ctx, k)
			if err != nil {
				return nil, err
			}
			d := doomed{place: place, key: k, versions: versions, derived: mark == ""}
			if mark != "" {
				d.successor = true
				if d.versions, err = unmarked(ctx, place, versions, mark); err != nil {
					return nil, err
				}
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// unmarked leaves out the versions that are the redacted one.
func unmarked(ctx context.Context, b *storage.Bucket, versions []storage.Version, mark string) ([]storage.Version, error) {
	var out []storage.Version
	for _, v := range versions {
		if !v.Marker {
			head, err := b.Head(ctx, v.ID.Key, v.ID.Version)
			if err != nil {
				return nil, err
			}
			if head.Metadata[metaRedacted] == mark {
				continue
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// leftOfCopies counts what is there of copies that an action should have taken away.
func (r *Runner) leftOfCopies(ctx context.Context, a earshot.Action, places []*storage.Bucket) (n int, err error) {
	mark := ""
	if a.Decision.Disposition == earshot.Redact {
		mark = redactedMark(a)
	}
	keys := []string{a.Recording.ID.Key}
	for _, c := range a.Companions {
		if c.Fate != earshot.CompanionKeep {
			keys = append(keys, c.ID.Key)
		}
	}
	for _, place := range places {
		for _, key := range keys {
			versions, err := place.Versions(ctx, key)
			if err == nil && mark != "" {
				versions, err = unmarked(ctx, place, versions, mark)
			}
			if err != nil {
				return n, err
			}
			// What was stored after the act is not the act's to answer for.
			n += len(slices.DeleteFunc(versions, func(v storage.Version) bool { return v.StoredAt.After(a.SettledAt) }))
		}
	}
	return n, nil
}
