package wake

import (
	"math/rand/v2"
	"testing"
)

// noiseLesson is material without sense, of the usual sizes.
func noiseLesson() Lesson {
	r := rand.New(rand.NewPCG(1, 1))
	noise := func(frames int) []float32 {
		out := make([]float32, frames*bands)
		for i := range out {
			out[i] = float32(r.ExpFloat64())
		}
		return out
	}
	var l Lesson
	for range 5 {
		var speakers [][]Clip
		for range 20 {
			speakers = append(speakers, []Clip{{noise(150), 40, 110}})
		}
		l.Clips = append(l.Clips, speakers)
	}
	for range 50 {
		l.Speech = append(l.Speech, noise(400))
	}
	return l
}

// One step of teaching, 32 mixtures of 4 s.
func BenchmarkTeach(b *testing.B) {
	l := noiseLesson()
	b.ResetTimer()
	if _, err := Teach(b.Context(), l, Course{Steps: b.N, Seed: 1}); err != nil {
		b.Fatal(err)
	}
}
