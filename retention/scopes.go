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
		got, err := scan(s)
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
