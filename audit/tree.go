package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight and tileWidth are fixed by C2SP tlog-tiles: 256 hashes a tile.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// edge is the right edge of the tree: for each tile level the hashes of the tile that is not full
// yet. Level L holds the roots of complete subtrees of 256^L leaves.
type edge [][]tlog.Hash

// add appends a leaf and calls full for each tile that becomes full, from level 0 up.
func (e *edge) add(leaf tlog.Hash, full func(level int, hashes []tlog.Hash)) {
	for level, h := 0, leaf; ; level++ {
		if level == len(*e) {
			*e = append(*e, make([]tlog.Hash, 0, tileWidth))
		}
		(*e)[level] = append((*e)[level], h)
		if len((*e)[level]) < tileWidth {
			return
		}
		full(level, (*e)[level])
		h = subtree((*e)[level])
		(*e)[level] = (*e)[level][:0]
	}
}

// root is the Merkle tree hash (RFC 9162, section 2.1.1) of all leaves added so far.
func (e edge) root() tlog.Hash {
	var acc tlog.Hash
	empty := true
	for _, hashes := range e { // from the small subtrees at the right to the large ones at the left
		for n := len(hashes); n > 0; {
			size := 1 << bits.TrailingZeros(uint(n))
			h := subtree(hashes[n-size : n])
			if empty {
				acc, empty = h, false
			} else {
				acc = tlog.NodeHash(h, acc)
			}
			n -= size
		}
	}
	if empty {
		return emptyRoot
	}
	return acc
}

func (e edge) clone() edge {
	out := make(edge, len(e))
	for i, hashes := range e {
		out[i] = append(make([]tlog.Hash, 0, tileWidth), hashes...)
	}
	return out
}

// emptyRoot is the SHA-256 of nothing, the hash of a tree without leaves.
var emptyRoot = tlog.Hash{
	0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
	0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
}

// subtree is the root over a power of two of hashes.
func subtree(hashes []tlog.Hash) tlog.Hash {
	var buf [tileWidth]tlog.Hash
	n := copy(buf[:], hashes)
	for ; n > 1; n /= 2 {
		for i := range n / 2 {
			buf[i] = tlog.NodeHash(buf[2*i], buf[2*i+1])
		}
	}
	return buf[0]
}

// tilePath is a tile's name: tile/<level>/<index>[.p/<width>]; entry bundles have the level
// "entries". C2SP tlog-tiles, section "Paths".
func tilePath(level string, index int64, width int) string {
	n := fmt.Sprintf("%03d", index%1000)
	for index /= 1000; index > 0; index /= 1000 {
		n = fmt.Sprintf("x%03d/%s", index%1000, n)
	}
	p := "tile/" + level + "/" + n
	if width < tileWidth {
		p += ".p/" + strconv.Itoa(width)
	}
	return p
}

// parseTilePath undoes tilePath; width is 256 for a full tile.
func parseTilePath(p string) (level string, index int64, width int, err error) {
	bad := fmt.Errorf("%q is not the name of a tile: %w", p, fs.ErrInvalid)
	rest, ok := strings.CutPrefix(p, "tile/")
	if !ok {
		return "", 0, 0, bad
	}
	level, rest, ok = strings.Cut(rest, "/")
	if !ok {
		return "", 0, 0, bad
	}
	width = tileWidth
	if head, w, partial := strings.Cut(rest, ".p/"); partial {
		rest = head
		if width, err = strconv.Atoi(w); err != nil || width < 1 || width >= tileWidth {
			return "", 0, 0, bad
		}
	}
	for part := range strings.SplitSeq(rest, "/") {
		n, err := strconv.Atoi(strings.TrimPrefix(part, "x"))
		if err != nil || n < 0 || n > 999 || index > 1<<50 {
			return "", 0, 0, bad
		}
		index = index*1000 + int64(n)
	}
	if tilePath(level, index, width) != p {
		return "", 0, 0, bad
	}
	return level, index, width, nil
}

func marshalHashes(hashes []tlog.Hash) []byte {
	out := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		out = append(out, h[:]...)
	}
	return out
}

func parseHashes(b []byte, width int) ([]tlog.Hash, error) {
	if len(b) != width*tlog.HashSize {
		return nil, fmt.Errorf("tile of %d bytes, want %d", len(b), width*tlog.HashSize)
	}
	out := make([]tlog.Hash, width)
	for i := range out {
		copy(out[i][:], b[i*tlog.HashSize:])
	}
	return out, nil
}

// appendBundle adds an entry to a bundle: a big-endian uint16 length and the bytes.
func appendBundle(bundle, entry []byte) []byte {
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...)
}

var errBundle = errors.New("entry bundle is cut short or has bytes left over")

// parseBundle splits a bundle into exactly width entries. The entries alias b.
func parseBundle(b []byte, width int) ([][]byte, error) {
	out := make([][]byte, 0, width)
	for range width {
		if len(b) < 2 {
			return nil, errBundle
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return nil, errBundle
		}
		out = append(out, b[2:2+n])
		b = b[2+n:]
	}
	if len(b) != 0 {
		return nil, errBundle
	}
	return out, nil
}

// Accumulator computes the Merkle root (RFC 9162, section 2.1.1) of a list of any length in little
// memory.
type Accumulator struct {
	edge edge
	n    int64
}

// Add adds one item at the end.
func (a *Accumulator) Add(item []byte) {
	a.edge.add(tlog.RecordHash(item), func(int, []tlog.Hash) {})
	a.n++
}

// Size is the number of items.
func (a *Accumulator) Size() int64 { return a.n }

// Root is the root of the items so far.
func (a *Accumulator) Root() [32]byte { return a.edge.root() }
