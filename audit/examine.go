package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// Object is one version of one of a log's objects, as the store lists it.
type Object struct {
	Key     string
	Version string
	Marker  bool // a delete marker
	Latest  bool
}

// Archive is a log's objects in a store that keeps versions, with what lies below the newest.
//
// Objects lists everything, the newer versions of a key before the older. Version reads one. Locked tells
// until when it is under COMPLIANCE retention, zero if it is not: anything else (a legal hold, GOVERNANCE)
// can be taken away by those who run the bucket.
type Archive interface {
	Tiles
	Objects(ctx context.Context) iter.Seq2[Object, error]
	Version(ctx context.Context, key, version string) ([]byte, error)
	Locked(ctx context.Context, key, version string) (time.Time, error)
}

// Examine verifies a log as an auditor does: besides all that [VerifyAll] checks it looks below the
// newest versions. Object Lock keeps a version from being deleted; it lets anyone who may write lay
// another over it, or a delete marker. Where that happened, the version that fits the signed tree is
// taken, and what was done is a finding, unless the log itself says that it superseded an orphan. The
// versions of the checkpoint tell what was signed before: a larger tree, or another, that is not there any
// more is a finding.
func Examine(ctx context.Context, archive Archive, trust *Trust, o VerifyOptions) (*Report, error) {
	x := &examination{Archive: archive, ctx: ctx, trust: trust, versions: map[string][]Object{}, chosen: map[string][]byte{}, read: map[string]Object{}, superseded: map[string]bool{}}
	if err := x.list(); err != nil {
		return nil, fmt.Errorf("examining the log: %w", err)
	}
	if err := x.choose(); err != nil {
		return nil, fmt.Errorf("examining the log: %w", err)
	}
	var err error
	if o.heads, err = x.heads(); err != nil {
		return nil, fmt.Errorf("examining the log: %w", err)
	}
	visit := o.Visit
	o.Visit = func(index int64, body []byte) error {
		if e, err := Parse(body); err == nil && e.Orphan != nil {
			x.superseded[e.Orphan.Tile] = true
		}
		if visit == nil {
			return nil
		}
		return visit(index, body)
	}
	report, err := VerifyAll(ctx, x, trust, o)
	if err != nil {
		return nil, err
	}
	x.judge(report)
	return report, x.locks(report, o.MayBeUnlocked)
}

// heads reads every version of the checkpoint, the newest first.
func (x *examination) heads() ([]pastHead, error) {
	of := slices.DeleteFunc(slices.Clone(x.versions["checkpoint"]), func(o Object) bool { return o.Marker })
	out := make([]pastHead, len(of))
	group, ctx := errgroup.WithContext(x.ctx)
	group.SetLimit(lookAtOnce)
	for i, o := range of {
		group.Go(func() (err error) {
			out[i].signed, err = x.Version(ctx, o.Key, o.Version)
			out[i].version = o.Version
			return err
		})
	}
	return out, group.Wait()
}

// pastHead is a version of the checkpoint.
type pastHead struct {
	signed  []byte
	version string
}

// examination serves the versions that fit in the place of the newest ones.
type examination struct {
	Archive
	ctx        context.Context
	trust      *Trust
	versions   map[string][]Object // of keys that have more than one entry, newest first
	single     []Object            // the others
	chosen     map[string][]byte
	read       map[string]Object // the versions that were chosen
	superseded map[string]bool
}

// changes: the objects that are replaced in the ordinary course of things.
func changes(key string) bool { return key == "checkpoint" || key == probeKey || key == fenceKey }

func (x *examination) list() error {
	all, listed := map[string][]Object{}, map[Object]bool{}
	for o, err := range x.Objects(x.ctx) {
		if err != nil {
			return err
		}
		if elsewhere(o.Key) {
			continue
		}
		// Some stores repeat the last entry of a page, and some list delete markers apart from versions.
		if !listed[o] {
			listed[o] = true
			all[o.Key] = append(all[o.Key], o)
		}
	}
	for key, of := range all {
		if len(of) == 1 && !of[0].Marker {
			x.single = append(x.single, of[0])
		} else {
			x.versions[key] = of
		}
	}
	return nil
}

// Get serves the chosen version where there was a choice.
func (x *examination) Get(ctx context.Context, key string) ([]byte, string, error) {
	if data, ok := x.chosen[key]; ok {
		return data, "", nil
	}
	return x.Archive.Get(ctx, key)
}

// Keys lists what lies hidden behind a delete marker too.
func (x *examination) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key, err := range x.Archive.Keys(ctx, prefix) {
			if _, ok := x.chosen[key]; !ok && !yield(key, err) {
				return
			}
		}
		for key := range x.chosen {
			if strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return
			}
		}
	}
}

// choose picks, for each key with a past, the version that fits the signed tree.
func (x *examination) choose() error {
	tree, ok, err := x.tree()
	if err != nil || !ok {
		return err
	}
	for key := range x.versions {
		if changes(key) {
			continue
		}
		data, of, err := x.contents(key)
		if err != nil {
			return err
		}
		if len(data) == 0 {
			continue // markers alone: there is nothing
		}
		i := max(slices.IndexFunc(data, func(d []byte) bool { return x.fits(tree, key, d) }), 0)
		x.chosen[key], x.read[key] = data[i], of[i]
	}
	return nil
}

// tree is the signed tree: of the checkpoint, or where that is hidden of the largest below it.
func (x *examination) tree() (tlog.Tree, bool, error) {
	signed, _, err := x.Archive.Get(x.ctx, "checkpoint")
	if err == nil {
		c, err := x.trust.open(signed)
		return tlog.Tree{N: c.Size, Hash: c.Root}, err == nil, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return tlog.Tree{}, false, err
	}
	data, err := x.candidates("checkpoint")
	best := tlog.Tree{N: -1}
	for _, d := range data {
		if c, err := x.trust.open(d); err == nil && c.Size > best.N {
			best = tlog.Tree{N: c.Size, Hash: c.Root}
			x.chosen["checkpoint"] = d
		}
	}
	return best, best.N >= 0, err
}

func (x *examination) candidates(key string) ([][]byte, error) {
	data, _, err := x.contents(key)
	return data, err
}

// contents reads the versions of a key that differ, the newest first.
func (x *examination) contents(key string) (data [][]byte, of []Object, err error) {
	for _, o := range x.versions[key] {
		if o.Marker {
			continue
		}
		one, err := x.Version(x.ctx, key, o.Version)
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(data, func(d []byte) bool { return string(d) == string(one) }) {
			data, of = append(data, one), append(of, o)
		}
	}
	return data, of, nil
}

// fits reports whether data is what the signed tree says of that key.
func (x *examination) fits(tree tlog.Tree, key string, data []byte) bool {
	if size, ok := strings.CutPrefix(key, "checkpoints/"); ok {
		c, err := x.trust.open(data)
		return err == nil && strconv.FormatInt(c.Size, 10) == size
	}
	if strings.HasPrefix(key, "cosigned/") {
		_, err := x.trust.open(data)
		return err == nil
	}
	level, index, width, err := parseTilePath(key)
	if err != nil {
		return false
	}
	n, hashes := 0, []tlog.Hash(nil)
	if level == "entries" {
		entries, err := parseBundle(data, width)
		if err != nil {
			return false
		}
		for _, e := range entries {
			hashes = append(hashes, tlog.RecordHash(e))
		}
	} else {
		if n, err = strconv.Atoi(level); err != nil {
			return false
		}
		if hashes, err = parseHashes(data, width); err != nil {
			return false
		}
	}
	truth, ok := x.truth(tree, n, index, width)
	return ok && slices.Equal(truth, hashes)
}

// truth reads hashes of one tile in a way that the signed root vouches for. The tiles on the way to
// the root may have several versions too; every combination is tried.
func (x *examination) truth(tree tlog.Tree, level int, index int64, width int) ([]tlog.Hash, bool) {
	var want []int64
	for i := range int64(width) {
		want = append(want, tlog.StoredHashIndex(level*tileHeight, index<<tileHeight+i))
	}
	var ambiguous []string
	r := &pickyReader{x: x, pick: map[string]int{}}
	for range 64 {
		r.met = r.met[:0]
		hashes, err := tlog.TileHashReader(tree, r).ReadHashes(want)
		if err == nil {
			return hashes, true
		}
		for _, k := range r.met {
			if !slices.Contains(ambiguous, k) {
				ambiguous = append(ambiguous, k)
			}
		}
		if !r.next(ambiguous) {
			return nil, false
		}
	}
	return nil, false
}

// judge reports what was laid over objects that do not change.
func (x *examination) judge(report *Report) {
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range x.versions {
			if !yield(k) {
				return
			}
		}
	}) {
		of := x.versions[key]
		hidden := slices.ContainsFunc(of, func(o Object) bool { return o.Marker && o.Latest })
		data := len(slices.DeleteFunc(slices.Clone(of), func(o Object) bool { return o.Marker }))
		switch {
		case hidden && data == 0:
			report.find("%s: a delete marker is all that is left of it", key)
		case hidden:
			report.find("%s: it is hidden behind a delete marker; the version below was read", key)
		case changes(key) || x.superseded[key]:
		case data > 1:
			report.find("%s: it was overwritten: there are %d versions; the one that fits the signed tree was read", key, data)
		}
	}
}

// soonUnlocked: a retention that ends by then is none. The tail's are made longer every night.
const soonUnlocked = 24 * time.Hour

// lookAtOnce is how many objects' locks are asked for at a time.
const lookAtOnce = 16

// locks looks whether what the log consists of could still be deleted: full tiles, checkpoints, cosigned
// copies, and the partial tiles that the tree ends with, in the versions that were read.
func (x *examination) locks(report *Report, mayBe bool) error {
	tail := map[string]bool{}
	size := report.Checkpoint.Size
	for level, n := -1, size; level < 0 || n > 0; level++ {
		name := "entries"
		if level >= 0 {
			name = strconv.Itoa(level)
		}
		if w := int(n % tileWidth); w > 0 {
			tail[tilePath(name, n>>tileHeight, w)] = true
		}
		if level >= 0 {
			n >>= tileHeight
		}
	}
	look := slices.Clone(x.single)
	for _, o := range x.read {
		look = append(look, o)
	}
	var unlocked atomic.Int64
	group, ctx := errgroup.WithContext(x.ctx)
	group.SetLimit(lookAtOnce)
	for _, o := range look {
		if changes(o.Key) || strings.Contains(o.Key, ".p/") && !tail[o.Key] {
			continue
		}
		group.Go(func() error {
			until, err := x.Locked(ctx, o.Key, o.Version)
			if err == nil && time.Until(until) < soonUnlocked {
				unlocked.Add(1)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("examining the log: %w", err)
	}
	n := unlocked.Load()
	if n == 0 {
		return nil
	}
	say := fmt.Sprintf("%d tiles and checkpoints are not under COMPLIANCE retention, or not for longer than a day: whoever runs the bucket can delete them for good", n)
	if mayBe {
		report.Notes = append(report.Notes, say)
	} else {
		report.Unlocked = true
		report.find("%s", say)
	}
	return nil
}
