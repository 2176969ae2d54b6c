package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// VerifyOptions of VerifyAll.
type VerifyOptions struct {
	// LastSeen is a checkpoint that the verifier kept from an earlier visit, as signed; nil if
	// there is none. The log must contain its tree.
	LastSeen []byte
	// Progress, if not nil, is called now and then with the entries checked so far and their total.
	Progress func(done, total int64)
	// Visit, if not nil, is called for every entry in order; its error ends the check.
	Visit func(index int64, body []byte) error
}

// Report is what VerifyAll found.
type Report struct {
	Checkpoint Checkpoint `json:"checkpoint"`
	Signed     []byte     `json:"signed"` // keep this as LastSeen for the next time
	Entries    int64      `json:"entries"`
	Objects    int        `json:"objects"` // tiles, bundles and checkpoints compared byte for byte
	Intents    int64      `json:"intents"`
	Outcomes   int64      `json:"outcomes"`
	Open       int64      `json:"open"` // intents without an outcome yet: a run is going on, or was cut off
	// Findings are the faults, empty for a log that verifies.
	Findings []string `json:"findings"`
}

// maxFindings bounds the report on a log that is wholly broken.
const maxFindings = 50

func (r *Report) find(format string, args ...any) {
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// VerifyAll checks a whole log from its objects alone: the checkpoint's signature, every entry's
// form and hash, every tile there is, full or partial, every older checkpoint, that the log holds
// the tree of the last seen checkpoint, that no entry comes twice and that intents and outcomes
// belong together. It returns an error only if it could not look; what it saw amiss is in the
// report's findings.
func VerifyAll(ctx context.Context, tiles Tiles, verifier note.Verifier, o VerifyOptions) (*Report, error) {
	r := &Report{}
	signed, _, err := tiles.Get(ctx, "checkpoint")
	if errors.Is(err, fs.ErrNotExist) {
		r.find("checkpoint: there is none")
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("verifying the log: %w", err)
	}
	c, err := OpenCheckpoint(signed, verifier)
	if err != nil {
		r.find("checkpoint: %v", err)
		return r, nil
	}
	r.Checkpoint, r.Signed = c, signed
	v := &verification{ctx: ctx, tiles: tiles, verifier: verifier, report: r, opts: o, states: map[[32]byte]state{}}
	if err := v.inventory(); err != nil {
		return nil, fmt.Errorf("verifying the log: %w", err)
	}
	if err := v.entries(); err != nil {
		return nil, fmt.Errorf("verifying the log: %w", err)
	}
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
	ctx      context.Context
	tiles    Tiles
	verifier note.Verifier
	report   *Report
	opts     VerifyOptions
	edge     edge
	seen     *Checkpoint
	// widths lists the widths in which each tile is stored.
	widths map[tileName][]int
	// checkpoints lists the sizes of the older checkpoints.
	checkpoints map[int64]bool
	states      map[[32]byte]state
}

// inventory lists what the log's folder holds, so that nothing in it goes unchecked.
func (v *verification) inventory() error {
	v.widths, v.checkpoints = map[tileName][]int{}, map[int64]bool{}
	if v.opts.LastSeen != nil {
		c, err := OpenCheckpoint(v.opts.LastSeen, v.verifier)
		if err != nil {
			return fmt.Errorf("the checkpoint seen last: %w", err)
		}
		v.seen = &c
		if c.Size > v.report.Checkpoint.Size {
			v.report.find("rollback: a tree of %d entries was seen before, now there are %d", c.Size, v.report.Checkpoint.Size)
			v.seen = nil
		}
	}
	for key, err := range v.tiles.Keys(v.ctx, "") {
		if err != nil {
			return err
		}
		if key == "checkpoint" {
			continue
		}
		if size, ok := strings.CutPrefix(key, "checkpoints/"); ok {
			n, err := strconv.ParseInt(size, 10, 64)
			if err != nil || n < 0 || strconv.FormatInt(n, 10) != size {
				v.report.find("%s: not a name that the log uses", key)
				continue
			}
			v.checkpoints[n] = true
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

// entries reads all bundles in order and rebuilds the tree from them.
func (v *verification) entries() error {
	size := v.report.Checkpoint.Size
	if err := v.compareCheckpoint(0); err != nil {
		return err
	}
	for at := int64(0); at < size; at += tileWidth {
		width := int(min(tileWidth, size-at))
		if err := v.bundle(at, width); err != nil {
			return err
		}
		if !v.report.OK() && v.report.Entries < at+int64(width) {
			return nil // the rest cannot be related to anything
		}
		if v.opts.Progress != nil {
			v.opts.Progress(at+int64(width), size)
		}
	}
	if err := v.partialTiles(); err != nil {
		return err
	}
	if got := v.edge.root(); got != v.report.Checkpoint.Root {
		v.report.find("root mismatch: the entries give the root %v, the signed checkpoint says %v", got, v.report.Checkpoint.Root)
	}
	for name, widths := range v.widths {
		for _, w := range widths {
			v.report.find("%s: beyond the signed tree of %d entries", tilePath(name.level, name.index, w), size)
		}
	}
	for n := range v.checkpoints {
		v.report.find("checkpoints/%d: beyond the signed tree of %d entries", n, size)
	}
	for _, s := range v.states {
		if s&seenIntent != 0 && s&answered == 0 {
			v.report.Open++
		}
	}
	return nil
}

func (v *verification) bundle(at int64, width int) error {
	index := at >> tileHeight
	key := tilePath("entries", index, width)
	data, _, err := v.tiles.Get(v.ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		v.report.find("%s: missing", key)
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := parseBundle(data, width)
	if err != nil {
		v.report.find("%s: %v", key, err)
		return nil
	}
	if err := v.compareBundles(index, data, entries); err != nil {
		return err
	}
	for i, body := range entries {
		n := at + int64(i)
		v.check(n, body)
		var compareErr error
		v.edge.add(tlog.RecordHash(body), func(level int, hashes []tlog.Hash) {
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
func (v *verification) check(n int64, body []byte) {
	o, err := scan(body)
	if err != nil {
		v.report.find("entry %d: %v", n, err)
		return
	}
	var id, intent [32]byte
	if copy(id[:], o.id) != len(id) || len(o.id) != len(id) {
		v.report.find("entry %d: its id is not one", n)
		return
	}
	if v.states[id]&(seenIntent|seenOther) != 0 {
		v.report.find("entry %d: it says a second time what was said before (id %s)", n, o.id)
		return
	}
	switch Kind(o.kind) {
	case KindIntent:
		v.report.Intents++
		v.states[id] |= seenIntent
	case KindOutcome:
		v.report.Outcomes++
		v.states[id] |= seenOther
		copy(intent[:], o.intent)
		switch s := v.states[intent]; {
		case s&seenIntent == 0:
			v.report.find("entry %d: an outcome without an intent before it: something was done unannounced", n)
		case s&answered != 0:
			v.report.find("entry %d: a second outcome of one intent", n)
		}
		v.states[intent] |= answered
	default:
		v.states[id] |= seenOther
	}
}

// compareBundles checks the other stored widths of one bundle: each must be a prefix.
func (v *verification) compareBundles(index int64, data []byte, entries [][]byte) error {
	name := tileName{"entries", index}
	for _, w := range v.widths[name] {
		if w > len(entries) {
			continue // reported as beyond the tree
		}
		want := 0
		for _, e := range entries[:w] {
			want += 2 + len(e)
		}
		if err := v.compare(tilePath("entries", index, w), data[:want]); err != nil {
			return err
		}
	}
	v.widths[name] = beyond(v.widths[name], len(entries))
	if len(v.widths[name]) == 0 {
		delete(v.widths, name)
	}
	return nil
}

func beyond(widths []int, n int) (left []int) {
	for _, w := range widths {
		if w > n {
			left = append(left, w)
		}
	}
	return left
}

// compareTiles checks every stored width of one hash tile against the hashes that the entries
// give. The one with all the hashes must be there.
func (v *verification) compareTiles(level string, index int64, hashes []tlog.Hash) error {
	name := tileName{level, index}
	all := marshalHashes(hashes)
	complete := false
	for _, w := range v.widths[name] {
		if w > len(hashes) {
			continue
		}
		complete = complete || w == len(hashes)
		if err := v.compare(tilePath(level, index, w), all[:w*tlog.HashSize]); err != nil {
			return err
		}
	}
	if !complete {
		v.report.find("%s: missing", tilePath(level, index, len(hashes)))
	}
	v.widths[name] = beyond(v.widths[name], len(hashes))
	if len(v.widths[name]) == 0 {
		delete(v.widths, name)
	}
	return nil
}

func (v *verification) compare(key string, want []byte) error {
	got, _, err := v.tiles.Get(v.ctx, key)
	if err != nil {
		return err
	}
	v.report.Objects++
	if string(got) != string(want) {
		v.report.find("%s: its bytes are not those that the entries give", key)
	}
	return nil
}

// partialTiles compares the tiles at the right edge of the tree.
func (v *verification) partialTiles() error {
	for level, hashes := range v.edge {
		if len(hashes) == 0 {
			continue
		}
		index := v.report.Checkpoint.Size >> (tileHeight * (level + 1))
		if err := v.compareTiles(strconv.Itoa(level), index, hashes); err != nil {
			return err
		}
	}
	return nil
}

// compareCheckpoint checks the checkpoint objects of one size, and the one seen last.
func (v *verification) compareCheckpoint(size int64) error {
	if v.seen != nil && v.seen.Size == size && v.seen.Root != v.edge.root() {
		v.report.find("rewritten history: the tree of %d entries is not the one that was seen before", size)
	}
	if size == v.report.Checkpoint.Size && !v.checkpoints[size] {
		v.report.find("checkpoints/%d: missing", size)
	}
	if !v.checkpoints[size] {
		return nil
	}
	delete(v.checkpoints, size)
	key := "checkpoints/" + strconv.FormatInt(size, 10)
	signed, _, err := v.tiles.Get(v.ctx, key)
	if err != nil {
		return err
	}
	v.report.Objects++
	c, err := OpenCheckpoint(signed, v.verifier)
	switch {
	case err != nil:
		v.report.find("%s: %v", key, err)
	case c.Size != size || c.Root != v.edge.root():
		v.report.find("%s: it is signed over another tree than the entries give", key)
	case size == v.report.Checkpoint.Size && string(signed) != string(v.report.Signed):
		v.report.find("checkpoint: it differs from %s", key)
	}
	return nil
}
