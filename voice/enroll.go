package voice

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	Steps  int // of teaching each network; if 0, 900
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
	if !Printable(name) {
		return nil, fmt.Errorf("enrolling the word %.40q: a name that is too long or cannot be printed", name)
	}
	if opts.Steps < 0 || opts.Steps > mostSteps {
		return nil, fmt.Errorf("enrolling the word %q: %d steps, not 1 to %d", name, opts.Steps, mostSteps)
	}
	b, err := load()
	if err != nil {
		return nil, err
	}
	w := &OwnWord{Name: name, Format: ownFormat, Card: Card{
		Clips: len(examples), Made: opts.Now, Kind: kindTemplates, Seed: opts.Seed,
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
	if len(examples) >= NetworkClips && duration(spoken) >= leastSpeech {
		learn, check := apart(opts.Speech)
		if err = w.teach(ctx, order, learn, b.wake, opts); err == nil {
			err = w.calibrate(ctx, check, learn, opts, b)
		}
	} else {
		w.compare(clips, b)
		err = w.raise(opts.Speech, b)
	}
	if err != nil {
		return nil, fmt.Errorf("enrolling %q: %w", name, err)
	}
	return w, nil
}

// apart keeps a fifth of the recordings back for the thresholds: of those that it was taught from a network
// says too surely that the word is not in them. It is every fifth stretch of recordings that follow one another,
// for those are often of one speaker. Of few recordings all serve for both.
func apart(speech [][]float32) (learn, check [][]float32) {
	if len(speech) < 20 {
		return speech, speech
	}
	stretch := max(1, len(speech)/25)
	for i, s := range speech {
		if i/stretch%5 == 4 {
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
		course.Progress = func(step int, _ float64) {
			opts.Progress(teachingShare * float64(step+1) / float64(steps*wake.OwnTrunks))
		}
	}
	taught, err := wake.TeachFrom(ctx, lesson, builtIn[:wake.OwnTrunks], course)
	if err != nil {
		return err
	}
	w.Card.Kind, w.Card.Steps = kindNetwork, steps
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

// raise puts the thresholds of templates above what speech without the word reaches.
func (w *OwnWord) raise(speech [][]float32, b built) error {
	least := w.Word
	w.Word.Found, w.Word.Uncertain = 2, 0 // all hits, whatever the score
	if err := w.fill(b); err != nil {
		return err
	}
	mel := sound.NewMel()
	var scores []float32
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

// How much speech thresholds are set on, and how often a recording is heard, at most.
const (
	enoughSpeech = time.Hour // under each condition
	mostVersions = 8
)

// teachingShare is how much of the work of enrolling is teaching.
const teachingShare = 0.8

// calibrate sets the thresholds of networks by speech without the word: as it is, at other speeds, in other rooms,
// in noise of 20 and 10 dB, and in the babble of voices. It is the measure that docs/voice.md has its figures by.
func (w *OwnWord) calibrate(ctx context.Context, speech, voices [][]float32, opts EnrollOptions, b built) error {
	w.Word.Found, w.Word.Uncertain = 1, 1
	if err := w.fill(b); err != nil {
		return err
	}
	length := 0
	for _, s := range speech {
		length += len(s)
	}
	versions := min(mostVersions, max(1, int(enoughSpeech/max(time.Second, duration(length)))))
	every := max(1, int(duration(length)/(2*enoughSpeech))) // of very many recordings not all
	var jobs []int
	for i := range len(speech) * versions {
		if i%every == 0 {
			jobs = append(jobs, i)
		}
	}
	snr := []float64{math.Inf(1), 20, 10}
	sets := make([][]wake.Scored, len(snr))
	for k := range sets {
		sets[k] = make([]wake.Scored, len(jobs))
	}
	var next, done atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			d, mel := w.scan.(*wake.Detector).Clone(), sound.NewMel()
			for j := int(next.Add(1)) - 1; j < len(jobs) && ctx.Err() == nil; j = int(next.Add(1)) - 1 {
				i, version := jobs[j]%len(speech), jobs[j]/len(speech)
				for k := range snr {
					r := rand.New(rand.NewPCG(opts.Seed, uint64(51+3*jobs[j]+k)))
					x := again(speech[i], version, snr[k], voices, r)
					d.Scan(mel.Powers(x, nil))
					sets[k][j] = wake.Scored{Score: d.Best(0).Score, Channel: d.Channel(), Seconds: duration(len(x)).Seconds()}
				}
				if n := done.Add(1); opts.Progress != nil && n == int64(len(jobs)) {
					opts.Progress(1)
				}
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	w.Word.Limit(sets[0], sets[len(sets)-1], sets...)
	return w.fill(b)
}

// again is a recording, after the first version as another voice in another room, with noise snr decibels down.
func again(pcm []float32, version int, snr float64, voices [][]float32, r *rand.Rand) []float32 {
	if version > 0 {
		pcm = sound.Colour(sound.Speed(pcm, 0.88+0.24*r.Float64()), 6, r)
	}
	if math.IsInf(snr, 1) {
		return pcm
	}
	kind := r.IntN(4)
	if kind < 3 {
		return sound.AddNoise(pcm, sound.Noise(len(pcm), float64(kind), r), snr)
	}
	babble := make([]float32, len(pcm))
	for range 5 {
		voice := voices[r.IntN(len(voices))]
		if len(voice) == 0 {
			continue
		}
		loud, at := float32(sound.Loudness(voice))+1e-4, r.IntN(len(voice))
		for i := range babble {
			babble[i] += voice[at] / loud
			if at++; at == len(voice) {
				at = 0
			}
		}
	}
	return sound.AddNoise(pcm, babble, snr)
}
