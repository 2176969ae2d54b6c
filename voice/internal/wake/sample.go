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
	placed []placed    // the speech of the present example
	hard   [][]float32 // stretches of speech that were taken for a word
}

// placed is speech as it was put into the present example.
type placed struct {
	start int // frame
	part  []float32
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
	s.placed = s.placed[:0]
	s.at = s.r.IntN(30)
	if s.chance(0.8) {
		s.speech(30, 200)
		s.at += s.r.IntN(45)
	}
	if s.chance(0.62) && s.at < cropFrames-20 {
		s.word()
		s.at += s.r.IntN(45)
	}
	if s.chance(0.8) {
		s.speech(60, 300)
	}
	if s.chance(0.3) {
		s.echo()
	}
	s.addNoise()
	if s.chance(0.25) {
		s.telephone()
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

// speech puts a stretch of a sentence, or pieces of several, so that more than what the speakers said
// is heard, or what was taken for a word before.
func (s *sampler) speech(lo, hi float64) {
	if len(s.hard) > 0 && s.chance(0.25) {
		s.place(s.hard[s.r.IntN(len(s.hard))])
		return
	}
	left := int(s.uniform(lo, hi))
	pieces := s.chance(0.3)
	for left >= 10 {
		p := s.lesson.Speech[s.r.IntN(len(s.lesson.Speech))]
		n := min(len(p)/bands, left)
		if pieces {
			n = min(n, 15+s.r.IntN(45))
		}
		from := s.r.IntN(len(p)/bands - n + 1)
		s.place(p[from*bands : (from+n)*bands])
		if left -= n; !pieces {
			return
		}
	}
}

func (s *sampler) place(p []float32) {
	warped, _ := s.warp(p)
	s.placed = append(s.placed, placed{s.put(warped), warped})
}

// Hard stretches: how many are kept, and how many frames around the worst one.
const (
	mostHard   = 300
	hardFrames = 75
)

// learn keeps the stretch of speech in which background was least believed, if it was not by far.
// background has a probability per step of an example, whose speech is in parts.
func (s *sampler) learn(background []float32, labels []int8, parts []placed) {
	const window = 12 // steps
	worst, at, sum := float32(0.5*window), -1, float32(0)
	for t := range background {
		doubt := 1 - background[t]
		if labels[t] != 0 {
			doubt = -window
		}
		sum += doubt
		if t >= window {
			old := 1 - background[t-window]
			if labels[t-window] != 0 {
				old = -window
			}
			sum -= old
		}
		if sum > worst {
			worst, at = sum, (t-window/2)*Step
		}
	}
	for _, p := range parts {
		if i := at - p.start; at >= 0 && i >= 0 && i < len(p.part)/bands {
			from, to := max(0, i-hardFrames), min(len(p.part)/bands, i+hardFrames)
			kept := append([]float32(nil), p.part[from*bands:to*bands]...)
			if len(s.hard) < mostHard {
				s.hard = append(s.hard, kept)
			} else {
				s.hard[s.r.IntN(mostHard)] = kept
			}
			return
		}
	}
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
