package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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

// cached gives the network of a name, from a file if it was made before: as it is written, with weights of 8 bits.
func cached(dir, name string, make func() (*net.Model, error)) (*net.Model, error) {
	path := filepath.Join(dir, name+".net")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		m, err := make()
		if err != nil {
			return nil, err
		}
		if text, err = m.Encode(); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s taught %s\n", time.Now().Format("15:04"), name)
		return net.Decode(text)
	}
	if err != nil {
		return nil, err
	}
	return net.Decode(text)
}

// trunkSteps is how long the networks are taught from which words of one's own are. Those of the product
// know five words and were taught for longer.
const trunkSteps = 700

// ownNets are the networks that measureOwn measures.
type ownNets struct {
	taught    map[string][]*net.Model // by word and number of takes
	trunks    map[string][]*net.Model // that know the four other words
	words     []spoken
	sentences []sentence
	test      func(spoken) bool // takes to measure on
}

func (n ownNets) use(w spoken) bool { return !n.test(w) }

func fewTakes() []int { return []int{5, 20, 50} }

func ownKey(word string, takes int) string {
	return fmt.Sprintf("own-%s-%d", word, takes)
}

// others are the built-in words but one.
func others(name string) []string {
	return slices.DeleteFunc(builtIn(), func(other string) bool { return other == name })
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
	part := ""
	n.test = func(w spoken) bool { return w.split == "dev" }
	if choose {
		part, n.test = "choose-", heldOut(n.words)
	}
	speech := lesson(nil, nil, only(n.sentences, "train"), nil, func(sentence) bool { return true }).Speech
	from := func(names []string, words []spoken) wake.Lesson {
		l := lesson(names, words, nil, func(spoken) bool { return true }, nil)
		l.Speech = speech
		return l
	}
	n.trunks, n.taught = map[string][]*net.Model{}, map[string][]*net.Model{}
	type job struct {
		into  []*net.Model
		at    int
		name  string
		teach func() (*net.Model, error)
	}
	all := func(jobs []job) error {
		failed := make([]error, len(jobs))
		each(len(jobs), func() func(int) {
			return func(i int) {
				j := jobs[i]
				j.into[j.at], failed[i] = cached(scores, j.name, j.teach)
			}
		})
		return errors.Join(failed...)
	}
	var jobs []job
	for i := range wake.OwnTrunks {
		for _, name := range builtIn() {
			if n.trunks[name] == nil {
				n.trunks[name] = make([]*net.Model, wake.OwnTrunks)
			}
			jobs = append(jobs, job{n.trunks[name], i, fmt.Sprintf("trunk-%s-%d", name, i+1), func() (*net.Model, error) {
				known := others(name)
				l := from(known, few(known, n.words, 1000, func(spoken) bool { return true }))
				return wake.Teach(ctx, l, wake.Course{Steps: trunkSteps, Seed: uint64(1 + i)})
			}})
		}
	}
	if err := all(jobs); err != nil {
		return n, err
	}
	jobs = nil
	for _, k := range takes {
		for _, name := range builtIn() {
			models := make([]*net.Model, wake.OwnTrunks)
			n.taught[ownKey(name, k)] = models
			for i := range models {
				jobs = append(jobs, job{models, i, fmt.Sprintf("%s%s-%d", part, ownKey(name, k), i+1), func() (*net.Model, error) {
					one := []string{name}
					taught, err := wake.TeachFrom(ctx, from(one, few(one, n.words, k, n.use)), n.trunks[name][i:i+1], wake.Course{Steps: wake.OwnSteps, Seed: uint64(1 + i)})
					if err != nil {
						return nil, err
					}
					return taught[0], nil
				}})
			}
		}
	}
	return n, all(jobs)
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
		for _, k := range []int{1, 3, 5} {
			nets.compareOwn(k, short, p)
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
		var sets [][]wake.Scored
		for _, s := range negative {
			sets = append(sets, trials(s.judged(d)))
		}
		d.Words[0].Limit(sets[0], sets[len(sets)-1], sets...)
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

// trials are what was heard of the first word.
func trials(set []found) (out []wake.Scored) {
	for _, f := range set {
		out = append(out, wake.Scored{Score: f.scores[0], Channel: f.channel, Seconds: f.length})
	}
	return out
}

// compareOwn measures comparing with k takes.
func (n ownNets) compareOwn(k int, negative, positive heardSet) {
	mel := sound.NewMel()
	var all []found
	var limits, doubts []float32
	for _, name := range builtIn() {
		match := wake.NewMatcher(wake.Word{Name: name}, nil, n.trunks[name][0])
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
	report(fmt.Sprintf("own word, compared with %d takes, %s", k, positive.kind), "%s, thresholds %.2f, half a per cent of clips %.2f", interval(all, func(f found) bool { return f.at() && f.hit.Score >= f.scores[0] }), limits, doubts)
}
