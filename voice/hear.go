package voice

import (
	"context"
	"fmt"
	"slices"
	"time"

	"earshot"
	"earshot/voice/internal/child"
	"earshot/voice/internal/sound"
	"earshot/voice/internal/wake"
)

// Rate is the sampling rate of all sound that is listened to, in hertz: mono, float32 from -1 to 1.
const Rate = sound.Rate

// Verdict is what a score amounts to.
type Verdict string

// The verdicts. For a wake word Found or Uncertain, for a voice Child, Uncertain or Adult.
const (
	Found     Verdict = "found"
	Uncertain Verdict = "uncertain"
	Child     Verdict = "child"
	Adult     Verdict = "adult"
)

// Wake is one occurrence of a wake word.
type Wake struct {
	Word    string       `json:"word"`
	Span    earshot.Span `json:"span"`  // where the word is
	Erase   earshot.Span `json:"erase"` // where it may be: what redaction has to take out
	Score   float64      `json:"score"` // 0 to 1, no probability
	Verdict Verdict      `json:"verdict"`
	// Loose says that the spans are where the word may be, wider than it is: an engine told only that it was
	// sure of it, and at most at which Moment (0 if it did not).
	Loose  bool          `json:"loose,omitempty"`
	Moment time.Duration `json:"-"`
}

// Segment is a stretch of speech, of at most 3 s, with the judgement on its voice alone.
type Segment struct {
	Span earshot.Span `json:"span"`
	Voice
}

// Heard is all that is heard in one recording.
type Heard struct {
	// Version names the networks and thresholds: with another version, listen again.
	Version string        `json:"version"`
	Length  time.Duration `json:"length"`
	Wakes   []Wake        `json:"wakes,omitempty"` // by time
	// Speech is where anyone speaks; empty if nobody does.
	Speech earshot.Spans `json:"speech,omitempty"`
	// CommandEnd is where the speech that follows the first wake word ends, 0 where there is none.
	CommandEnd time.Duration `json:"command_end,omitempty"`
	// Voice is the judgement over all speech together.
	Voice    Voice     `json:"voice"`
	Segments []Segment `json:"segments,omitempty"`
}

// Voice is a judgement on whether a child under 13 speaks, by the sound alone.
type Voice struct {
	// Known is false where there is too little voice to judge: the rest then says nothing.
	Known bool `json:"known"`
	// Probability is calibrated on other speakers of the same corpus, 0 to 1.
	Probability float64 `json:"probability"`
	// Protective counts a doubtful voice as a child's; Evidential accuses few adults. Each says
	// Child, Uncertain or Adult; they differ in where Child begins.
	Protective Verdict `json:"protective,omitempty"`
	Evidential Verdict `json:"evidential,omitempty"`
	logit      float64 // before calibration, for pooling
}

// Listener hears recordings. It holds buffers: one Listener serves one goroutine.
type Listener struct {
	tuning   tuning
	analysis *sound.Analysis
	detector *wake.Detector
	own      []*OwnWord
	scans    []scanner // of the operator's own words
	judge    *child.Judge
}

// Long recordings are heard in blocks, so that memory is bounded whatever their length.
const (
	blockSamples   = 120 * Rate
	overlapSamples = 3 * Rate
)

// NewListener loads the built-in networks, and the operator's own words besides.
func NewListener(own ...*OwnWord) (*Listener, error) {
	b, err := load()
	if err != nil {
		return nil, err
	}
	judge, err := child.NewJudge(b.child)
	if err != nil {
		return nil, fmt.Errorf("loading the built-in networks: %w", err)
	}
	l := &Listener{
		tuning: b.tuning, analysis: sound.NewAnalysis(), own: own,
		detector: wake.NewDetector(b.tuning.Words, b.wake...),
		judge:    judge,
	}
	for _, w := range own {
		l.scans = append(l.scans, w.detector())
	}
	return l, nil
}

// WakeWords finds the wake words in pcm, by time.
func (l *Listener) WakeWords(ctx context.Context, pcm []float32) ([]Wake, error) {
	var out []Wake
	err := blocks(ctx, pcm, func(block []float32, offset time.Duration) {
		l.analysis.Powers = l.analysis.Spectra(block)
		out = mergeWakes(out, l.wakes(block, offset, duration(len(pcm))-offset))
	})
	return out, err
}

// Hear tells all that is in pcm. The same samples give the same answer, bit for bit, on the same
// kind of machine. It fails only when ctx ends.
func (l *Listener) Hear(ctx context.Context, pcm []float32) (Heard, error) {
	h := Heard{Version: l.Version(), Length: duration(len(pcm))}
	err := blocks(ctx, pcm, func(block []float32, offset time.Duration) {
		l.analysis.Run(block)
		h.Wakes = mergeWakes(h.Wakes, l.wakes(block, offset, duration(len(pcm))-offset))
		l.listenToSpeech(&h, offset)
	})
	if err != nil {
		return Heard{}, err
	}
	h.Speech = h.Speech.Pad(speechMargin, speechMargin).Clip(h.Length) // once, not with every block
	h.CommandEnd = commandEnd(h.Wakes, h.Speech)
	h.Voice = l.tuning.pool(h.Segments, h.Voice)
	return h, nil
}

// reckoning counts up when what is made of the networks' answers changes, so that recordings are heard again.
const reckoning = ".1"

// Version names the networks, the thresholds, what is made of them, and the operator's own words.
func (l *Listener) Version() string {
	v := l.tuning.Version + reckoning
	for _, w := range l.own {
		v += "+" + w.Version()
	}
	return v
}

// blocks calls hear for each block of pcm with the time at which it begins.
func blocks(ctx context.Context, pcm []float32, hear func([]float32, time.Duration)) error {
	for from := 0; ; from += blockSamples - overlapSamples {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		to := min(len(pcm), from+blockSamples)
		hear(sane(pcm[from:to]), duration(from))
		if to == len(pcm) {
			return nil
		}
	}
}

// sane is the block with samples that are numbers of at most 8. It copies only where it must.
func sane(block []float32) []float32 {
	const most = 8
	copied := false
	for i, v := range block {
		if v >= -most && v <= most {
			continue
		}
		if !copied {
			block, copied = slices.Clone(block), true
		}
		block[i] = max(-most, min(most, v))
		if v != v {
			block[i] = 0
		}
	}
	return block
}

func duration(samples int) time.Duration { return time.Duration(samples) * time.Second / Rate }

func frameTime(t int) time.Duration { return time.Duration(t) * sound.Hop * time.Second / Rate }

// wakes lists what the detectors find in the block that was analysed last; rest is how long the recording is
// from the block's begin.
func (l *Listener) wakes(block []float32, offset, rest time.Duration) []Wake {
	length := duration(len(block))
	l.detector.Scan(l.analysis.Powers)
	out := l.asWakes(l.detector, l.detector.Hits(), offset, length, rest)
	for _, d := range l.scans {
		d.Scan(l.analysis.Powers)
		out = append(out, l.asWakes(d, d.Hits(), offset, length, rest)...)
	}
	return out
}

// scanner is a detector of words: the network's, or the one that compares with templates.
type scanner interface {
	Scan(powers []float32)
	Hits() []wake.Hit
	Known() []wake.Word
}

// asWakes places hits in the recording. What is erased may end behind the block, which may have cut the word.
func (l *Listener) asWakes(d scanner, hits []wake.Hit, offset, length, rest time.Duration) []Wake {
	var out []Wake
	for _, h := range hits {
		word := d.Known()[h.Word]
		w := Wake{Word: word.Name, Score: float64(h.Score), Verdict: Uncertain}
		if h.Score >= word.Found {
			w.Verdict = Found
		}
		w.Span = earshot.Span{Start: offset + frameTime(h.Onset), End: offset + min(length, frameTime(h.Offset))}
		from := max(0, frameTime(h.WideOn)-l.tuning.margin())
		w.Erase = earshot.Span{Start: offset + from, End: offset + min(rest, frameTime(h.WideOff)+l.tuning.margin())}
		if w.Span.Valid() {
			out = append(out, w)
		}
	}
	return out
}

// mergeWakes appends the wake words of the next block. What lies in the overlap was heard twice:
// a found one stays rather than an uncertain one, for an own word of the same name has thresholds of its own,
// then the better score; and both are erased, for the border may cut a word.
func mergeWakes(have, next []Wake) []Wake {
	for _, w := range next {
		twice := false
		for i := range have {
			if have[i].Word == w.Word && have[i].Span.Start < w.Span.End && w.Span.Start < have[i].Span.End {
				twice = true
				erase := earshot.Span{Start: min(have[i].Erase.Start, w.Erase.Start), End: max(have[i].Erase.End, w.Erase.End)}
				better, found := w.Score > have[i].Score, w.Verdict == Found
				if found != (have[i].Verdict == Found) {
					better = found
				}
				if better {
					have[i] = w
				}
				have[i].Erase = erase
			}
		}
		if !twice {
			have = append(have, w)
		}
	}
	for i := range have {
		for j := i; j > 0 && have[j].Span.Start < have[j-1].Span.Start; j-- {
			have[j], have[j-1] = have[j-1], have[j]
		}
	}
	return have
}
