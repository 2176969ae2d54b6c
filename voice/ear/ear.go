// Package ear listens to whole recordings: it decodes them and lets as many listeners as there are
// cores hear them, within limits of length and time.
//
// It must not know where recordings come from or what is done about what was heard.
package ear

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/voice"
	"earshot/voice/pcm"
)

// Options of an Ear.
type Options struct {
	Words []*voice.OwnWord // the operator's own wake words
	// Detectors are asked for wake words besides. If one of them fails, nothing is known of wake words
	// that no other is sure of.
	Detectors []voice.Detector
	Reading   voice.Reading
	Workers   int           // recordings heard at once; default one for each core
	Longest   time.Duration // a longer recording is not listened to; default 30 min
	Timeout   time.Duration // for one recording; default 5 min
}

// Ear hears recordings. It is safe for concurrent use.
type Ear struct {
	o       Options
	version string
	idle    chan *voice.Listener
}

// New loads the networks.
func New(o Options) (*Ear, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Longest == 0 {
		o.Longest = 30 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	e := &Ear{o: o, idle: make(chan *voice.Listener, o.Workers)}
	for range o.Workers {
		l, err := voice.NewListener(o.Words...)
		if err != nil {
			return nil, fmt.Errorf("making a listener: %w", err)
		}
		e.version = l.Version()
		e.idle <- l
	}
	for _, d := range o.Detectors {
		e.version += "+" + d.Name()
	}
	if o.Reading.Evidential {
		e.version += "+evidential"
	}
	return e, nil
}

// Version names all that answers hang on: with another version, listen again.
func (e *Ear) Version() string { return e.version }

// Words names the operator's own words and what they were taught from; empty where there are none.
func (e *Ear) Words() string {
	var all []string
	for _, w := range e.o.Words {
		all = append(all, w.Version())
	}
	return strings.Join(all, "+")
}

// Heard is what was heard in a recording.
type Heard struct {
	voice.Heard
	Sound []float32 // mono, at [voice.Rate]
	// Failed says which of the other detectors did not answer, and why; empty where all did.
	Failed string
}

// Hear gives what is heard in a recording. What cannot be heard is [pcm.ErrUnheard].
func (e *Ear) Hear(ctx context.Context, src io.ReaderAt, size int64) (Heard, error) {
	heard, err := e.own(ctx, src, size)
	if err != nil {
		return Heard{}, e.late(ctx, err)
	}
	var failed []string
	for _, d := range e.o.Detectors { // they have time limits of their own
		found, err := d.Detect(ctx, heard.Sound)
		if ctx.Err() != nil {
			return Heard{}, fmt.Errorf("listening: %w", ctx.Err())
		}
		if err != nil {
			failed = append(failed, fmt.Sprintf("the detector %s did not answer: %s", d.Name(), err))
			continue
		}
		heard.Join(found)
	}
	heard.Failed = strings.Join(failed, "; ")
	return heard, nil
}

// own decodes and hears with the built-in networks, on one of the workers.
func (e *Ear) own(ctx context.Context, src io.ReaderAt, size int64) (Heard, error) {
	var l *voice.Listener
	select {
	case l = <-e.idle:
	case <-ctx.Done():
		return Heard{}, ctx.Err()
	}
	defer func() { e.idle <- l }()
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout) // the wait for a worker does not count
	defer cancel()
	sound, err := pcm.All(ctx, src, size, e.o.Longest)
	if err != nil {
		return Heard{}, err
	}
	heard, err := l.Hear(ctx, sound)
	return Heard{Heard: heard, Sound: sound}, err
}

// Pool judges the voices of several recordings together; see [voice.Listener.PoolVoices].
func (e *Ear) Pool(heard ...voice.Heard) voice.Voice {
	l := <-e.idle
	defer func() { e.idle <- l }()
	return l.PoolVoices(heard...)
}

// late tells our own time limit from the end of the caller's context.
func (e *Ear) late(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("longer than %s were spent on it: %w", e.o.Timeout, pcm.ErrUnheard)
	}
	return err
}

// Listen gives what is heard as facts. ok is false where the recording cannot be heard, why says why:
// that is no evidence that nothing was said. Where a detector failed why says why, and another try may mend
// it; the fact of the wake word is missing then unless another one is sure of a word: what a detector that
// answers would have made of an uncertain one, nobody knows.
func (e *Ear) Listen(ctx context.Context, src io.ReaderAt, size int64, at time.Time) (facts []earshot.Listening, why string, ok bool, err error) {
	heard, err := e.Hear(ctx, src, size)
	if errors.Is(err, pcm.ErrUnheard) {
		return nil, err.Error(), false, nil
	}
	if err != nil {
		return nil, "", false, err
	}
	sure := heard.Failed == "" || slices.ContainsFunc(heard.Wakes, func(w voice.Wake) bool { return w.Verdict == voice.Found })
	for _, l := range heard.Listenings(at, e.o.Reading) {
		if l.Kind == earshot.KindWake && !sure {
			continue
		}
		l.Detector = e.version
		facts = append(facts, l)
	}
	return facts, heard.Failed, true, nil
}
