package wyoming

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/voice"
)

// Options says which server is asked, and for what.
type Options struct {
	Address string        // HOST:PORT, tcp://HOST:PORT or unix:///PATH; the usual port is 10400
	Names   []string      // the server's models; at least one
	Version string        // of the models: with another version recordings are heard anew
	Timeout time.Duration // for one recording; default one minute
}

// Client asks one server. It makes a connection for each recording and is safe for concurrent use.
type Client struct {
	o                Options
	network, address string
}

// New checks the options. It does not connect.
func New(o Options) (*Client, error) {
	c := &Client{o: o, network: "tcp", address: strings.TrimPrefix(o.Address, "tcp://")}
	if path, ok := strings.CutPrefix(o.Address, "unix://"); ok {
		c.network, c.address = "unix", path
	} else if _, _, err := net.SplitHostPort(c.address); err != nil {
		return nil, fmt.Errorf("a Wyoming server's address %q: %w", o.Address, err)
	}
	if len(o.Names) == 0 || slices.Contains(o.Names, "") {
		return nil, errors.New("a Wyoming server must be asked for models by name: with none it answers for one of its own choice")
	}
	if i := slices.IndexFunc(o.Names, func(name string) bool { return !voice.Printable(name) }); i >= 0 {
		return nil, fmt.Errorf("a Wyoming server's model %.40q: a name that is too long or cannot be printed", o.Names[i])
	}
	if c.o.Timeout <= 0 {
		c.o.Timeout = time.Minute
	}
	return c, nil
}

// Name is wyoming and the models that are asked for, with their version.
func (c *Client) Name() string {
	name := "wyoming:" + strings.Join(c.o.Names, ",")
	if c.o.Version != "" {
		name += "/" + c.o.Version
	}
	return name
}

// chunk is how much sound is sent at once: openWakeWord's own step, in which it counts time.
const (
	chunk      = 1280
	chunkTime  = chunk * time.Second / voice.Rate
	silence    = 13 // chunks behind the sound, for detection lags behind the word
	mostEvents = 10000
	mostRounds = 64
)

// Detect sends the sound and gives a wake word for each detection. Its span reaches from before the
// detection to after it: the server says when it was sure, not where the word is.
func (c *Client) Detect(ctx context.Context, pcm []float32) ([]voice.Wake, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	out, err := c.detect(ctx, pcm)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("asking the Wyoming server at %s: %w", c.o.Address, err)
	}
	return out, nil
}

func (c *Client) detect(ctx context.Context, pcm []float32) ([]voice.Wake, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, c.network, c.address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	s := &session{w: bufio.NewWriterSize(conn, 64<<10), events: make(chan result, 16), done: make(chan struct{})}
	defer close(s.done)
	go s.listen(bufio.NewReader(conn))
	if err := s.check(c.o.Names); err != nil {
		return nil, err
	}
	length := time.Duration(len(pcm)) * time.Second / voice.Rate
	var out []voice.Wake
	for from, round := 0, 0; from < len(pcm); round++ {
		if round == mostRounds {
			return nil, fmt.Errorf("more than %d detections in one recording", mostRounds)
		}
		start := time.Duration(from) * time.Second / voice.Rate
		found, err := s.stream(c.o.Names, pcm[from:])
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			break
		}
		next := len(pcm)
		for _, f := range found {
			w := voice.Wake{Word: strings.ToLower(f.name), Score: 1, Verdict: voice.Found, Loose: true}
			w.Span = earshot.Span{Start: start, End: length}
			if f.timed {
				w.Moment = start + f.at + chunkTime
				w.Span = voice.Around(w.Moment, length)
				next = min(next, from+int((f.at+chunkTime)*voice.Rate/time.Second))
			}
			w.Erase = w.Span
			if w.Span.Valid() && !slices.ContainsFunc(out, func(o voice.Wake) bool { return o == w }) {
				out = append(out, w)
			}
		}
		from = max(next, from+chunk)
	}
	return out, nil
}

// session is one connection. Events are read beside the writing, for a server may answer before it has
// read all.
type session struct {
	w      *bufio.Writer
	events chan result
	done   chan struct{} // closed when nobody takes events any more
}

type result struct {
	event
	err error
}

func (s *session) listen(r *bufio.Reader) {
	for range mostEvents {
		e, err := readEvent(r)
		if errors.Is(err, io.EOF) {
			err = errors.New("the server closed the connection")
		}
		select {
		case s.events <- result{e, err}:
		case <-s.done:
			return
		}
		if err != nil {
			return
		}
	}
	select {
	case s.events <- result{err: fmt.Errorf("more than %d events", mostEvents)}:
	case <-s.done:
	}
}

// serverInfo is what of info concerns wake words.
type serverInfo struct {
	Wake []struct {
		Models []struct {
			Name      string `json:"name"`
			Installed *bool  `json:"installed"`
		} `json:"models"`
	} `json:"wake"`
}

// check asks the server what it is, and whether it has the models.
func (s *session) check(names []string) error {
	if err := s.send("describe", nil); err != nil {
		return err
	}
	for {
		r := <-s.events
		if r.err != nil {
			return r.err
		}
		if r.kind != "info" {
			continue
		}
		var info serverInfo
		if raw, ok := r.data["wake"]; ok {
			if err := json.Unmarshal(raw, &info.Wake); err != nil {
				return fmt.Errorf("the server's info: %w", err)
			}
		}
		have := map[string]bool{}
		for _, w := range info.Wake {
			for _, m := range w.Models {
				have[m.Name] = m.Installed == nil || *m.Installed
			}
		}
		for _, name := range names {
			if !have[name] {
				return fmt.Errorf("it has no model %q for wake words, and would answer for another", name)
			}
		}
		return nil
	}
}

func (s *session) send(kind string, data any) error {
	if err := writeEvent(s.w, kind, data, nil); err != nil {
		return err
	}
	return s.w.Flush()
}

// detection is what the server says of one model in one stream.
type detection struct {
	name  string
	at    time.Duration // from the stream's begin
	timed bool
}

type audioFormat struct {
	Rate      int   `json:"rate"`
	Width     int   `json:"width"`
	Channels  int   `json:"channels"`
	Timestamp int64 `json:"timestamp"`
}

// stream sends sound as one stream and gives the answers. It must end in a detection or in
// not-detected: silence is no answer.
func (s *session) stream(names []string, pcm []float32) ([]detection, error) {
	format := audioFormat{Rate: voice.Rate, Width: 2, Channels: 1}
	if err := s.send("detect", map[string]any{"names": names}); err != nil {
		return nil, err
	}
	if err := s.send("audio-start", format); err != nil {
		return nil, err
	}
	a := answers{names: names}
	payload := make([]byte, 2*chunk)
	chunks := (len(pcm)+chunk-1)/chunk + silence
	for i := range chunks {
		clear(payload)
		for k, v := range pcm[min(len(pcm), i*chunk):min(len(pcm), (i+1)*chunk)] {
			binary.LittleEndian.PutUint16(payload[2*k:], uint16(int16(max(-32768, min(32767, v*32768)))))
		}
		format.Timestamp = int64(i) * chunkTime.Milliseconds()
		if err := writeEvent(s.w, "audio-chunk", format, payload); err != nil {
			return nil, err
		}
		for taken := true; taken; { // answers that are there already
			select {
			case r := <-s.events:
				if err := a.take(r); err != nil {
					return nil, err
				}
			default:
				taken = false
			}
		}
	}
	if err := s.send("audio-stop", map[string]any{"timestamp": int64(chunks) * chunkTime.Milliseconds()}); err != nil {
		return nil, err
	}
	// Behind the answer to this nothing comes that concerns the sound.
	if err := s.send("describe", nil); err != nil {
		return nil, err
	}
	for !a.ended {
		if err := a.take(<-s.events); err != nil {
			return nil, err
		}
	}
	switch {
	case len(a.found) == 0 && !a.none:
		return nil, errors.New("it says neither that it detected a word nor that it did not")
	case len(a.found) > 0 && a.none:
		return nil, errors.New("it says both that it detected a word and that it did not")
	}
	for _, f := range a.found {
		if f.timed && (f.at < 0 || f.at > time.Duration(chunks)*chunkTime) {
			return nil, fmt.Errorf("a detection at %s in a sound of %s", f.at, time.Duration(chunks)*chunkTime)
		}
	}
	return a.found, nil
}

// answers gathers what is said of one stream.
type answers struct {
	names       []string
	found       []detection
	none, ended bool
}

func (a *answers) take(r result) error {
	if r.err != nil {
		return r.err
	}
	switch r.kind {
	case "info":
		a.ended = true
	case "not-detected":
		a.none = true
	case "error":
		var code string
		_ = json.Unmarshal(r.data["code"], &code) // its text may hold anything
		return fmt.Errorf("it reports an error (code %.40q)", code)
	case "detection":
		var name *string
		var at *float64
		if err := json.Unmarshal(r.data["name"], &name); err != nil || name == nil || !slices.Contains(a.names, *name) {
			return errors.New("it detected a word that it was not asked for")
		}
		if raw, ok := r.data["timestamp"]; ok {
			if err := json.Unmarshal(raw, &at); err != nil {
				return fmt.Errorf("a detection's timestamp: %w", err)
			}
		}
		d := detection{name: *name}
		if at != nil {
			if *at < 0 || *at > 24*3600*1000 {
				return errors.New("a detection at an impossible time")
			}
			d.at, d.timed = time.Duration(*at*float64(time.Millisecond)), true
		}
		a.found = append(a.found, d)
	}
	return nil
}
