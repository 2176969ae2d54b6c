package net

import "math"

// Runner runs a model on one sequence after the other, without allocation once it has seen the
// longest. One Runner serves one goroutine.
type Runner struct {
	ops       []Op
	x, y      []float32
	mark, pad []float32
}

// NewRunner prepares a runner; the model must not change afterwards.
func NewRunner(m *Model) *Runner { return &Runner{ops: m.Ops} }

// Run feeds steps rows of the model's input and returns the output's rows, which hold until the
// next call. Where the model pools, mask says which steps count.
func (r *Runner) Run(in []float32, steps int, mask []bool) (out []float32, rows int) {
	return r.run(r.ops, in, steps, mask)
}

// Embed is Run without the last step: the layer before the answer.
func (r *Runner) Embed(in []float32, steps int, mask []bool) (out []float32, rows int) {
	return r.run(r.ops[:len(r.ops)-1], in, steps, mask)
}

func (r *Runner) run(ops []Op, in []float32, steps int, mask []bool) (out []float32, rows int) {
	x := in
	for i := range ops {
		op := &ops[i]
		switch op.Kind {
		case "mark":
			r.mark = append(r.mark[:0], x...)
			continue
		case "add":
			for k := range x {
				x[k] = max(0, x[k]+r.mark[k])
			}
			continue
		case "pool":
			r.y = pool(grow(r.y, 2*len(x)/steps), x, steps, mask)
			steps = 1
		case "conv":
			next := (steps + op.Stride - 1) / op.Stride
			r.y = r.conv(op, grow(r.y, next*op.Out), x, steps, next)
			steps = next
		case "depth":
			r.y = r.depth(op, grow(r.y, steps*op.Out), x, steps)
		}
		r.x, r.y = r.y, r.x
		x = r.x
	}
	return x, steps
}

// widen copies x with side empty rows before and after.
func (r *Runner) widen(x []float32, side, width int) []float32 {
	r.pad = grow(r.pad, len(x)+2*side*width)
	clear(r.pad[:side*width])
	copy(r.pad[side*width:], x)
	clear(r.pad[side*width+len(x):])
	return r.pad
}

func (r *Runner) conv(op *Op, y, x []float32, steps, next int) []float32 {
	if op.Taps > 1 {
		x = r.widen(x[:steps*op.In], op.Taps/2*op.Dilation, op.In)
	}
	for t := range next {
		copy(y[t*op.Out:(t+1)*op.Out], op.B)
	}
	if op.Dilation == 1 {
		product(y, op.Out, x, op.Stride*op.In, 1, op.W, op.Out, next, op.Out, op.Taps*op.In)
	} else {
		for tap := range op.Taps {
			product(y, op.Out, x[tap*op.Dilation*op.In:], op.Stride*op.In, 1, op.W[tap*op.In*op.Out:], op.Out, next, op.Out, op.In)
		}
	}
	if op.Rectify {
		rectify(y)
	}
	return y
}

func (r *Runner) depth(op *Op, y, x []float32, steps int) []float32 {
	x = r.widen(x[:steps*op.In], op.Taps/2*op.Dilation, op.In)
	for t := range steps {
		row := y[t*op.Out : (t+1)*op.Out]
		copy(row, op.B)
		for tap := range op.Taps {
			mulAdd(row, op.W[tap*op.In:], x[(t+tap*op.Dilation)*op.In:])
		}
	}
	if op.Rectify {
		rectify(y)
	}
	return y
}

// rectify is max(0, x), without a branch: the signs are as good as random.
func rectify(x []float32) {
	for i, v := range x {
		bits := math.Float32bits(v)
		x[i] = math.Float32frombits(bits &^ uint32(int32(bits)>>31))
	}
}

func pool(y, x []float32, steps int, mask []bool) []float32 {
	width := len(x) / steps
	clear(y)
	mean, dev := y[:width], y[width:2*width]
	count := float32(0)
	for t := range steps {
		if mask[t] {
			count++
			for c, v := range x[t*width : (t+1)*width] {
				mean[c] += v
			}
		}
	}
	count = max(1, count)
	for c := range mean {
		mean[c] /= count
	}
	for t := range steps {
		if mask[t] {
			for c, v := range x[t*width : (t+1)*width] {
				dev[c] += (v - mean[c]) * (v - mean[c])
			}
		}
	}
	for c := range dev {
		dev[c] = float32(math.Sqrt(float64(dev[c]/count) + poolFloor))
	}
	return y
}
