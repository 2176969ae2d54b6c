package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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
	Pooled  float64 `json:"pooled"` // networks and trees over figures together
	Nets    float64 `json:"nets"`
	Trees   float64 `json:"trees"`
}

const (
	folds      = 5
	childNets  = 1
	pooledNets = 4
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

// teachChild cross-validates over speakers, writes the scores, then trains on all speakers. Folds are
// taught side by side, as many as there are processors.
func teachChild(ctx context.Context, root, out, scores string, steps int, only int) error {
	sentences, err := loadSentences(root)
	if err != nil {
		return err
	}
	c := childCourse{sentences: sentences, order: speakerOrder(sentences), babble: babbleOf(sentences), steps: steps, began: time.Now()}
	c.samples = analyseAll(sentences, c.babble)
	c.say("analysed")
	c.table = child.Tabulate(slices.Concat(c.samples...))
	c.say("pooled")
	var jobs []func() error
	for k := range folds + 1 {
		switch {
		case only >= 0 && k != only:
		case k == folds:
			jobs = append(jobs, func() error { return c.all(ctx, out) })
		default:
			jobs = append(jobs, func() error { return c.fold(ctx, k, scores) })
		}
	}
	return sideBySide(jobs)
}

// sideBySide does the jobs, at one time as many as there are processors.
func sideBySide(jobs []func() error) error {
	errs := make([]error, len(jobs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(jobs), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(jobs); i = int(next.Add(1)) - 1 {
				errs[i] = jobs[i]()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// analyseAll makes the samples of each recording that is taught from.
func analyseAll(sentences []sentence, babble []float32) [][]child.Sample {
	out := make([][]child.Sample, len(sentences))
	a := sound.NewAnalysis()
	r, noise := rand.New(rand.NewPCG(11, 12)), rand.New(rand.NewPCG(13, 14))
	for i, s := range sentences {
		samples := analysed(s, babble, a, r, noise)
		if !s.suspect && !s.teen() {
			out[i] = samples
		}
	}
	return out
}

// childCourse is what all folds share.
type childCourse struct {
	sentences []sentence
	order     map[string]int
	babble    []float32
	samples   [][]child.Sample // by recording: itself, damaged, noisy
	table     child.Table
	steps     int
	began     time.Time
}

func (c childCourse) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// teach trains on all speakers but those of a fold.
func (c childCourse) teach(ctx context.Context, k int) (child.Models, error) {
	var mine []child.Sample
	for i, s := range c.sentences {
		if all := c.samples[i]; len(all) > 0 && fold(s, c.order) != k {
			mine = append(mine, all[:1+childCopies]...) // noise is drawn for each crop besides
		}
	}
	m, err := child.TeachPooled(ctx, c.table.Only(func(speaker string) bool { return c.order[speaker]%folds != k }), pooledNets)
	if err != nil {
		return m, err
	}
	c.say("fold %d figures", k)
	for seed := range childNets {
		sum := 0.0
		n, err := child.TeachTimed(ctx, mine, child.Course{Steps: c.steps, Seed: uint64(100*k + seed), Progress: func(step int, loss float64) {
			if sum += loss; step%200 == 199 {
				c.say("fold %d network %d step %d loss %.4f", k, seed, step+1, sum/200)
				sum = 0
			}
		}})
		if err != nil {
			return m, err
		}
		m.Timed = append(m.Timed, n)
	}
	return m, nil
}

// fold trains without the speakers of fold k and writes their scores.
func (c childCourse) fold(ctx context.Context, k int, scores string) error {
	m, err := c.teach(ctx, k)
	if err != nil {
		return err
	}
	if m, err = asWritten(m); err != nil {
		return err
	}
	judge, err := child.NewJudge(m)
	if err != nil {
		return err
	}
	a := sound.NewAnalysis()
	var all []scored
	for i, s := range c.sentences {
		if fold(s, c.order) == k {
			all = append(all, scoreSentence(judge, a, s, i, c.babble)...)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	c.say("fold %d done", k)
	return os.WriteFile(filepath.Join(scores, fmt.Sprintf("child-%d.json", k)), text, 0o644)
}

// asWritten gives the models with the rounding of their files: what is measured is what is embedded.
func asWritten(m child.Models) (child.Models, error) {
	for _, set := range [][]*net.Model{m.Timed, m.Pooled} {
		for i := range set {
			text, err := set[i].Encode()
			if err != nil {
				return m, err
			}
			if set[i], err = net.Decode(text); err != nil {
				return m, err
			}
		}
	}
	return m, nil // the leaves of the trees are rounded already
}

// all trains on all speakers and writes the models.
func (c childCourse) all(ctx context.Context, dir string) error {
	m, err := c.teach(ctx, folds)
	if err != nil {
		return err
	}
	for kind, models := range map[string][]*net.Model{"timed": m.Timed, "pooled": m.Pooled} {
		for i, n := range models {
			text, err := n.Encode()
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("child-%s-%d.net", kind, i+1)), text, 0o644); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "child-trees-1.net"), m.Trees.Encode(), 0o644); err != nil {
		return err
	}
	text, err := json.Marshal(m.Scaling)
	if err != nil {
		return err
	}
	c.say("all speakers done")
	return os.WriteFile(filepath.Join(dir, "child-scaling.json"), append(text, '\n'), 0o644)
}

// scoreSentence judges a recording under each condition, and clean its windows too.
func scoreSentence(judge *child.Judge, a *sound.Analysis, s sentence, file int, babble []float32) []scored {
	var out []scored
	add := func(damage string, frames, from, to int) {
		if p, ok := judge.Score(a, from, to); ok {
			out = append(out, scored{s.speaker, s.gender, s.age, s.suspect, damage, frames, to - from, file, p.Timed, p.Pooled(), p.Nets, p.Trees})
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
