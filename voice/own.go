package voice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
	"earshot/voice/internal/wake"
)

// Limits of enrolling.
const (
	// NetworkClips is the number of clips from which on a network is taught.
	NetworkClips = 5
	// leastSpeech is how much speech without the word teaching a network takes.
	leastSpeech = 2 * time.Minute
	ownFormat   = "earshot-word/2"
	maxOwn      = 16 << 20 // bytes of an imported word
)

// ErrTooLittle means: there are too few clips, or too little speech without the word. More of it is
// the only cure.
var ErrTooLittle = errors.New("too little to learn from")

// ErrStale means: the word was learned by a version of this program that heard otherwise, so that it
// would no longer be found. Enroll it again from its clips.
var ErrStale = errors.New("learned by another version, which heard otherwise: enroll it again from its clips")

// ClipError says in which of the examples no word was found.
type ClipError struct{ Clip int } // from 0

func (e *ClipError) Error() string {
	return fmt.Sprintf("clip %d: no word of 0.15 to 3 s in it", e.Clip+1)
}

// Is makes it an [ErrTooLittle].
func (e *ClipError) Is(err error) bool { return err == ErrTooLittle }

// Example is a recording of the operator's wake word. Speaker keeps takes of one speaker together;
// where it is empty the clip counts as a speaker of its own. A zero Span is found from the sound:
// the clip's only speech.
type Example struct {
	PCM     []float32
	Span    earshot.Span
	Speaker string
}

// Card says what a word was taught from and how well it did.
type Card struct {
	Clips       int       `json:"clips"`
	Speakers    int       `json:"speakers"`
	SpeechHours float64   `json:"speech_hours"` // without the word
	Made        time.Time `json:"made"`
	Kind        string    `json:"kind"` // templates or network
	Seed        uint64    `json:"seed,omitempty"`
	Steps       int       `json:"steps,omitempty"`
	Limits      string    `json:"limits"`
}

// OwnWord is a wake word that the operator has enrolled.
type OwnWord struct {
	Name      string          `json:"name"`
	Format    string          `json:"format"`
	Card      Card            `json:"card"`
	Word      wake.Word       `json:"word"`
	Templates []wake.Template `json:"templates,omitempty"`
	Figures   string          `json:"figures,omitempty"` // which built-in networks made the templates
	Network   []byte          `json:"network,omitempty"`
	version   string
	scan      scanner
}

// EnrollOptions says how a word is learned.
type EnrollOptions struct {
	// Speech is recordings without the word: of the same devices, at least two minutes, better an
	// hour. Without them only templates can be made, whatever the number of clips.
	Speech [][]float32
	Seed   uint64
	Steps  int // of teaching, 900 if 0
	Now    time.Time
	// Progress, if set, hears how far teaching is, 0 to 1.
	Progress func(done float64)
}

// ownTuning is where the scores of templates begin to mean something.
type ownTuning struct {
	Found     float32 `json:"found"`
	Uncertain float32 `json:"uncertain"`
}

// Enroll learns a word from examples: below [NetworkClips] clips, or without enough speech, by
// comparing; from there on by a network taught on the spot, which takes minutes. The thresholds are
// set on the speech: what of it sounds most like the word is not yet the word.
func Enroll(ctx context.Context, name string, examples []Example, opts EnrollOptions) (*OwnWord, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || len(examples) == 0 {
		return nil, fmt.Errorf("enrolling the word %q from %d clips: %w", name, len(examples), ErrTooLittle)
	}
	b, err := load()
	if err != nil {
		return nil, err
	}
	w := &OwnWord{Name: name, Format: ownFormat, Card: Card{
		Clips: len(examples), Made: opts.Now, Kind: "templates", Seed: opts.Seed,
		Limits: "known to work for the voices and devices it was taught from; not measured on others",
	}}
	clips, order, length, err := prepare(examples)
	if err != nil {
		return nil, fmt.Errorf("enrolling %q: %w", name, err)
	}
	w.Card.Speakers = len(order)
	w.Word = wake.Word{Name: name, Window: max(5, length*7/10/wake.Step), Found: b.tuning.Own.Found, Uncertain: b.tuning.Own.Uncertain}
	spoken := 0
	for _, s := range opts.Speech {
		spoken += len(s)
	}
	w.Card.SpeechHours = duration(spoken).Hours()
	check := opts.Speech
	if len(examples) >= NetworkClips && duration(spoken) >= leastSpeech {
		learn, rest := apart(opts.Speech)
		check = rest
		err = w.teach(ctx, order, learn, opts)
	} else {
		w.compare(clips, b)
	}
	if err != nil {
		return nil, fmt.Errorf("enrolling %q: %w", name, err)
	}
	return w, w.calibrate(check, b)
}

// apart keeps every fifth recording back for the thresholds: of those that it was taught from a network
// says too surely that the word is not in them. Of few recordings all serve for both.
func apart(speech [][]float32) (learn, check [][]float32) {
	if len(speech) < 20 {
		return speech, speech
	}
	for i, s := range speech {
		if i%5 == 4 {
			check = append(check, s)
		} else {
			learn = append(learn, s)
		}
	}
	return learn, check
}

// prepare makes clips of the examples, all of them and by speaker, and their median length.
func prepare(examples []Example) (all []wake.Clip, by [][]wake.Clip, length int, err error) {
	at := map[string]int{}
	a := sound.NewAnalysis()
	var lengths []int
	for i, e := range examples {
		a.Run(e.PCM)
		on, off := int(e.Span.Start/frameTime(1)), int(e.Span.End/frameTime(1))
		if !e.Span.Valid() {
			on, off = activeRange(a)
		}
		if on < 0 || off > a.Frames() || off-on < 15 || off-on > 300 {
			return nil, nil, 0, &ClipError{i}
		}
		c := wake.Clip{Powers: a.Copy().Powers, Onset: on, Offset: off}
		all = append(all, c)
		k, ok := at[e.Speaker]
		if !ok || e.Speaker == "" {
			k = len(by)
			at[e.Speaker] = k
			by = append(by, nil)
		}
		by[k] = append(by[k], c)
		lengths = append(lengths, off-on)
	}
	slices.Sort(lengths)
	return all, by, lengths[len(lengths)/2], nil
}

// activeRange is the longest run of active frames with pauses of up to 180 ms.
func activeRange(a *sound.Analysis) (from, to int) {
	best, start, last := 0, -1, -1
	for t, on := range a.Active {
		if !on {
			continue
		}
		if start < 0 || t-last > 18 {
			start = t
		}
		last = t
		if n := t + 1 - start; n > best {
			best, from, to = n, start, t+1
		}
	}
	return from, to
}

// teach makes a network.
func (w *OwnWord) teach(ctx context.Context, by [][]wake.Clip, speech [][]float32, opts EnrollOptions) error {
	lesson := wake.Lesson{Clips: [][][]wake.Clip{by}}
	mel := sound.NewMel()
	for _, s := range speech {
		if len(s) >= Rate/2 {
			lesson.Speech = append(lesson.Speech, mel.Powers(s, nil))
		}
	}
	if len(lesson.Speech) == 0 {
		return fmt.Errorf("no recording without the word is longer than half a second: %w", ErrTooLittle)
	}
	steps := opts.Steps
	if steps == 0 {
		steps = 900
	}
	course := wake.Course{Steps: steps, Seed: opts.Seed}
	if opts.Progress != nil {
		course.Progress = func(step int, _ float64) { opts.Progress(float64(step+1) / float64(steps)) }
	}
	m, err := wake.Teach(ctx, lesson, course)
	if err != nil {
		return err
	}
	w.Card.Kind, w.Card.Steps = "network", steps
	w.Word.Found, w.Word.Uncertain = 0.6, 0.35
	w.Network, err = m.Encode()
	return err
}

// compare keeps templates.
func (w *OwnWord) compare(clips []wake.Clip, b built) {
	m := wake.NewMatcher(w.Word, nil, b.wake...)
	w.Figures = b.tuning.Figures
	for _, c := range clips {
		w.Templates = append(w.Templates, m.Take(c.Powers, c.Onset, c.Offset))
	}
}

// calibrate raises the thresholds above what speech without the word reaches.
func (w *OwnWord) calibrate(speech [][]float32, b built) error {
	least := w.Word
	w.Word.Found, w.Word.Uncertain = 2, 0 // all hits, whatever the score
	if err := w.fill(b); err != nil {
		return err
	}
	var scores []float32
	mel := sound.NewMel()
	for _, s := range speech {
		scores = append(scores, w.best(mel, s))
	}
	w.Word = least
	if len(scores) > 0 {
		slices.Sort(scores)
		w.Word.Found = max(w.Word.Found, sound.Percentile(scores, 100)+0.01)
		w.Word.Uncertain = max(w.Word.Uncertain, min(w.Word.Found, sound.Percentile(scores, 99.5)))
	}
	return w.fill(b)
}

// best is the best score in a recording, 0 if there is no hit.
func (w *OwnWord) best(mel *sound.Mel, pcm []float32) float32 {
	w.scan.Scan(mel.Powers(pcm, nil))
	best := float32(0)
	for _, h := range w.scan.Hits() {
		best = max(best, h.Score)
	}
	return best
}

// fill makes the detector of what was learned.
func (w *OwnWord) fill(b built) error {
	if w.Network != nil {
		m, err := net.Decode(w.Network)
		if err != nil {
			return fmt.Errorf("the word %q: %w", w.Name, err)
		}
		last := m.Ops[len(m.Ops)-1]
		if m.Ops[0].In != sound.Bands || last.Out < 2 || m.Stride() != wake.Step {
			return fmt.Errorf("the word %q: a network of another kind", w.Name)
		}
		w.scan = wake.NewDetector([]wake.Word{w.Word}, m)
		return nil
	}
	if w.Figures != b.tuning.Figures {
		return fmt.Errorf("the word %q: %w", w.Name, ErrStale)
	}
	w.scan = wake.NewMatcher(w.Word, w.Templates, b.wake...)
	return nil
}

func (w *OwnWord) detector() scanner { return w.scan }

// Version names the word and what was learned of it.
func (w *OwnWord) Version() string {
	if w.version == "" {
		text, err := json.Marshal(w)
		if err != nil {
			return w.Name
		}
		sum := sha256.Sum256(text)
		w.version = "own-" + hex.EncodeToString(sum[:6])
	}
	return w.version
}

// Export writes the word with its card, as one JSON text.
func (w *OwnWord) Export() ([]byte, error) {
	text, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("exporting the word %q: %w", w.Name, err)
	}
	return text, nil
}

// ImportWord reads what Export wrote.
func ImportWord(text []byte) (*OwnWord, error) {
	if len(text) > maxOwn {
		return nil, fmt.Errorf("importing a word: %d bytes, the most is %d", len(text), maxOwn)
	}
	var w OwnWord
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, fmt.Errorf("importing a word: %w", err)
	}
	if w.Format == "earshot-word/1" && w.Name != "" {
		return nil, fmt.Errorf("importing the word %q: %w", w.Name, ErrStale)
	}
	if w.Format != ownFormat || w.Name == "" {
		return nil, fmt.Errorf("importing a word: format %q, want %s", w.Format, ownFormat)
	}
	if w.Word.Window < 1 || w.Word.Window > 1000 {
		return nil, fmt.Errorf("importing the word %q: a window of %d steps", w.Name, w.Word.Window)
	}
	for _, t := range w.Templates {
		if t.Width < 1 || len(t.Rows) == 0 || len(t.Rows)%t.Width != 0 {
			return nil, fmt.Errorf("importing the word %q: a template of %d figures, %d wide", w.Name, len(t.Rows), t.Width)
		}
	}
	if w.Network == nil && len(w.Templates) == 0 {
		return nil, fmt.Errorf("importing the word %q: %w", w.Name, ErrTooLittle)
	}
	b, err := load()
	if err != nil {
		return nil, err
	}
	w.Word.Name = w.Name
	return &w, w.fill(b)
}

// Evaluation is how a word did on recordings with and without it.
type Evaluation struct {
	With, Found, Uncertain      int     // recordings with the word, and what was said of them
	Without, FalseFound, Doubts int     // recordings without it, and those said to hold it
	Hours                       float64 // of the recordings without it
}

// Evaluate measures the word on recordings that it was not taught from. With a few recordings the
// figures mean little; speakers count, not clips.
func (w *OwnWord) Evaluate(ctx context.Context, with, without [][]float32) (Evaluation, error) {
	var e Evaluation
	mel := sound.NewMel()
	for i, set := range [][][]float32{with, without} {
		for _, pcm := range set {
			if err := ctx.Err(); err != nil {
				return e, fmt.Errorf("evaluating the word %q: %w", w.Name, err)
			}
			best := w.best(mel, pcm)
			found, doubt := best >= w.Word.Found, best < w.Word.Found && best >= w.Word.Uncertain
			if i == 0 {
				e.With, e.Found, e.Uncertain = e.With+1, e.Found+one(found), e.Uncertain+one(doubt)
			} else {
				e.Without, e.FalseFound, e.Doubts = e.Without+1, e.FalseFound+one(found), e.Doubts+one(doubt)
				e.Hours += duration(len(pcm)).Hours()
			}
		}
	}
	return e, nil
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
