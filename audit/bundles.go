package audit

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
)

// loaded is one bundle as it was read, with what can be found out of it alone.
type loaded struct {
	at       int64 // index of the first entry
	width    int
	key      string
	data     []byte
	entries  [][]byte
	hashes   []tlog.Hash
	outlines []outline
	faults   []error // of the entries' form
	shape    error   // the bundle's own form is not right
	err      error   // it could not be read
}

// ahead is how many bundles are read before they are asked for.
const ahead = 8

// bundles reads a log's bundles in order, and ahead of those who use them: hashing and looking at the
// form of entries is half of the work, and needs nothing but the entry.
func bundles(ctx context.Context, tiles Tiles, size int64) <-chan loaded {
	out := make(chan loaded, ahead)
	go func() {
		defer close(out)
		for at := int64(0); at < size; at += tileWidth {
			b := load(ctx, tiles, at, int(min(tileWidth, size-at)))
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil || b.shape != nil {
				return
			}
		}
	}()
	return out
}

func load(ctx context.Context, tiles Tiles, at int64, width int) loaded {
	b := loaded{at: at, width: width, key: tilePath("entries", at>>tileHeight, width)}
	if b.data, _, b.err = tiles.Get(ctx, b.key); b.err != nil {
		return b
	}
	if b.entries, b.shape = parseBundle(b.data, width); b.shape != nil {
		return b
	}
	b.hashes, b.outlines, b.faults = make([]tlog.Hash, width), make([]outline, width), make([]error, width)
	for i, body := range b.entries {
		b.hashes[i] = tlog.RecordHash(body)
		b.outlines[i], b.faults[i] = scan(body)
	}
	return b
}
