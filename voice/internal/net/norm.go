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
	y, dx, gate    Batch
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
	n.y.shape(x.N, x.T, x.C)
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
			rectify(out)
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
	n.dx.shape(dy.N, dy.T, dy.C)
	g := dy.V
	if n.Rectify {
		n.gate.shape(dy.N, dy.T, dy.C)
		gated(n.gate.V, dy.V, n.y.V)
		g = n.gate.V
	}
	count := float32(len(g) / n.C)
	ones, shift := make([]float32, n.C), make([]float32, n.C)
	for c := range ones {
		ones[c], shift[c] = 1, -n.mean[c]
	}
	sum, dot, centred := make([]float32, n.C), make([]float32, n.C), make([]float32, n.C)
	for i := 0; i < len(g); i += n.C {
		copy(centred, shift)
		mulAdd(centred, n.x.V[i:i+n.C], ones)
		mulAdd(sum, g[i:i+n.C], ones)
		mulAdd(dot, g[i:i+n.C], centred)
	}
	// The gradient is a*g + b*x + d, for each channel.
	a, b, d := make([]float32, n.C), make([]float32, n.C), make([]float32, n.C)
	for c := range n.C {
		dot[c] *= n.inv[c]
		n.Shift.G[c] += sum[c]
		n.Scale.G[c] += dot[c]
		a[c] = n.Scale.W[c] * n.inv[c]
		b[c] = -a[c] * n.inv[c] * dot[c] / count
		d[c] = -a[c]*sum[c]/count - b[c]*n.mean[c]
	}
	for i := 0; i < len(g); i += n.C {
		out := n.dx.V[i : i+n.C]
		copy(out, d)
		mulAdd(out, g[i:i+n.C], a)
		mulAdd(out, n.x.V[i:i+n.C], b)
	}
	return &n.dx
}

// gated is g where y, which is not negative, is above zero, and zero elsewhere. Without a branch: the
// signs are as good as random.
func gated(out, g, y []float32) {
	g, y = g[:len(out)], y[:len(out)]
	for i := range out {
		above := uint32(-int32(math.Float32bits(y[i])) >> 31)
		out[i] = math.Float32frombits(math.Float32bits(g[i]) & above)
	}
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
	d.y.shape(x.N, x.T, x.C)
	d.keep = grow(d.keep, len(x.V))
	limit := uint64(float64(d.P) * (1 << 16))
	scale := 1 / (1 - d.P)
	choice := [2]float32{0, scale}
	var bits uint64
	for i, v := range x.V {
		if i&3 == 0 {
			bits = d.R.Uint64()
		}
		k := choice[(limit-1-bits&0xffff)>>63] // 1 where the bits are at least limit
		d.keep[i], d.y.V[i] = k, k*v
		bits >>= 16
	}
	return &d.y
}

// Backward is [Layer].
func (d *Dropout) Backward(dy *Batch) *Batch {
	if !d.trained {
		return dy
	}
	d.dx.shape(dy.N, dy.T, dy.C)
	for i, g := range dy.V {
		d.dx.V[i] = g * d.keep[i]
	}
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
	r.y.shape(x.N, x.T, x.C)
	for i, v := range x.V {
		r.y.V[i] = h.V[i] + v
	}
	rectify(r.y.V)
	return &r.y
}

// Backward is [Layer].
func (r *Residual) Backward(dy *Batch) *Batch {
	r.g.shape(dy.N, dy.T, dy.C)
	gated(r.g.V, dy.V, r.y.V)
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
