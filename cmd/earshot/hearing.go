package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	// Session is how far apart the recordings of a device may follow one another to be judged together, as
	// child.pooled; default 2m, 0 for each by itself.
	Session string `yaml:"session"`
	// Detectors are asked for wake words besides. If one fails, nothing is known of the wake word in
	// recordings in which no other is sure of one.
	Detectors []DetectorConfig `yaml:"detectors"`

	longest, timeout, session time.Duration
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
	h.session = 2 * time.Minute
	if h.Session == "0" {
		h.session = 0
	} else if h.Session != "" {
		d, err := policies.ParseLength(h.Session)
		if err != nil || d > 24*time.Hour {
			return fmt.Errorf("hearing.session: %q is not a length up to 24h, or 0", h.Session)
		}
		h.session = d
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

// ears makes what hears, and makes it anew when words were enrolled or removed since.
type ears struct {
	c     *Config
	mu    sync.Mutex // guards what follows
	words string     // what the folder of words held
	made  *ear.Ear
}

// ears is nil where the configuration says that nothing hears.
func (c *Config) ears() *ears {
	if c.Hearing.Detector == "none" {
		return nil
	}
	return &ears{c: c}
}

func (e *ears) now() (retention.Ear, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	words, err := folderState(filepath.Join(e.c.dir, wordsFolder))
	if err != nil {
		return nil, fmt.Errorf("reading the wake words: %w", err)
	}
	if e.made != nil && words == e.words {
		return e.made, nil
	}
	o, err := e.c.earOptions()
	if err != nil {
		return nil, err
	}
	made, err := ear.New(o)
	if err != nil {
		return nil, err
	}
	e.words, e.made = words, made
	return made, nil
}

// folderState tells a folder's files apart from what they were: names, sizes and times. A folder that is not
// there holds none.
func folderState(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var state strings.Builder
	for _, f := range files {
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&state, "%q %d %d\n", f.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return state.String(), nil
}

// lookedAt is what is heard in one recording, for a person to look at.
type lookedAt struct {
	heard   voice.Heard
	sound   []float32
	unheard string // why not, if not
	failed  string // which other detector did not answer
	others  []string
	reading voice.Reading
}

// looker listens to recordings for a person to look at.
type looker struct {
	*ear.Ear
	o ear.Options
}

// looker hears with the built-in networks, and with the own words and detectors of the installation where
// there is one.
func (a *app) looker() (l looker, err error) {
	c, err := a.config()
	if err == nil {
		l.o, err = c.earOptions()
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return l, err
	}
	l.o.Workers = 1
	l.Ear, err = ear.New(l.o)
	return l, err
}

// at listens to one recording.
func (l looker) at(ctx context.Context, src *source) (lookedAt, error) {
	heard, err := l.Hear(ctx, src, src.size)
	if errors.Is(err, pcm.ErrUnheard) {
		return lookedAt{unheard: err.Error()}, nil
	}
	out := lookedAt{heard: heard.Heard, sound: heard.Sound, failed: heard.Failed, reading: l.o.Reading}
	for _, d := range l.o.Detectors {
		out.others = append(out.others, d.Name())
	}
	return out, err
}

// beside gives the spans that a rule would erase, counted from what is heard and what the event says.
func (a *app) beside(ctx context.Context, src *source, o redactOptions) (earshot.Spans, error) {
	byWord := o.before || o.word || o.after
	if !byWord && !o.child && !o.command {
		if o.event != "" {
			return nil, fmt.Errorf("%w: --event says where the wake word is: with --before-wake-word, --wake-word or --after-wake-word", errUsage)
		}
		return nil, nil
	}
	said, placed, err := readStatement(o.event)
	if err != nil {
		return nil, err
	}
	hears, err := a.looker()
	if err != nil {
		return nil, err
	}
	l, err := hears.at(ctx, src)
	if err != nil {
		return nil, err
	}
	if l.unheard != "" && (!placed || o.child || o.command) {
		return nil, fmt.Errorf("nothing was erased: %s; give --span", l.unheard)
	}
	if placed && l.unheard == "" && max(said.Span.Start, said.Moment-voice.After) >= l.heard.Length {
		return nil, fmt.Errorf("nothing was erased: %s: its wake word lies behind the end of the recording (%s), so that it tells of another; give --span", o.event, l.heard.Length)
	}
	var out earshot.Spans
	if byWord {
		if placed {
			l.heard.Join([]voice.Wake{said})
		}
		if out, err = besideWord(l, o); err != nil {
			return nil, err
		}
	}
	if l.failed != "" && (byWord || o.command) {
		a.say("a wake word that is not heard here may be missed: %s", l.failed)
	}
	if o.command {
		if l.heard.CommandEnd == 0 {
			return nil, errors.New("nothing was erased: no command behind a wake word is heard; give --span")
		}
		out = append(out, earshot.Span{Start: l.heard.CommandEnd, End: earshot.ToEnd})
	}
	if o.child {
		spans, err := childSpans(l)
		if err != nil {
			return nil, err
		}
		out = append(out, spans...)
	}
	return out, nil
}

// readStatement reads where an event says that the wake word is.
func readStatement(path string) (said voice.Wake, placed bool, err error) {
	if path == "" {
		return said, false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return said, false, fmt.Errorf("opening the event: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 2<<20))
	if err != nil {
		return said, false, fmt.Errorf("reading %s: %w", path, err)
	}
	s, err := voice.ReadEvent(text)
	if err != nil {
		return said, false, fmt.Errorf("%s: %w", path, err)
	}
	said, placed = s.Wake() // if it names a word, or none, without a place, what is heard decides
	return said, placed, nil
}

// besideWord counts from the wake words, said and heard.
func besideWord(l lookedAt, o redactOptions) (earshot.Spans, error) {
	var words earshot.Spans
	sure := false
	for _, w := range l.heard.Wakes {
		sure = sure || w.Verdict == voice.Found
		if !o.sure || w.Verdict == voice.Found {
			words = append(words, w.Erase)
		}
	}
	switch {
	case l.failed != "" && !sure:
		return nil, fmt.Errorf("nothing was erased: no wake word is heard for sure, and %s; try again, or give --span", l.failed)
	case len(words) == 0:
		return nil, errors.New("nothing was erased: no wake word is heard; give --span, or use a rule for accidental recordings")
	}
	words = words.Merge()
	var out earshot.Spans
	if o.before && words[0].Start > 0 {
		out = append(out, earshot.Span{End: words[0].Start})
	}
	if o.word {
		out = append(out, words...)
	}
	if o.after {
		out = append(out, earshot.Span{Start: words[len(words)-1].End, End: earshot.ToEnd})
	}
	if len(out) == 0 {
		return nil, errors.New("nothing was erased: the first wake word may begin with the recording; give --span")
	}
	return out, nil
}

// childSpans is where a child speaks, as the configuration reads doubtful voices.
func childSpans(l lookedAt) (earshot.Spans, error) {
	var out earshot.Spans
	known := false
	for _, x := range l.heard.Listenings(time.Time{}, l.reading) {
		if x.Kind != earshot.KindChild {
			continue
		}
		known = true
		for _, f := range x.Findings {
			out = append(out, f.Span)
		}
	}
	switch {
	case !known:
		return nil, errors.New("nothing was erased: too little voice to judge whether a child speaks; give --span")
	case len(out) == 0:
		return nil, errors.New("nothing was erased: no child's voice is heard; give --span")
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
