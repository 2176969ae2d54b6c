package pcm

import "math"

// resampler changes the rate by a rational factor with a windowed sinc, one set of weights for each
// of the phases that occur (Smith, Digital Audio Resampling, 2002). The pass band ends at 92 % of the
// lower of both Nyquist frequencies, the stop band is at -80 dB.
type resampler struct {
	up, down int // rate out : rate in, in lowest terms
	half     int // samples of input on either side
	phases   int // sets of weights: up, or as many as there is room for
	weights  [][]float32
	buf      []float32
	start    int64 // of buf[0] in the input
	in, out  int64 // samples taken and given
	give     []float32
}

// mostWeights bounds the tables, for rates of which no multiple is near: no usual rate comes near it. Beyond it
// the nearest phase below is taken, which is wrong by less than a hundredth of a sample.
const mostWeights = 1 << 20

// sincLobes is how many zero crossings there are on either side.
const sincLobes = 24

func newResampler(from, to int) *resampler {
	g := gcd(from, to)
	r := &resampler{up: to / g, down: from / g}
	if r.up == r.down {
		return r
	}
	cutoff := 0.92 * math.Min(1, float64(to)/float64(from)) // of the input's Nyquist frequency
	r.half = int(math.Ceil(sincLobes / cutoff))
	r.phases = min(r.up, max(1, mostWeights/(2*r.half)))
	r.weights = make([][]float32, r.phases)
	r.buf, r.start = make([]float32, r.half), -int64(r.half)
	return r
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// phase gives the weights for outputs that lie p/phases of a sample behind an input.
func (r *resampler) phase(p int) []float32 {
	if r.weights[p] != nil {
		return r.weights[p]
	}
	const beta = 8.0
	cutoff := float64(sincLobes) / float64(r.half)
	w := make([]float32, 2*r.half)
	sum := 0.0
	values := make([]float64, len(w))
	for i := range w {
		t := float64(i-r.half+1) - float64(p)/float64(r.phases)
		x := math.Pi * cutoff * t
		v := cutoff
		if x != 0 {
			v = cutoff * math.Sin(x) / x
		}
		edge := t / float64(r.half)
		if edge <= -1 || edge >= 1 {
			v = 0
		} else {
			v *= bessel(beta*math.Sqrt(1-edge*edge)) / bessel(beta)
		}
		values[i] = v
		sum += v
	}
	for i, v := range values {
		w[i] = float32(v / sum)
	}
	r.weights[p] = w
	return w
}

// bessel is the modified Bessel function of order 0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

// push takes samples and returns those that can be told by now. What it returns is valid until the
// next call.
func (r *resampler) push(block []float32) []float32 {
	r.in += int64(len(block))
	if r.weights == nil {
		r.give = append(r.give[:0], block...)
		return r.give
	}
	r.buf = append(r.buf, block...)
	return r.run(math.MaxInt64)
}

// flush returns what is left at the end of the input.
func (r *resampler) flush() []float32 {
	if r.weights == nil {
		return nil
	}
	r.buf = append(r.buf, make([]float32, r.half+1)...)
	return r.run((r.in*int64(r.up) + int64(r.down) - 1) / int64(r.down))
}

func (r *resampler) run(most int64) []float32 {
	r.give = r.give[:0]
	for r.out < most {
		at := r.out * int64(r.down)
		first := at/int64(r.up) - int64(r.half) + 1 - r.start
		if first+int64(2*r.half) > int64(len(r.buf)) {
			break
		}
		w := r.phase(int(at % int64(r.up) * int64(r.phases) / int64(r.up)))
		x := r.buf[first : first+int64(len(w))]
		var a, b float32
		for i := 0; i+1 < len(w); i += 2 {
			a += w[i] * x[i]
			b += w[i+1] * x[i+1]
		}
		r.give = append(r.give, a+b)
		r.out++
	}
	// What no further output needs goes.
	if keep := r.out*int64(r.down)/int64(r.up) - int64(r.half) - r.start; keep > 0 {
		keep = min(keep, int64(len(r.buf)))
		r.buf = append(r.buf[:0], r.buf[keep:]...)
		r.start += keep
	}
	return r.give
}
