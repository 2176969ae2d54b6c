package audit

import (
	"context"
	"fmt"
	"strconv"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

// Proved is one entry with the proof that the log holds it.
type Proved struct {
	Entry string `json:"entry"` // the exact bytes
	Proof string `json:"proof"` // C2SP tlog-proof, with the signed checkpoint
}

// Prove gives the entry at index with its proof under the published tree.
func (l *Log) Prove(ctx context.Context, index int64) (Proved, error) {
	return Prove(ctx, l.opts.Tiles, l.opts.Trust, index)
}

// Prove gives the entry at index with its proof under the published tree, from the log's objects
// alone.
func Prove(ctx context.Context, tiles Tiles, trust *Trust, index int64) (Proved, error) {
	signed, c, err := current(ctx, tiles, trust)
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w", index, err)
	}
	return proveUnder(ctx, tiles, c, signed, index)
}

// current gives the published checkpoint, as signed and as it reads.
func current(ctx context.Context, tiles Tiles, trust *Trust) ([]byte, Checkpoint, error) {
	signed, _, err := tiles.Get(ctx, "checkpoint")
	if err != nil {
		return nil, Checkpoint{}, err
	}
	c, err := trust.Open(signed)
	return signed, c, err
}

func proveUnder(ctx context.Context, tiles Tiles, c Checkpoint, signed []byte, index int64) (Proved, error) {
	if index < 0 || index >= c.Size {
		return Proved{}, fmt.Errorf("proving entry %d: the published log has %d entries", index, c.Size)
	}
	width := int(min(tileWidth, c.Size-index&^(tileWidth-1)))
	bundle, _, err := tiles.Get(ctx, tilePath("entries", index>>tileHeight, width))
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w", index, err)
	}
	entries, err := parseBundle(bundle, width)
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w: %w", index, ErrUnverified, err)
	}
	reader := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, &tileReader{ctx, tiles})
	hashes, err := tlog.ProveRecord(c.Size, index, reader)
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w", index, err)
	}
	p := proof.TLogProof{Index: uint64(index), Checkpoint: signed}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, h)
	}
	return Proved{Entry: string(entries[index%tileWidth]), Proof: string(p.Marshal())}, nil
}

// tileReader fetches tiles for package tlog, which checks them against the signed root.
type tileReader struct {
	ctx   context.Context
	tiles Tiles
}

func (r *tileReader) Height() int                     { return tileHeight }
func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, _, err := r.tiles.Get(r.ctx, tilePath(strconv.Itoa(t.L), t.N, t.W))
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// Verify checks the proof with the log's key alone and returns the entry and the checkpoint that
// it was proved under. It needs neither a network nor a database.
func (p Proved) Verify(trust *Trust) (Entry, Checkpoint, error) {
	e, c, _, err := p.verify(trust)
	return e, c, err
}

// verify gives the entry's index too.
func (p Proved) verify(trust *Trust) (Entry, Checkpoint, int64, error) {
	var tp proof.TLogProof
	if err := tp.Unmarshal([]byte(p.Proof)); err != nil {
		return Entry{}, Checkpoint{}, 0, fmt.Errorf("proof: %w: %w", ErrUnverified, err)
	}
	// As with signatures: bits of base64 that nobody reads, and what is signed by nobody, must not differ.
	if len(tp.ExtraData) > 0 || string(tp.Marshal()) != p.Proof {
		return Entry{}, Checkpoint{}, 0, fmt.Errorf("proof: %w: it is not in its one form", ErrUnverified)
	}
	c, err := trust.Open(tp.Checkpoint)
	if err != nil {
		return Entry{}, Checkpoint{}, 0, err
	}
	hashes := make(tlog.RecordProof, len(tp.Hashes))
	for i, h := range tp.Hashes {
		hashes[i] = h
	}
	if tp.Index >= uint64(c.Size) {
		return Entry{}, Checkpoint{}, 0, fmt.Errorf("proof: %w: entry %d of a tree of %d", ErrUnverified, tp.Index, c.Size)
	}
	if err := tlog.CheckRecord(hashes, c.Size, c.Root, int64(tp.Index), tlog.RecordHash([]byte(p.Entry))); err != nil {
		return Entry{}, Checkpoint{}, 0, fmt.Errorf("proof: %w: %w", ErrUnverified, err)
	}
	e, err := Parse([]byte(p.Entry))
	if err != nil {
		return Entry{}, Checkpoint{}, 0, fmt.Errorf("proved entry: %w: %w", ErrUnverified, err)
	}
	return e, c, int64(tp.Index), nil
}
