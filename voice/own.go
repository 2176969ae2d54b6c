package voice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

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
	ownFormat   = "earshot-word/3"
	oldFormat   = "earshot-word/2" // with one network
	maxOwn      = 16 << 20         // bytes of an imported word
	maxNetworks = 8
	mostSteps   = 1_000_000
	mostGain    = 4 // as [wake.Gain] gives at most
	leastRows   = 3 // of a template, for it to match
	// Scores reach 1: a word is not found beyond it (raising adds .01 to the best score), and is everywhere near 0.
	mostFound      = 1.0101
	leastUncertain = 0.05
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

// The kinds of a card.
const (
	kindTemplates = "templates"
	kindNetwork   = "network"
)

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
	Networks  [][]byte        `json:"networks,omitempty"`
	Network   []byte          `json:"network,omitempty"` // of the format before
	version   string
	scan      scanner
}

// ownTuning is where the scores of templates begin to mean something.
type ownTuning struct {
	Found     float32 `json:"found"`
	Uncertain float32 `json:"uncertain"`
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
	var models []*net.Model
	for _, text := range w.Networks {
		m, err := net.Decode(text)
		if err != nil {
			return fmt.Errorf("the word %q: %w", w.Name, err)
		}
		last := m.Ops[len(m.Ops)-1]
		if m.Ops[0].In != sound.Bands || last.Out < 2 || m.Stride() != wake.Step {
			return fmt.Errorf("the word %q: a network of another kind", w.Name)
		}
		models = append(models, m)
	}
	if models != nil {
		w.scan = wake.NewDetector([]wake.Word{w.Word}, models...)
		return nil
	}
	if w.Figures != b.tuning.Figures {
		return fmt.Errorf("the word %q: %w", w.Name, ErrStale)
	}
	m := wake.NewMatcher(w.Word, w.Templates, b.wake...)
	width := m.Take(make([]float32, sound.Bands), 0, wake.Step).Width
	for _, t := range w.Templates {
		if t.Width != width { // it would never match
			return fmt.Errorf("the word %q: a template %d wide, want %d", w.Name, t.Width, width)
		}
	}
	w.scan = m
	return nil
}

// detector makes a detector of the word for one listener: the word's own buffers are not shared.
func (w *OwnWord) detector() scanner {
	if m, ok := w.scan.(*wake.Matcher); ok {
		return m.Clone()
	}
	return w.scan.(*wake.Detector).Clone()
}

// Version names the word and what was learned of it.
func (w *OwnWord) Version() string {
	if w.version == "" {
		learned := *w
		learned.Card.Made = time.Time{} // the same clips and seed teach the same word whenever
		text, err := json.Marshal(learned)
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
	if w.Format != ownFormat && w.Format != oldFormat || w.Name == "" {
		return nil, fmt.Errorf("importing a word: format %q, want %s", w.Format, ownFormat)
	}
	if w.Network != nil {
		w.Networks, w.Network, w.Format = append(w.Networks, w.Network), nil, ownFormat
	}
	if len(w.Networks) > maxNetworks {
		return nil, fmt.Errorf("importing the word %q: %d networks, the most is %d", w.Name, len(w.Networks), maxNetworks)
	}
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("importing the word %q: %w", w.Name, err)
	}
	b, err := load()
	if err != nil {
		return nil, err
	}
	w.Word.Name, w.Card.Kind = w.Name, kindTemplates
	if len(w.Networks) > 0 {
		w.Card.Kind = kindNetwork
	}
	return &w, w.fill(b)
}

// check refuses what no enrolling writes: a word that would never be found, or everywhere, must not pass
// for one that works.
func (w *OwnWord) check() error {
	if w.Name != strings.ToLower(strings.TrimSpace(w.Name)) || !Printable(w.Name) {
		return errors.New("a name in capitals, too long, or that cannot be printed")
	}
	if err := w.Card.check(); err != nil {
		return err
	}
	if k := w.Word; k.Window < 1 || k.Window > 1000 {
		return fmt.Errorf("a window of %d steps", k.Window)
	} else if !(k.Uncertain >= leastUncertain && k.Uncertain <= k.Found && k.Found <= mostFound) {
		return fmt.Errorf("thresholds of %v and %v", k.Uncertain, k.Found)
	} else if !(k.Noise >= 0 && k.Noise <= mostGain && k.Narrow >= 0 && k.Narrow <= mostGain) {
		return fmt.Errorf("gains of %v and %v", k.Noise, k.Narrow)
	}
	if len(w.Networks) == 0 && len(w.Templates) == 0 {
		return ErrTooLittle
	}
	for i := range w.Templates {
		if err := checkTemplate(&w.Templates[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkTemplate refuses figures that match nothing, or everything: each row has a length of 1.
func checkTemplate(t *wake.Template) error {
	if t.Width < 1 || len(t.Rows) < leastRows*t.Width || len(t.Rows)%t.Width != 0 {
		return fmt.Errorf("a template of %d figures, %d wide", len(t.Rows), t.Width)
	}
	for row := range slices.Chunk(t.Rows, t.Width) {
		square := 0.0
		for _, v := range row {
			square += float64(v) * float64(v)
		}
		if length := math.Sqrt(square); !(length >= 0.98 && length <= 1.02) {
			return fmt.Errorf("a template with a row of length %.3g, not 1", length)
		}
	}
	return nil
}

// check refuses what no enrolling writes, and what cannot be shown.
func (c Card) check() error {
	if c.Clips < 1 || c.Speakers < 0 || !(c.SpeechHours >= 0) || c.Steps < 0 {
		return fmt.Errorf("a card of %d clips, %d speakers, %v hours and %d steps", c.Clips, c.Speakers, c.SpeechHours, c.Steps)
	}
	if len(c.Limits) > 1000 || strings.ContainsFunc(c.Limits, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("a card whose limits are too long or cannot be printed")
	}
	return nil
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
