package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// batch is how many entries are numbered and published at a time, at most: each publication costs a signature
// and half a dozen requests, whatever it carries. Where so many wait the tree ends with a full tile, so that no
// partial one is written that a full one replaces at once.
const batch = 4 * tileWidth

// Publish makes everything that was written to the head public and returns the size of the public
// tree: an entry whose index is below it can be seen by anyone. When it fails some of the entries
// may be public; calling it again goes on where it stopped.
//
// The order is: number (database) -> remember the root (database) -> tiles -> checkpoints/SIZE ->
// checkpoint -> published (database). A crash after any step leaves what the next call completes:
// tiles are a function of the numbers, and writing the same tile again is not an error.
func (l *Log) Publish(ctx context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	release, err := l.opts.hold(ctx)
	if err != nil {
		return l.size, err
	}
	defer release()
	for tries := 0; ; {
		to, err := l.opts.Head.Number(ctx, batch)
		if err != nil {
			return l.size, fmt.Errorf("numbering log entries: %w", err)
		}
		if to == l.size {
			return l.size, l.cosignLate(ctx)
		}
		if to-l.size >= batch {
			to = (l.size + batch) / tileWidth * tileWidth
		}
		err = errRaced
		if to > l.size {
			err = l.extend(ctx, to)
		}
		disputed := err
		if l.overtaken(ctx, err) {
			err = errRaced
		}
		// Another process published, or is replacing the checkpoint in a store that does not do so in one
		// step: see how far it came.
		for (errors.Is(err, errRaced) || errors.Is(err, fs.ErrNotExist)) && tries < 10 {
			select {
			case <-time.After(time.Duration(tries) * 10 * time.Millisecond):
			case <-ctx.Done():
				return l.size, ctx.Err()
			}
			tries++
			err = l.load(ctx)
		}
		if errors.Is(err, errRaced) && disputed != nil {
			err = disputed
		}
		if err != nil {
			return l.size, fmt.Errorf("publishing the log: %w", err)
		}
	}
}

var errRaced = errors.New("another process keeps publishing")

// object is one of a log's objects.
type object struct {
	key  string
	data []byte
}

// extend publishes the tree of size `to`. Nothing in l changes unless all of it succeeded.
func (l *Log) extend(ctx context.Context, to int64) error {
	if err := l.fenced(ctx); err != nil {
		return err
	}
	leaves, err := l.opts.Head.Numbered(ctx, l.size, to)
	if err != nil {
		return err
	}
	if int64(len(leaves)) != to-l.size {
		return fmt.Errorf("%w: entries %d to %d are not in the catalog", ErrHalted, l.size, to)
	}
	if l.closed {
		return ErrClosed
	}
	closes := slices.IndexFunc(leaves, func(leaf earshot.Leaf) bool {
		o, err := scan(leaf.Body)
		return err == nil && Kind(o.kind) == KindClosing
	})
	if closes >= 0 {
		leaves = leaves[:closes+1] // what was written after it belongs to the next shard
	}
	n, err := l.short(ctx, leaves)
	if err != nil {
		return err
	}
	if n < len(leaves) {
		leaves, closes = leaves[:n], -1
	}
	g := l.grow()
	for _, leaf := range leaves {
		g.add(leaf)
	}
	size, objects := g.size, append(g.full, g.partial()...)
	root := g.edge.root()
	if err := l.opts.Head.Remember(ctx, size, root); err != nil {
		return err
	}
	for _, o := range objects {
		created, err := l.opts.Tiles.Create(ctx, o.key, o.data)
		if err == nil && !created {
			err = l.supersede(ctx, o.key, o.data, size)
		}
		if err != nil {
			return err
		}
	}
	if err := l.checkpoint(ctx, size, root, l.etag); err != nil {
		return err
	}
	l.size, l.edge, l.tail, l.closed = size, g.edge, g.tail, closes >= 0
	if err := l.opts.Head.SetPublished(ctx, size); err != nil {
		return err
	}
	if l.superseding { // rare: who wrote the orphans may be alive, and take ours for orphans in turn
		return l.readBack(ctx, objects)
	}
	return nil
}

// growth is a tree on its way beyond the published one.
type growth struct {
	edge edge
	tail []byte
	size int64
	full []object // tiles that became full
}

func (l *Log) grow() *growth {
	return &growth{edge: l.edge.clone(), tail: slices.Clone(l.tail), size: l.size}
}

func (g *growth) add(leaf earshot.Leaf) {
	g.tail = appendBundle(g.tail, leaf.Body)
	at := g.size
	g.size++
	if g.size%tileWidth == 0 {
		g.full = append(g.full, object{tilePath("entries", at>>tileHeight, tileWidth), g.tail})
		g.tail = nil
	}
	g.edge.add(tlog.RecordHash(leaf.Body), func(level int, hashes []tlog.Hash) {
		index := at >> (tileHeight * (level + 1))
		g.full = append(g.full, object{tilePath(strconv.Itoa(level), index, tileWidth), marshalHashes(hashes)})
	})
}

// partial are the tiles at the tree's end that are not full.
func (g *growth) partial() (out []object) {
	if w := int(g.size % tileWidth); w > 0 {
		out = append(out, object{tilePath("entries", g.size>>tileHeight, w), g.tail})
	}
	for level, hashes := range g.edge {
		if len(hashes) > 0 {
			index := g.size >> (tileHeight * (level + 1))
			out = append(out, object{tilePath(strconv.Itoa(level), index, len(hashes)), marshalHashes(hashes)})
		}
	}
	return out
}

// short is how many of the leaves may be published at once: not past a size for which other partial tiles, or
// another checkpoint, were left, since nothing of that size is written once the tree has grown past it.
func (l *Log) short(ctx context.Context, leaves []earshot.Leaf) (int, error) {
	if len(l.left) == 0 || l.left[len(l.left)-1] <= l.size {
		return len(leaves), nil
	}
	g := l.grow()
	for i, leaf := range leaves[:max(0, len(leaves)-1)] {
		if g.add(leaf); !slices.Contains(l.left, g.size) {
			continue
		}
		for _, o := range g.partial() {
			have, _, err := l.opts.Tiles.Get(ctx, o.key)
			if err == nil && string(have) != string(o.data) {
				return i + 1, nil
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
		}
		signed, _, err := l.opts.Tiles.Get(ctx, "checkpoints/"+strconv.FormatInt(g.size, 10))
		if err == nil {
			if c, err := l.opts.Trust.open(signed); err != nil || c.Root != g.edge.root() {
				return i + 1, nil //nolint:nilerr // what cannot be opened is another one, too
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return len(leaves), nil
}

// checkpoint signs the tree and makes it the current one. Signing comes last: what is signed is
// already there for anyone to read.
func (l *Log) checkpoint(ctx context.Context, size int64, root tlog.Hash, etag string) error {
	// Again: a writer that stood still since the first look would sign a tree of old times.
	if err := l.fenced(ctx); err != nil {
		return err
	}
	c := Checkpoint{Origin: l.opts.Signer.Name(), Size: size, Root: root}
	signed, err := c.sign(append([]note.Signer{l.opts.Signer}, l.opts.Former...)...)
	if err != nil {
		return fmt.Errorf("signing the checkpoint: %w", err)
	}
	key := "checkpoints/" + strconv.FormatInt(size, 10)
	created, err := l.opts.Tiles.Create(ctx, key, signed)
	if err != nil {
		return err
	}
	if !created { // signed before a key was changed, and then cut off? Else another tree is out.
		if signed, _, err = l.opts.Tiles.Get(ctx, key); err != nil {
			return err
		}
		if out, err := l.opts.Trust.open(signed); err != nil || out.Root != root {
			if signed, err = c.sign(append([]note.Signer{l.opts.Signer}, l.opts.Former...)...); err != nil {
				return fmt.Errorf("signing the checkpoint: %w", err)
			}
			if err := l.supersede(ctx, key, signed, size); err != nil {
				return err
			}
		}
	}
	if signed, err = l.cosign(ctx, c, signed); err != nil {
		return err
	}
	now, swapped, err := l.opts.Tiles.Swap(ctx, "checkpoint", signed, etag)
	if err != nil {
		return err
	}
	if !swapped {
		return errRaced
	}
	l.etag = now
	return nil
}

// partialLife is how long a partial tile is kept from being deleted: by then a full one, or a wider
// one, has taken its place, or it has been written again.
const partialLife = 35 * 24 * time.Hour

// Retention says for how long each of a log's objects is to be kept from being deleted: full tiles
// and checkpoints for all of the log's own retention period, partial tiles for 35 days at most.
func Retention(period time.Duration) func(key string) time.Duration {
	return func(key string) time.Duration {
		switch {
		case key == "checkpoint", key == probeKey, key == fenceKey:
			return 0 // they are replaced in the ordinary course of things
		case strings.Contains(key, ".p/"):
			return min(period, partialLife)
		}
		return period
	}
}
