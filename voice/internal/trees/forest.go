package trees

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

const (
	mostWidth = 1 << 12
	mostTrees = 1 << 12
	magic     = "earshot-trees/1\n"
)

// node asks whether a figure is at most a threshold. below and above are nodes of the same tree or,
// where negative, complements of its leaves; leaf is the first of those.
type node struct {
	threshold    float32
	column       uint16
	below, above int8
	leaf         int
}

// Forest is a taught set of trees. It does not change: it may be used by many goroutines.
type Forest struct {
	Width  int     // figures of a row
	Base   float32 // the logit without any tree
	Scale  float32 // of the leaves
	trees  []int   // the first node of each tree
	nodes  []node
	leaves []int16
}

// Trees is the number of trees that ask anything.
func (f *Forest) Trees() int { return len(f.trees) }

// Logit is the forest's answer to a row of Width figures.
func (f *Forest) Logit(x []float32) float32 {
	x = x[:f.Width]
	sum := int32(0)
	for _, root := range f.trees {
		tree := f.nodes[root:]
		at := int8(0)
		for {
			n := &tree[at]
			next := n.above
			if x[n.column] <= n.threshold {
				next = n.below
			}
			if next < 0 {
				sum += int32(f.leaves[n.leaf+int(^next)])
				break
			}
			at = next
		}
	}
	return f.Base + float32(f.Scale*float32(sum)) // rounded, not fused, where machines could
}

// Encode writes the forest: of each node 8 bytes, of each leaf 2.
func (f *Forest) Encode() []byte {
	le := binary.LittleEndian
	out := []byte(magic)
	out = le.AppendUint16(out, uint16(f.Width))
	out = le.AppendUint16(out, uint16(len(f.trees)))
	out = le.AppendUint32(out, math.Float32bits(f.Base))
	out = le.AppendUint32(out, math.Float32bits(f.Scale))
	for i, root := range f.trees {
		end := len(f.nodes)
		if i+1 < len(f.trees) {
			end = f.trees[i+1]
		}
		nodes := f.nodes[root:end]
		out = append(out, byte(len(nodes)))
		for _, n := range nodes {
			out = le.AppendUint16(out, n.column)
			out = le.AppendUint32(out, math.Float32bits(n.threshold))
			out = append(out, byte(n.below), byte(n.above))
		}
		first := nodes[0].leaf
		for _, v := range f.leaves[first : first+len(nodes)+1] {
			out = le.AppendUint16(out, uint16(v))
		}
	}
	return out
}

const (
	headBytes = 12
	nodeBytes = 8
)

// Decode reads what Encode wrote. Every node is reached from one node before it, or from none, so
// that answers end.
func Decode(text []byte) (*Forest, error) {
	rest, ok := bytes.CutPrefix(text, []byte(magic))
	if !ok || len(rest) < headBytes {
		return nil, errors.New("reading trees: not an earshot-trees/1 file")
	}
	le := binary.LittleEndian
	f := &Forest{
		Width: int(le.Uint16(rest)), Base: math.Float32frombits(le.Uint32(rest[4:])),
		Scale: math.Float32frombits(le.Uint32(rest[8:])),
	}
	count := int(le.Uint16(rest[2:]))
	if f.Width < 1 || f.Width > mostWidth || count > mostTrees || !finite(f.Base) || !finite(f.Scale) {
		return nil, errors.New("reading trees: the header is out of range")
	}
	rest = rest[headBytes:]
	for i := range count {
		var err error
		if rest, err = f.readTree(rest); err != nil {
			return nil, fmt.Errorf("reading tree %d: %w", i, err)
		}
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("reading trees: %d bytes left over", len(rest))
	}
	return f, nil
}

func (f *Forest) readTree(rest []byte) ([]byte, error) {
	if len(rest) == 0 || rest[0] == 0 || rest[0] >= mostLeaves {
		return nil, errors.New("the number of its nodes is out of range")
	}
	n := int(rest[0])
	rest = rest[1:]
	if len(rest) < n*nodeBytes+2*(n+1) {
		return nil, fmt.Errorf("%d nodes, %d bytes remain", n, len(rest))
	}
	le := binary.LittleEndian
	f.trees = append(f.trees, len(f.nodes))
	for i := range n {
		x := rest[i*nodeBytes:]
		m := node{
			column: le.Uint16(x), threshold: math.Float32frombits(le.Uint32(x[2:])),
			below: int8(x[6]), above: int8(x[7]), leaf: len(f.leaves),
		}
		for _, next := range []int8{m.below, m.above} {
			if next >= 0 && (int(next) <= i || int(next) >= n) || next < 0 && int(^next) > n {
				return nil, fmt.Errorf("node %d leads to %d", i, next)
			}
		}
		if int(m.column) >= f.Width || !finite(m.threshold) {
			return nil, fmt.Errorf("node %d asks column %d for %v", i, m.column, m.threshold)
		}
		f.nodes = append(f.nodes, m)
	}
	rest = rest[n*nodeBytes:]
	for i := range n + 1 {
		f.leaves = append(f.leaves, int16(le.Uint16(rest[2*i:])))
	}
	return rest[2*(n+1):], nil
}

func finite(v float32) bool { return v > -1e30 && v < 1e30 }
