package wake

import (
	"math"
	"math/rand/v2"

	"earshot/voice/internal/sound"
)

// Clip is one spoken word: the power mel spectra around it and where in them it is, in frames.
type Clip struct {
	Powers        []float32
	Onset, Offset int
}

// Lesson is what a network is taught from.
type Lesson struct {
	// Clips holds, for each word, the clips of each speaker: speakers are drawn, then clips, so that
	// a speaker with many clips counts as one.
	Clips [][][]Clip
	// Speech is power mel spectra of speech without the words.
	Speech [][]float32
}

const (
	cropFrames = 400
	bands      = sound.Bands
)

// sampler mixes training examples in the power domain: speech, pause, word, pause, speech, with
// another colour for each part, noise over all, echo, and lost bands.
type sampler struct {
	lesson Lesson
	r      *rand.Rand
	power  []float32
	gamma  []float32
	labels [cropFrames]int8
	at     int
	level  leveller
}

func newSampler(l Lesson, seed uint64) *sampler {
	s := &sampler{r: rand.New(rand.NewPCG(seed, 77)), power: make([]float32, cropFrames*bands)}
	s.lesson.Speech = make([][]float32, len(l.Speech))
	for i, p := range l.Speech {
		s.lesson.Speech[i] = relative(p)
	}
	s.lesson.Clips = make([][][]Clip, len(l.Clips))
	for w := range l.Clips {
		for _, speaker := range l.Clips[w] {
			var own []Clip
			for _, c := range speaker {
				own = append(own, Clip{relative(c.Powers), c.Onset, c.Offset})
			}
			s.lesson.Clips[w] = append(s.lesson.Clips[w], own)
		}
	}
	s.gamma = make([]float32, 1<<18)
	for i := range s.gamma {
		for range 5 {
			s.gamma[i] += 0.2 * float32(s.r.ExpFloat64())
		}
	}
	return s
}

// relative is powers over the level of their loud frames.
func relative(powers []float32) []float32 {
	var l leveller
	loud := l.percentile(powers, len(powers)/bands, 80) + 1e-12
	out := make([]float32, len(powers))
	for i, p := range powers {
		out[i] = p / loud
	}
	return out
}

func (s *sampler) uniform(lo, hi float64) float64 { return lo + (hi-lo)*s.r.Float64() }
func (s *sampler) chance(p float64) bool          { return s.r.Float64() < p }

// next writes one example into input (cropFrames*bands) and a label per step, 0 for background,
// -1 for what shall not count.
func (s *sampler) next(input []float32, labels []int8) {
	for i := range s.power {
		s.power[i] = 1e-7
	}
	clear(s.labels[:])
	s.at = s.r.IntN(30)
	if s.chance(0.85) {
		s.speech(30, 200)
		s.at += s.r.IntN(45)
	}
	if s.chance(0.62) && s.at < cropFrames-20 {
		s.word()
		s.at += s.r.IntN(45)
	}
	if s.chance(0.85) {
		s.speech(60, 300)
	}
	if s.chance(0.12) {
		s.telephone()
	}
	s.addNoise()
	if s.chance(0.3) {
		s.echo()
	}
	gain := float32(math.Pow(10, s.uniform(-0.3, 0.3)))
	for i := range s.power {
		s.power[i] *= gain
	}
	s.level.level(s.power, input)
	if s.chance(0.4) {
		s.mask(input)
	}
	for t := range labels {
		labels[t] = s.labels[t*Step]
	}
}

func (s *sampler) mask(input []float32) {
	sum := float32(0)
	for _, v := range input {
		sum += v
	}
	from, n := s.r.IntN(35), 1+s.r.IntN(5)
	for t := range cropFrames {
		for b := from; b < from+n; b++ {
			input[t*bands+b] = sum / float32(len(input))
		}
	}
}

// colour is a smooth curve of gains through five random points of up to depth nepers of power.
func (s *sampler) colour(depth float64, out *[bands]float32) {
	var knots [5]float64
	for i := range knots {
		knots[i] = s.uniform(-depth, depth)
	}
	for b := range out {
		x := float64(b) / (bands - 1) * 4
		i := min(3, int(x))
		out[b] = float32(math.Exp(knots[i] + (knots[i+1]-knots[i])*(x-float64(i))))
	}
}

// put adds a part at the current place, coloured and up to 5 dB louder or quieter.
func (s *sampler) put(part []float32) (start int) {
	var eq [bands]float32
	s.colour(2, &eq)
	gain := float32(math.Pow(10, s.uniform(-0.5, 0.5)))
	for b := range eq {
		eq[b] *= gain
	}
	start = s.at
	frames := max(0, min(len(part)/bands, cropFrames-s.at))
	for t := range frames {
		to, from := s.power[(start+t)*bands:(start+t+1)*bands], part[t*bands:(t+1)*bands]
		for b := range to {
			to[b] += from[b] * eq[b]
		}
	}
	s.at += frames
	return start
}

func (s *sampler) speech(lo, hi float64) {
	p := s.lesson.Speech[s.r.IntN(len(s.lesson.Speech))]
	n := min(len(p)/bands, int(s.uniform(lo, hi)))
	from := s.r.IntN(len(p)/bands - n + 1)
	warped, _ := s.warp(p[from*bands : (from+n)*bands])
	s.put(warped)
}

// warp shifts the spectrum as another vocal tract would, and stretches time.
func (s *sampler) warp(p []float32) (out []float32, stretch float64) {
	stretch = 1
	if s.chance(0.5) {
		stretch = s.uniform(0.75, 1.45)
	}
	shift := 1.0
	if s.chance(0.5) {
		shift = s.uniform(0.85, 1.15)
	}
	frames := len(p) / bands
	n := max(4, int(float64(frames)*stretch))
	out = make([]float32, n*bands)
	var index [bands]int
	var part [bands]float32
	for b := range index {
		x := min(float64(b)*shift, bands-1)
		index[b] = min(int(x), bands-2)
		part[b] = float32(x - float64(index[b]))
	}
	for t := range n {
		row := p[min(int(float64(t)/stretch), frames-1)*bands:]
		to := out[t*bands : (t+1)*bands]
		for b := range to {
			i := index[b]
			to[b] = row[i]*(1-part[b]) + row[i+1]*part[b]
		}
	}
	return out, stretch
}

// pick draws a clip of the word with a little of what surrounds it.
func (s *sampler) pick(w int) Clip {
	speakers := s.lesson.Clips[w]
	own := speakers[s.r.IntN(len(speakers))]
	c := own[s.r.IntN(len(own))]
	from := max(0, c.Onset-s.r.IntN(30))
	to := min(len(c.Powers)/bands, c.Offset+s.r.IntN(30))
	p, f := s.warp(c.Powers[from*bands : to*bands])
	on, off := int(float64(c.Onset-from)*f+0.5), int(float64(c.Offset-from)*f+0.5)
	return Clip{p, on, min(off, len(p)/bands)}
}

// word puts a word, or, as background, half of one or the halves of two.
func (s *sampler) word() {
	w := s.r.IntN(len(s.lesson.Clips))
	c := s.pick(w)
	switch r := s.r.Float64(); {
	case r < 0.07:
		d := s.pick(s.r.IntN(len(s.lesson.Clips)))
		s.put(c.Powers[c.Onset*bands : (c.Onset+c.Offset)/2*bands])
		s.put(d.Powers[(d.Onset+d.Offset)/2*bands : d.Offset*bands])
	case r < 0.17:
		cut := int(float64(c.Offset-c.Onset) * s.uniform(0.3, 0.6))
		if s.chance(0.5) {
			s.put(c.Powers[c.Onset*bands : (c.Onset+cut)*bands])
		} else {
			s.put(c.Powers[(c.Offset-cut)*bands : c.Offset*bands])
		}
	default:
		start := s.put(c.Powers)
		from, to := min(cropFrames, start+c.Onset), min(cropFrames, start+c.Offset)
		label := int8(w + 1)
		if float64(to-from) <= 0.8*float64(c.Offset-c.Onset) {
			label = -1
		}
		for t := from; t < to; t++ {
			s.labels[t] = label
		}
	}
}

// telephone takes away what lies outside 300 to 3,400 Hz.
func (s *sampler) telephone() {
	low, high := s.r.IntN(4), 27+s.r.IntN(3)
	for t := range cropFrames {
		row := s.power[t*bands : (t+1)*bands]
		for b := range row {
			if b < low {
				row[b] *= 0.03
			}
			if b > high {
				row[b] *= 1e-4
			}
		}
	}
}

// addNoise lays coloured noise or a babble of five voices over all, 2 to 42 dB down.
func (s *sampler) addNoise() {
	gain := float32(math.Pow(10, -s.uniform(2, 42)/10))
	if s.chance(0.3) {
		for range 5 {
			p := s.lesson.Speech[s.r.IntN(len(s.lesson.Speech))]
			n := len(p) / bands
			k := s.r.IntN(n)
			for t := range cropFrames {
				to, from := s.power[t*bands:(t+1)*bands], p[k*bands:(k+1)*bands]
				for b := range to {
					to[b] += gain / 5 * from[b]
				}
				if k++; k == n {
					k = 0
				}
			}
		}
		return
	}
	var eq [bands]float32
	s.colour(2.5, &eq)
	mean := float32(0)
	for _, e := range eq {
		mean += e / bands
	}
	k := s.r.IntN(len(s.gamma) - len(s.power))
	for t := range cropFrames {
		to, from := s.power[t*bands:(t+1)*bands], s.gamma[k+t*bands:]
		for b := range to {
			to[b] += gain / mean * eq[b] * from[b]
		}
	}
}

// echo smears each band with an exponential tail.
func (s *sampler) echo() {
	decay := float32(math.Exp(-0.138 / s.uniform(0.2, 0.7)))
	share := float32(s.uniform(0.02, 0.25))
	var tail, before [bands]float32
	copy(before[:], s.power)
	for t := 1; t < cropFrames; t++ {
		row := s.power[t*bands : (t+1)*bands]
		for b := range row {
			tail[b] = decay * (tail[b] + share*before[b])
			before[b] = row[b]
			row[b] += tail[b]
		}
	}
}
