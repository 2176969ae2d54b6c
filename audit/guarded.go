package audit

import (
	"context"
	"errors"
	"io/fs"
)

// guarded keeps to the conditions of Tiles on a store that ignores them: it looks before it writes. That
// is enough where nobody else writes meanwhile, for which there is a lock.
type guarded struct{ Tiles }

func (g *guarded) Create(ctx context.Context, key string, data []byte) (bool, error) {
	have, _, err := g.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return true, g.Replace(ctx, key, data)
	}
	return err == nil && string(have) == string(data), err
}

func (g *guarded) Swap(ctx context.Context, key string, data []byte, etag string) (now string, swapped bool, err error) {
	_, now, err = g.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		now, err = "", nil
	}
	if err != nil || now != etag {
		return "", false, err
	}
	if err := g.Replace(ctx, key, data); err != nil {
		return "", false, err
	}
	_, now, err = g.Get(ctx, key)
	return now, err == nil, err
}
