package net

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Op is one step of a network in use: a convolution ("conv"), one per channel ("depth"), the mark
// from which a residual starts ("mark"), its sum with rectification ("add"), or the pooling over
// time ("pool").
type Op struct {
	Kind     string    `json:"kind"`
	In       int       `json:"in,omitempty"`
	Out      int       `json:"out,omitempty"`
	Taps     int       `json:"taps,omitempty"`
	Stride   int       `json:"stride,omitempty"`
	Dilation int       `json:"dilation,omitempty"`
	Rectify  bool      `json:"rectify,omitempty"`
	W        []float32 `json:"-"`
	B        []float32 `json:"-"`
}

// Model is a network in use, with what its file says about it.
type Model struct {
	Note json.RawMessage `json:"note,omitempty"` // the owner's own
	Ops  []Op            `json:"ops"`
}

// Fold turns trained layers into a model: normalisation goes into the convolution before it,
// dropout away.
func Fold(s Stack) (*Model, error) {
	m := &Model{}
	if err := m.fold(s); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Model) fold(s Stack) error {
	for _, l := range s {
		switch l := l.(type) {
		case *Conv:
			op := Op{Kind: "conv", In: l.In, Out: l.Out, Taps: l.Taps, Stride: l.Stride, Dilation: l.Dilation}
			op.W, op.B = append(op.W, l.W.W...), make([]float32, l.Out)
			if l.B != nil {
				copy(op.B, l.B.W)
			}
			m.Ops = append(m.Ops, op)
		case *Depth:
			op := Op{Kind: "depth", In: l.C, Out: l.C, Taps: l.Taps, Stride: 1, Dilation: l.Dilation}
			op.W, op.B = append(op.W, l.W.W...), make([]float32, l.C)
			m.Ops = append(m.Ops, op)
		case *Norm:
			op := &m.Ops[len(m.Ops)-1]
			for c := range l.C {
				a := l.Scale.W[c] / float32(math.Sqrt(float64(l.Variance[c])+normEpsilon))
				for i := c; i < len(op.W); i += l.C {
					op.W[i] *= a
				}
				op.B[c] = op.B[c]*a + l.Shift.W[c] - l.Mean[c]*a
			}
			op.Rectify = l.Rectify
		case *Rectify:
			m.Ops[len(m.Ops)-1].Rectify = true
		case *Residual:
			m.Ops = append(m.Ops, Op{Kind: "mark"})
			if err := m.fold(l.Inner); err != nil {
				return err
			}
			m.Ops = append(m.Ops, Op{Kind: "add"})
		case *Pool:
			m.Ops = append(m.Ops, Op{Kind: "pool"})
		case *Dropout:
		default:
			return fmt.Errorf("folding a layer of type %T: not known", l)
		}
	}
	return nil
}

const (
	magic     = "earshot-net/1\n"
	maxHeader = 1 << 16
	maxWidth  = 4096
)

// Encode writes the model with weights as 16-bit floats.
func (m *Model) Encode() ([]byte, error) {
	head, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding a network: %w", err)
	}
	var out bytes.Buffer
	out.WriteString(magic)
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(head))))
	out.Write(head)
	for _, op := range m.Ops {
		for _, set := range [][]float32{op.W, op.B} {
			for _, w := range set {
				out.Write(binary.LittleEndian.AppendUint16(nil, toHalf(w)))
			}
		}
	}
	return out.Bytes(), nil
}

// Decode reads what Encode wrote. It checks every length against the bytes that remain.
func Decode(text []byte) (*Model, error) {
	rest, ok := bytes.CutPrefix(text, []byte(magic))
	if !ok || len(rest) < 4 {
		return nil, errors.New("reading a network: not an earshot-net/1 file")
	}
	n := binary.LittleEndian.Uint32(rest)
	rest = rest[4:]
	if n > maxHeader || int(n) > len(rest) {
		return nil, fmt.Errorf("reading a network: header of %d bytes, %d remain", n, len(rest))
	}
	var m Model
	if err := json.Unmarshal(rest[:n], &m); err != nil {
		return nil, fmt.Errorf("reading a network's header: %w", err)
	}
	rest = rest[n:]
	channels := 0
	for i := range m.Ops {
		op := &m.Ops[i]
		weights, err := op.weights(channels)
		if err != nil {
			return nil, fmt.Errorf("reading a network, step %d: %w", i, err)
		}
		if (weights+op.Out)*2 > len(rest) {
			return nil, fmt.Errorf("reading a network, step %d: %d bytes remain", i, len(rest))
		}
		op.W, op.B = make([]float32, weights), make([]float32, op.Out)
		for _, set := range [][]float32{op.W, op.B} {
			for k := range set {
				set[k] = fromHalf(binary.LittleEndian.Uint16(rest))
				rest = rest[2:]
			}
		}
		switch op.Kind {
		case "conv", "depth":
			channels = op.Out
		case "pool":
			channels *= 2
		}
	}
	if len(rest) != 0 || len(m.Ops) == 0 || channels == 0 {
		return nil, fmt.Errorf("reading a network: %d bytes left over", len(rest))
	}
	return &m, m.checkResiduals()
}

// weights is how many weights the op has; before is the width of what comes in, 0 at the start.
func (op *Op) weights(before int) (int, error) {
	switch op.Kind {
	case "mark", "add", "pool":
		if op.Out != 0 || before == 0 {
			return 0, fmt.Errorf("%s makes no sense here", op.Kind)
		}
		return 0, nil
	case "conv", "depth":
	default:
		return 0, fmt.Errorf("kind %q is not known", op.Kind)
	}
	sane := func(x, most int) bool { return x >= 1 && x <= most }
	if !sane(op.In, maxWidth) || !sane(op.Out, maxWidth) || !sane(op.Taps, 99) || !sane(op.Stride, 16) || !sane(op.Dilation, 64) || op.Taps%2 == 0 {
		return 0, errors.New("a size is out of range")
	}
	if before != 0 && op.In != before {
		return 0, fmt.Errorf("takes %d channels, %d come", op.In, before)
	}
	if op.Kind == "depth" {
		if op.In != op.Out || op.Stride != 1 {
			return 0, errors.New("a convolution per channel keeps channels and steps")
		}
		return op.Taps * op.In, nil
	}
	return op.Taps * op.In * op.Out, nil
}

// checkResiduals makes sure that each sum adds equals.
func (m *Model) checkResiduals() error {
	width, marked := 0, 0
	for i, op := range m.Ops {
		switch op.Kind {
		case "conv", "depth":
			if marked != 0 && op.Stride != 1 {
				return fmt.Errorf("reading a network, step %d: a stride within a residual", i)
			}
			width = op.Out
		case "mark":
			if marked != 0 {
				return fmt.Errorf("reading a network, step %d: a residual within a residual", i)
			}
			marked = width
		case "add":
			if marked == 0 || marked != width {
				return fmt.Errorf("reading a network, step %d: the sum of %d and %d channels", i, marked, width)
			}
			marked = 0
		case "pool":
			if marked != 0 {
				return fmt.Errorf("reading a network, step %d: pooling within a residual", i)
			}
			width *= 2
		}
	}
	if marked != 0 {
		return errors.New("reading a network: a residual without its sum")
	}
	return nil
}

// toHalf rounds to the nearest 16-bit float; what is too large becomes the largest.
func toHalf(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits >> 16 & 0x8000)
	a := math.Abs(float64(x))
	switch {
	case a >= 65504 || a != a:
		return sign | 0x7bff
	case a < 1.0/(1<<14): // subnormal
		return sign | uint16(math.RoundToEven(a*(1<<24)))
	}
	bits &= 0x7fffffff
	bits += 0xfff + bits>>13&1
	return sign | uint16(bits>>13-(127-15)<<10)
}

func fromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10&31), uint32(h&0x3ff)
	if exp == 0 {
		x := float32(frac) / (1 << 24)
		if sign != 0 {
			x = -x
		}
		return x
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}
