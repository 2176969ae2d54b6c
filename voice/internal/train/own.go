package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
	"earshot/voice/internal/wake"
)

// few keeps count takes of each word, of as many speakers as there are among those for training that may
// be used.
func few(names []string, words []spoken, count int, use func(spoken) bool) []spoken {
	var out []spoken
	for _, name := range names {
		by := map[string][]spoken{}
		for _, w := range words {
			if w.word == name && w.split == "train" && use(w) {
				by[w.cluster] = append(by[w.cluster], w)
			}
		}
		clusters := sorted(by)
		r := rand.New(rand.NewPCG(1, 61))
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

// cached gives the networks of a name, from files if they were made before.
func cached(dir, name string, count int, make func() ([]*net.Model, error)) ([]*net.Model, error) {
	path := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%s-%d.net", name, i+1)) }
	var out []*net.Model
	for i := range count {
		text, err := os.ReadFile(path(i))
		if err != nil {
			break
		}
		m, err := net.Decode(text)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if len(out) == count {
		return out, nil
	}
	made, err := make()
	if err != nil {
		return nil, err
	}
	for i, m := range made {
		text, err := m.Encode()
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path(i), text, 0o644); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(os.Stderr, "taught %s\n", name)
	return made, nil
}

// trunkSteps is how long the networks are taught from which words of one's own are. Those of the product
// know five words and were taught for longer.
const trunkSteps = 1200

// ownNets are the networks that measureOwn measures.
type ownNets struct {
	taught    map[string][]*net.Model // by word and number of takes
	trunks    [2][]*net.Model         // that know other words than those of the half
	words     []spoken
	sentences []sentence
	test      func(spoken) bool // takes to measure on
}

func (n ownNets) use(w spoken) bool { return !n.test(w) }

// halves are the words in two parts: each is taught from networks that know the other part only.
func halves() [2][]string { return [2][]string{builtIn()[:3], builtIn()[3:]} }

func fewTakes() []int { return []int{5, 20, 50} }

func ownKey(word string, takes int) string {
	return fmt.Sprintf("own-%s-%d", word, takes)
}

// teachOwn gives the networks, as the product teaches them, from files if they were made before. To choose
// a recipe it measures on takes of the training part, and teaches from others of it.
func teachOwn(ctx context.Context, root, scores string, choose bool, takes []int) (n ownNets, err error) {
	if n.words, err = loadWords(root); err != nil {
		return n, err
	}
	if n.sentences, err = loadSentences(root); err != nil {
		return n, err
	}
	n.test = func(w spoken) bool { return w.split == "dev" }
	if choose {
		n.test = heldOut(n.words)
	}
	everything := func(names []string, words []spoken) wake.Lesson {
		return lesson(names, words, only(n.sentences, "train"), func(spoken) bool { return true }, func(sentence) bool { return true })
	}
	n.taught = map[string][]*net.Model{}
	for h, names := range halves() {
		other := halves()[1-h]
		n.trunks[h], err = cached(scores, fmt.Sprintf("trunk-%d", h), wake.OwnTrunks, func() ([]*net.Model, error) {
			var out []*net.Model
			l := everything(other, few(other, n.words, 1000, func(spoken) bool { return true }))
			for i := range wake.OwnTrunks {
				m, err := wake.Teach(ctx, l, wake.Course{Steps: trunkSteps, Seed: uint64(1 + i)})
				if err != nil {
					return nil, err
				}
				out = append(out, m)
			}
			return out, nil
		})
		if err != nil {
			return n, err
		}
		for _, name := range names {
			for _, k := range takes {
				n.taught[ownKey(name, k)], err = cached(scores, ownKey(name, k), wake.OwnTrunks, func() ([]*net.Model, error) {
					one := []string{name}
					return wake.TeachFrom(ctx, everything(one, few(one, n.words, k, n.use)), n.trunks[h], wake.Course{Steps: wake.OwnSteps, Seed: 1})
				})
				if err != nil {
					return n, err
				}
			}
		}
	}
	return n, nil
}

// heardSet is mixtures under one condition, with their spectra: several networks hear them.
type heardSet struct {
	kind    string
	all     []mixture
	spectra [][]float32
}

func hearAll(all []mixture, kind string, babble []float32) heardSet {
	s := heardSet{kind: kind, all: all, spectra: make([][]float32, len(all))}
	each(len(all), func() func(int) {
		mel := sound.NewMel()
		return func(i int) { s.spectra[i] = mel.Powers(under(kind, all[i], babble, uint64(i)), nil) }
	})
	return s
}

// each calls what begin gives for 0 to n-1, on all cores: once it has begun on each.
func each(n int, begin func() func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			do := begin()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

func (s heardSet) judged(d *wake.Detector) []found {
	out := make([]found, len(s.all))
	each(len(out), func() func(int) {
		d := d.Clone()
		return func(i int) { out[i] = judge(d, s.all[i], s.spectra[i]) }
	})
	return out
}

// of keeps the mixtures of a word.
func (s heardSet) of(word string) heardSet {
	out := heardSet{kind: s.kind}
	for i, m := range s.all {
		if m.word == word {
			out.all, out.spectra = append(out.all, m), append(out.spectra, s.spectra[i])
		}
	}
	return out
}

// ownConditions are those under which thresholds are set and words of one's own are measured.
func ownConditions() []string { return []string{"clean", "noise20", "noise10"} }

// measureOwn prints what an enrolled word can do: networks from 5, 20 and 50 takes, and comparing
// with 1, 3 and 5 takes by the figures of networks that know other words only.
func measureOwn(ctx context.Context, root, scores string, versions int, choose bool, takes []int) error {
	nets, err := teachOwn(ctx, root, scores, choose, takes)
	if err != nil {
		return err
	}
	part := "test"
	if choose {
		part = "threshold"
	}
	babble := babbleOf(only(nets.sentences, "train"))
	made := composites(nets.words, only(nets.sentences, part), 2, nets.test, 7)
	var negative, other, positive []heardSet
	for i, kind := range ownConditions() {
		negative = append(negative, hearAll(without(only(nets.sentences, "threshold"), versions, uint64(i)), kind, babble))
		other = append(other, hearAll(without(only(nets.sentences, "test"), max(1, versions/2), uint64(50+i)), kind, babble))
		positive = append(positive, hearAll(made, kind, babble))
	}
	for _, k := range takes {
		nets.measureTaught(k, negative, other, positive)
	}
	for i, p := range positive {
		if p.kind == "noise20" {
			continue
		}
		short := heardSet{p.kind, negative[i].all[:len(negative[i].all)/4], negative[i].spectra[:len(negative[i].all)/4]}
		for h, half := range halves() {
			for _, k := range []int{1, 3, 5} {
				nets.compareOwn(half, k, nets.trunks[h][0], short, p)
			}
		}
	}
	return nil
}

// measureTaught measures the words taught from k takes, each by itself.
func (n ownNets) measureTaught(k int, negative, other, positive []heardSet) {
	recall, alarms, hours := map[string][]found{}, map[string]int{}, map[string]float64{}
	uncertain := map[string]int{}
	for _, name := range builtIn() {
		d := wake.NewDetector(wordsOf([]string{name}, few([]string{name}, n.words, k, n.use)), n.taught[ownKey(name, k)]...)
		var sets [][]found
		for _, s := range negative {
			sets = append(sets, s.judged(d))
		}
		weigh(d.Words, sets[0], sets[len(sets)-1], nil, sets...)
		thresholds(d.Words, sets...)
		for i, s := range positive {
			for _, f := range s.of(name).judged(d) {
				f.scores = []float32{d.Words[0].Found, d.Words[0].Uncertain}
				recall[s.kind] = append(recall[s.kind], f)
			}
			for _, f := range other[i].judged(d) {
				hours[s.kind] += f.length / 3600
				if f.scores[0] >= d.Words[0].Found {
					alarms[s.kind]++
				}
				if f.scores[0] >= d.Words[0].Uncertain {
					uncertain[s.kind]++
				}
			}
		}
		report(fmt.Sprintf("  %s, %d takes", name, k), "%+v", d.Words[0])
	}
	for i, kind := range ownConditions() {
		all := recall[kind]
		report(fmt.Sprintf("own word from %d takes, %s", k, kind), "%s; %.2f false alarms an hour and word (%d in %.1f h)",
			interval(all, func(f found) bool { return f.at() && f.hit.Score >= f.scores[0] }), float64(alarms[kind])/hours[kind], alarms[kind], hours[kind])
		report("  found or uncertain", "%s; %.2f %% of clips without it", interval(all, func(f found) bool { return f.at() && f.hit.Score >= f.scores[1] }),
			100*float64(uncertain[kind])/float64(len(other[i].all)*len(builtIn())))
		for _, name := range builtIn() {
			own := slices.DeleteFunc(slices.Clone(all), func(f found) bool { return f.word != name })
			report("    "+name, "%s", interval(own, func(f found) bool { return f.at() && f.hit.Score >= f.scores[0] }))
		}
	}
}

// compareOwn measures comparing with k takes.
func (n ownNets) compareOwn(names []string, k int, m *net.Model, negative, positive heardSet) {
	mel := sound.NewMel()
	var all []found
	var limits, doubts []float32
	for _, name := range names {
		match := wake.NewMatcher(wake.Word{Name: name}, nil, m)
		for _, w := range few([]string{name}, n.words, k, n.use) {
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
