package retention

import (
	"context"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/storage"
	"earshot/storage/catalog"

	"golang.org/x/sync/errgroup"
)

// lookBatch is how many keys are looked at between two transactions.
const lookBatch = 500

// Look looks afresh at single keys, since something (an event of the store, an inventory) hints that
// they have come or gone, and brings the catalog up to date with them. Keys in no policy's scope, and
// those of no recording, are passed over. The hint itself is not believed: hints that come twice, late
// or in the wrong order do no harm, and a lost one is made up for by the next listing.
func (r *Runner) Look(ctx context.Context, bucket string, keys []string) (catalog.Observed, error) {
	var out catalog.Observed
	keys, odd := r.watched(bucket, keys)
	r.warnOdd(ctx, bucket, odd)
	if len(keys) == 0 {
		return out, nil
	}
	b, err := r.bucket(ctx, bucket)
	if err != nil {
		return out, err
	}
	for part := range slices.Chunk(keys, lookBatch) {
		look := catalog.Look{Bucket: bucket, Keys: part, Stem: r.layout.stem, AsOf: time.Now()} // by the machine's clock, as the store's
		found, there := make([]earshot.Recording, len(part)), make([]bool, len(part))
		group, inner := errgroup.WithContext(ctx)
		group.SetLimit(r.o.Workers)
		for i, key := range part {
			group.Go(func() (err error) {
				found[i], there[i], err = b.Newest(inner, key)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return out, err
		}
		for i, rec := range found {
			if there[i] {
				look.Recordings = append(look.Recordings, rec)
			}
		}
		o, err := r.o.Catalog.Looked(ctx, look, r.now())
		if err != nil {
			return out, err
		}
		out.Add(o)
	}
	return out, nil
}

// watched are the keys that a scan would put into the catalog, each once. odd counts those that it would but for their
// being no text.
func (r *Runner) watched(bucket string, keys []string) (out []string, odd int) {
	scopes, err := r.rules.scopes(nil)
	if err != nil {
		return nil, 0 // no policy: nothing is scanned either
	}
	for _, key := range keys {
		inScope := slices.ContainsFunc(scopes, func(s Scope) bool { return s.Bucket == bucket && strings.HasPrefix(key, s.Prefix) })
		switch {
		case inScope && !storage.IsText(key):
			odd++
		case inScope && r.layout.isRecording(key):
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), odd
}
