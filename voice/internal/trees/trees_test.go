package trees

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// drawn is rows of groups of ten whose answer is, mostly, whether two figures have the same sign.
func drawn(n, width int, seed uint64) Rows {
	r := rand.New(rand.NewPCG(seed, 1))
	rows := Rows{Width: width}
	for i := range n {
		x := make([]float32, width)
		for k := range x {
			x[k] = float32(r.NormFloat64())
		}
		want := float32(0)
		if (x[0] > 0) == (x[1] > 0.3) != (r.Float64() < 0.05) {
			want = 1
		}
		rows.X, rows.Want, rows.Group = append(rows.X, x...), append(rows.Want, want), append(rows.Group, i/10)
	}
	return rows
}

func course() Course {
	return Course{Trees: 40, Leaves: 6, Least: 10, Rate: 0.2, Ridge: 1, Groups: 1, Columns: 1, Seed: 3}
}

func teach(tb testing.TB, rows Rows, c Course) *Forest {
	tb.Helper()
	f, err := Teach(tb.Context(), rows, c)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func loss(f *Forest, rows Rows) float64 {
	sum := 0.0
	for i, w := range rows.Want {
		z := float64(f.Logit(rows.X[i*rows.Width : (i+1)*rows.Width]))
		sum += math.Max(z, 0) - z*float64(w) + math.Log1p(math.Exp(-math.Abs(z)))
	}
	return sum / float64(len(rows.Want))
}

// What no single figure tells is learned, and holds for rows that were not there.
func TestAForestLearnsWhatNoSingleFigureTells(t *testing.T) {
	f, fresh := teach(t, drawn(3000, 5, 1), course()), drawn(2000, 5, 2)
	right := 0
	for i, w := range fresh.Want {
		if (f.Logit(fresh.X[i*5:i*5+5]) > 0) == (w > 0.5) {
			right++
		}
	}
	if right < 1800 {
		t.Errorf("%d of 2000 right", right)
	}
}

// The gradients are those of the loss, by differences.
func TestGradients(t *testing.T) {
	rows := drawn(20, 2, 4)
	rows.Weight = make([]float32, 20)
	for i := range rows.Weight {
		rows.Weight[i] = 0.5 + float32(i%3)
	}
	g := newGrower(rows, course())
	score := make([]float64, 20)
	for i := range score {
		score[i] = float64(i)/4 - 2
	}
	g.gradients(score)
	for i, z := range score {
		l := func(z float64) float64 {
			return float64(rows.Weight[i]) * (math.Log1p(math.Exp(z)) - z*float64(rows.Want[i]))
		}
		const h = 1e-3
		slope, bend := (l(z+h)-l(z-h))/(2*h), (l(z+h)-2*l(z)+l(z-h))/(h*h)
		if math.Abs(slope-g.slope[i]) > 1e-5 || math.Abs(bend-g.bend[i]) > 1e-4 {
			t.Errorf("row %d: slope %v, bend %v, by differences %v, %v", i, g.slope[i], g.bend[i], slope, bend)
		}
	}
}

// The first split is the best of all that the edges allow, found by trying each; its leaves are the
// steps of Newton.
func TestTheSplitIsTheBest(t *testing.T) {
	rows := drawn(400, 3, 5)
	c := course()
	c.Leaves, c.Least = 2, 30
	g := newGrower(rows, c)
	g.gradients(make([]float64, 400))
	tree := g.tree()
	best, at := 0.0, grownNode{}
	var values [2]float64
	for column := range 3 {
		for bin := range g.edges[column] {
			var slope, bend, n [2]float64
			for i := range 400 {
				side := 0
				if rows.X[i*3+column] > g.edges[column][bin] {
					side = 1
				}
				slope[side], bend[side], n[side] = slope[side]+g.slope[i], bend[side]+g.bend[i], n[side]+1
			}
			gain := 0.0
			for s := range 2 {
				gain += slope[s] * slope[s] / (bend[s] + c.Ridge)
			}
			if min(n[0], n[1]) >= 30 && gain > best {
				best, at = gain, grownNode{column: column, bin: bin}
				for s := range 2 {
					values[s] = -slope[s] / (bend[s] + c.Ridge) * c.Rate
				}
			}
		}
	}
	got := tree.nodes[0]
	if got.column != at.column || got.bin != at.bin {
		t.Fatalf("split of column %d at %d, best is %d at %d", got.column, got.bin, at.column, at.bin)
	}
	for s, next := range []int8{got.below, got.above} {
		if math.Abs(tree.leaves[^next]-values[s]) > 1e-9 {
			t.Errorf("leaf %d: %v, Newton's step is %v", s, tree.leaves[^next], values[s])
		}
	}
}

// No leaf has fewer rows than asked for, and more trees never fit the rows worse.
func TestLeavesHaveRowsAndTreesHelp(t *testing.T) {
	rows, c := drawn(1500, 4, 6), course()
	last := math.Inf(1)
	for _, n := range []int{1, 5, 20, 60} {
		c.Trees = n
		f := teach(t, rows, c)
		if l := loss(f, rows); l >= last {
			t.Errorf("%d trees: loss %v, before %v", n, l, last)
		} else {
			last = l
		}
	}
	c.Least = 200
	g := newGrower(rows, c)
	g.gradients(make([]float64, 1500))
	tree := g.tree()
	rowsOf := map[float64]int{}
	for i := range 1500 {
		rowsOf[tree.value(g.bins[i*4:i*4+4])]++
	}
	for v, n := range rowsOf {
		if n < 200 {
			t.Errorf("leaf %v has %d rows", v, n)
		}
	}
}

// The same rows and seed give the same bytes; what was written is read as it was, without allocation
// when it answers.
func TestForestsAreWrittenAndRead(t *testing.T) {
	rows, c := drawn(1000, 4, 7), course()
	c.Groups, c.Columns = 0.7, 0.5
	f := teach(t, rows, c)
	text := f.Encode()
	if !bytes.Equal(text, teach(t, rows, c).Encode()) {
		t.Error("taught again, other bytes")
	}
	back, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		x := rows.X[i*4 : i*4+4]
		if f.Logit(x) != back.Logit(x) {
			t.Fatalf("row %d: %v, after reading %v", i, f.Logit(x), back.Logit(x))
		}
	}
	x := rows.X[:4]
	if n := testing.AllocsPerRun(20, func() { back.Logit(x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if c.Trees = 80; teach(t, rows, c).Trees() < 60 {
		t.Error("most trees ask nothing")
	}
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	rows := drawn(50, 2, 8)
	for name, change := range map[string]func(*Rows, *Course){
		"noRows":     func(r *Rows, _ *Course) { *r = Rows{Width: 2} },
		"aFigure":    func(r *Rows, _ *Course) { r.X = r.X[1:] },
		"aWeight":    func(r *Rows, _ *Course) { r.Weight = []float32{1} },
		"noTrees":    func(_ *Rows, c *Course) { c.Trees = 0 },
		"oneLeaf":    func(_ *Rows, c *Course) { c.Leaves = 1 },
		"manyLeaves": func(_ *Rows, c *Course) { c.Leaves = 65 },
		"noGroups":   func(_ *Rows, c *Course) { c.Groups = 0 },
	} {
		r, c := rows, course()
		change(&r, &c)
		if _, err := Teach(t.Context(), r, c); err == nil {
			t.Errorf("%s: taught", name)
		}
	}
}

// Where no answer differs there is nothing to ask: the base alone answers.
func TestAForestOfOneAnswer(t *testing.T) {
	rows := drawn(100, 2, 9)
	for i := range rows.Want {
		rows.Want[i] = 1
	}
	f := teach(t, rows, course())
	if z := f.Logit(rows.X[:2]); z < 2 {
		t.Errorf("logit %v", z)
	}
	if _, err := Decode(f.Encode()); err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	c := course()
	c.Trees = 3
	f.Add(teach(f, drawn(300, 3, 10), c).Encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, text []byte) {
		forest, err := Decode(text)
		if err != nil {
			return
		}
		if !bytes.Equal(forest.Encode(), text) {
			t.Error("written anew, other bytes")
		}
		for _, v := range []float32{0, float32(math.Inf(1)), float32(math.NaN())} {
			x := make([]float32, forest.Width)
			for i := range x {
				x[i] = v
			}
			forest.Logit(x)
		}
	})
}

func BenchmarkLogit(b *testing.B) {
	rows := drawn(2000, 81, 11)
	c := course()
	c.Trees = 220
	f := teach(b, rows, c)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k := i % 2000
		f.Logit(rows.X[k*81 : k*81+81])
	}
}
