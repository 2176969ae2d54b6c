package child

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
)

// Sample is one recording of one speaker, analysed.
type Sample struct {
	Analysis *sound.Analysis
	Child    bool
	Woman    bool
	Speaker  string
}

// Course is how long and with what luck the networks are taught.
type Course struct {
	Steps    int // of 48 crops for a network over time
	Seed     uint64
	Progress func(step int, loss float64)
}

type speaker struct {
	samples []int
}

// TeachTimed trains a network over time. The samples of the same index modulo variants are taken
// for versions of one another only in that all belong to their speaker.
func TeachTimed(ctx context.Context, all []Sample, c Course) (*net.Model, error) {
	r := rand.New(rand.NewPCG(c.Seed, 2))
	pool := &net.Pool{}
	stack := buildTimed(pool, r)
	params := stack.Params()
	children, women, men := speakers(all)
	if len(children) == 0 || len(women) == 0 || len(men) == 0 {
		return nil, fmt.Errorf("teaching child voices: %d children, %d women, %d men: each is needed", len(children), len(women), len(men))
	}
	f := newFeatures()
	const crops = 48
	opt := &net.Adam{Peak: 3e-3, Decay: 0.02, Steps: c.Steps}
	var x, dy net.Batch
	want := make([]float32, crops)
	for step := range c.Steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("teaching child voices: %w", err)
		}
		frames := 100 + r.IntN(200)
		size := crops * frames * Inputs
		x = net.Batch{N: crops, T: frames, C: Inputs, V: sized(x.V, size)}
		clear(x.V)
		pool.Mask = sized(pool.Mask, crops*frames)
		clear(pool.Mask)
		for n := range crops {
			group := children
			want[n] = 0.95
			if n%2 == 1 {
				want[n] = 0.05
				if group = women; r.Float64() > 0.68 {
					group = men
				}
			}
			who := group[r.IntN(len(group))]
			a := all[who.samples[r.IntN(len(who.samples))]].Analysis
			crop(a, f, r, frames, x.V[n*frames*Inputs:(n+1)*frames*Inputs], pool.Mask[n*frames:(n+1)*frames])
		}
		y := stack.Forward(&x, true)
		loss := net.Logistic(y, want, &dy)
		stack.Backward(&dy)
		opt.Step(params)
		if c.Progress != nil {
			c.Progress(step, loss)
		}
	}
	return net.Fold(stack)
}

func buildTimed(pool *net.Pool, r *rand.Rand) net.Stack {
	const width, wide = 48, 64
	return net.Stack{
		net.NewConv(Inputs, width, 5, 1, 1, false, r), net.NewNorm(width, true),
		net.NewConv(width, width, 3, 1, 2, false, r), net.NewNorm(width, true), &net.Dropout{P: 0.15, R: r},
		net.NewConv(width, width, 3, 1, 3, false, r), net.NewNorm(width, true), &net.Dropout{P: 0.15, R: r},
		net.NewConv(width, wide, 1, 1, 1, false, r), net.NewNorm(wide, true),
		pool,
		&net.Dropout{P: 0.3, R: r}, net.NewConv(2*wide, 32, 1, 1, 1, true, r), &net.Rectify{},
		&net.Dropout{P: 0.3, R: r}, net.NewConv(32, 1, 1, 1, 1, true, r),
	}
}

// speakers groups the samples by speaker, in the order of first appearance.
func speakers(all []Sample) (children, women, men []speaker) {
	at := map[string]int{}
	groups := [3]*[]speaker{&children, &women, &men}
	for i, s := range all {
		g := 2
		if s.Child {
			g = 0
		} else if s.Woman {
			g = 1
		}
		k, ok := at[s.Speaker]
		if !ok {
			k = len(*groups[g])
			at[s.Speaker] = k
			*groups[g] = append(*groups[g], speaker{})
		}
		(*groups[g])[k].samples = append((*groups[g])[k].samples, i)
	}
	return children, women, men
}

// crop writes a random stretch with random damage.
func crop(a *sound.Analysis, f *features, r *rand.Rand, frames int, out, mask []float32) {
	first := slices.Index(a.Active, true)
	if first < 0 {
		return
	}
	last := a.Frames()
	for !a.Active[last-1] {
		last--
	}
	first, last = max(0, first-5), min(a.Frames(), last+5)
	from, to := first, last
	if last-first > frames {
		from = first + r.IntN(last-first-frames+1)
		to = from + frames
	}
	logs := f.logPowers(a, from, to)
	damage(logs, r)
	x, active := f.timed(a, logs, from, to)
	copy(out, x)
	for t, on := range active {
		if on {
			mask[t] = 1
		}
	}
}

// damage changes log spectra: colour, lost highs, noise, a hidden band.
func damage(logs []float32, r *rand.Rand) {
	const bands = sound.Bands
	frames := len(logs) / bands
	curve := func(depth float64, knots int) [bands]float32 {
		k := make([]float64, knots)
		for i := range k {
			k[i] = (2*r.Float64() - 1) * depth
		}
		var out [bands]float32
		for b := range out {
			x := float64(b) / (bands - 1) * float64(knots-1)
			i := min(knots-2, int(x))
			out[b] = float32(k[i] + (k[i+1]-k[i])*(x-float64(i)))
		}
		return out
	}
	if r.Float64() < 0.5 {
		c := curve(1.6, 6)
		for i := range logs {
			logs[i] += c[i%bands]
		}
	}
	if r.Float64() < 0.25 {
		high := 26 + r.IntN(13)
		for i := range logs {
			if i%bands >= high {
				logs[i] -= 6
			}
		}
	}
	if r.Float64() < 0.4 {
		c := curve(2, 5)
		var means []float32
		for t := range frames {
			sum := 0.0
			for _, v := range logs[t*bands : (t+1)*bands] {
				sum += math.Exp(float64(v)) / bands
			}
			means = append(means, float32(sum))
		}
		slices.Sort(means)
		level := float64(sound.Percentile(means, 85)) * math.Pow(10, -(5+25*r.Float64())/10)
		total := 0.0
		for _, v := range c {
			total += math.Exp(float64(v)) / bands
		}
		for i, v := range logs {
			g := (r.ExpFloat64() + r.ExpFloat64() + r.ExpFloat64() + r.ExpFloat64()) / 4
			logs[i] = float32(math.Log(math.Exp(float64(v)) + level/total*math.Exp(float64(c[i%bands]))*g + 1e-9))
		}
	}
	if r.Float64() < 0.5 {
		sum := float32(0)
		for _, v := range logs {
			sum += v / float32(len(logs))
		}
		from := r.IntN(36)
		to := from + 1 + r.IntN(4)
		for i := range logs {
			if b := i % bands; b >= from && b < to {
				logs[i] = sum
			}
		}
	}
}
