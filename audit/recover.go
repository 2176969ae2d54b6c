package audit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strconv"
	"strings"

	"earshot"

	"golang.org/x/mod/sumdb/tlog"
)

// supersede deals with a tile whose key holds other bytes than ours. If the published tree covers
// it, two histories are signed for: that is a fork, and everything halts. If not, it is what an
// abandoned attempt left behind (of a database that was restored since, say); nobody was ever
// promised those bytes. Ours take their place, and an entry says so.
func (l *Log) supersede(ctx context.Context, key string, data []byte, size int64) error {
	signed, _, err := l.opts.Tiles.Get(ctx, "checkpoint")
	if err != nil {
		return err
	}
	c, err := l.opts.Trust.open(signed)
	if err != nil {
		return err
	}
	if c.Size != l.size {
		return errRaced // somebody has published since: see what, and try again
	}
	covered, err := covers(key, c.Size)
	if err != nil {
		return err
	}
	if covered {
		return fmt.Errorf("%w: the tile %s holds other bytes, and the published tree of %d entries covers it: this is a fork", ErrHalted, key, c.Size)
	}
	if err := l.fenced(ctx); err != nil {
		return err
	}
	l.superseding = true
	return l.opts.overwrite(ctx, key, data, size)
}

// overwrite puts a tile right, while a tree of that size is published or about to be. It is said first, like all that
// is done: a version below the newest that no entry speaks of is a finding. Said twice it is one entry.
func (o *Options) overwrite(ctx context.Context, key string, data []byte, size int64) error {
	leaf, err := Entry{
		ID: EntryID(string(KindOrphan), key, strconv.FormatInt(size, 10), tlog.RecordHash(data).String()), Kind: KindOrphan, TS: o.Now().UnixMicro(),
		Orphan: &Orphan{Tile: key, Size: size},
	}.Leaf()
	if err != nil {
		return err
	}
	if err := o.Head.Say(ctx, leaf); err != nil {
		return err
	}
	return o.Tiles.Replace(ctx, key, data)
}

// fenceKey holds the mark of the timeline that may write.
const fenceKey = "fence"

// fenced halts a writer whose database has been replaced by a restored one.
func (l *Log) fenced(ctx context.Context) error {
	ours, err := l.opts.Head.Fence(ctx)
	if err != nil {
		return err
	}
	data, _, err := l.opts.Tiles.Get(ctx, fenceKey)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = nil, nil
	}
	if err != nil {
		return err
	}
	if now := strings.TrimSpace(string(data)); now != ours {
		return fmt.Errorf("%w: the catalog was restored, and this is not the one that goes on", ErrHalted)
	}
	return nil
}

// readBack looks at what was published a moment ago and writes again what is not as it should be.
func (l *Log) readBack(ctx context.Context, objects []object) error {
	for _, o := range objects {
		have, _, err := l.opts.Tiles.Get(ctx, o.key)
		if err != nil {
			return err
		}
		if string(have) != string(o.data) {
			if err := l.opts.overwrite(ctx, o.key, o.data, l.size); err != nil {
				return err
			}
		}
	}
	return nil
}

// covers reports whether a tree of that size determines all bytes of the tile.
func covers(key string, size int64) (bool, error) {
	if text, ok := strings.CutPrefix(key, "checkpoints/"); ok {
		n, err := strconv.ParseInt(text, 10, 64)
		return n <= size, err
	}
	level, index, width, err := parseTilePath(key)
	if err != nil {
		return false, err
	}
	shift := 0
	if level != "entries" {
		n, err := strconv.Atoi(level)
		if err != nil {
			return false, err
		}
		shift = n * tileHeight
	}
	return index < 1<<53 && shift < 63 && index*tileWidth+int64(width) <= size>>shift, nil
}

// Adopter is a head that can take over what the published log holds.
//
// Adopt makes the numbers of the database those of the published log, in one transaction: the
// entries have the indices 0, 1, ... size-1, the ones that were missing are stored; all others lose
// their numbers and will get new ones; root is stored for size, which becomes the published size;
// fence becomes the timeline's mark; extra entries are written last. It returns how many were missing, and how many lost a number.
type Adopter interface {
	Head
	Adopt(ctx context.Context, fence string, size int64, root [32]byte, entries iter.Seq2[earshot.Leaf, error], extra func(adopted, renumbered int64) ([]earshot.Leaf, error)) (adopted, renumbered int64, err error)
}

// RecoverOptions of Recover.
type RecoverOptions struct {
	// Known reports whether the database knows a run. The open intents of one that it does not know
	// are closed, since nobody will ever finish them.
	Known func(ctx context.Context, run string) (bool, error)
	// Compare, if not nil, is given what people said, not runs: of holds, requests, data subjects and
	// their keys, in order. It is called before anything is adopted, and tells what the database has lost.
	Compare  func(ctx context.Context, said []Entry) (Lost, error)
	Progress func(done, total int64)
	// BucketLost: what the catalog knows to have been public is not in the bucket any more, and the log
	// is to go on from what is left. Somebody must have decided that; the entry says so.
	BucketLost bool
}

// ErrBehind means: the published log lacks what the catalog knows to have been public. That is no
// restored catalog: somebody cut the log off or rewrote it, or the bucket itself was restored.
var ErrBehind = errors.New("the published log is not the one that the catalog has published: somebody has cut it off or rewritten it, or its bucket was restored; compare with the versions below in the bucket, the witnesses and the auditor's last checkpoint before you go on with what is left")

// Recover brings a database that is behind the published log, as after the restore of a backup, up
// to it. The whole log is verified first, with its quorum of witnesses: nothing is adopted from a
// log that does not verify. Where publishing was cut off after a larger tree had been signed, and
// cosigned perhaps, that tree is brought to its end and adopted. It is safe because nothing is ever done whose intent is not published:
// numbers that only the database gave were never acted upon. It ends with an entry that says so.
func Recover(ctx context.Context, o Options, head Adopter, r RecoverOptions) (Recovered, error) {
	o.Head = head
	if err := o.validate(); err != nil {
		return Recovered{}, err
	}
	release, err := o.hold(ctx)
	if err != nil {
		return Recovered{}, fmt.Errorf("recovering: %w", err)
	}
	defer func() { release() }()
	// First of all, writers of the old timeline are shut out: what they have published by then is adopted,
	// and nothing comes after it.
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	fence := hex.EncodeToString(b[:])
	if err := o.Tiles.Replace(ctx, fenceKey, []byte(fence+"\n")); err != nil {
		return Recovered{}, fmt.Errorf("recovering: %w", err)
	}
	published, err := head.Published(ctx) // before the log is read: others may publish meanwhile
	if err != nil {
		return Recovered{}, fmt.Errorf("recovering: %w", err)
	}
	report, open, said, err := survey(ctx, o, r)
	if err != nil {
		return Recovered{}, fmt.Errorf("recovering: %w", err)
	}
	out := Recovered{Size: report.Checkpoint.Size}
	if out.PublishedBefore, err = publishedBeyond(ctx, o, published, report.Checkpoint); err != nil {
		return out, fmt.Errorf("recovering: %w", err)
	}
	if out.PublishedBefore > 0 && !r.BucketLost {
		return out, fmt.Errorf("recovering: %w (%d entries were public, %d are there)", ErrBehind, out.PublishedBefore, out.Size)
	}
	closing, err := closeLost(ctx, o, r, open)
	if err != nil {
		return out, fmt.Errorf("recovering: %w", err)
	}
	out.Answered = int64(len(closing))
	if r.Compare != nil {
		lost, err := r.Compare(ctx, said)
		if err != nil {
			return out, fmt.Errorf("recovering: %w", err)
		}
		out.HoldsLost, out.SaidLost, out.KeysDestroyed = lost.Holds, lost.Said, lost.KeysDestroyed
	}
	out.Adopted, out.Renumbered, err = head.Adopt(ctx, fence, out.Size, report.Checkpoint.Root, leavesOf(ctx, o, report.Checkpoint), func(adopted, renumbered int64) ([]earshot.Leaf, error) {
		said := out
		said.Adopted, said.Renumbered = adopted, renumbered
		leaf, err := Entry{
			ID: EntryID(string(KindRecovered), strconv.FormatInt(out.Size, 10), strconv.FormatInt(o.Now().UnixMicro(), 10)), Kind: KindRecovered, TS: o.Now().UnixMicro(),
			Recovered: &said,
		}.Leaf()
		return append([]earshot.Leaf{leaf}, closing...), err
	})
	if err != nil {
		return out, fmt.Errorf("recovering: %w", err)
	}
	if err := mend(ctx, o, report); err != nil {
		return out, fmt.Errorf("recovering: %w", err)
	}
	l, err := Open(ctx, o)
	if err != nil {
		return out, fmt.Errorf("recovering: %w", err)
	}
	release() // publishing takes it itself
	release = func() {}
	if _, err = l.Publish(ctx); errors.Is(err, ErrClosed) {
		err = nil // what the recovery says goes into the next shard
	}
	return out, err
}

// mendable reports whether the only faults are objects beyond the signed tree (what an attempt left
// that was cut off before its checkpoint; publishing supersedes them) and tiles that two timelines
// wrote at once: every entry is there and gives the signed root, so that it is known what they should
// hold.
func (r *Report) mendable() bool { return r.beyond+len(r.mends) == len(r.Findings) }

// mend writes the tiles again that hold what the entries do not give, and says so in an entry each.
func mend(ctx context.Context, o Options, r *Report) error {
	for _, m := range r.mends {
		if err := o.overwrite(ctx, m.key, m.data, r.Checkpoint.Size); err != nil {
			return err
		}
	}
	return nil
}

// closeLost answers the open intents of runs that the database has never heard of.
func closeLost(ctx context.Context, o Options, r RecoverOptions, open map[string]Entry) ([]earshot.Leaf, error) {
	var out []earshot.Leaf
	for id, e := range open {
		if r.Known != nil {
			known, err := r.Known(ctx, e.Run)
			if err != nil {
				return nil, err
			}
			if known {
				continue
			}
		}
		leaf, err := Entry{
			ID: EntryID(string(KindOutcome), "recovered", id), Kind: KindOutcome, TS: o.Now().UnixMicro(), Run: e.Run,
			Outcome: &Outcome{IntentID: id, Result: "stopped", Code: "recovered", Settled: "recovery"},
		}.Leaf()
		if err != nil {
			return nil, err
		}
		out = append(out, leaf)
	}
	return out, nil
}

var errUnread = errors.New("an entry that was read a moment ago cannot be read any more")

// leavesOf streams the entries of a log that has been verified.
func leavesOf(ctx context.Context, o Options, c Checkpoint) iter.Seq2[earshot.Leaf, error] {
	return func(yield func(earshot.Leaf, error) bool) {
		for at := int64(0); at < c.Size; at += tileWidth {
			width := int(min(tileWidth, c.Size-at))
			data, _, err := o.Tiles.Get(ctx, tilePath("entries", at>>tileHeight, width))
			var entries [][]byte
			if err == nil {
				entries, err = parseBundle(data, width)
			}
			if err != nil {
				yield(earshot.Leaf{}, fmt.Errorf("%w: %w", errUnread, err))
				return
			}
			for _, body := range entries {
				o, err := scan(body)
				if !yield(earshot.Leaf{ID: string(o.id), Body: body}, err) || err != nil {
					return
				}
			}
		}
	}
}
