package trees

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Rows are what a forest is taught with.
type Rows struct {
	Width int
	X     []float32 // Width figures of each row, one row after the other
	Want  []float32 // the answer of each row, 0 to 1
	// Weight of each row; nil: 1 each.
	Weight []float32
	// Group says which rows are drawn, or not, together: those of one speaker.
	Group []int
}

// Course is how a forest is taught.
type Course struct {
	Trees  int
	Leaves int     // of a tree, at most
	Least  int     // rows of a leaf
	Rate   float64 // what a tree may add of what it thinks right
	Ridge  float64 // added to the curvature of a leaf
	// Groups and Columns are the shares that are drawn for each tree: trees that have not all seen
	// the same err in different ways.
	Groups, Columns float64
	Seed            uint64
}

const mostLeaves = 64

func (c Course) check(rows Rows) error {
	n := len(rows.Want)
	switch {
	case n == 0 || rows.Width < 1 || rows.Width > mostWidth || len(rows.X) != n*rows.Width || len(rows.Group) != n:
		return fmt.Errorf("teaching trees: %d figures, %d groups and %d answers of rows of %d", len(rows.X), len(rows.Group), n, rows.Width)
	case rows.Weight != nil && len(rows.Weight) != n:
		return errors.New("teaching trees: a weight is missing")
	case c.Trees < 1 || c.Trees > mostTrees || c.Leaves < 2 || c.Leaves > mostLeaves || c.Least < 1:
		return fmt.Errorf("teaching trees: %d trees of %d leaves of %d rows", c.Trees, c.Leaves, c.Least)
	case !(c.Groups > 0 && c.Groups <= 1 && c.Columns > 0 && c.Columns <= 1 && c.Rate > 0 && c.Ridge >= 0):
		return errors.New("teaching trees: a share, the rate or the ridge is out of range")
	}
	return nil
}

// Teach grows a forest, one tree after the other, each against the gradient that those before leave.
func Teach(ctx context.Context, rows Rows, c Course) (*Forest, error) {
	if err := c.check(rows); err != nil {
		return nil, err
	}
	g := newGrower(rows, c)
	base := g.base()
	score := make([]float64, len(rows.Want))
	for i := range score {
		score[i] = base
	}
	var grown []grownTree
	for range c.Trees {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("teaching trees: %w", err)
		}
		g.gradients(score)
		t := g.tree()
		for i := range score {
			score[i] += t.value(g.bins[i*rows.Width : (i+1)*rows.Width])
		}
		grown = append(grown, t)
	}
	return g.forest(base, grown), nil
}

// grower holds what all trees of a forest are grown from.
type grower struct {
	rows    Rows
	course  Course
	r       *rand.Rand
	edges   [][]float32 // of each column: a figure is in the first bin whose edge it does not exceed
	bins    []uint8
	slope   []float64 // of the loss, by row
	bend    []float64 // its curvature
	order   []int32   // the rows of the tree that grows, leaf by leaf
	columns []int
	spare   [][]cell
	aside   []int32
}

func newGrower(rows Rows, c Course) *grower {
	n := len(rows.Want)
	g := &grower{rows: rows, course: c, r: rand.New(rand.NewPCG(c.Seed, 6)), slope: make([]float64, n), bend: make([]float64, n)}
	g.edges, g.bins = binned(rows)
	return g
}

func (g *grower) weight(i int) float64 {
	if g.rows.Weight == nil {
		return 1
	}
	return float64(g.rows.Weight[i])
}

// base is the logit of the mean answer.
func (g *grower) base() float64 {
	sum, all := 0.5, 1.0
	for i, w := range g.rows.Want {
		sum, all = sum+g.weight(i)*float64(w), all+g.weight(i)
	}
	return math.Log(sum / (all - sum))
}

// gradients of the logistic loss.
func (g *grower) gradients(score []float64) {
	for i, z := range score {
		p := 1 / (1 + math.Exp(-z))
		w := g.weight(i)
		g.slope[i], g.bend[i] = w*(p-float64(g.rows.Want[i])), w*max(1e-6, p*(1-p))
	}
}

// draw chooses the rows and the columns of the next tree.
func (g *grower) draw() {
	in := map[int]bool{}
	g.order = g.order[:0]
	for i, k := range g.rows.Group {
		chosen, ok := in[k]
		if !ok {
			chosen = g.r.Float64() < g.course.Groups
			in[k] = chosen
		}
		if chosen {
			g.order = append(g.order, int32(i))
		}
	}
	if len(g.order) == 0 {
		for i := range g.rows.Group {
			g.order = append(g.order, int32(i))
		}
	}
	g.columns = g.r.Perm(g.rows.Width)[:max(1, int(g.course.Columns*float64(g.rows.Width)))]
}

// forest turns the grown trees into one with leaves of 16 bits.
func (g *grower) forest(base float64, grown []grownTree) *Forest {
	most := 1e-9
	for _, t := range grown {
		for _, v := range t.leaves {
			most = max(most, math.Abs(v))
		}
	}
	f := &Forest{Width: g.rows.Width, Base: float32(base), Scale: float32(most / math.MaxInt16)}
	for _, t := range grown {
		if len(t.nodes) == 0 { // nothing was worth a question
			f.Base += float32(t.leaves[0])
			continue
		}
		f.trees = append(f.trees, len(f.nodes))
		first := len(f.leaves)
		for _, n := range t.nodes {
			f.nodes = append(f.nodes, node{
				column: uint16(n.column), threshold: g.edges[n.column][n.bin],
				below: n.below, above: n.above, leaf: first,
			})
		}
		for _, v := range t.leaves {
			f.leaves = append(f.leaves, int16(math.RoundToEven(v/most*math.MaxInt16)))
		}
	}
	return f
}
