package retention

import (
	"context"
	"errors"
	"fmt"
)

// eachScope scans one scope after the other. One whose bucket is away does not keep the others from being
// scanned: that is [ErrPartly].
func (r *Runner) eachScope(ctx context.Context, scopes []Scope, what string, scan func(Scope) (Scanned, error)) ([]Scanned, error) {
	var out []Scanned
	var failed error
	done := 0
	for _, s := range scopes {
		before := r.oddKeys(s.Bucket)
		got, err := scan(s)
		got.Odd = int(r.oddKeys(s.Bucket) - before)
		r.warnOdd(ctx, s.Bucket, got.Odd)
		if err == nil || got.Listed > 0 {
			out = append(out, got)
		}
		if err == nil {
			done++
			continue
		}
		err = fmt.Errorf("%s bucket %q: %w", what, s.Bucket, err)
		if ctx.Err() != nil || errors.Is(err, ErrNotRecent) { // the others would fare no better
			return out, err
		}
		if failed != nil {
			err = fmt.Errorf("%w; %w", failed, err)
		}
		failed = err
	}
	if failed != nil && done > 0 {
		failed = fmt.Errorf("%w: %w", ErrPartly, failed)
	}
	return out, failed
}

// oddKeys is how many keys of a bucket listings have left out so far.
func (r *Runner) oddKeys(bucket string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.buckets[bucket]; b != nil {
		return b.OddKeys()
	}
	return 0
}

// warnOdd tells of keys that are no text, without them: they may name people.
func (r *Runner) warnOdd(ctx context.Context, bucket string, n int) {
	if n > 0 {
		r.o.Logger.WarnContext(ctx, "keys that are not UTF-8, or have a zero byte, are left alone: rename the objects, or delete them yourself", "bucket", bucket, "keys", n)
	}
}
