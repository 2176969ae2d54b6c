package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"earshot/voice/internal/child"
	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
)

// scored is one judged stretch of a speaker whom the networks had not heard.
type scored struct {
	Speaker string  `json:"speaker"`
	Gender  string  `json:"gender"`
	Age     int     `json:"age"`
	Suspect bool    `json:"suspect,omitempty"`
	Damage  string  `json:"damage"`
	Frames  int     `json:"window"` // 0: the whole recording
	Length  int     `json:"length"` // frames
	File    int     `json:"file"`
	Timed   float64 `json:"timed"`
	Pooled  float64 `json:"pooled"`
}

const (
	folds       = 5
	childNets   = 2
	pooledNets  = 5
	childCopies = 3 // damaged versions of each recording in training
)

// fold is the part of a speaker in the cross-validation.
func fold(s sentence, order map[string]int) int { return order[s.speaker] % folds }

// speakerOrder numbers the speakers so that consecutive numbers are alike in age and sex.
func speakerOrder(all []sentence) map[string]int {
	order := map[string]int{}
	for _, s := range dealt(all) {
		order[s.speaker] = len(order)
	}
	return order
}

// analysed makes the samples of one recording: itself and damaged versions.
func analysed(s sentence, babble []float32, a *sound.Analysis, r *rand.Rand) []child.Sample {
	var out []child.Sample
	for k := range childCopies + 1 {
		pcm := s.pcm
		if k > 0 {
			pcm = randomDamage(pcm, babble, r)
		}
		a.Run(pcm)
		out = append(out, child.Sample{Analysis: a.Copy(), Child: s.child(), Woman: s.gender == "f", Speaker: s.speaker})
	}
	return out
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

// teachChild cross-validates over speakers, writes the scores, then trains on all speakers.
func teachChild(ctx context.Context, root, out, scores string, steps int, only int) error {
	sentences, err := loadSentences(root)
	if err != nil {
		return err
	}
	order := speakerOrder(sentences)
	began := time.Now()
	r := rand.New(rand.NewPCG(11, 12))
	a := sound.NewAnalysis()
	samples := make([][]child.Sample, len(sentences))
	var babble []float32
	for i, s := range sentences {
		if i%5 == 0 && s.age >= 18 {
			babble = append(babble, s.pcm...)
		}
	}
	for i, s := range sentences {
		if !s.suspect && !s.teen() {
			samples[i] = analysed(s, babble, a, r)
		}
	}
	fmt.Fprintf(os.Stderr, "analysed in %.0f s\n", time.Since(began).Seconds())
	for k := range folds + 1 {
		if only >= 0 && k != only {
			continue
		}
		var mine []child.Sample
		for i, s := range sentences {
			if k == folds || fold(s, order) != k {
				mine = append(mine, samples[i]...)
			}
		}
		timed, pooled, scaling, err := childNetworks(ctx, mine, steps, k)
		if err != nil {
			return err
		}
		if k == folds {
			return writeChild(out, timed, pooled, scaling)
		}
		judge := child.NewJudge(timed, pooled, scaling)
		var all []scored
		for i, s := range sentences {
			if fold(s, order) == k {
				all = append(all, scoreSentence(judge, a, s, i, babble)...)
			}
		}
		text, err := json.Marshal(all)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(scores, fmt.Sprintf("child-%d.json", k)), text, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "fold %d done after %.0f s\n", k, time.Since(began).Seconds())
	}
	return nil
}

func childNetworks(ctx context.Context, mine []child.Sample, steps, k int) (timed, pooled []*net.Model, scaling child.Scaling, err error) {
	pooled, scaling, err = child.TeachPooled(ctx, mine, pooledNets)
	if err != nil {
		return nil, nil, scaling, err
	}
	for seed := range childNets {
		sum := 0.0
		m, err := child.TeachTimed(ctx, mine, child.Course{Steps: steps, Seed: uint64(100*k + seed), Progress: func(step int, loss float64) {
			if sum += loss; step%200 == 199 {
				fmt.Fprintf(os.Stderr, "fold %d network %d step %d loss %.4f\n", k, seed, step+1, sum/200)
				sum = 0
			}
		}})
		if err != nil {
			return nil, nil, scaling, err
		}
		timed = append(timed, m)
	}
	return timed, pooled, scaling, nil
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

func scoreSentence(judge *child.Judge, a *sound.Analysis, s sentence, file int, babble []float32) []scored {
	var out []scored
	add := func(damage string, frames, from, to int) {
		if p, ok := judge.Score(a, from, to); ok {
			out = append(out, scored{s.speaker, s.gender, s.age, s.suspect, damage, frames, to - from, file, p.Timed, p.Pooled})
		}
	}
	r := rand.New(rand.NewPCG(21, uint64(file)))
	for _, d := range damages() {
		a.Run(damaged(d, s.pcm, babble, r))
		add(d, 0, 0, a.Frames())
		if d != "clean" {
			continue
		}
		first := max(0, slices.Index(a.Active, true))
		for _, n := range []int{100, 300} {
			for from := first; from+n <= a.Frames(); from += n {
				active := 0
				for t := from; t < from+n; t++ {
					if a.Active[t] {
						active++
					}
				}
				if active*10 >= n*4 {
					add(d, n, from, from+n)
				}
			}
		}
	}
	return out
}

func writeChild(dir string, timed, pooled []*net.Model, scaling child.Scaling) error {
	for kind, models := range map[string][]*net.Model{"timed": timed, "pooled": pooled} {
		for i, m := range models {
			text, err := m.Encode()
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("child-%s-%d.net", kind, i+1)), text, 0o644); err != nil {
				return err
			}
		}
	}
	text, err := json.Marshal(scaling)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "child-scaling.json"), append(text, '\n'), 0o644)
}
