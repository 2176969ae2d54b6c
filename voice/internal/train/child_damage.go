package main

import (
	"math/rand/v2"

	"earshot/voice/internal/child"
	"earshot/voice/internal/sound"
)

// Damaged versions of each recording in training: some of all kinds, more with noise alone in the
// main, of which the networks over figures learn the most.
const (
	childCopies = 3
	noisyCopies = 3
)

// analysed makes the samples of one recording: itself, damaged versions and noisy ones.
func analysed(s sentence, babble []float32, a *sound.Analysis, r, noise *rand.Rand) []child.Sample {
	var out []child.Sample
	for k := range 1 + childCopies + noisyCopies {
		pcm := s.pcm
		switch {
		case k > childCopies:
			pcm = noisyDamage(pcm, babble, noise)
		case k > 0:
			pcm = randomDamage(pcm, babble, r)
		}
		a.Run(pcm)
		out = append(out, child.Sample{Analysis: a.Copy(), Child: s.child(), Woman: s.gender == "f", Speaker: s.speaker})
	}
	return out
}

func noisyDamage(x, babble []float32, r *rand.Rand) []float32 {
	if r.Float64() < 0.3 {
		x = sound.Colour(x, 8, r)
	}
	if r.Float64() < 0.2 {
		x = sound.Reverb(x, 0.2+0.5*r.Float64(), 8*r.Float64(), r)
	}
	x = sound.AddNoise(x, someNoise(len(x), babble, r), 4+14*r.Float64())
	if r.Float64() < 0.15 {
		x = sound.Telephone(x)
	}
	return gained(x, -20+30*r.Float64())
}

func randomDamage(x, babble []float32, r *rand.Rand) []float32 {
	if r.Float64() < 0.5 {
		x = sound.Colour(x, 8, r)
	}
	if r.Float64() < 0.4 {
		x = sound.Reverb(x, 0.2+0.5*r.Float64(), 8*r.Float64(), r)
	}
	if r.Float64() < 0.25 {
		x = sound.Telephone(x)
	}
	if r.Float64() < 0.8 {
		x = sound.AddNoise(x, someNoise(len(x), babble, r), 3+27*r.Float64())
	}
	return gained(x, -20+30*r.Float64())
}

// someNoise is pink, white, brown or the babble of five voices.
func someNoise(n int, babble []float32, r *rand.Rand) []float32 {
	kind := r.IntN(4)
	if kind < 3 {
		return sound.Noise(n, float64(kind), r)
	}
	out := make([]float32, n)
	for range 5 {
		from := r.IntN(len(babble) - n)
		loud := float32(sound.Loudness(babble[from:from+n])) + 1e-4
		for i := range out {
			out[i] += babble[from+i] / loud
		}
	}
	return out
}

// damages are the conditions of the measurement.
func damages() []string {
	return []string{"clean", "noise10", "telephone", "colour", "reverb", "gain-20", "gain+12"}
}

func damaged(kind string, x, babble []float32, r *rand.Rand) []float32 {
	switch kind {
	case "noise10":
		return sound.AddNoise(x, someNoise(len(x), babble, r), 10)
	case "noise20":
		return sound.AddNoise(x, someNoise(len(x), babble, r), 20)
	case "telephone":
		return sound.Telephone(x)
	case "colour":
		return sound.Colour(x, 8, r)
	case "reverb":
		return sound.Reverb(x, 0.45, 3, r)
	case "gain-20":
		return gained(x, -20)
	case "gain+12":
		return gained(x, 12)
	}
	return x
}

// gained is louder by db decibels, clipped and rounded to 16 bits.
func gained(x []float32, db float64) []float32 {
	g := float32(pow10(db / 20))
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(int32(max(-1, min(1, v*g))*32767)) / 32768
	}
	return out
}
