package retention

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Orphan is a companion whose recording is not in the catalog: a transcript that outlived its clip,
// say. Nothing is done to it; the recording may lie outside the scopes of the policies.
type Orphan struct {
	Class    string    `json:"class"`
	Bucket   string    `json:"bucket"`
	Key      string    `json:"key"`
	Size     int64     `json:"size"`
	StoredAt time.Time `json:"stored_at"`
}

// Orphans lists the companions in the buckets of the policies whose recording is not there, those
// hidden behind a delete marker too. Companions that came after the last scan are left out: their
// recordings may not have been seen yet.
func (r *Runner) Orphans(ctx context.Context, found func(Orphan) error) error {
	scopes, err := r.rules.scopes(nil)
	if err != nil {
		return err
	}
	since := map[string]time.Time{} // by bucket, when the oldest last listing of its scopes began
	for _, s := range scopes {
		at, err := r.o.Catalog.Listed(ctx, s.Bucket, s.Prefix)
		if err != nil {
			return err
		}
		if at.IsZero() {
			return fmt.Errorf("%w: bucket %q", ErrUnscanned, s.Bucket)
		}
		if before, ok := since[s.Bucket]; !ok || at.Before(before) {
			since[s.Bucket] = at
		}
	}
	for bucket, scanned := range since {
		for _, c := range r.layout.companions {
			if err := r.orphansOf(ctx, bucket, c, scanned, found); err != nil {
				return fmt.Errorf("looking for orphans in bucket %q: %w", bucket, err)
			}
		}
	}
	return nil
}

func (r *Runner) orphansOf(ctx context.Context, bucket string, c CompanionLayout, scanned time.Time, found func(Orphan) error) error {
	key, _, err := compileKey(c.Key)
	if err != nil {
		return err
	}
	b, err := r.bucket(ctx, bucket)
	if err != nil {
		return err
	}
	prefix, _, _ := strings.Cut(c.Key, "{")
	n := 0
	for rec, err := range b.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		if n++; n%1000 == 0 {
			r.o.Progress("orphans", n, 0)
		}
		m := key.FindStringSubmatch(rec.ID.Key)
		if m == nil || rec.StoredAt.After(scanned) {
			continue
		}
		owners, err := r.o.Catalog.Sharing(ctx, bucket, m[key.SubexpIndex("id")])
		if err != nil {
			return err
		}
		if owners > 0 {
			continue
		}
		if err := found(Orphan{Class: c.Class, Bucket: bucket, Key: rec.ID.Key, Size: rec.Size, StoredAt: rec.StoredAt}); err != nil {
			return err
		}
	}
	return nil
}
