package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"earshot"
	"earshot/policies"
	"earshot/retention"
	"earshot/voice"
	"earshot/voice/ear"
	"earshot/voice/outside"
	"earshot/voice/pcm"
	"earshot/voice/wyoming"
)

// HearingConfig says how recordings are listened to.
type HearingConfig struct {
	// Detector is built-in (the default) or none: then only what devices wrote counts.
	Detector string `yaml:"detector"`
	// Child is protective (the default: a doubtful voice counts as a child's) or evidential (few adults
	// are taken for children).
	Child   string `yaml:"child"`
	Workers int    `yaml:"workers"` // recordings heard at once; default one for each core
	Longest string `yaml:"longest"` // a longer recording is not listened to; default 30m
	Timeout string `yaml:"timeout"` // for one recording; default 5m
	// Detectors are asked for wake words besides. If one fails, nothing is known of the wake word in
	// recordings in which none was found.
	Detectors []DetectorConfig `yaml:"detectors"`

	longest, timeout time.Duration
}

func (h *HearingConfig) check() error {
	if h.Detector != "" && h.Detector != "built-in" && h.Detector != "none" {
		return fmt.Errorf("hearing.detector: %q is not built-in or none", h.Detector)
	}
	if h.Child != "" && h.Child != "protective" && h.Child != "evidential" {
		return fmt.Errorf("hearing.child: %q is not protective or evidential", h.Child)
	}
	if h.Workers < 0 || h.Workers > 256 {
		return fmt.Errorf("hearing.workers: %d is not between 1 and 256", h.Workers)
	}
	for name, v := range map[string]struct {
		text string
		to   *time.Duration
	}{"longest": {h.Longest, &h.longest}, "timeout": {h.Timeout, &h.timeout}} {
		if v.text == "" {
			continue
		}
		d, err := policies.ParseLength(v.text)
		if err != nil {
			return fmt.Errorf("hearing.%s: %w", name, err)
		}
		*v.to = d
	}
	for i := range h.Detectors {
		if err := h.Detectors[i].check(); err != nil {
			return fmt.Errorf("hearing.detectors[%d]: %w", i, err)
		}
	}
	return nil
}

// DetectorConfig is an engine for wake words that is asked besides the built-in one: a server, or a
// program.
type DetectorConfig struct {
	Wyoming string   `yaml:"wyoming"` // HOST:PORT or unix:///PATH of a server that speaks the Wyoming protocol
	Words   []string `yaml:"words"`   // the server's models
	Command []string `yaml:"command"` // a program: sound on its standard input, JSON Lines out; see docs/json.md
	Version string   `yaml:"version"` // of the program or the server's models: a change makes recordings be heard anew
	Timeout string   `yaml:"timeout"` // for one recording; default 1m

	timeout time.Duration
}

func (d *DetectorConfig) check() (err error) {
	switch {
	case (d.Wyoming == "") == (len(d.Command) == 0):
		return errors.New("give wyoming or command")
	case d.Wyoming != "" && len(d.Words) == 0:
		return errors.New("words is missing: the names of the server's models, for without them it answers for another")
	case d.Wyoming == "" && len(d.Words) > 0:
		return errors.New("words is for wyoming; a program gets them as arguments")
	}
	if d.Timeout != "" {
		d.timeout, err = policies.ParseLength(d.Timeout)
	}
	return err
}

// make makes the detector.
func (d *DetectorConfig) make() (voice.Detector, error) {
	if d.Wyoming != "" {
		return wyoming.New(wyoming.Options{Address: d.Wyoming, Names: d.Words, Version: d.Version, Timeout: d.timeout})
	}
	return outside.New(outside.Options{Command: d.Command, Version: d.Version, Timeout: d.timeout})
}

// earOptions is what the configuration says of hearing, with the operator's own words.
func (c *Config) earOptions() (o ear.Options, err error) {
	o = ear.Options{
		Workers: c.Hearing.Workers, Longest: c.Hearing.longest, Timeout: c.Hearing.timeout,
		Reading: voice.Reading{Evidential: c.Hearing.Child == "evidential"},
	}
	if o.Words, err = loadWords(filepath.Join(c.dir, wordsFolder)); err != nil {
		return o, err
	}
	for i := range c.Hearing.Detectors {
		d, err := c.Hearing.Detectors[i].make()
		if err != nil {
			return o, fmt.Errorf("hearing.detectors[%d]: %w", i, err)
		}
		o.Detectors = append(o.Detectors, d)
	}
	return o, nil
}

// ear makes what the configuration says hears; nil for none.
func (c *Config) ear() (retention.Ear, error) {
	if c.Hearing.Detector == "none" {
		return nil, nil
	}
	o, err := c.earOptions()
	if err != nil {
		return nil, err
	}
	return ear.New(o)
}

// lookedAt is what is heard in one recording, for a person to look at.
type lookedAt struct {
	heard   voice.Heard
	sound   []float32
	unheard string // why not, if not
	failed  string // which other detector did not answer
	by      string // who heard it
}

// lookAt listens to a recording with the built-in networks, and with the own words and detectors of the
// installation where there is one.
func (a *app) lookAt(ctx context.Context, src *source) (lookedAt, error) {
	var o ear.Options
	c, err := a.config()
	if err == nil {
		o, err = c.earOptions()
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return lookedAt{}, err
	}
	o.Workers = 1
	e, err := ear.New(o)
	if err != nil {
		return lookedAt{}, err
	}
	heard, err := e.Hear(ctx, src, src.size)
	if errors.Is(err, pcm.ErrUnheard) {
		return lookedAt{unheard: err.Error()}, nil
	}
	return lookedAt{heard: heard.Heard, sound: heard.Sound, failed: heard.Failed, by: e.Version()}, err
}

// beside gives the spans that a rule would erase, counted from the wake words that are heard.
func (a *app) beside(ctx context.Context, src *source, o redactOptions) (earshot.Spans, error) {
	if !o.before && !o.word && !o.after {
		return nil, nil
	}
	l, err := a.lookAt(ctx, src)
	if err != nil {
		return nil, err
	}
	if l.unheard != "" {
		return nil, fmt.Errorf("nothing was erased: where the wake word is cannot be told (%s); give --span", l.unheard)
	}
	var first, last *voice.Wake
	for i := range l.heard.Wakes {
		w := &l.heard.Wakes[i]
		if o.sure && w.Verdict != voice.Found {
			continue
		}
		if first == nil {
			first = w
		}
		last = w
	}
	if first == nil {
		return nil, errors.New("nothing was erased: no wake word is heard; give --span, or use a rule for accidental recordings")
	}
	var out earshot.Spans
	if o.before && first.Erase.Start > 0 {
		out = append(out, earshot.Span{End: first.Erase.Start})
	}
	if o.word {
		for _, w := range l.heard.Wakes {
			out = append(out, w.Erase)
		}
	}
	if o.after {
		out = append(out, earshot.Span{Start: last.Erase.End, End: earshot.ToEnd})
	}
	return out, nil
}

// draw writes a picture of what is heard.
func draw(path string, force bool, write func(f *os.File) error) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return fmt.Errorf("drawing what is heard: %w", err)
	}
	return errors.Join(write(f), f.Close())
}
