package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
	"earshot/voice/internal/wake"
)

// found is what a detector said about one mixture, for its own word or, where there is none, all.
type found struct {
	word, cluster string
	length        float64 // seconds
	onset, offset int
	scores        []float32 // per word
	channel       wake.Channel
	hit           wake.Hit // the best of its own word
}

// at reports whether the hit lies on the word: a third of it at least.
func (f found) at() bool {
	common := min(f.offset, f.hit.Offset) - max(f.onset, f.hit.Onset)
	return 10*common > 3*(f.offset-f.onset)
}

func scan(d *wake.Detector, all []mixture, kind string, babble []float32) []found {
	out := make([]found, len(all))
	each(len(all), func() func(int) {
		d, mel := d.Clone(), sound.NewMel()
		var powers []float32
		return func(i int) {
			powers = mel.Powers(under(kind, all[i], babble, uint64(i)), powers)
			out[i] = judge(d, all[i], powers)
		}
	})
	return out
}

// judge says what the detector finds in the spectra of a mixture.
func judge(d *wake.Detector, m mixture, powers []float32) found {
	d.Scan(powers)
	f := found{channel: d.Channel(), word: m.word, cluster: m.cluster, length: float64(len(powers)/sound.Bands*sound.Hop) / sound.Rate, onset: m.onset, offset: m.offset}
	for w := range d.Words {
		h := d.Best(w)
		f.scores = append(f.scores, h.Score)
		if d.Words[w].Name == m.word {
			f.hit = h
		}
	}
	return f
}

// loadModels reads networks by the pattern of their names.
func loadModels(pattern string) ([]*net.Model, error) {
	names, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var out []*net.Model
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := net.Decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, m)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no network is called %s", pattern)
	}
	return out, nil
}

// wordsOf gives the words with windows of half of their median length in training.
func wordsOf(names []string, words []spoken) []wake.Word {
	var out []wake.Word
	for _, name := range names {
		var lengths []int
		for _, w := range words {
			if w.word == name && w.split == "train" {
				lengths = append(lengths, w.offset-w.onset)
			}
		}
		slices.Sort(lengths)
		out = append(out, wake.Word{Name: name, Window: lengths[len(lengths)/2] / 2 / 20})
	}
	return out
}

// beyond is how far Found lies above all that is heard in the negatives, as a logit. Other speakers say other
// things: with the highest score itself, half of the threshold speakers let 0.9 to 1.7 alarms an hour and
// word of the other half pass, depending on the condition; with this, 0.5 to 0.95, which twice as many
// speakers halve.
const beyond = 0.2

// thresholds sets Found so that of speakers who are in no negatives at most half an alarm an hour and word is
// to be expected. Uncertain is where half a per cent of the negatives would fire.
func thresholds(words []wake.Word, conditions ...[]found) {
	for w := range words {
		words[w].Found, words[w].Uncertain = 0, 0
		for _, negatives := range conditions {
			var s []float32
			for _, f := range negatives {
				s = append(s, f.scores[w])
			}
			slices.Sort(s)
			words[w].Found = max(words[w].Found, s[len(s)-1])
			words[w].Uncertain = max(words[w].Uncertain, s[int(math.Ceil(0.995*float64(len(s))))-1]+1e-4)
		}
		words[w].Found = wake.Word{Noise: beyond}.Adjusted(words[w].Found, wake.Channel{Noise: 1})
		words[w].Uncertain = min(words[w].Found, words[w].Uncertain)
	}
}

// weigh sets what scores gain in noise and on a telephone line, and puts it on the scores of the negatives.
func weigh(words []wake.Word, clean, noisy, narrow []found, conditions ...[]found) {
	scores := func(set []found, w int) (out []wake.Scored) {
		for _, f := range set {
			out = append(out, wake.Scored{Score: f.scores[w], Channel: f.channel})
		}
		return out
	}
	for w := range words {
		words[w].Noise = wake.Gain(scores(clean, w), scores(noisy, w), wake.Noise)
		words[w].Narrow = wake.Gain(scores(clean, w), scores(narrow, w), wake.Narrow)
		for _, set := range conditions {
			for _, f := range set {
				f.scores[w] = words[w].Adjusted(f.scores[w], f.channel)
			}
		}
	}
}

// report writes one line of the measurement.
func report(name, format string, args ...any) {
	fmt.Fprintf(os.Stdout, "%-46s %s\n", name, fmt.Sprintf(format, args...))
}

// interval is the share of hits with its 95 % interval, by drawing clusters within each word again.
func interval(all []found, hit func(found) bool) string {
	type group struct{ hits, n float64 }
	by := map[string]map[string]*group{}
	for _, f := range all {
		if by[f.word] == nil {
			by[f.word] = map[string]*group{}
		}
		g := by[f.word][f.cluster]
		if g == nil {
			g = &group{}
			by[f.word][f.cluster] = g
		}
		g.n++
		if hit(f) {
			g.hits++
		}
	}
	var sets [][]*group
	hits, n := 0.0, 0.0
	for _, word := range sorted(by) {
		var s []*group
		for _, c := range sorted(by[word]) {
			s = append(s, by[word][c])
			hits, n = hits+by[word][c].hits, n+by[word][c].n
		}
		sets = append(sets, s)
	}
	r := rand.New(rand.NewPCG(41, 42))
	var draws []float64
	for range 1000 {
		h, k := 0.0, 0.0
		for _, s := range sets {
			for range s {
				g := s[r.IntN(len(s))]
				h, k = h+g.hits, k+g.n
			}
		}
		draws = append(draws, 100*h/k)
	}
	slices.Sort(draws)
	return fmt.Sprintf("%.1f %% [%.1f, %.1f] of %.0f", 100*hits/n, draws[25], draws[974], n)
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// quantile of absolute values, in milliseconds.
func quantile(frames []int, p float64) float64 {
	if len(frames) == 0 {
		return math.NaN()
	}
	var x []float64
	for _, f := range frames {
		x = append(x, math.Abs(float64(f))*10)
	}
	slices.Sort(x)
	return x[min(len(x)-1, int(p*float64(len(x))))]
}

// wakeSets is what wake words are measured and their thresholds set with.
type wakeSets struct {
	words     []spoken
	sentences []sentence
	babble    []float32
	detector  *wake.Detector
}

func loadWakeSets(root, models string) (s wakeSets, err error) {
	if s.words, err = loadWords(root); err != nil {
		return s, err
	}
	if s.sentences, err = loadSentences(root); err != nil {
		return s, err
	}
	nets, err := loadModels(filepath.Join(models, "wake-*.net"))
	if err != nil {
		return s, err
	}
	s.babble = babbleOf(only(s.sentences, "train"))
	s.detector = wake.NewDetector(wordsOf(builtIn(), s.words), nets...)
	return s, nil
}

// tuneWake gives the words with thresholds from speakers that are neither for training nor for the test.
func tuneWake(root, models string, versions int) ([]wake.Word, error) {
	s, err := loadWakeSets(root, models)
	if err != nil {
		return nil, err
	}
	d := s.detector
	var sets [][]found
	hours, clips := 0.0, 0
	for k, kind := range []string{"clean", "noise20", "noise10", "telephone"} {
		set := scan(d, without(only(s.sentences, "threshold"), versions, uint64(k)), kind, s.babble)
		for _, f := range set {
			hours += f.length / 3600
		}
		clips += len(set)
		sets = append(sets, set)
	}
	weigh(d.Words, sets[0], sets[2], sets[3], sets...)
	thresholds(d.Words, sets...)
	report("thresholds on", "%d clips, %.2f h, 25 speakers: %+v", clips, hours, d.Words)
	return d.Words, nil
}

// measureWake prints the figures of the wake words with the thresholds in use, under all conditions or some.
// To choose a recipe, it measures on takes that teaching can leave out, and not on those of the test.
func measureWake(root, models string, versions int, choose bool, kinds []string) error {
	s, err := loadWakeSets(root, models)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(models, "tuning.json"))
	if err != nil {
		return err
	}
	var t tuning
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	d := s.detector
	d.Words = t.Words
	keep, part := func(w spoken) bool { return w.split == "dev" }, "test"
	if choose {
		keep, part = heldOut(s.words), "threshold"
	}
	if len(kinds) == 0 {
		kinds = []string{"clean", "noise20", "noise10", "telephone", "colour", "reverb", "gain-20"}
		if canCode() {
			kinds = append(kinds, "mp3 32k", "opus 16k")
		}
	}
	began := time.Now()
	report("networks and thresholds", "%s", t.Version)
	made := composites(s.words, only(s.sentences, part), 2, keep, 7)
	for k, kind := range []string{"clean", "noise20", "noise10", "telephone"} {
		if slices.Contains(kinds, kind) {
			falseAlarms(d, kind, scan(d, without(only(s.sentences, part), max(1, versions/2), uint64(50+k)), kind, s.babble))
		}
	}
	for _, kind := range kinds {
		measureCondition(d, kind, scan(d, made, kind, s.babble))
	}
	report("time", "%.0f s", time.Since(began).Seconds())
	return nil
}

func measureCondition(d *wake.Detector, kind string, all []found) {
	word := func(f found) int {
		return slices.IndexFunc(d.Words, func(w wake.Word) bool { return w.Name == f.word })
	}
	isFound := func(f found) bool { return f.at() && f.hit.Score >= d.Words[word(f)].Found }
	report("recall, found, "+kind, "%s", interval(all, isFound))
	for _, w := range d.Words {
		own := slices.DeleteFunc(slices.Clone(all), func(f found) bool { return f.word != w.Name })
		report("  "+w.Name, "%s", interval(own, isFound))
	}
	report("recall, found or uncertain, "+kind, "%s", interval(all, func(f found) bool { return f.at() && f.hit.Score >= d.Words[word(f)].Uncertain }))
	report("right place, word known to be there, "+kind, "%s", interval(all, found.at))
	var on, off []int
	for _, f := range all {
		if f.at() {
			on, off = append(on, f.hit.Onset-f.onset), append(off, f.hit.Offset-f.offset)
		}
	}
	report("onset, offset error median, p95, "+kind, "%.0f %.0f, %.0f %.0f ms", quantile(on, .5), quantile(on, .95), quantile(off, .5), quantile(off, .95))
	for _, margin := range []int{0, 5, 10, 15, 20} {
		over := 0.0
		for _, f := range all {
			over += 10 * float64(max(0, f.onset-f.hit.WideOn+margin)+max(0, f.hit.WideOff+margin-f.offset)) / float64(len(all))
		}
		report(fmt.Sprintf("  whole word erased, margin %d ms", 10*margin), "%s, %.0f ms too much", interval(all, func(f found) bool {
			return f.hit.WideOn-margin <= f.onset && f.hit.WideOff+margin >= f.offset
		}), over)
	}
	confused, n := 0, 0
	for _, f := range all {
		for w := range d.Words {
			if w != word(f) {
				n++
				if f.scores[w] >= d.Words[w].Found {
					confused++
				}
			}
		}
	}
	report("another word found, "+kind, "%.2f %%", 100*float64(confused)/float64(n))
}

func falseAlarms(d *wake.Detector, kind string, all []found) {
	hours := 0.0
	alarms, clips := 0, 0
	for _, f := range all {
		hours += f.length / 3600
		for w, s := range f.scores {
			if s >= d.Words[w].Found {
				alarms++
			}
			if s >= d.Words[w].Uncertain {
				clips++
			}
		}
	}
	n := float64(len(d.Words))
	report("false alarms per hour and word, "+kind, "%.2f (%d in %.2f h, 25 other speakers)", float64(alarms)/hours/n, alarms, hours)
	report("clips with a false or uncertain word, "+kind, "%.2f %% per word", 100*float64(clips)/float64(len(all))/n)
}
