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
	"time"

	"earshot"
	"earshot/voice"
	"earshot/voice/pcm"
)

// Options of an Ear.
type Options struct {
	Words   []*voice.OwnWord // the operator's own wake words
	// Engines that are not ours are asked besides. While one of them fails nothing is known of the
	// recording: it is looked at again later.
	Engines []voice.Detector
	Reading voice.Reading
	Workers int           // recordings heard at once; default one for each core
	Longest time.Duration // a longer recording is not listened to; default 30 min
	Timeout time.Duration // for one recording; default 5 min
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
	for _, d := range o.Engines {
		e.version += "+" + d.Name()
	}
	if o.Reading.Evidential {
		e.version += "+evidential"
	}
	return e, nil
}

// Version names all that answers hang on: with another version, listen again.
func (e *Ear) Version() string { return e.version }

// Hear gives what is heard in a recording, and the sound itself, mono and at [voice.Rate]. What cannot
// be heard is [pcm.ErrUnheard].
func (e *Ear) Hear(ctx context.Context, src io.ReaderAt, size int64) (voice.Heard, []float32, error) {
	var l *voice.Listener
	select {
	case l = <-e.idle:
	case <-ctx.Done():
		return voice.Heard{}, nil, ctx.Err()
	}
	defer func() { e.idle <- l }()
	timed, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	sound, err := pcm.All(timed, src, size, e.o.Longest)
	if err != nil {
		return voice.Heard{}, nil, e.late(ctx, err)
	}
	heard, err := l.Hear(timed, sound)
	if err != nil {
		return voice.Heard{}, nil, e.late(ctx, err)
	}
	for _, d := range e.o.Engines {
		found, err := d.Detect(ctx, sound)
		if err != nil {
			return voice.Heard{}, nil, fmt.Errorf("listening with %s: %w", d.Name(), err)
		}
		heard.Join(found)
	}
	heard.Version = e.version
	return heard, sound, nil
}

// late tells our own time limit from the end of the caller's context.
func (e *Ear) late(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("longer than %s were spent on it: %w", e.o.Timeout, pcm.ErrUnheard)
	}
	return err
}

// Listen gives what is heard as facts. ok is false where the recording cannot be heard, why says why:
// that is no evidence that nothing was said.
func (e *Ear) Listen(ctx context.Context, src io.ReaderAt, size int64, at time.Time) (facts []earshot.Listening, why string, ok bool, err error) {
	heard, _, err := e.Hear(ctx, src, size)
	if errors.Is(err, pcm.ErrUnheard) {
		return nil, err.Error(), false, nil
	}
	if err != nil {
		return nil, "", false, err
	}
	facts = heard.Listenings(at, e.o.Reading)
	for i := range facts {
		facts[i].Detector = e.version
	}
	return facts, "", true, nil
}
