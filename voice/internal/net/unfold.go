package net

import (
	"errors"
	"math"
)

// errOther means: the layers are not those that the model was folded from.
var errOther = errors.New("unfolding a network: it has other layers")

// Unfold puts a model's weights into the layers of s, so that they may be trained on: all but those of the
// last layer, which stays as it is. Folding took the normalisations away; here they get the figures of the
// batch x, and the scales and offsets with which x gives what it gives in the model.
func (m *Model) Unfold(s Stack, x *Batch) error {
	if len(s) == 0 {
		return errOther
	}
	u := unfolding{ops: m.Ops}
	if err := u.stack(s[:len(s)-1], x); err != nil {
		return err
	}
	if len(u.ops) != 1 {
		return errOther
	}
	return nil
}

// unfolding walks over what is left of a model's steps.
type unfolding struct{ ops []Op }

func (u *unfolding) take(kind string) (Op, bool) {
	if len(u.ops) == 0 || u.ops[0].Kind != kind {
		return Op{}, false
	}
	op := u.ops[0]
	u.ops = u.ops[1:]
	return op, true
}

func (u *unfolding) stack(s Stack, x *Batch) error {
	var offsets []float32 // of the convolution before
	for _, l := range s {
		var op Op
		var weights *Param
		ok := true
		switch l := l.(type) {
		case *Conv:
			op, ok = u.take("conv")
			weights = l.W
		case *Depth:
			op, ok = u.take("depth")
			weights = l.W
		case *Norm:
			if len(offsets) != l.C {
				return errOther
			}
			l.adopt(x, offsets)
		case *Dropout:
		case *Residual:
			if _, ok = u.take("mark"); !ok {
				return errOther
			}
			if err := u.stack(l.Inner, x); err != nil {
				return err
			}
			_, ok = u.take("add")
		default:
			return errOther
		}
		if weights != nil {
			ok = ok && len(op.W) == len(weights.W)
			copy(weights.W, op.W)
			offsets = op.B
		}
		if !ok {
			return errOther
		}
		x = l.Forward(x, false)
	}
	return nil
}

// adopt takes the figures of x, and gives x plus the offsets.
func (n *Norm) adopt(x *Batch, offsets []float32) {
	n.measure(x)
	for c := range n.C {
		n.Mean[c] = n.mean[c]
		n.Variance[c] = max(0, 1/(n.inv[c]*n.inv[c])-normEpsilon)
		n.Scale.W[c] = float32(math.Sqrt(float64(n.Variance[c]) + normEpsilon))
		n.Shift.W[c] = offsets[c] + n.mean[c]
	}
}
