package audit

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

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
		if len(v.report.Findings) < maxFindings {
			v.report.mends = append(v.report.mends, object{key, bytes.Clone(want)})
		}
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
	for _, p := range v.past[size] {
		v.compareWith(p.name, p.signed, size)
	}
	if size == v.report.Checkpoint.Size && !v.checkpoints[size] {
		v.report.find("checkpoints/%d: missing", size)
	}
	if v.cosigned[size] {
		delete(v.cosigned, size)
		if err := v.compareHead("cosigned/"+strconv.FormatInt(size, 10), size); err != nil {
			return err
		}
	}
	if !v.checkpoints[size] {
		return nil
	}
	delete(v.checkpoints, size)
	return v.compareHead("checkpoints/"+strconv.FormatInt(size, 10), size)
}

func (v *verification) compareHead(key string, size int64) error {
	signed, _, err := v.tiles.Get(v.ctx, key)
	if err != nil {
		return err
	}
	v.report.Objects++
	if !v.compareWith(key, signed, size) {
		return nil
	}
	if size == v.report.Checkpoint.Size && !strings.HasPrefix(string(v.report.Signed), string(signed)) && !strings.HasPrefix(string(signed), string(v.report.Signed)) {
		// they may differ in the cosignatures that were added later, and in nothing else
		v.report.find("checkpoint: it differs from %s", key)
	}
	return nil
}
