package net

import "math"

// Pool is the mean and the standard deviation over the steps that Mask marks, one after the other:
// T becomes 1 and C doubles. Set Mask (N*T, 0 or 1) before Forward.
type Pool struct {
	Mask  []float32
	x     *Batch
	y, dx Batch
	count []float32
}

const poolFloor = 1e-4 // of the variance

// Forward is [Layer].
func (p *Pool) Forward(x *Batch, _ bool) *Batch {
	p.x = x
	p.y.resize(x.N, 1, 2*x.C)
	p.count = grow(p.count, x.N)
	for n := range x.N {
		mean, dev := p.y.V[n*2*x.C:n*2*x.C+x.C], p.y.V[n*2*x.C+x.C:(n+1)*2*x.C]
		count := float32(0)
		for t := range x.T {
			if p.Mask[n*x.T+t] > 0 {
				count++
				for c, v := range x.V[(n*x.T+t)*x.C : (n*x.T+t+1)*x.C] {
					mean[c] += v
				}
			}
		}
		count = max(1, count)
		p.count[n] = count
		for c := range mean {
			mean[c] /= count
		}
		for t := range x.T {
			if p.Mask[n*x.T+t] > 0 {
				for c, v := range x.V[(n*x.T+t)*x.C : (n*x.T+t+1)*x.C] {
					dev[c] += (v - mean[c]) * (v - mean[c])
				}
			}
		}
		for c := range dev {
			dev[c] = float32(math.Sqrt(float64(dev[c]/count) + poolFloor))
		}
	}
	return &p.y
}

// Backward is [Layer].
func (p *Pool) Backward(dy *Batch) *Batch {
	x := p.x
	p.dx.resize(x.N, x.T, x.C)
	for n := range x.N {
		mean, dev := p.y.V[n*2*x.C:], p.y.V[n*2*x.C+x.C:]
		gm, gd := dy.V[n*2*x.C:], dy.V[n*2*x.C+x.C:]
		for t := range x.T {
			if p.Mask[n*x.T+t] > 0 {
				at := (n*x.T + t) * x.C
				for c := range x.C {
					p.dx.V[at+c] = (gm[c] + gd[c]*(x.V[at+c]-mean[c])/dev[c]) / p.count[n]
				}
			}
		}
	}
	return &p.dx
}

// Params is [Layer].
func (p *Pool) Params() []*Param { return nil }
