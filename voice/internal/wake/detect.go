package wake

import (
	"math"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
)

// Step is the detector's step in frames: one answer for 20 ms.
const Step = 2

// Word is one of the words that a network knows.
type Word struct {
	Name string `json:"name"`
	// Window is half of the word's usual length, in steps of 20 ms. The score is the best mean of the
	// word's probability over a window.
	Window int `json:"window"`
	// From Found on a score means found, from Uncertain on uncertain. 0 to 1.
	Found     float32 `json:"found"`
	Uncertain float32 `json:"uncertain"`
	// Noise is what a score gains in full noise, Narrow what it gains on a telephone line, as logits.
	// Either lowers the scores of words and of what is taken for them alike: with the same demand
	// everywhere, words would be missed there.
	Noise  float32 `json:"noise,omitempty"`
	Narrow float32 `json:"narrow,omitempty"`
}

// Channel is what a recording came through.
type Channel struct {
	Noise  float32 // 0 to 1
	Narrow float32 // 0 to 1: how surely the upper frequencies are missing
}

// Adjusted is a score with what it gains in a channel.
func (w Word) Adjusted(score float32, c Channel) float32 {
	gain := w.Noise*c.Noise + w.Narrow*c.Narrow
	if gain == 0 {
		return score
	}
	s := float64(min(1-1e-4, max(1e-4, score)))
	z := math.Log(s/(1-s)) + float64(gain)
	return float32(1 / (1 + math.Exp(-z)))
}

// Hit is one occurrence. Times are in frames of 10 ms; the wide ones are for erasing.
type Hit struct {
	Word            int
	Onset, Offset   int
	WideOn, WideOff int
	Score           float32
}

// Detector listens for the words of its networks, whose answers it averages. One Detector serves
// one goroutine.
type Detector struct {
	Words   []Word
	Bounds  Bounds
	nets    []*net.Runner
	models  []*net.Model
	width   int
	level   leveller
	input   []float32
	prob    []float32 // [step][word+1], the first is background
	one     []float32
	means   []float32
	through []Channel // [step]
}

// NewDetector makes a detector of networks with the same words.
func NewDetector(words []Word, models ...*net.Model) *Detector {
	d := &Detector{Words: words, Bounds: usual(), models: models, width: len(words) + 1, one: make([]float32, len(words)+1)}
	for _, m := range models {
		d.nets = append(d.nets, net.NewRunner(m))
	}
	return d
}

// Clone makes a detector of the same networks and words for another goroutine.
func (d *Detector) Clone() *Detector {
	c := NewDetector(d.Words, d.models...)
	c.Bounds = d.Bounds
	return c
}

// Long recordings are heard in pieces that overlap, for the level is taken over a piece.
const (
	piece  = 1200 // frames
	margin = 150  // at each inner border, more than the networks look ahead
)

// Scan fills the detector with the probabilities for power mel spectra. It allocates only where a
// recording is longer than any before.
func (d *Detector) Scan(powers []float32) {
	frames := len(powers) / sound.Bands
	steps := (frames + Step - 1) / Step
	d.prob = sized(d.prob, steps*d.width)
	if cap(d.through) < steps {
		d.through = make([]Channel, steps)
	}
	d.through = d.through[:steps]
	clear(d.prob)
	if frames <= piece {
		d.hear(powers, 0, 0, frames)
	} else {
		for from := 0; ; from += piece - 2*margin {
			to := min(frames, from+piece)
			first, last := from+margin, to-margin
			if from == 0 {
				first = 0
			}
			if to == frames {
				last = frames
			}
			d.hear(powers[from*sound.Bands:to*sound.Bands], from, first, last)
			if to == frames {
				break
			}
		}
	}
}

// hear adds the mean probabilities of a piece that begins at frame from, for frames first to last.
func (d *Detector) hear(powers []float32, from, first, last int) {
	d.input = sized(d.input, len(powers))
	d.level.level(powers, d.input)
	c := d.level.channel(powers)
	for s := range d.through {
		if s*Step >= first && s*Step < last {
			d.through[s] = c
		}
	}
	for _, n := range d.nets {
		out, rows := n.Run(d.input, len(powers)/sound.Bands, nil)
		columns := len(out) / rows
		for r := range rows {
			at := from/Step + r
			if at*Step < first || at*Step >= last {
				continue
			}
			net.Softmax(out[r*columns:r*columns+d.width], d.one)
			for c, p := range d.one {
				d.prob[at*d.width+c] += p / float32(len(d.nets))
			}
		}
	}
}

func sized(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// Channel is what was scanned last came through, in the middle.
func (d *Detector) Channel() Channel {
	if len(d.through) == 0 {
		return Channel{}
	}
	return d.through[len(d.through)/2]
}

// Best is the best score of a word and its place, whatever the thresholds.
func (d *Detector) Best(word int) Hit {
	d.smooth(word)
	at := 0
	for s := range d.means {
		if d.means[s] > d.means[at] {
			at = s
		}
	}
	return d.hit(word, at)
}

// Hits lists the occurrences of all words from their Uncertain thresholds on, by time. Where two
// words claim the same stretch, the higher score has it.
func (d *Detector) Hits() []Hit {
	var all []Hit
	for w := range d.Words {
		d.smooth(w)
		for {
			at := 0
			for s := range d.means {
				if d.means[s] > d.means[at] {
					at = s
				}
			}
			if len(d.means) == 0 || d.means[at] < max(d.Words[w].Uncertain, 0.01) {
				break
			}
			all = append(all, d.hit(w, at))
			n := d.Words[w].Window * 2
			for s := max(0, at-n); s < min(len(d.means), at+n+1); s++ {
				d.means[s] = -1
			}
		}
	}
	return settle(all, d.Words)
}

// settle keeps, of hits that overlap by more than half of the shorter, one: a found one rather than an uncertain
// one, for each word has thresholds of its own, then the one with the best score.
func settle(all []Hit, words []Word) []Hit {
	better := func(a, b Hit) bool {
		if found := a.Score >= words[a.Word].Found; found != (b.Score >= words[b.Word].Found) {
			return found
		}
		return a.Score > b.Score
	}
	for i := range all { // few: insertion sort
		for j := i; j > 0 && better(all[j], all[j-1]); j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	var kept []Hit
	for _, h := range all {
		free := true
		for _, k := range kept {
			common := min(h.Offset, k.Offset) - max(h.Onset, k.Onset)
			if 2*common > min(h.Offset-h.Onset, k.Offset-k.Onset) {
				free = false
			}
		}
		if free {
			kept = append(kept, h)
		}
	}
	for i := range kept {
		for j := i; j > 0 && kept[j].Onset < kept[j-1].Onset; j-- {
			kept[j], kept[j-1] = kept[j-1], kept[j]
		}
	}
	return kept
}

// smooth takes the moving mean of a word's probability over its window, and what it gains in its channel.
func (d *Detector) smooth(word int) {
	steps := len(d.prob) / d.width
	d.means = sized(d.means, steps)
	n := max(1, d.Words[word].Window)
	sum := float32(0)
	for s := -(n / 2); s < steps; s++ {
		if in := s + n/2; in < steps {
			sum += d.prob[in*d.width+word+1]
		}
		if out := s + n/2 - n; out >= 0 {
			sum -= d.prob[out*d.width+word+1]
		}
		if s >= 0 {
			d.means[s] = d.Words[word].Adjusted(max(0, sum/float32(n)), d.through[s])
		}
	}
}

// Bounds says where a word begins and ends.
type Bounds struct {
	Report float32 // of the mean over most of the word: where it is
	Erase  float32 // of the local peak: where it may be
	Bridge int     // steps of less probability within a word
}

// usual bounds, chosen on clusters of the training part that the networks had not heard. Half of the peak
// instead of the mean puts boundaries within a word of which a part is doubted; to move
// them on to the next valley of energy made them worse.
func usual() Bounds { return Bounds{Report: 0.5, Erase: 0.15, Bridge: 6} }

// hit makes an occurrence of the window around step at.
func (d *Detector) hit(word, at int) Hit {
	steps := len(d.prob) / d.width
	q := func(s int) float32 { return d.prob[s*d.width+word+1] }
	n := max(1, d.Words[word].Window*7/5) // most of the word
	seed, sum, count := at, float32(0), float32(0)
	for s := max(0, at-n/2); s < min(steps, at+n/2+1); s++ {
		if q(s) > q(seed) {
			seed = s
		}
		sum, count = sum+q(s), count+1
	}
	walk := func(level float32, dir int) int {
		last, gap := seed, 0
		for s := seed + dir; s >= 0 && s < steps; s += dir {
			if q(s) >= level {
				last, gap = s, 0
				continue
			}
			if gap++; gap > d.Bounds.Bridge {
				break
			}
		}
		return last
	}
	report, erase := d.Bounds.Report*max(sum/count, 1e-6), d.Bounds.Erase*max(q(seed), 1e-6)
	return Hit{
		Word: word, Score: d.means[at],
		Onset: walk(report, -1) * Step, Offset: (walk(report, 1) + 1) * Step,
		WideOn: walk(min(report, erase), -1) * Step, WideOff: (walk(min(report, erase), 1) + 1) * Step,
	}
}

// Known lists the words.
func (d *Detector) Known() []Word { return d.Words }
