package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// calibration is how the package voice reads a score; see there.
type calibration struct {
	Slope      float64 `json:"slope"`
	Offset     float64 `json:"offset"`
	Adult      float64 `json:"adult"`
	Protective float64 `json:"protective"`
	Evidential float64 `json:"evidential"`
}

func (s scored) logit() float64 { return (s.Timed + s.Pooled) / 2 }
func (s scored) child() bool    { return s.Age < 13 }
func (s scored) teen() bool     { return s.Age >= 13 && s.Age < 16 }

var errNoScores = errors.New("no cross-validation of child voices: run train child first")

// loadScores reads the cross-validation: for each fold the scores of its speakers.
func loadScores(dir string) ([][]scored, error) {
	var out [][]scored
	for k := range folds {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("child-%d.json", k)))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var all []scored
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, err
		}
		out = append(out, all)
	}
	if len(out) < 2 {
		return nil, errNoScores
	}
	return out, nil
}

// choose keeps the scores of a condition and a window, without the teens.
func choose(byFold [][]scored, audited bool, damage string, windows ...int) []scored {
	var out []scored
	for _, all := range byFold {
		for _, s := range all {
			if s.Damage == damage && slices.Contains(windows, s.Frames) && !s.teen() && !(audited && s.Suspect) {
				out = append(out, s)
			}
		}
	}
	return out
}

// area under the curve: how often a child scores above an adult.
func area(all []scored, value func(scored) float64) float64 {
	type pair struct {
		v     float64
		child bool
	}
	var p []pair
	for _, s := range all {
		p = append(p, pair{value(s), s.child()})
	}
	slices.SortFunc(p, func(a, b pair) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	below, sum, children := 0.0, 0.0, 0.0
	for _, x := range p {
		if x.child {
			sum += below
			children++
		} else {
			below++
		}
	}
	return sum / (children * below)
}

// at gives the score that a share of the adults exceed, and the children's recall there.
func at(all []scored, value func(scored) float64, share float64) (threshold, recall float64) {
	var adults, children []float64
	for _, s := range all {
		if s.child() {
			children = append(children, value(s))
		} else {
			adults = append(adults, value(s))
		}
	}
	slices.Sort(adults)
	threshold = adults[min(len(adults)-1, int((1-share)*float64(len(adults))))]
	n := 0.0
	for _, v := range children {
		if v > threshold {
			n++
		}
	}
	return threshold, n / float64(len(children))
}

func equalError(all []scored, value func(scored) float64) float64 {
	for f := 0.005; f < 0.5; f += 0.001 {
		if _, r := at(all, value, f); 1-r <= f {
			return f
		}
	}
	return 0.5
}

// spread is the 95 % interval of a figure, by drawing speakers again.
func spread(all []scored, figure func([]scored) float64) string {
	by := map[string][]scored{}
	for _, s := range all {
		by[s.Speaker] = append(by[s.Speaker], s)
	}
	names := sorted(by)
	r := rand.New(rand.NewPCG(51, 52))
	var draws []float64
	for range 300 {
		var mine []scored
		for range names {
			mine = append(mine, by[names[r.IntN(len(names))]]...)
		}
		if v := figure(mine); !math.IsNaN(v) {
			draws = append(draws, v)
		}
	}
	slices.Sort(draws)
	n := len(draws)
	return fmt.Sprintf("%.3f [%.3f, %.3f]", figure(all), draws[n/40], draws[n-1-n/40])
}

// platt fits slope and offset so that the logistic of the score is a probability.
func platt(all []scored) calibration {
	c := calibration{Slope: 1}
	for range 4000 {
		gs, g0 := 0.0, 0.0
		for _, s := range all {
			z := s.logit()
			d := 1 / (1 + math.Exp(-c.Slope*z-c.Offset))
			if s.child() {
				d--
			}
			gs, g0 = gs+d*z, g0+d
		}
		n := float64(len(all))
		c.Slope -= 0.3 * gs / n
		c.Offset -= 0.3 * g0 / n
	}
	return c
}

func (c calibration) probability(s scored) float64 {
	return 1 / (1 + math.Exp(-c.Slope*s.logit()-c.Offset))
}

// calibrationError is the mean distance of stated and true shares over ten bins of probability.
func calibrationError(p []float64, is []bool) float64 {
	var sum, hits, n [10]float64
	for i, v := range p {
		b := min(9, int(v*10))
		sum[b] += v
		n[b]++
		if is[i] {
			hits[b]++
		}
	}
	e := 0.0
	for b := range n {
		if n[b] > 0 {
			e += math.Abs(sum[b]-hits[b]) / float64(len(p))
		}
	}
	return e
}

// operate fits a calibration and sets the operating points: what 20 % of the adults exceed is no
// longer an adult's voice, what 1.5 % exceed is a child's.
func operate(all []scored) calibration {
	c := platt(all)
	value := func(s scored) float64 { return c.probability(s) }
	c.Adult, _ = at(all, value, 0.20)
	c.Protective = c.Adult
	c.Evidential, _ = at(all, value, 0.015)
	return c
}

// pooled means n consecutive recordings of each speaker.
func pooled(all []scored, n int) []scored {
	by := map[string][]scored{}
	for _, s := range all {
		by[s.Speaker] = append(by[s.Speaker], s)
	}
	var out []scored
	for _, name := range sorted(by) {
		own := by[name]
		for i := 0; i+n <= len(own); i += n {
			x := own[i]
			x.Timed, x.Pooled, x.Length = 0, 0, 0
			for _, s := range own[i : i+n] {
				x.Timed, x.Pooled, x.Length = x.Timed+s.Timed/float64(n), x.Pooled+s.Pooled/float64(n), x.Length+s.Length
			}
			out = append(out, x)
		}
	}
	return out
}

// measureChild prints the figures of child voices and returns the calibrations of recordings and
// of segments.
func measureChild(dir string) (recording, segment calibration, err error) {
	byFold, err := loadScores(dir)
	if err != nil {
		return recording, segment, err
	}
	women := func(all []scored) []scored {
		return slices.DeleteFunc(slices.Clone(all), func(s scored) bool { return !s.child() && s.Gender != "f" })
	}
	line := func(name string, all []scored) {
		auc := func(x []scored) float64 { return area(x, scored.logit) }
		five := func(x []scored) float64 { _, r := at(x, scored.logit, 0.05); return r }
		report(name, "AUC %s  women only %s  recall at 5 %% %s  EER %.3f  n %d", spread(all, auc), spread(women(all), auc), spread(all, five), equalError(all, scored.logit), len(all))
	}
	report("child voice", "%d folds of 25 speakers; timed and pooled networks; intervals by speaker", len(byFold))
	for _, audited := range []bool{true, false} {
		kind := map[bool]string{true: "audited", false: "official"}[audited]
		line("recordings, "+kind, choose(byFold, audited, "clean", 0))
		line("3 s, "+kind, choose(byFold, audited, "clean", 300))
		line("1 s, "+kind, choose(byFold, audited, "clean", 100))
		for _, n := range []int{2, 5, 10} {
			line(fmt.Sprintf("pooled over %d recordings, %s", n, kind), pooled(choose(byFold, audited, "clean", 0), n))
		}
		for _, d := range damages()[1:] {
			line(d+", "+kind, choose(byFold, audited, d, 0))
		}
		measureCalibration(byFold, audited, kind)
	}
	clean := choose(byFold, true, "clean", 0)
	report("timed network alone", "AUC %.3f", area(clean, func(s scored) float64 { return s.Timed }))
	report("pooled networks alone", "AUC %.3f", area(clean, func(s scored) float64 { return s.Pooled }))
	recording = operate(clean)
	segment = operate(choose(byFold, true, "clean", 100, 300))
	text, err := json.Marshal(map[string]calibration{"recording": recording, "segment": segment})
	report("operating points", "%s", text)
	return recording, segment, err
}

// measureCalibration fits on all folds but one and measures on that one; so are the thresholds.
func measureCalibration(byFold [][]scored, audited bool, kind string) {
	var p []float64
	var is []bool
	flagged := map[float64][2]float64{}
	children, adults := 0.0, 0.0
	for k := range byFold {
		var rest [][]scored
		for j := range byFold {
			if j != k {
				rest = append(rest, byFold[j])
			}
		}
		fit := choose(rest, audited, "clean", 0)
		c := platt(fit)
		value := func(s scored) float64 { return c.probability(s) }
		own := choose(byFold[k:k+1], audited, "clean", 0)
		for _, s := range own {
			p, is = append(p, value(s)), append(is, s.child())
			if s.child() {
				children++
			} else {
				adults++
			}
		}
		for _, share := range []float64{0.015, 0.05, 0.2} {
			t, _ := at(fit, value, share)
			f := flagged[share]
			for _, s := range own {
				if value(s) > t {
					if s.child() {
						f[0]++
					} else {
						f[1]++
					}
				}
			}
			flagged[share] = f
		}
	}
	report("calibration error on other speakers, "+kind, "%.3f", calibrationError(p, is))
	for _, share := range []float64{0.015, 0.05, 0.2} {
		report(fmt.Sprintf("threshold at %.1f %% on other speakers, %s", 100*share, kind), "recall %.3f, adults flagged %.3f", flagged[share][0]/children, flagged[share][1]/adults)
	}
}
