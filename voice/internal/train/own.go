package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
	"earshot/voice/internal/wake"
)

// few keeps count takes of each word, of as many speakers as there are.
func few(names []string, words []spoken, count int, seed uint64) []spoken {
	var out []spoken
	for _, name := range names {
		by := map[string][]spoken{}
		for _, w := range words {
			if w.word == name && w.split == "train" {
				by[w.cluster] = append(by[w.cluster], w)
			}
		}
		clusters := sorted(by)
		r := rand.New(rand.NewPCG(seed, 61))
		r.Shuffle(len(clusters), func(i, j int) { clusters[i], clusters[j] = clusters[j], clusters[i] })
		for _, c := range clusters {
			r.Shuffle(len(by[c]), func(i, j int) { by[c][i], by[c][j] = by[c][j], by[c][i] })
		}
		for round, n := 0, 0; n < count; round++ {
			before := n
			for _, c := range clusters {
				if round < len(by[c]) && n < count {
					out = append(out, by[c][round])
					n++
				}
			}
			if n == before {
				break
			}
		}
	}
	return out
}

// taught gives a network for some words from some takes, from a file if it was made before.
func taught(ctx context.Context, path string, names []string, words []spoken, speech []sentence, steps int) (*net.Model, error) {
	if text, err := os.ReadFile(path); err == nil {
		return net.Decode(text)
	}
	l := lesson(names, words, speech, func(spoken) bool { return true }, func(sentence) bool { return true })
	m, err := wake.Teach(ctx, l, wake.Course{Steps: steps, Seed: 1})
	if err != nil {
		return nil, err
	}
	text, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return m, os.WriteFile(path, text, 0o644)
}

// measureOwn prints what an enrolled word can do: networks from 5, 20 and 50 takes, and comparing
// with 1, 3 and 5 takes by the figures of networks that know other words only.
func measureOwn(ctx context.Context, root, scores string, versions int) error {
	words, err := loadWords(root)
	if err != nil {
		return err
	}
	sentences, err := loadSentences(root)
	if err != nil {
		return err
	}
	names := builtIn()
	train := only(sentences, "train")
	babble := babbleOf(train)
	negatives := without(only(sentences, "threshold"), versions, 0)
	made := composites(words, only(sentences, "test"), 2, func(w spoken) bool { return w.split == "dev" }, 7)
	for _, k := range []int{5, 20, 50} {
		m, err := taught(ctx, filepath.Join(scores, fmt.Sprintf("own-%d.net", k)), names, few(names, words, k, 1), train, 900)
		if err != nil {
			return err
		}
		d := wake.NewDetector(wordsOf(names, words), m)
		for _, kind := range []string{"clean", "noise10"} {
			thresholds(d.Words, scan(d, negatives, kind, babble))
			report(fmt.Sprintf("own word, network from %d takes, %s", k, kind), "%s", interval(scan(d, made, kind, babble), func(f found) bool {
				return f.at() && f.hit.Score >= d.Words[slices.Index(names, f.word)].Found
			}))
		}
	}
	halves := [][]string{names[:3], names[3:]}
	for i, half := range halves {
		other := halves[1-i]
		m, err := taught(ctx, filepath.Join(scores, fmt.Sprintf("half-%d.net", i)), other, few(other, words, 1000, 1), train, 1200)
		if err != nil {
			return err
		}
		for _, k := range []int{1, 3, 5} {
			for _, kind := range []string{"clean", "noise10"} {
				compareOwn(half, words, k, kind, m, negatives, made, babble)
			}
		}
	}
	return nil
}

// compareOwn measures comparing with k takes.
func compareOwn(names []string, words []spoken, k int, kind string, m *net.Model, negatives, made []mixture, babble []float32) {
	mel := sound.NewMel()
	var all []found
	var limits, doubts []float32
	for _, name := range names {
		match := wake.NewMatcher(wake.Word{Name: name}, nil, m)
		for _, w := range few([]string{name}, words, k, 1) {
			c := clip(mel, w, 1)
			match.Templates = append(match.Templates, match.Take(c.Powers, c.Onset, c.Offset))
		}
		var scores []float32
		for i, n := range negatives {
			match.Scan(mel.Powers(under(kind, n, babble, uint64(i)), nil))
			scores = append(scores, match.Best().Score)
		}
		slices.Sort(scores)
		limit := scores[len(scores)-1] + 1e-4
		limits, doubts = append(limits, limit), append(doubts, scores[len(scores)*995/1000])
		for i, c := range made {
			if c.word != name {
				continue
			}
			match.Scan(mel.Powers(under(kind, c, babble, uint64(i)), nil))
			f := found{word: c.word, cluster: c.cluster, onset: c.onset, offset: c.offset, hit: match.Best()}
			f.scores = []float32{limit}
			all = append(all, f)
		}
	}
	report(fmt.Sprintf("own word, compared with %d takes, %s, %v", k, kind, names), "%s, thresholds %.2f, half a per cent of clips %.2f", interval(all, func(f found) bool { return f.at() && f.hit.Score >= f.scores[0] }), limits, doubts)
}
