package audit

import (
	"context"
	"iter"
	"runtime"
	"sync"

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
const ahead = 16

// readAtOnce is how many bundles are asked for at a time at least.
const readAtOnce = 4

// bundles reads a log's bundles in order, several at once and ahead of those who use them: reading,
// hashing and looking at the form of entries is most of the work, and needs nothing but the bundle.
func bundles(ctx context.Context, tiles Tiles, size int64) iter.Seq[loaded] {
	return func(yield func(loaded) bool) {
		ctx, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer stop()
		queue := make(chan chan loaded, ahead)
		wg.Go(func() {
			defer close(queue)
			atOnce := make(chan struct{}, max(readAtOnce, runtime.GOMAXPROCS(0))) // a store far away answers late
			for at := int64(0); at < size; at += tileWidth {
				one := make(chan loaded, 1)
				select {
				case queue <- one:
				case <-ctx.Done():
					return
				}
				atOnce <- struct{}{}
				wg.Go(func() {
					one <- load(ctx, tiles, at, int(min(tileWidth, size-at)))
					<-atOnce
				})
			}
		})
		for one := range queue {
			b := <-one
			if !yield(b) || b.err != nil || b.shape != nil {
				return
			}
		}
	}
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
