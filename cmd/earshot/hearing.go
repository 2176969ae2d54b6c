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
	// Engines are asked for wake words besides.
	Engines []EngineConfig `yaml:"engines"`
	Longest string         `yaml:"longest"` // a longer recording is not listened to; default 30m
	Timeout string         `yaml:"timeout"` // for one recording; default 5m

	longest, timeout time.Duration
}

// EngineConfig is one engine for wake words that is not ours: a Wyoming server, or a program that takes
// samples (16 bit, 16 kHz, mono) and writes a line of JSON for each word.
type EngineConfig struct {
	Wyoming string   `yaml:"wyoming"` // HOST:PORT or unix:///PATH
	Words   []string `yaml:"words"`   // the server's models
	Command []string `yaml:"command"` // the program and its arguments; no shell
	Version string   `yaml:"version"` // of the program and its models
}

func (c EngineConfig) open() (voice.Detector, error) {
	switch {
	case c.Wyoming != "" && len(c.Command) == 0:
		return wyoming.New(wyoming.Options{Address: c.Wyoming, Names: c.Words})
	case c.Wyoming == "" && len(c.Command) > 0:
		return outside.New(outside.Options{Command: c.Command, Version: c.Version})
	}
	return nil, errors.New("hearing.engines: each has either wyoming (with words) or command")
}

func (h *HearingConfig) engines() ([]voice.Detector, error) {
	var out []voice.Detector
	for _, c := range h.Engines {
		d, err := c.open()
		if err != nil {
			return nil, fmt.Errorf("hearing.engines: %w", err)
		}
		out = append(out, d)
	}
	return out, nil
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
	return nil
}

// ear makes what the configuration says hears, with the operator's own words; nil for none.
func (c *Config) ear() (retention.Ear, error) {
	if c.Hearing.Detector == "none" {
		return nil, nil
	}
	words, err := loadWords(filepath.Join(c.dir, wordsFolder))
	if err != nil {
		return nil, err
	}
	engines, err := c.Hearing.engines()
	if err != nil {
		return nil, err
	}
	return ear.New(ear.Options{
		Words: words, Engines: engines, Workers: c.Hearing.Workers, Longest: c.Hearing.longest, Timeout: c.Hearing.timeout,
		Reading: voice.Reading{Evidential: c.Hearing.Child == "evidential"},
	})
}

// lookedAt is what is heard in one recording, for a person to look at.
type lookedAt struct {
	heard   voice.Heard
	sound   []float32
	unheard string // why not, if not
}

// lookAt listens to a recording with the built-in networks, and with the own words of the installation
// where there is one.
func (a *app) lookAt(ctx context.Context, src *source) (lookedAt, error) {
	var words []*voice.OwnWord
	if dir, err := a.wordsDir(); err == nil {
		if words, err = loadWords(dir); err != nil {
			return lookedAt{}, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return lookedAt{}, err
	}
	e, err := ear.New(ear.Options{Words: words, Workers: 1})
	if err != nil {
		return lookedAt{}, err
	}
	heard, sound, err := e.Hear(ctx, src, src.size)
	if errors.Is(err, pcm.ErrUnheard) {
		return lookedAt{unheard: err.Error()}, nil
	}
	return lookedAt{heard: heard, sound: sound}, err
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
