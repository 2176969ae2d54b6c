package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"earshot/voice/internal/sound"
	"earshot/voice/internal/wake"
)

// lesson makes teaching material of the words and sentences that keep allows.
func lesson(names []string, words []spoken, sentences []sentence, keep func(spoken) bool, use func(sentence) bool) wake.Lesson {
	mel := sound.NewMel()
	l := wake.Lesson{Clips: make([][][]wake.Clip, len(names))}
	for i, name := range names {
		by := map[string][]wake.Clip{}
		var order []string
		for _, w := range words {
			if w.word != name || !keep(w) {
				continue
			}
			if by[w.cluster] == nil {
				order = append(order, w.cluster)
			}
			for _, speed := range []float64{0.92, 1, 1.08} {
				by[w.cluster] = append(by[w.cluster], clip(mel, w, speed))
			}
		}
		for _, c := range order {
			l.Clips[i] = append(l.Clips[i], by[c])
		}
	}
	for _, s := range sentences {
		if use(s) {
			if p := wake.Spoken(mel.Powers(s.pcm, nil)); p != nil {
				l.Speech = append(l.Speech, p)
			}
		}
	}
	return l
}

// clip makes mel spectra of a take with 0.4 s around it, at another speed.
func clip(mel *sound.Mel, w spoken, speed float64) wake.Clip {
	from := max(0, w.onset-400) * sound.Rate / 1000
	to := min(len(w.pcm), (w.offset+400)*sound.Rate/1000)
	pcm := sound.Speed(w.pcm[from:to], speed)
	frame := func(ms int) int { return int(float64(ms*sound.Rate/1000-from)/speed/sound.Hop + 0.5) }
	return wake.Clip{Powers: mel.Powers(pcm, nil), Onset: frame(w.onset), Offset: min(frame(w.offset), sound.Frames(len(pcm)))}
}

// teachWake trains one network and writes it.
func teachWake(ctx context.Context, root, out string, names []string, seed uint64, steps int, everything, choose bool) error {
	words, err := loadWords(root)
	if err != nil {
		return err
	}
	sentences, err := loadSentences(root)
	if err != nil {
		return err
	}
	held := func(spoken) bool { return false }
	if choose {
		held = heldOut(words)
	}
	l := lesson(names, words, sentences,
		func(w spoken) bool { return everything || w.split == "train" && !held(w) },
		func(s sentence) bool { return everything || s.part == "train" })
	began, sum := time.Now(), 0.0
	m, err := wake.Teach(ctx, l, wake.Course{Steps: steps, Seed: seed, Progress: func(step int, loss float64) {
		if sum += loss; step%100 == 99 {
			fmt.Fprintf(os.Stderr, "%s step %d loss %.4f, %.0f s\n", out, step+1, sum/100, time.Since(began).Seconds())
			sum = 0
		}
	}})
	if err != nil {
		return err
	}
	text, err := m.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644)
}

// heldOut lists takes of the training part that are kept for choosing a recipe: those of every fourth
// cluster of a word. The clusters of the test shall not choose.
func heldOut(words []spoken) func(spoken) bool {
	by := map[string]map[string]bool{}
	for _, w := range words {
		if w.split == "train" {
			if by[w.word] == nil {
				by[w.word] = map[string]bool{}
			}
			by[w.word][w.cluster] = true
		}
	}
	out := map[string]bool{}
	for _, word := range sorted(by) {
		for i, c := range sorted(by[word]) {
			if i%4 == 1 {
				out[word+" "+c] = true
			}
		}
	}
	return func(w spoken) bool { return w.split == "train" && out[w.word+" "+w.cluster] }
}
