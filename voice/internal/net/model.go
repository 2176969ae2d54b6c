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

// Model is a network in use.
type Model struct {
	Ops []Op `json:"ops"`
}

// Stride is how many steps of the input make one of the output, 0 where the model pools over all.
func (m *Model) Stride() int {
	stride := 1
	for _, op := range m.Ops {
		switch op.Kind {
		case "conv":
			stride *= op.Stride
		case "pool":
			return 0
		}
	}
	return stride
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
	magic     = "earshot-net/2\n"
	maxHeader = 1 << 16
	maxWidth  = 4096
)

// Encode writes the model: weights as 8-bit integers with a scale for each output channel, offsets
// and scales as 32-bit floats.
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
		scale := make([]float32, op.Out)
		for i, w := range op.W {
			scale[i%op.Out] = max(scale[i%op.Out], w/127, -w/127)
		}
		for i, w := range op.W {
			q := 0.0
			if s := scale[i%op.Out]; s > 0 {
				q = math.RoundToEven(float64(w / s))
			}
			out.WriteByte(byte(int8(max(-127, min(127, q)))))
		}
		for _, set := range [][]float32{scale, op.B} {
			for _, v := range set {
				out.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
			}
		}
	}
	return out.Bytes(), nil
}

// Decode reads what Encode wrote. It checks every length against the bytes that remain.
func Decode(text []byte) (*Model, error) {
	rest, ok := bytes.CutPrefix(text, []byte(magic))
	if !ok || len(rest) < 4 {
		return nil, errors.New("reading a network: not an earshot-net/2 file")
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
		if weights+8*op.Out > len(rest) {
			return nil, fmt.Errorf("reading a network, step %d: %d bytes remain", i, len(rest))
		}
		if err := op.fill(rest[:weights+8*op.Out], weights); err != nil {
			return nil, fmt.Errorf("reading a network, step %d: %w", i, err)
		}
		rest = rest[weights+8*op.Out:]
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
	if err := m.checkResiduals(); err != nil {
		return nil, err
	}
	return &m, m.checkReach()
}

// The most that comes into a network, and that may be anywhere in it: an answer of one that goes beyond
// would be no number.
const (
	mostInput = 1e3
	mostReach = 1e30
)

// checkReach makes sure that no step can give more than floats hold, whatever comes in.
func (m *Model) checkReach() error {
	reach, marked := mostInput, 0.0
	for i, op := range m.Ops {
		switch op.Kind {
		case "mark":
			marked = reach
		case "add":
			reach += marked
		case "pool":
			reach *= 2 // a spread
		default:
			sums := make([]float64, op.Out)
			for k, w := range op.W {
				sums[k%op.Out] += math.Abs(float64(w))
			}
			most := 0.0
			for c, sum := range sums {
				most = max(most, sum*reach+math.Abs(float64(op.B[c])))
			}
			reach = most
		}
		if reach > mostReach {
			return fmt.Errorf("reading a network, step %d: weights so large that answers may be no numbers", i)
		}
	}
	return nil
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

// fill reads the op's weights, scales and offsets.
func (op *Op) fill(text []byte, weights int) error {
	op.W, op.B = make([]float32, weights), make([]float32, op.Out)
	floats := text[weights:]
	for i := range 2 * op.Out {
		v := math.Float32frombits(binary.LittleEndian.Uint32(floats[4*i:]))
		if !(v > -1e6 && v < 1e6) {
			return errors.New("a scale or an offset is out of range")
		}
		if i >= op.Out {
			op.B[i-op.Out] = v
			continue
		}
		for k := i; k < weights; k += op.Out {
			op.W[k] = v * float32(int8(text[k]))
		}
	}
	return nil
}
