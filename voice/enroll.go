package voice

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
	"earshot/voice/internal/wake"
)

// EnrollOptions says how a word is learned.
type EnrollOptions struct {
	// Speech is recordings without the word: of the same devices, at least two minutes, better an
	// hour. Without them only templates can be made, whatever the number of clips.
	Speech [][]float32
	Seed   uint64
	Steps  int // of teaching each network, 300 if 0
	Now    time.Time
	// Progress, if set, hears how far teaching is, 0 to 1.
	Progress func(done float64)
}

// Enroll learns a word from examples: below [NetworkClips] clips, or without enough speech, by
// comparing; from there on by networks taught on the spot, which takes minutes: they begin as built-in ones.
// The thresholds are set on the speech: what of it sounds most like the word is not yet the word.
func Enroll(ctx context.Context, name string, examples []Example, opts EnrollOptions) (*OwnWord, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || len(examples) == 0 {
		return nil, fmt.Errorf("enrolling the word %q from %d clips: %w", name, len(examples), ErrTooLittle)
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return nil, fmt.Errorf("enrolling the word %q: a name with control characters", name)
	}
	if opts.Steps < 0 || opts.Steps > mostSteps {
		return nil, fmt.Errorf("enrolling the word %q: %d steps, not 1 to %d", name, opts.Steps, mostSteps)
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
	w.Word = wake.Word{Name: name, Window: max(5, length/2/wake.Step), Found: b.tuning.Own.Found, Uncertain: b.tuning.Own.Uncertain}
	spoken := 0
	for _, s := range opts.Speech {
		spoken += len(s)
	}
	w.Card.SpeechHours = duration(spoken).Hours()
	check := opts.Speech
	if len(examples) >= NetworkClips && duration(spoken) >= leastSpeech {
		learn, rest := apart(opts.Speech)
		check = rest
		err = w.teach(ctx, order, learn, b.wake, opts)
	} else {
		w.compare(clips, b)
	}
	if err != nil {
		return nil, fmt.Errorf("enrolling %q: %w", name, err)
	}
	return w, w.calibrate(check, opts.Seed, b)
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

// prepare makes clips of the examples, all of them and, at three speeds, by speaker, and their median length.
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
		for _, speed := range []float64{0.92, 1.08} { // other voices, to the ear of a network
			powers := a.Spectra(sound.Speed(e.PCM, speed))
			at := func(frame int) int { return min(len(powers)/sound.Bands, int(float64(frame)/speed+0.5)) }
			by[k] = append(by[k], wake.Clip{Powers: slices.Clone(powers), Onset: at(on), Offset: at(off)})
		}
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

// teach makes networks, from built-in ones.
func (w *OwnWord) teach(ctx context.Context, by [][]wake.Clip, speech [][]float32, builtIn []*net.Model, opts EnrollOptions) error {
	lesson := wake.Lesson{Clips: [][][]wake.Clip{by}}
	mel := sound.NewMel()
	for _, s := range speech {
		if p := wake.Spoken(mel.Powers(s, nil)); p != nil {
			lesson.Speech = append(lesson.Speech, p)
		}
	}
	if len(lesson.Speech) == 0 {
		return fmt.Errorf("no recording without the word holds 0.3 s of speech: %w", ErrTooLittle)
	}
	steps := opts.Steps
	if steps == 0 {
		steps = wake.OwnSteps
	}
	course := wake.Course{Steps: steps, Seed: opts.Seed}
	if opts.Progress != nil {
		course.Progress = func(step int, _ float64) { opts.Progress(float64(step+1) / float64(steps*wake.OwnTrunks)) }
	}
	taught, err := wake.TeachFrom(ctx, lesson, builtIn[:wake.OwnTrunks], course)
	if err != nil {
		return err
	}
	w.Card.Kind, w.Card.Steps = "network", steps
	w.Word.Found, w.Word.Uncertain = 0.6, 0.35
	for _, m := range taught {
		text, err := m.Encode()
		if err != nil {
			return err
		}
		w.Networks = append(w.Networks, text)
	}
	return nil
}

// compare keeps templates.
func (w *OwnWord) compare(clips []wake.Clip, b built) {
	m := wake.NewMatcher(w.Word, nil, b.wake...)
	w.Figures = b.tuning.Figures
	for _, c := range clips {
		w.Templates = append(w.Templates, m.Take(c.Powers, c.Onset, c.Offset))
	}
}

// calibrate raises the thresholds above what speech without the word reaches, as it is, at other speeds, in
// other rooms and in noise.
func (w *OwnWord) calibrate(speech [][]float32, seed uint64, b built) error {
	least := w.Word
	w.Word.Found, w.Word.Uncertain = 2, 0 // all hits, whatever the score
	if err := w.fill(b); err != nil {
		return err
	}
	var quiet, noisy []wake.Scored
	mel, r := sound.NewMel(), rand.New(rand.NewPCG(seed, 51))
	for i, s := range speech {
		quiet = append(quiet, w.score(mel, s))
		if w.Networks == nil { // to compare takes long, and noise makes nothing more alike
			continue
		}
		for _, speed := range []float64{0.88 + 0.12*r.Float64(), 1 + 0.12*r.Float64()} {
			quiet = append(quiet, w.score(mel, sound.Colour(sound.Speed(s, speed), 6, r)))
		}
		noise := sound.Noise(len(s), float64(i%3), r)
		noisy = append(noisy, w.score(mel, sound.AddNoise(s, noise, 10)))
	}
	w.Word = least
	w.Word.Noise = wake.Gain(quiet, noisy, wake.Noise)
	var scores []float32
	for _, s := range slices.Concat(quiet, noisy) {
		scores = append(scores, w.Word.Adjusted(s.Score, s.Channel))
	}
	if len(scores) > 0 {
		slices.Sort(scores)
		w.Word.Found = max(w.Word.Found, sound.Percentile(scores, 100)+0.01)
		w.Word.Uncertain = max(w.Word.Uncertain, min(w.Word.Found, sound.Percentile(scores, 99.5)))
	}
	return w.fill(b)
}

// score is the best score in a recording, before it is adjusted.
func (w *OwnWord) score(mel *sound.Mel, pcm []float32) wake.Scored {
	out := wake.Scored{Score: w.best(mel, pcm)}
	if d, ok := w.scan.(*wake.Detector); ok {
		out.Channel = d.Channel()
	}
	return out
}
