package wake

import "math"

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

// telephone takes away what lies outside 300 to 3,400 Hz, and lays the steps of 8 bits under the
// rest: a noise of all bands that follows the level, 28 to 45 dB down.
func (s *sampler) telephone() {
	low, high := s.r.IntN(5), 26+s.r.IntN(4)
	under := float32(math.Pow(10, -s.uniform(1.5, 5)))
	steps := float32(math.Pow(10, -s.uniform(2.8, 4.5)))
	k := s.r.IntN(len(s.gamma) - len(s.power))
	for t := range cropFrames {
		row, noise := s.power[t*bands:(t+1)*bands], s.gamma[k+t*bands:]
		level := float32(0)
		for b, p := range row {
			level += p / bands
			if b < low || b > high {
				row[b] *= under
			}
		}
		for b := range row {
			row[b] += steps * level * noise[b]
		}
	}
}

// addNoise lays coloured noise or a babble of voices over all: half of the time 3 to 15 dB down, else
// 10 to 45.
func (s *sampler) addNoise() {
	down := s.uniform(10, 45)
	if s.chance(0.5) {
		down = s.uniform(3, 15)
	}
	gain := float32(math.Pow(10, -down/10))
	if s.chance(0.4) {
		s.babble(gain)
		return
	}
	var eq [bands]float32
	s.colour(1.8, &eq)
	tilt, mean := 0.0, float32(0)
	if s.chance(0.6) {
		tilt = s.uniform(0, 4)
	}
	for b := range eq {
		eq[b] *= float32(math.Exp(-tilt * float64(b) / bands))
		mean += eq[b] / bands
	}
	k := s.r.IntN(len(s.gamma) - len(s.power))
	for t := range cropFrames {
		to, from := s.power[t*bands:(t+1)*bands], s.gamma[k+t*bands:]
		for b := range to {
			to[b] += gain / mean * eq[b] * from[b]
		}
	}
}

// babble lays two to six voices over all.
func (s *sampler) babble(gain float32) {
	voices := 2 + s.r.IntN(5)
	for range voices {
		p := s.lesson.Speech[s.r.IntN(len(s.lesson.Speech))]
		n := len(p) / bands
		k := s.r.IntN(n)
		for t := range cropFrames {
			to, from := s.power[t*bands:(t+1)*bands], p[k*bands:(k+1)*bands]
			for b := range to {
				to[b] += gain / float32(voices) * from[b]
			}
			if k++; k == n {
				k = 0
			}
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
