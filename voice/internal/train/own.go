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

// damagedSet is mixtures under one condition, with their spectra.
type damagedSet struct {
	kind    string
	all     []mixture
	spectra [][]float32
}

func damagedAll(all []mixture, kind string, babble []float32) damagedSet {
	s := damagedSet{kind: kind, all: all}
	mel := sound.NewMel()
	for i, m := range all {
		s.spectra = append(s.spectra, mel.Powers(under(kind, m, babble, uint64(i)), nil))
	}
	return s
}

func (s damagedSet) judged(d *wake.Detector) []found {
	var out []found
	for i, m := range s.all {
		out = append(out, judge(d, m, s.spectra[i]))
	}
	return out
}

// ownNets are the networks that measureOwn measures: taught from a number of takes, and those of half of
// the words, with whose figures takes of the other half are compared.
type ownNets struct {
	few       map[int]*net.Model
	half      [2]*net.Model
	words     []spoken
	sentences []sentence
}

// teachOwn gives the networks, from files if they were made before.
func teachOwn(ctx context.Context, root, scores string) (n ownNets, err error) {
	if n.words, err = loadWords(root); err != nil {
		return n, err
	}
	if n.sentences, err = loadSentences(root); err != nil {
		return n, err
	}
	names, words, train := builtIn(), n.words, only(n.sentences, "train")
	n.few = map[int]*net.Model{}
	for _, k := range fewTakes() {
		if n.few[k], err = taught(ctx, filepath.Join(scores, fmt.Sprintf("own-%d.net", k)), names, few(names, words, k, 1), train, 900); err != nil {
			return n, err
		}
	}
	for i, other := range [][]string{names[3:], names[:3]} {
		if n.half[i], err = taught(ctx, filepath.Join(scores, fmt.Sprintf("half-%d.net", i)), other, few(other, words, 1000, 1), train, 1200); err != nil {
			return n, err
		}
	}
	return n, nil
}

func fewTakes() []int { return []int{5, 20, 50} }

// measureOwn prints what an enrolled word can do: networks from 5, 20 and 50 takes, and comparing
// with 1, 3 and 5 takes by the figures of networks that know other words only.
func measureOwn(ctx context.Context, root, scores string, versions int) error {
	nets, err := teachOwn(ctx, root, scores)
	if err != nil {
		return err
	}
	names, words, sentences := builtIn(), nets.words, nets.sentences
	babble := babbleOf(only(sentences, "train"))
	made := composites(words, only(sentences, "test"), 2, func(w spoken) bool { return w.split == "dev" }, 7)
	for _, kind := range []string{"clean", "noise10"} {
		negative := damagedAll(without(only(sentences, "threshold"), versions, 0), kind, babble)
		other := damagedAll(without(only(sentences, "test"), versions, 0), kind, babble)
		positive := damagedAll(made, kind, babble)
		for _, k := range fewTakes() {
			d := wake.NewDetector(wordsOf(names, words), nets.few[k])
			thresholds(d.Words, negative.judged(d))
			all := positive.judged(d)
			limit := func(f found) float32 { return d.Words[slices.Index(names, f.word)].Found }
			report(fmt.Sprintf("own word, network from %d takes, %s", k, kind), "%s", interval(all, func(f found) bool { return f.at() && f.hit.Score >= limit(f) }))
			falseAlarms(d, kind, other.judged(d))
			for w := range d.Words { // what the product takes for found at least
				d.Words[w].Found, d.Words[w].Uncertain = 0.6, 0.35
			}
			report("  with the thresholds of a word that nothing was said against", "%s", interval(all, func(f found) bool { return f.at() && f.hit.Score >= 0.6 }))
			falseAlarms(d, kind, other.judged(d))
		}
		short := damagedSet{kind, negative.all[:len(negative.all)/3], negative.spectra[:len(negative.all)/3]}
		for i, half := range [][]string{names[:3], names[3:]} {
			for _, k := range []int{1, 3, 5} {
				compareOwn(half, words, k, nets.half[i], short, positive)
			}
		}
	}
	return nil
}

// compareOwn measures comparing with k takes.
func compareOwn(names []string, words []spoken, k int, m *net.Model, negative, positive damagedSet) {
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
		for _, p := range negative.spectra {
			match.Scan(p)
			scores = append(scores, match.Best().Score)
		}
		slices.Sort(scores)
		limit := scores[len(scores)-1] + 1e-4
		limits, doubts = append(limits, limit), append(doubts, scores[len(scores)*995/1000])
		for i, c := range positive.all {
			if c.word != name {
				continue
			}
			match.Scan(positive.spectra[i])
			f := found{word: c.word, cluster: c.cluster, onset: c.onset, offset: c.offset, hit: match.Best()}
			f.scores = []float32{limit}
			all = append(all, f)
		}
	}
	report(fmt.Sprintf("own word, compared with %d takes, %s, %v", k, positive.kind, names), "%s, thresholds %.2f, half a per cent of clips %.2f", interval(all, func(f found) bool { return f.at() && f.hit.Score >= f.scores[0] }), limits, doubts)
}
