package net

import (
	"math"
	"math/rand/v2"
)

const normEpsilon = 1e-5

// Norm is batch normalisation, with a rectifier after it if Rectify is set. In use it is folded
// into the convolution before it.
type Norm struct {
	C              int
	Rectify        bool
	Scale, Shift   *Param
	Mean, Variance []float32 // running figures
	x              *Batch
	y, dx          Batch
	mean, inv      []float32
}

// NewNorm is the identity at first.
func NewNorm(channels int, rectify bool) *Norm {
	n := &Norm{
		C: channels, Rectify: rectify, Scale: newParam(channels, false), Shift: newParam(channels, false),
		Mean: make([]float32, channels), Variance: make([]float32, channels),
		mean: make([]float32, channels), inv: make([]float32, channels),
	}
	for c := range channels {
		n.Scale.W[c], n.Variance[c] = 1, 1
	}
	return n
}

// Forward is [Layer].
func (n *Norm) Forward(x *Batch, train bool) *Batch {
	n.x = x
	n.y.resize(x.N, x.T, x.C)
	if train {
		n.measure(x)
	} else {
		for c := range n.C {
			n.mean[c], n.inv[c] = n.Mean[c], float32(1/math.Sqrt(float64(n.Variance[c])+normEpsilon))
		}
	}
	a, b := make([]float32, n.C), make([]float32, n.C)
	for c := range n.C {
		a[c] = n.Scale.W[c] * n.inv[c]
		b[c] = n.Shift.W[c] - n.mean[c]*a[c]
	}
	for i := 0; i < len(x.V); i += n.C {
		row, out := x.V[i:i+n.C], n.y.V[i:i+n.C]
		copy(out, b)
		mulAdd(out, row, a)
		if n.Rectify {
			for c := range out {
				out[c] = max(0, out[c])
			}
		}
	}
	return &n.y
}

// measure takes mean and variance of the batch, and lets the running figures follow.
func (n *Norm) measure(x *Batch) {
	count := float32(len(x.V) / n.C)
	sum, square := make([]float32, n.C), make([]float32, n.C)
	ones := make([]float32, n.C)
	for c := range ones {
		ones[c] = 1
	}
	for i := 0; i < len(x.V); i += n.C {
		mulAdd(sum, x.V[i:i+n.C], ones)
	}
	diff := make([]float32, n.C)
	for c := range sum {
		n.mean[c] = sum[c] / count
	}
	for i := 0; i < len(x.V); i += n.C {
		row := x.V[i : i+n.C]
		for c := range row {
			diff[c] = row[c] - n.mean[c]
		}
		mulAdd(square, diff, diff)
	}
	for c := range n.C {
		v := square[c] / count
		n.inv[c] = float32(1 / math.Sqrt(float64(v)+normEpsilon))
		n.Mean[c] += 0.1 * (n.mean[c] - n.Mean[c])
		n.Variance[c] += 0.1 * (v - n.Variance[c])
	}
}

// Backward is [Layer], after a Forward in training.
func (n *Norm) Backward(dy *Batch) *Batch {
	n.dx.resize(dy.N, dy.T, dy.C)
	count := float32(len(dy.V) / n.C)
	g, hat := make([]float32, n.C), make([]float32, n.C)
	sum, dot := make([]float32, n.C), make([]float32, n.C)
	ones := make([]float32, n.C)
	for c := range ones {
		ones[c] = 1
	}
	for i := 0; i < len(dy.V); i += n.C {
		in, x, y := dy.V[i:i+n.C], n.x.V[i:i+n.C], n.y.V[i:i+n.C]
		for c := range g {
			g[c] = in[c]
			if n.Rectify && y[c] <= 0 {
				g[c] = 0
			}
			hat[c] = (x[c] - n.mean[c]) * n.inv[c]
		}
		mulAdd(sum, g, ones)
		mulAdd(dot, g, hat)
	}
	for c := range n.C {
		n.Shift.G[c] += sum[c]
		n.Scale.G[c] += dot[c]
	}
	for i := 0; i < len(dy.V); i += n.C {
		in, x, y, out := dy.V[i:i+n.C], n.x.V[i:i+n.C], n.y.V[i:i+n.C], n.dx.V[i:i+n.C]
		for c := range out {
			gc := in[c]
			if n.Rectify && y[c] <= 0 {
				gc = 0
			}
			h := (x[c] - n.mean[c]) * n.inv[c]
			out[c] = n.Scale.W[c] * n.inv[c] * (gc - sum[c]/count - h*dot[c]/count)
		}
	}
	return &n.dx
}

// Params is [Layer].
func (n *Norm) Params() []*Param { return []*Param{n.Scale, n.Shift} }

// Dropout leaves out values with probability P in training.
type Dropout struct {
	P       float32
	R       *rand.Rand
	keep    []float32
	y, dx   Batch
	trained bool
}

// Forward is [Layer].
func (d *Dropout) Forward(x *Batch, train bool) *Batch {
	d.trained = train
	if !train {
		return x
	}
	d.y.resize(x.N, x.T, x.C)
	d.keep = grow(d.keep, len(x.V))
	limit := uint64(float64(d.P) * (1 << 16))
	scale := 1 / (1 - d.P)
	var bits uint64
	for i := range x.V {
		if i&3 == 0 {
			bits = d.R.Uint64()
		}
		d.keep[i] = 0
		if bits&0xffff >= limit {
			d.keep[i] = scale
		}
		bits >>= 16
	}
	mulAdd(d.y.V, x.V, d.keep)
	return &d.y
}

// Backward is [Layer].
func (d *Dropout) Backward(dy *Batch) *Batch {
	if !d.trained {
		return dy
	}
	d.dx.resize(dy.N, dy.T, dy.C)
	mulAdd(d.dx.V, dy.V, d.keep)
	return &d.dx
}

// Params is [Layer].
func (d *Dropout) Params() []*Param { return nil }

// Stack is layers one after the other.
type Stack []Layer

// Forward is [Layer].
func (s Stack) Forward(x *Batch, train bool) *Batch {
	for _, l := range s {
		x = l.Forward(x, train)
	}
	return x
}

// Backward is [Layer].
func (s Stack) Backward(dy *Batch) *Batch {
	for i := len(s) - 1; i >= 0; i-- {
		dy = s[i].Backward(dy)
	}
	return dy
}

// Params is [Layer].
func (s Stack) Params() []*Param {
	var all []*Param
	for _, l := range s {
		all = append(all, l.Params()...)
	}
	return all
}

// Residual is rectify(x + inner(x)).
type Residual struct {
	Inner Stack
	y, g  Batch
}

// Forward is [Layer].
func (r *Residual) Forward(x *Batch, train bool) *Batch {
	h := r.Inner.Forward(x, train)
	r.y.resize(x.N, x.T, x.C)
	for i := range h.V {
		r.y.V[i] = max(0, h.V[i]+x.V[i])
	}
	return &r.y
}

// Backward is [Layer].
func (r *Residual) Backward(dy *Batch) *Batch {
	r.g.resize(dy.N, dy.T, dy.C)
	for i := range dy.V {
		if r.y.V[i] > 0 {
			r.g.V[i] = dy.V[i]
		}
	}
	inner := r.Inner.Backward(&r.g)
	for i := range inner.V {
		r.g.V[i] += inner.V[i]
	}
	return &r.g
}

// Params is [Layer].
func (r *Residual) Params() []*Param { return r.Inner.Params() }

// Rectify is max(0, x).
type Rectify struct{ y, dx Batch }

// Forward is [Layer].
func (r *Rectify) Forward(x *Batch, _ bool) *Batch {
	r.y.resize(x.N, x.T, x.C)
	for i, v := range x.V {
		r.y.V[i] = max(0, v)
	}
	return &r.y
}

// Backward is [Layer].
func (r *Rectify) Backward(dy *Batch) *Batch {
	r.dx.resize(dy.N, dy.T, dy.C)
	for i, v := range dy.V {
		if r.y.V[i] > 0 {
			r.dx.V[i] = v
		}
	}
	return &r.dx
}

// Params is [Layer].
func (r *Rectify) Params() []*Param { return nil }
