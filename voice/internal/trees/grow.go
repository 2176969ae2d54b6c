package trees

import "slices"

const mostBins = 64

// binned sorts the figures of each column into bins of about equal numbers.
func binned(rows Rows) (edges [][]float32, bins []uint8) {
	n, width := len(rows.Want), rows.Width
	bins = make([]uint8, n*width)
	column := make([]float32, n)
	for c := range width {
		for i := range column {
			column[i] = rows.X[i*width+c]
		}
		slices.Sort(column)
		var e []float32
		for b := 1; b < mostBins; b++ {
			at := n * b / mostBins
			if at == 0 {
				continue
			}
			v := (column[at-1] + column[at]) / 2
			if (len(e) == 0 || v > e[len(e)-1]) && v < column[n-1] {
				e = append(e, v)
			}
		}
		edges = append(edges, e)
		for i := range n {
			b, _ := slices.BinarySearch(e, rows.X[i*width+c])
			bins[i*width+c] = uint8(b)
		}
	}
	return edges, bins
}

// cell sums the rows of a leaf that lie in one bin of one column.
type cell struct {
	slope, bend float64
	rows        int
}

// split is a question to a leaf: is the column's bin at most this one?
type split struct {
	column, bin int
	gain        float64
}

// leaf is a leaf of the tree that grows.
type leaf struct {
	from, to int // of the order of rows
	cells    []cell
	sum      cell
	best     split
	parent   int // the node that leads here, -1 for the root
	above    bool
}

type grownNode struct {
	column, bin  int
	below, above int8 // a node, or the complement of a leaf
}

type grownTree struct {
	nodes  []grownNode
	leaves []float64
}

func (t grownTree) value(bins []uint8) float64 {
	if len(t.nodes) == 0 {
		return t.leaves[0]
	}
	at := int8(0)
	for at >= 0 {
		n := &t.nodes[at]
		if int(bins[n.column]) <= n.bin {
			at = n.below
		} else {
			at = n.above
		}
	}
	return t.leaves[^at]
}

// tree grows one tree: of all leaves, that is divided which gains most.
func (g *grower) tree() grownTree {
	g.draw()
	root := &leaf{to: len(g.order), parent: -1}
	g.count(root)
	leaves := []*leaf{root}
	var t grownTree
	for len(leaves) < g.course.Leaves {
		at := 0
		for i, l := range leaves {
			if l.best.gain > leaves[at].best.gain {
				at = i
			}
		}
		l := leaves[at]
		if l.best.gain <= 1e-9 {
			break
		}
		below, above := g.divide(l)
		below.parent, above.parent, above.above = len(t.nodes), len(t.nodes), true
		if l.parent >= 0 {
			t.link(l, int8(len(t.nodes)))
		}
		t.nodes = append(t.nodes, grownNode{column: l.best.column, bin: l.best.bin})
		leaves[at] = below
		leaves = append(leaves, above)
	}
	for i, l := range leaves {
		t.leaves = append(t.leaves, -l.sum.slope/(l.sum.bend+g.course.Ridge)*g.course.Rate)
		if l.parent >= 0 {
			t.link(l, ^int8(i))
		}
		g.spare = append(g.spare, l.cells)
	}
	return t
}

func (t *grownTree) link(l *leaf, to int8) {
	if l.above {
		t.nodes[l.parent].above = to
	} else {
		t.nodes[l.parent].below = to
	}
}

func (g *grower) cells() []cell {
	if n := len(g.spare); n > 0 {
		c := g.spare[n-1]
		g.spare = g.spare[:n-1]
		clear(c)
		return c
	}
	return make([]cell, g.rows.Width*mostBins)
}

// count fills the cells of a leaf from its rows.
func (g *grower) count(l *leaf) {
	l.cells = g.cells()
	for _, i := range g.order[l.from:l.to] {
		bins := g.bins[int(i)*g.rows.Width : (int(i)+1)*g.rows.Width]
		s, b := g.slope[i], g.bend[i]
		for _, c := range g.columns {
			x := &l.cells[c*mostBins+int(bins[c])]
			x.slope += s
			x.bend += b
			x.rows++
		}
	}
	g.seek(l)
}

// seek finds the best split of a leaf whose cells are filled.
func (g *grower) seek(l *leaf) {
	l.sum = cell{}
	for _, x := range l.cells[g.columns[0]*mostBins : (g.columns[0]+1)*mostBins] {
		l.sum.slope, l.sum.bend, l.sum.rows = l.sum.slope+x.slope, l.sum.bend+x.bend, l.sum.rows+x.rows
	}
	ridge := g.course.Ridge + 1e-9
	whole := l.sum.slope * l.sum.slope / (l.sum.bend + ridge)
	l.best = split{}
	for _, c := range g.columns {
		below := cell{}
		for b := range g.edges[c] {
			x := &l.cells[c*mostBins+b]
			below.slope, below.bend, below.rows = below.slope+x.slope, below.bend+x.bend, below.rows+x.rows
			if below.rows < g.course.Least {
				continue
			}
			if l.sum.rows-below.rows < g.course.Least {
				break
			}
			s := l.sum.slope - below.slope
			gain := below.slope*below.slope/(below.bend+ridge) + s*s/(l.sum.bend-below.bend+ridge) - whole
			if gain > l.best.gain {
				l.best = split{c, b, gain}
			}
		}
	}
}

// divide parts the rows of a leaf. The cells of the smaller part are counted, those of the larger
// are what remains.
func (g *grower) divide(l *leaf) (below, above *leaf) {
	g.aside = g.aside[:0]
	at := l.from
	for _, i := range g.order[l.from:l.to] {
		if int(g.bins[int(i)*g.rows.Width+l.best.column]) <= l.best.bin {
			g.order[at] = i
			at++
		} else {
			g.aside = append(g.aside, i)
		}
	}
	copy(g.order[at:], g.aside)
	below, above = &leaf{from: l.from, to: at}, &leaf{from: at, to: l.to}
	small, large := below, above
	if above.to-above.from < below.to-below.from {
		small, large = above, below
	}
	g.count(small)
	large.cells = l.cells
	for _, c := range g.columns {
		for b := c * mostBins; b < (c+1)*mostBins; b++ {
			x, y := &large.cells[b], &small.cells[b]
			x.slope, x.bend, x.rows = x.slope-y.slope, x.bend-y.bend, x.rows-y.rows
		}
	}
	g.seek(large)
	return below, above
}
