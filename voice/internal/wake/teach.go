package wake

import (
	"context"
	"fmt"
	"math/rand/v2"

	"earshot/voice/internal/net"
)

// Course is how long and with what luck a network is taught.
type Course struct {
	Steps int    // of 32 crops of 4 s; 5,000 for the built-in words, 900 from one of their networks
	Seed  uint64 // same seed, same machine, same network
	Peak  float64
	Width int // channels, 64 if 0
	// From, if set, is a network of other words that teaching goes on from: all of it but the answer.
	From *net.Model
	// Progress, if set, hears of each step's loss.
	Progress func(step int, loss float64)
}

// Teach trains a network on the lesson. Its output has one column per word after the first, which
// is the background, and some unused ones.
func Teach(ctx context.Context, l Lesson, c Course) (*net.Model, error) {
	classes := len(l.Clips) + 1
	width := c.Width
	if width == 0 {
		width = 64
	}
	r := rand.New(rand.NewPCG(c.Seed, 1))
	stack := build(classes, width, r)
	params := stack.Params()
	s := newSampler(l, c.Seed)
	const crops, steps = 32, cropFrames / Step
	x := &net.Batch{N: crops, T: cropFrames, C: bands, V: make([]float32, crops*cropFrames*bands)}
	labels := make([]int8, crops*steps)
	if c.From != nil {
		for n := range crops {
			s.next(x.V[n*cropFrames*bands:(n+1)*cropFrames*bands], labels[n*steps:(n+1)*steps])
		}
		if err := c.From.Unfold(stack, x); err != nil {
			return nil, fmt.Errorf("teaching a word: %w", err)
		}
	}
	opt := &net.Adam{Peak: c.Peak, Decay: 0.01, Steps: c.Steps}
	if opt.Peak == 0 {
		opt.Peak = 4e-3
	}
	var dy net.Batch
	var parts [crops][]placed
	shares, background := make([]float32, classes), make([]float32, steps)
	for step := range c.Steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("teaching a word, step %d of %d: %w", step, c.Steps, err)
		}
		for n := range crops {
			s.next(x.V[n*cropFrames*bands:(n+1)*cropFrames*bands], labels[n*steps:(n+1)*steps])
			parts[n] = append(parts[n][:0], s.placed...)
		}
		y := stack.Forward(x, true)
		if step > c.Steps/5 {
			for n := range crops {
				for t := range steps {
					net.Softmax(y.V[(n*steps+t)*y.C:(n*steps+t)*y.C+classes], shares)
					background[t] = shares[0]
				}
				s.learn(background, labels[n*steps:(n+1)*steps], parts[n])
			}
		}
		loss := net.CrossEntropy(y, labels, classes, 0.02, &dy)
		stack.Backward(&dy)
		opt.Step(params)
		if c.Progress != nil {
			c.Progress(step, loss)
		}
	}
	return net.Fold(stack)
}

// build is the network: half the rate, then five residual blocks that look 1.05 s to each side.
func build(classes, width int, r *rand.Rand) net.Stack {
	stack := net.Stack{net.NewConv(bands, width, 5, Step, 1, false, r), net.NewNorm(width, true)}
	for _, dilation := range []int{1, 2, 4, 4, 2} {
		stack = append(stack, &net.Residual{Inner: net.Stack{
			net.NewDepth(width, 9, dilation, r), net.NewNorm(width, true),
			&net.Dropout{P: 0.1, R: r},
			net.NewConv(width, width, 1, 1, 1, false, r), net.NewNorm(width, false),
		}})
	}
	out := (classes + 15) / 16 * 16 // whole vectors
	return append(stack, net.NewConv(width, out, 1, 1, 1, true, r))
}
