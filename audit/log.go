package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"earshot"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tiles is where the log's objects are kept, usually a folder of a bucket.
//
// An object is durable when a method returns. Create stores a new object and reports created
// false, writing nothing, if the key holds other bytes; the same bytes count as created. Swap
// replaces the object that has the given ETag (empty: it must not exist) and reports swapped
// false, writing nothing, if it is another one. Get gives fs.ErrNotExist for what is not there.
// Replace stores data over whatever the key holds. Keys lists the keys that begin with a prefix, in
// order.
type Tiles interface {
	Get(ctx context.Context, key string) (data []byte, etag string, err error)
	Create(ctx context.Context, key string, data []byte) (created bool, err error)
	Swap(ctx context.Context, key string, data []byte, etag string) (now string, swapped bool, err error)
	Replace(ctx context.Context, key string, data []byte) error
	Keys(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Head gives entries their places. It lives in the database in which the work is recorded, so
// that an entry is written in the same transaction as what it speaks of.
//
// Number gives the next free indices, in the order in which they were written, to at most limit
// entries that have none, and returns how many entries have one then. Numbered gives the
// entries [from, to) in order. Remember stores the root of the tree of that size before it is
// published; Root returns it, ok false if it was never stored. Published tells, and SetPublished
// raises, the size of the tree that is public; it never falls.
//
// Say writes entries that go with no other change; one that is there already is left as it is.
type Head interface {
	Say(ctx context.Context, leaves ...earshot.Leaf) error
	// Fence is the mark of the database's timeline: it changes when a backup was restored, in the
	// database that goes on and in the bucket. A process that still writes to the old database carries
	// the old mark, and halts.
	Fence(ctx context.Context) (string, error)
	Number(ctx context.Context, limit int) (size int64, err error)
	Numbered(ctx context.Context, from, to int64) ([]earshot.Leaf, error)
	Remember(ctx context.Context, size int64, root [32]byte) error
	Root(ctx context.Context, size int64) (root [32]byte, ok bool, err error)
	Published(ctx context.Context) (int64, error)
	SetPublished(ctx context.Context, size int64) error
}

// ErrHalted means: the published log and the database contradict each other, as after restoring a
// backup or when two installations share a log. Nothing may be done until a person has looked.
var ErrHalted = errors.New("the log in the store and the catalog contradict each other; nothing will be done until this is resolved (was a backup restored, or is another installation writing to this log?)")

// ErrClosed means: the last entry of this tree says that the log goes on in another.
var ErrClosed = errors.New("this tree of the log is closed: run earshot audit new-shard again with the name that its last entry gives")

// ErrExists means: there is a log already.
var ErrExists = errors.New("there is a log here already")

// Options of a log.
type Options struct {
	Tiles  Tiles
	Head   Head
	Signer note.Signer // its name is the log's origin
	// Verifier is the public half of Signer.
	Verifier note.Verifier
	// Former keys sign too for a time after a rotation, so that those who have not learnt of the new
	// one can still read the log.
	Former []note.Signer
	// Trust names the witnesses that are asked to cosign, and how many must have. Default: none.
	Trust *Trust
	// Strict: nothing counts as published that the quorum of witnesses has not cosigned. Otherwise the
	// log goes on without it, says so in an entry, and stops after MaxUncosigned (default 24 h).
	Strict        bool
	MaxUncosigned time.Duration
	Client        *http.Client // for witnesses; default one that waits 5 s
	// Lock, if not nil, keeps other publishers of the same database out, for a store that ignores
	// conditions on writing (see [Probe]): whoever publishes holds it, and looks before each write. Against
	// a writer to another database, as after a restore, there is the fence alone, and certificates say so.
	Lock func(ctx context.Context) (release func(), err error)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (o *Options) validate() error {
	switch {
	case o.Tiles == nil || o.Head == nil:
		return errors.New("a log needs a place for its tiles and a head")
	case o.Signer == nil || o.Verifier == nil || o.Signer.Name() != o.Verifier.Name():
		return errors.New("a log needs a signing key and its public half")
	}
	if o.Trust == nil {
		o.Trust = TrustKey(o.Verifier)
	}
	if o.Trust.Origin() != o.Signer.Name() {
		return fmt.Errorf("the policy on witnesses is of the log %q, and this is %q", o.Trust.Origin(), o.Signer.Name())
	}
	if o.MaxUncosigned == 0 {
		o.MaxUncosigned = 24 * time.Hour
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 5 * time.Second}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if _, ok := o.Tiles.(*guarded); o.Lock != nil && !ok {
		o.Tiles = &guarded{o.Tiles}
	}
	return nil
}

// hold takes the lock where there is one.
func (o *Options) hold(ctx context.Context) (release func(), err error) {
	if o.Lock == nil {
		return func() {}, nil
	}
	if release, err = o.Lock(ctx); err != nil {
		return nil, fmt.Errorf("waiting for the log's lock: %w", err)
	}
	return release, nil
}

// Log writes a log. It is safe for concurrent use; several processes may publish the same log,
// since tiles are created once and the checkpoint is swapped.
type Log struct {
	opts Options

	mu     sync.Mutex // guards what follows
	size   int64      // the published tree that edge and tail describe
	edge   edge
	tail   []byte // the bundle that is not full yet
	etag   string // of the checkpoint object
	seen   witnessState
	closed bool      // its last entry closes the shard
	asked  time.Time // when witnesses were asked last for a tree that they had not cosigned
	// superseding: this log has written over orphans, so that another writer may be about.
	superseding bool
	// left: sizes at which an attempt that was cut off has left tiles. Where their bytes are others such a size is
	// published, for a tile that the tree has grown past is never written again.
	left []int64
}

// Vacant is [ErrExists] where a log is already. Who makes a database for a new one asks this before.
func Vacant(ctx context.Context, tiles Tiles) error {
	_, _, err := tiles.Get(ctx, "checkpoint")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		return ErrExists
	}
	return err
}

// Create begins a log: it writes the genesis checkpoint of the empty tree. It is [ErrExists] where
// a log is already: a mistyped path must not quietly begin a new one, nor this end an old one.
func Create(ctx context.Context, o Options) (*Log, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := Vacant(ctx, o.Tiles); err != nil {
		return nil, fmt.Errorf("creating the log %q: %w", o.Signer.Name(), err)
	}
	release, err := o.hold(ctx)
	if err != nil {
		return nil, fmt.Errorf("creating the log %q: %w", o.Signer.Name(), err)
	}
	defer release()
	l := &Log{opts: o, seen: witnessState{sizes: map[string]int64{}}}
	if err := o.Head.Remember(ctx, 0, emptyRoot); err != nil {
		return nil, fmt.Errorf("creating the log %q: %w", o.Signer.Name(), err)
	}
	if err := l.checkpoint(ctx, 0, emptyRoot, ""); err != nil {
		return nil, fmt.Errorf("creating the log %q: %w", o.Signer.Name(), err)
	}
	return l, nil
}

// Open takes up the log where its checkpoint stands. A checkpoint that is not ours is
// [ErrUnverified]; one that the database has never heard of is [ErrHalted].
func Open(ctx context.Context, o Options) (*Log, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	l := &Log{opts: o, seen: witnessState{sizes: map[string]int64{}}}
	if err := l.load(ctx); err != nil {
		return nil, fmt.Errorf("opening the log %q: %w", o.Signer.Name(), err)
	}
	return l, nil
}

// load reads the checkpoint and the tiles of the right edge, and checks them against its root.
func (l *Log) load(ctx context.Context) error {
	// First what the database knows to be out: others may publish while we read.
	published, err := l.opts.Head.Published(ctx)
	if err != nil {
		return err
	}
	signed, etag, err := l.opts.Tiles.Get(ctx, "checkpoint")
	if err != nil {
		return err
	}
	c, err := l.opts.Trust.open(signed)
	if err != nil {
		return err
	}
	if err := l.recall(ctx, c); err != nil {
		return err
	}
	root, ok, err := l.opts.Head.Root(ctx, c.Size)
	if err != nil {
		return err
	}
	if !ok || root != [32]byte(c.Root) {
		return ErrHalted
	}
	if published > c.Size {
		return ErrHalted
	}
	if published < c.Size { // we died between the checkpoint and writing down that it is out
		if err := l.opts.Head.SetPublished(ctx, c.Size); err != nil {
			return err
		}
	}
	e, tail, err := rightEdge(ctx, l.opts.Tiles, c)
	if err != nil {
		return err
	}
	left, err := leftBeyond(ctx, l.opts.Tiles, c.Size)
	if err != nil {
		return err
	}
	l.size, l.edge, l.tail, l.etag, l.left = c.Size, e, tail, etag, left
	l.closed, err = l.ends(ctx)
	return err
}

// leftBeyond lists, in order, the sizes of trees whose tiles lie beyond the published one: of an attempt that was cut
// off. Bundles are enough, since they are written first.
func leftBeyond(ctx context.Context, tiles Tiles, size int64) (sizes []int64, err error) {
	for index, more := size>>tileHeight, true; more; index++ {
		more = false
		for key, err := range tiles.Keys(ctx, tilePath("entries", index, tileWidth)) {
			if err != nil {
				return nil, err
			}
			_, at, width, err := parseTilePath(key)
			if err != nil || at != index {
				continue // nothing of ours, or of a bundle whose name begins alike
			}
			if n := at<<tileHeight + int64(width); n > size {
				sizes, more = append(sizes, n), true
			}
		}
	}
	slices.Sort(sizes)
	return sizes, nil
}

// rightEdge reads the tiles that a tree ends with and the bundle that is not full, and checks them
// against the root.
func rightEdge(ctx context.Context, tiles Tiles, c Checkpoint) (edge, []byte, error) {
	var e edge
	for level, n := 0, c.Size; n > 0; level, n = level+1, n>>tileHeight {
		w := int(n % tileWidth)
		hashes := make([]tlog.Hash, 0, tileWidth)
		if w > 0 {
			data, _, err := tiles.Get(ctx, tilePath(strconv.Itoa(level), n>>tileHeight, w))
			if err != nil {
				return nil, nil, err
			}
			read, err := parseHashes(data, w)
			if err != nil {
				return nil, nil, err
			}
			hashes = append(hashes, read...)
		}
		e = append(e, hashes)
	}
	if e.root() != c.Root {
		return nil, nil, fmt.Errorf("%w: the tiles do not give the checkpoint's root", ErrUnverified)
	}
	var tail []byte
	if w := int(c.Size % tileWidth); w > 0 {
		var err error
		if tail, _, err = tiles.Get(ctx, tilePath("entries", c.Size>>tileHeight, w)); err != nil {
			return nil, nil, err
		}
		entries, err := parseBundle(tail, w)
		if err != nil {
			return nil, nil, err
		}
		for i, entry := range entries {
			if tlog.RecordHash(entry) != e[0][i] {
				return nil, nil, fmt.Errorf("%w: entry %d is not the one in the tree", ErrUnverified, c.Size-int64(w-i))
			}
		}
	}
	return e, tail, nil
}

// ends reports whether the last published entry closes the shard.
func (l *Log) ends(ctx context.Context) (bool, error) {
	bundle, width := l.tail, int(l.size%tileWidth)
	if l.size == 0 {
		return false, nil
	}
	if width == 0 {
		var err error
		width = tileWidth
		if bundle, _, err = l.opts.Tiles.Get(ctx, tilePath("entries", (l.size-1)>>tileHeight, width)); err != nil {
			return false, err
		}
	}
	entries, err := parseBundle(bundle, width)
	if err != nil {
		return false, err
	}
	o, err := scan(entries[width-1])
	return Kind(o.kind) == KindClosing, err
}

// Tail lists the partial tiles that the published tree ends with. Wider ones will take their place;
// until then they are all that holds the newest entries, and must not be deleted.
func (l *Log) Tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	if w := int(l.size % tileWidth); w > 0 {
		out = append(out, tilePath("entries", l.size>>tileHeight, w))
	}
	for level, hashes := range l.edge {
		if len(hashes) > 0 {
			out = append(out, tilePath(strconv.Itoa(level), l.size>>(tileHeight*(level+1)), len(hashes)))
		}
	}
	return out
}

// DatabaseLock reports whether only a lock in the database keeps two publishers apart.
func (l *Log) DatabaseLock() bool { return l.opts.Lock != nil }

// Checkpoint gives the published tree's head, and its bytes as signed.
func (l *Log) Checkpoint(ctx context.Context) (Checkpoint, []byte, error) {
	signed, _, err := l.opts.Tiles.Get(ctx, "checkpoint")
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	c, err := l.opts.Trust.open(signed)
	return c, signed, err
}
