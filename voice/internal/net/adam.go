package net

import "math"

// Adam is Adam with decoupled weight decay and one learning-rate cycle: up from a 25th of Peak in
// the first three tenths, then down to nothing along a cosine. The gradient is cut to length 2.
type Adam struct {
	Peak, Decay float64
	Steps       int
	step        int
}

// Step moves the weights against their gradients and clears the gradients.
func (a *Adam) Step(params []*Param) {
	a.step++
	rate := a.rate()
	norm := 0.0
	for _, p := range params {
		for _, g := range p.G {
			norm += float64(g) * float64(g)
		}
	}
	cut := float32(min(1, 2/(math.Sqrt(norm)+1e-12)))
	const b1, b2 = 0.9, 0.999
	c1, c2 := 1-math.Pow(b1, float64(a.step)), 1-math.Pow(b2, float64(a.step))
	for _, p := range params {
		shrink := float32(1)
		if p.Decay {
			shrink = float32(1 - rate*a.Decay)
		}
		for i, g := range p.G {
			g *= cut
			p.m[i] = b1*p.m[i] + (1-b1)*g
			p.v[i] = b2*p.v[i] + (1-b2)*g*g
			p.W[i] = p.W[i]*shrink - float32(rate*float64(p.m[i])/c1/(math.Sqrt(float64(p.v[i])/c2)+1e-8))
			p.G[i] = 0
		}
	}
}

func (a *Adam) rate() float64 {
	x := float64(a.step) / float64(a.Steps)
	if x < 0.3 {
		return a.Peak * (1 - (1-1.0/25)*(1+math.Cos(math.Pi*x/0.3))/2)
	}
	return a.Peak * (1 + math.Cos(math.Pi*(x-0.3)/0.7)) / 2
}

// CrossEntropy is the mean loss of the steps with a label of at least 0 among the first classes
// channels, with label smoothing; dx gets its gradient.
func CrossEntropy(x *Batch, labels []int8, classes int, smooth float32, dx *Batch) float64 {
	dx.resize(x.N, x.T, x.C)
	loss, count := 0.0, 0
	for _, l := range labels {
		if l >= 0 {
			count++
		}
	}
	scale := 1 / float32(max(1, count))
	p := make([]float32, classes)
	for i, l := range labels {
		if l < 0 {
			continue
		}
		Softmax(x.V[i*x.C:i*x.C+classes], p)
		for c := range p {
			want := smooth / float32(classes)
			if c == int(l) {
				want += 1 - smooth
			}
			loss -= float64(want) * math.Log(float64(p[c])+1e-12)
			dx.V[i*x.C+c] = (p[c] - want) * scale
		}
	}
	return loss / float64(max(1, count))
}

// Logistic is the mean loss of the first channel against want (0 to 1); dx gets its gradient.
func Logistic(x *Batch, want []float32, dx *Batch) float64 {
	dx.resize(x.N, x.T, x.C)
	loss := 0.0
	for i, w := range want {
		z := float64(x.V[i*x.C])
		loss += math.Max(z, 0) - z*float64(w) + math.Log1p(math.Exp(-math.Abs(z)))
		dx.V[i*x.C] = (float32(1/(1+math.Exp(-z))) - w) / float32(len(want))
	}
	return loss / float64(len(want))
}

// Softmax writes the probabilities of the logits x into p.
func Softmax(x, p []float32) {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	sum := float32(0)
	for i, v := range x {
		p[i] = float32(math.Exp(float64(v - top)))
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
}
