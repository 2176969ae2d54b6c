package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Verify checks the whole published log, as [VerifyAll] does.
func (l *Log) Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	return VerifyAll(ctx, l.opts.Tiles, TrustKey(l.opts.Trust.logs...), o)
}

// VerifyAll checks a whole log from its objects alone: the checkpoint's signature, every entry's
// form and hash, every tile there is, full or partial, every older checkpoint, that the log holds
// the tree of the last seen checkpoint, that no entry comes twice and that intents and outcomes
// belong together. It returns an error only if it could not look; what it saw amiss is in the
// report's findings.
func VerifyAll(ctx context.Context, tiles Tiles, trust *Trust, o VerifyOptions) (*Report, error) {
	r := &Report{Findings: []string{}}
	signed, _, err := tiles.Get(ctx, "checkpoint")
	if errors.Is(err, fs.ErrNotExist) {
		r.find("checkpoint: there is none")
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("verifying the log: %w", err)
	}
	c, believed := trust.Open(signed)
	if believed != nil {
		r.find("%v", believed)
	}
	if believed != nil && !errors.Is(believed, ErrUncosigned) {
		return r, nil
	}
	r.Checkpoint, r.Signed, r.Quorum = c, signed, trust.Quorum()
	v := &verification{ctx: ctx, tiles: tiles, trust: trust, report: r, opts: o, states: map[[16]byte]state{}, past: map[int64][]namedHead{}, folders: map[string]int{}}
	v.remembered()
	if err := v.inventory(); err != nil {
		return nil, fmt.Errorf("verifying the log: %w", err)
	}
	if err := v.entries(); err != nil {
		return nil, fmt.Errorf("verifying the log: %w", err)
	}
	r.Uncosigned = len(r.Findings) == 1 && errors.Is(believed, ErrUncosigned)
	return r, nil
}

// state is what has been seen of one entry id.
type state uint8

const (
	seenIntent state = 1 << iota
	seenOther
	answered
)

// tileName names a tile without its width.
type tileName struct {
	level string
	index int64
}

type verification struct {
	ctx     context.Context
	tiles   Tiles
	trust   *Trust
	report  *Report
	opts    VerifyOptions
	edge    edge
	folders map[string]int // objects in folders that are no part of this tree
	chains  inventoryChains
	past    map[int64][]namedHead // trees that were signed before, by size
	// widths lists the widths in which each tile is stored.
	widths map[tileName][]int
	// checkpoints lists the sizes of the older checkpoints.
	checkpoints map[int64]bool
	// cosigned lists the sizes of which a copy with cosignatures was kept.
	cosigned map[int64]bool
	states   map[[16]byte]state
	// rotated holds keys of the log that rotation entries speak of; later the checkpoints that none of
	// the keys known at first has signed.
	rotated []note.Verifier
	closed  bool // the entry that closes the shard was seen
	later   []laterHead
}

// beyond looks at the objects that the signed tree does not cover. Publishing writes tiles and then
// checkpoints/SIZE before the checkpoint, and where witnesses are missing it waits there; but a larger
// tree that was published says that an older checkpoint was put back.
func (v *verification) beyond() error {
	size := v.report.Checkpoint.Size
	if signed, _, err := v.tiles.Get(v.ctx, "checkpoint"); err == nil { // somebody may have published while we read
		if c, err := v.trust.open(signed); err == nil && c.Size > size {
			size = c.Size
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	heads, folder := v.checkpoints, "checkpoints/"
	if v.trust.quorum != "" { // a tree that the quorum has not seen is not published
		heads, folder = v.cosigned, "cosigned/"
	}
	larger := false
	for n := range heads {
		if n <= size {
			continue
		}
		signed, _, err := v.tiles.Get(v.ctx, folder+strconv.FormatInt(n, 10))
		if err != nil {
			return err
		}
		_, err = v.trust.Open(signed)
		larger = true
		if err != nil {
			v.report.find("%s%d: %v", folder, n, err)
			continue
		}
		v.report.findBeyond("%s%d: beyond the signed tree of %d entries: an older checkpoint was put in the place of a newer one, or publishing was cut off at its last step", folder, n, size)
	}
	unfinished := 0
	for name, widths := range v.widths {
		for _, w := range widths {
			covered, err := covers(tilePath(name.level, name.index, w), size)
			switch {
			case err != nil:
				return err
			case covered: // published while we read
			case larger:
				v.report.findBeyond("%s: beyond the signed tree of %d entries", tilePath(name.level, name.index, w), size)
			default:
				unfinished++
			}
		}
	}
	if unfinished > 0 {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("%d tiles lie beyond the signed tree: publishing is under way, was cut off, or waits for witnesses", unfinished))
	}
	return nil
}

// inventory lists what the log's folder holds, so that nothing in it goes unchecked.
func (v *verification) inventory() error {
	v.widths, v.checkpoints, v.cosigned = map[tileName][]int{}, map[int64]bool{}, map[int64]bool{}
	for key, err := range v.tiles.Keys(v.ctx, "") {
		if err != nil {
			return err
		}
		if changes(key) {
			continue
		}
		if elsewhere(key) {
			folder, _, _ := strings.Cut(key, "/")
			v.folders[folder]++
			continue
		}
		if folder, size, ok := strings.Cut(key, "/"); ok && (folder == "checkpoints" || folder == "cosigned") {
			n, err := strconv.ParseInt(size, 10, 64)
			if err != nil || n < 0 || strconv.FormatInt(n, 10) != size {
				v.report.find("%s: not a name that the log uses", key)
				continue
			}
			if folder == "cosigned" {
				v.cosigned[n] = true
			} else {
				v.checkpoints[n] = true
			}
			continue
		}
		level, index, width, err := parseTilePath(key)
		if n, numErr := strconv.Atoi(level); err != nil || level != "entries" && (numErr != nil || n < 0 || n > 7) {
			v.report.find("%s: not a name that the log uses", key)
			continue
		}
		name := tileName{level, index}
		v.widths[name] = append(v.widths[name], width)
	}
	return nil
}

// elsewhere reports whether a key belongs to something that lies in a folder of its own below the
// log's prefix, such as a later shard of a log that has the whole bucket.
func elsewhere(key string) bool {
	folder, _, ok := strings.Cut(key, "/")
	return ok && folder != "tile" && folder != "checkpoints" && folder != "cosigned"
}

// entries reads all bundles in order and rebuilds the tree from them.
func (v *verification) entries() error {
	size := v.report.Checkpoint.Size
	if err := v.compareCheckpoint(0); err != nil {
		return err
	}
	v.states = make(map[[16]byte]state, min(size, v.listed()))
	for b := range bundles(v.ctx, v.tiles, size) {
		if err := v.bundle(b); err != nil {
			return err
		}
		done := b.at + int64(b.width)
		if !v.report.OK() && v.report.Entries < done {
			return nil // the rest cannot be related to anything
		}
		if v.opts.Progress != nil {
			v.opts.Progress(done, size)
		}
	}
	if err := v.ctx.Err(); err != nil {
		return err
	}
	if err := v.partialTiles(); err != nil {
		return err
	}
	if got := v.edge.root(); got != v.report.Checkpoint.Root {
		v.report.find("root mismatch: the entries give the root %v, the signed checkpoint says %v", got, v.report.Checkpoint.Root)
	}
	v.rollbacks()
	v.olderKeys()
	if v.chains.begun > 1 {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("there are %d chains of inventories: one for each bucket is as it should be; ask about more", v.chains.begun))
	}
	if err := v.beyond(); err != nil {
		return err
	}
	for _, folder := range slices.Sorted(maps.Keys(v.folders)) {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("%d objects lie in %s/, which is no part of this tree: another shard's, or somebody's", v.folders[folder], folder))
	}
	for _, s := range v.states {
		if s&seenIntent != 0 && s&answered == 0 {
			v.report.Open++
		}
	}
	return nil
}

// bundle relates one bundle to the tree so far.
func (v *verification) bundle(b loaded) error {
	index := b.at >> tileHeight
	switch {
	case errors.Is(b.err, fs.ErrNotExist):
		v.report.find("%s: missing", b.key)
		return nil
	case b.err != nil:
		return b.err
	case b.shape != nil:
		v.report.find("%s: %v", b.key, b.shape)
		return nil
	}
	if err := v.compareBundles(index, b.data, b.entries); err != nil {
		return err
	}
	for i, body := range b.entries {
		n := b.at + int64(i)
		v.check(n, body, b.outlines[i], b.faults[i])
		var compareErr error
		v.edge.add(b.hashes[i], func(level int, hashes []tlog.Hash) {
			if compareErr == nil {
				compareErr = v.compareTiles(strconv.Itoa(level), n>>(tileHeight*(level+1)), hashes)
			}
		})
		if compareErr != nil {
			return compareErr
		}
		v.report.Entries++
		if err := v.compareCheckpoint(n + 1); err != nil {
			return err
		}
		if v.opts.Visit != nil {
			if err := v.opts.Visit(n, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// check looks at what an entry says in relation to the others.
func (v *verification) check(n int64, body []byte, o outline, fault error) {
	if fault != nil {
		v.report.find("entry %d: %v", n, fault)
		return
	}
	kind := Kind(o.kind)
	if kind == KindRotation {
		v.rotation(n, body)
	}
	switch kind {
	case KindGenesis:
		v.genesis(n, body)
	case KindInventory:
		v.chain(n, body)
	}
	if v.closed {
		v.report.find("entry %d: the shard was closed before it", n)
	}
	if kind == KindClosing {
		v.closed = true
		if e, err := Parse(body); err == nil {
			v.report.Next = e.Shard
		}
	}
	id, ok := entryKey(o.id)
	if !ok {
		v.report.find("entry %d: its id is not one", n)
		return
	}
	before := v.states[id]
	if before&(seenIntent|seenOther) != 0 {
		v.report.find("entry %d: it says a second time what was said before (id %s)", n, o.id)
		return
	}
	switch kind {
	case KindIntent:
		v.report.Intents++
		v.states[id] = before | seenIntent
	case KindOutcome:
		v.report.Outcomes++
		v.states[id] = before | seenOther
		intent, _ := entryKey(o.intent)
		switch s := v.states[intent]; {
		case s&seenIntent == 0:
			v.report.find("entry %d: an outcome without an intent before it: something was done unannounced", n)
		case s&answered != 0:
			v.report.find("entry %d: a second outcome of one intent", n)
		}
		v.states[intent] |= answered
	default:
		v.states[id] = before | seenOther
	}
}

// genesis notes the shard before this one. Only the first entry may name it.
func (v *verification) genesis(n int64, body []byte) {
	e, err := Parse(body)
	if err != nil || n != 0 || e.Shard == nil {
		v.report.find("entry %d: a genesis that is not the first entry, or cannot be read", n)
		return
	}
	v.report.Genesis = e.Shard
}

// entryKey is an id in half the room. Only the form that EntryID gives is one.
func entryKey(id []byte) (key [16]byte, ok bool) {
	if len(id) != 2*len(key) || bytes.ContainsAny(id, "ABCDEF") {
		return key, false
	}
	_, err := hex.Decode(key[:], id)
	return key, err == nil
}
