package net

import (
	"math"
	"math/rand/v2"
)

// Batch is a set of N sequences of T steps with C channels each.
type Batch struct {
	N, T, C int
	V       []float32
}

// shape makes b hold n*t*c values, whatever they are.
func (b *Batch) shape(n, t, c int) {
	b.N, b.T, b.C, b.V = n, t, c, grow(b.V, n*t*c)
}

// resize makes b hold n*t*c zeros.
func (b *Batch) resize(n, t, c int) {
	b.shape(n, t, c)
	clear(b.V)
}

// Param is a set of weights with its gradient and Adam's two moments.
type Param struct {
	W, G, m, v []float32
	// Decay says whether weight decay applies: to matrices, not to offsets and scales.
	Decay bool
}

func newParam(n int, decay bool) *Param {
	return &Param{W: make([]float32, n), G: make([]float32, n), m: make([]float32, n), v: make([]float32, n), Decay: decay}
}

// Layer is one step of a network in training. Forward keeps what Backward needs; the batch that
// either returns is the layer's own and holds until its next call.
type Layer interface {
	Forward(x *Batch, train bool) *Batch
	Backward(dy *Batch) *Batch
	Params() []*Param
}

// Conv is a convolution over time: Out[t] = sum over taps of In[t*Stride + (tap-Taps/2)*Dilation]
// times a matrix, zeros outside the sequence.
type Conv struct {
	In, Out, Taps, Stride, Dilation int
	W                               *Param // [tap][in][out]
	B                               *Param // nil where a normalisation follows
	padded, dpadded, y, dx          Batch
	turned                          []float32
	length                          int
}

// NewConv draws weights after He.
func NewConv(in, out, taps, stride, dilation int, bias bool, r *rand.Rand) *Conv {
	c := &Conv{In: in, Out: out, Taps: taps, Stride: stride, Dilation: dilation, W: newParam(taps*in*out, true)}
	scale := float32(math.Sqrt(2 / float64(taps*in)))
	for i := range c.W.W {
		c.W.W[i] = scale * float32(r.NormFloat64())
	}
	if bias {
		c.B = newParam(out, false)
	}
	return c
}

// Forward is [Layer].
func (c *Conv) Forward(x *Batch, _ bool) *Batch {
	side := c.Taps / 2 * c.Dilation
	c.length = x.T
	c.padded.resize(x.N, x.T+2*side, x.C)
	steps := (x.T + c.Stride - 1) / c.Stride
	c.y.resize(x.N, steps, c.Out)
	for n := range x.N {
		p := c.padded.V[n*c.padded.T*c.In:]
		copy(p[side*c.In:], x.V[n*x.T*c.In:(n+1)*x.T*c.In])
		y := c.y.V[n*steps*c.Out:]
		if c.B != nil {
			for t := range steps {
				copy(y[t*c.Out:(t+1)*c.Out], c.B.W)
			}
		}
		if c.Dilation == 1 {
			product(y, c.Out, p, c.Stride*c.In, 1, c.W.W, c.Out, steps, c.Out, c.Taps*c.In)
			continue
		}
		for tap := range c.Taps {
			product(y, c.Out, p[tap*c.Dilation*c.In:], c.Stride*c.In, 1, c.W.W[tap*c.In*c.Out:], c.Out, steps, c.Out, c.In)
		}
	}
	return &c.y
}

// Backward is [Layer].
func (c *Conv) Backward(dy *Batch) *Batch {
	side := c.Taps / 2 * c.Dilation
	c.dpadded.resize(dy.N, c.padded.T, c.In)
	c.turned = grow(c.turned, c.Out*c.In)
	for tap := range c.Taps {
		w := c.W.W[tap*c.In*c.Out:]
		for i := range c.In {
			for o := range c.Out {
				c.turned[o*c.In+i] = w[i*c.Out+o]
			}
		}
		for n := range dy.N {
			g := dy.V[n*dy.T*c.Out : (n+1)*dy.T*c.Out]
			at := n*c.padded.T*c.In + tap*c.Dilation*c.In
			product(c.W.G[tap*c.In*c.Out:], c.Out, c.padded.V[at:], 1, c.Stride*c.In, g, c.Out, c.In, c.Out, dy.T)
			product(c.dpadded.V[at:], c.Stride*c.In, g, c.Out, 1, c.turned, c.In, dy.T, c.In, c.Out)
		}
	}
	if c.B != nil {
		for i := 0; i < len(dy.V); i += c.Out {
			for o := range c.Out {
				c.B.G[o] += dy.V[i+o]
			}
		}
	}
	c.dx.shape(dy.N, c.length, c.In)
	for n := range dy.N {
		copy(c.dx.V[n*c.length*c.In:(n+1)*c.length*c.In], c.dpadded.V[(n*c.padded.T+side)*c.In:])
	}
	return &c.dx
}

// Params is [Layer].
func (c *Conv) Params() []*Param {
	if c.B == nil {
		return []*Param{c.W}
	}
	return []*Param{c.W, c.B}
}

func grow(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// Depth is a convolution of each channel by itself.
type Depth struct {
	C, Taps, Dilation      int
	W                      *Param // [tap][channel]
	padded, dpadded, y, dx Batch
	length                 int
}

// NewDepth draws weights after He.
func NewDepth(channels, taps, dilation int, r *rand.Rand) *Depth {
	d := &Depth{C: channels, Taps: taps, Dilation: dilation, W: newParam(taps*channels, true)}
	scale := float32(math.Sqrt(2 / float64(taps)))
	for i := range d.W.W {
		d.W.W[i] = scale * float32(r.NormFloat64())
	}
	return d
}

// Forward is [Layer].
func (d *Depth) Forward(x *Batch, _ bool) *Batch {
	side := d.Taps / 2 * d.Dilation
	d.length = x.T
	d.padded.resize(x.N, x.T+2*side, d.C)
	d.y.resize(x.N, x.T, d.C)
	for n := range x.N {
		p := d.padded.V[n*d.padded.T*d.C : (n+1)*d.padded.T*d.C]
		copy(p[side*d.C:], x.V[n*x.T*d.C:(n+1)*x.T*d.C])
		for t := range x.T {
			y := d.y.V[(n*x.T+t)*d.C : (n*x.T+t+1)*d.C]
			for tap := range d.Taps {
				mulAdd(y, d.W.W[tap*d.C:], p[(t+tap*d.Dilation)*d.C:])
			}
		}
	}
	return &d.y
}

// Backward is [Layer].
func (d *Depth) Backward(dy *Batch) *Batch {
	side := d.Taps / 2 * d.Dilation
	d.dpadded.resize(dy.N, d.padded.T, d.C)
	for n := range dy.N {
		p := d.padded.V[n*d.padded.T*d.C : (n+1)*d.padded.T*d.C]
		dp := d.dpadded.V[n*d.padded.T*d.C : (n+1)*d.padded.T*d.C]
		for t := range dy.T {
			g := dy.V[(n*dy.T+t)*d.C : (n*dy.T+t+1)*d.C]
			for tap := range d.Taps {
				at := (t + tap*d.Dilation) * d.C
				mulAdd(d.W.G[tap*d.C:(tap+1)*d.C], g, p[at:])
				mulAdd(dp[at:at+d.C], g, d.W.W[tap*d.C:])
			}
		}
	}
	d.dx.shape(dy.N, d.length, d.C)
	for n := range dy.N {
		copy(d.dx.V[n*d.length*d.C:(n+1)*d.length*d.C], d.dpadded.V[(n*d.padded.T+side)*d.C:])
	}
	return &d.dx
}

// Params is [Layer].
func (d *Depth) Params() []*Param { return []*Param{d.W} }
