package wyoming_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"context"

	"earshot"
	"earshot/voice"
	"earshot/voice/wyoming"
)

// server behaves as wyoming-openwakeword does: a model fires once in a stream, its time is that of the
// chunks before the one that fired, nothing follows audio-stop after a detection. The word is a chunk
// louder than half of full scale.
type server struct {
	t       *testing.T
	info    string                                   // what describe is answered with; none if empty
	answer  func(w io.Writer, at int64, fired bool)  // instead of detection; fired is false at the end of the sound
	mute    bool                                     // say nothing at the end
	onStart func(w io.Writer)                        // besides
	seen    []string                                 // types of events, once each stream
	frames  func(w io.Writer, kind string, data any) // how events are framed
}

const goodInfo = `{"wake":[{"name":"openwakeword","models":[{"name":"alexa","installed":true,"languages":["en"],"phrase":null},{"name":"gone","installed":false}]}],"asr":[],"tts":null}`

// asPython frames data as the Python library does.
func asPython(w io.Writer, kind string, data any) {
	body, _ := json.Marshal(data)
	fmt.Fprintf(w, `{"type": %q, "version": "1.9.0", "data_length": %d}`+"\n%s", kind, len(body), body)
}

// inHeader puts the data into the header, as other implementations do.
func inHeader(w io.Writer, kind string, data any) {
	body, _ := json.Marshal(data)
	fmt.Fprintf(w, `{"type": %q, "data": %s, "data_length": null, "payload_length": 0}`+"\n", kind, body)
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	at, fired, open, named := int64(0), false, false, false
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		var h struct {
			Type string
			Data int `json:"data_length"`
			Load int `json:"payload_length"`
		}
		if err := json.Unmarshal(line, &h); err != nil {
			s.t.Errorf("the client sent %q", line)
			return
		}
		data, load := make([]byte, h.Data), make([]byte, h.Load)
		if _, err := io.ReadFull(r, data); err != nil {
			return
		}
		if _, err := io.ReadFull(r, load); err != nil {
			return
		}
		switch h.Type {
		case "describe":
			if s.info != "" {
				s.frames(conn, "info", json.RawMessage(s.info))
			}
		case "detect":
			named = strings.Contains(string(data), `"alexa"`)
		case "audio-start":
			at, fired, open = 0, false, true
			s.seen = append(s.seen, "stream")
			if s.onStart != nil {
				s.onStart(conn)
			}
		case "audio-chunk":
			if !open || len(load) != 2560 || !strings.Contains(string(data), `"rate":16000`) {
				s.t.Errorf("a chunk of %d bytes, open %v, %s", len(load), open, data)
			}
			loud := false
			for i := 0; i < len(load); i += 2 {
				loud = loud || int16(binary.LittleEndian.Uint16(load[i:])) > 1<<14
			}
			if loud && named && !fired {
				fired = true
				if s.answer != nil {
					s.answer(conn, at, true)
				} else {
					s.frames(conn, "detection", map[string]any{"name": "alexa", "timestamp": at, "speaker": nil})
				}
			}
			at += 80
		case "audio-stop":
			open = false
			switch {
			case fired || s.mute:
			case s.answer != nil:
				s.answer(conn, at, false)
			default:
				s.frames(conn, "not-detected", map[string]any{})
			}
		}
	}
}

// start serves until the test ends.
func (s *server) start(t *testing.T) (address string) {
	t.Helper()
	s.t = t
	if s.frames == nil {
		s.frames = asPython
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return "unix://" + path
}

// sound is quiet but for 10 ms at each of the given milliseconds.
func sound(length int, words ...int) []float32 {
	pcm := make([]float32, length*16)
	for _, at := range words {
		for i := range 160 {
			pcm[at*16+i] = 0.9
		}
	}
	return pcm
}

func detect(t *testing.T, s *server, pcm []float32, names ...string) ([]voice.Wake, error) {
	t.Helper()
	if len(names) == 0 {
		names = []string{"alexa"}
	}
	c, err := wyoming.New(wyoming.Options{Address: s.start(t), Names: names, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c.Detect(t.Context(), pcm)
}

func span(from, to int) earshot.Span {
	return earshot.Span{Start: time.Duration(from) * time.Millisecond, End: time.Duration(to) * time.Millisecond}
}

func TestADetectionGivesAWindow(t *testing.T) {
	for name, frames := range map[string]func(io.Writer, string, any){"dataBehindTheHeader": asPython, "dataInTheHeader": inHeader} {
		t.Run(name, func(t *testing.T) {
			got, err := detect(t, &server{info: goodInfo, frames: frames}, sound(6000, 4000))
			if err != nil {
				t.Fatal(err)
			}
			// The chunk that fired is [4000, 4080) ms: the word is somewhere in [1580, 4280).
			if want := span(1580, 4280); len(got) != 1 || got[0].Span != want || got[0].Word != "alexa" || got[0].Verdict != voice.Found || !got[0].Loose || got[0].Moment != 4080*time.Millisecond {
				t.Errorf("got %+v, want alexa in %s", got, want)
			}
		})
	}
}

func TestNotDetectedIsAnAnswer(t *testing.T) {
	got, err := detect(t, &server{info: goodInfo}, sound(1000))
	if err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The server's refractory time is of the wall clock: a second word in the same stream is not reported.
func TestEveryWordIsFoundThoughTheServerReportsOneAStream(t *testing.T) {
	s := &server{info: goodInfo}
	got, err := detect(t, s, sound(12000, 1000, 5000, 11000))
	if err != nil || len(got) != 3 || len(s.seen) != 4 {
		t.Fatalf("got %+v, %v in %d streams, want 3 words in 4", got, err, len(s.seen))
	}
	for i, moment := range []time.Duration{1080, 5080, 11080} {
		moment *= time.Millisecond
		if s := got[i].Span; s.Start > moment-80*time.Millisecond || s.End < moment {
			t.Errorf("word %d: %s does not hold %s", i, s, moment)
		}
	}
}

func TestADetectionWithoutATimeMayBeAnywhere(t *testing.T) {
	s := &server{info: goodInfo, answer: func(w io.Writer, _ int64, _ bool) {
		inHeader(w, "detection", map[string]any{"name": "alexa", "timestamp": nil})
	}}
	got, err := detect(t, s, sound(2000, 500))
	if err != nil || len(got) != 1 || got[0].Span != span(0, 2000) || !got[0].Loose || got[0].Moment != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Whatever is not an answer by the book is an error: nothing is known then.
func TestFailureIsNeverNothingFound(t *testing.T) {
	say := func(text string) func(io.Writer, int64, bool) {
		return func(w io.Writer, _ int64, _ bool) { io.WriteString(w, text) }
	}
	for name, c := range map[string]struct {
		s     *server
		names []string
		want  string
	}{
		"unknownModel":         {s: &server{info: goodInfo}, names: []string{"jarvis"}, want: "no model"},
		"modelNotInstalled":    {s: &server{info: goodInfo}, names: []string{"gone"}, want: "no model"},
		"infoWithoutWake":      {s: &server{info: `{"asr":[]}`}, want: "no model"},
		"infoOfTheWrongType":   {s: &server{info: `{"wake":7}`}, want: "info"},
		"hangsBeforeInfo":      {s: &server{}, want: "deadline"},
		"hangsAtTheEnd":        {s: &server{info: goodInfo, mute: true}, want: "neither"},
		"anotherWord":          {s: &server{info: goodInfo, answer: say(`{"type":"detection","data":{"name":"jarvis"}}` + "\n")}, want: "not asked for"},
		"noName":               {s: &server{info: goodInfo, answer: say(`{"type":"detection"}` + "\n")}, want: "not asked for"},
		"negativeTime":         {s: &server{info: goodInfo, answer: say(`{"type":"detection","data":{"name":"alexa","timestamp":-5}}` + "\n")}, want: "impossible"},
		"timeBehindTheSound":   {s: &server{info: goodInfo, answer: say(`{"type":"detection","data":{"name":"alexa","timestamp":99999}}` + "\n")}, want: "in a sound of"},
		"timeOfTheWrongType":   {s: &server{info: goodInfo, answer: say(`{"type":"detection","data":{"name":"alexa","timestamp":"soon"}}` + "\n")}, want: "timestamp"},
		"reportsAnError":       {s: &server{info: goodInfo, answer: say(`{"type":"error","data":{"text":"secret words","code":"oom"}}` + "\n")}, want: "oom"},
		"wrongVersion":         {s: &server{info: goodInfo, answer: say(`{"type":"not-detected","version":"2.0.0"}` + "\n")}, want: "version"},
		"hugeData":             {s: &server{info: goodInfo, answer: say(`{"type":"x","data_length":99999999999}` + "\n")}, want: "the most is"},
		"negativeLength":       {s: &server{info: goodInfo, answer: say(`{"type":"x","payload_length":-1}` + "\n")}, want: "the most is"},
		"hugePayload":          {s: &server{info: goodInfo, answer: say(`{"type":"x","payload_length":5000000}` + "\n")}, want: "the most is"},
		"endlessHeader":        {s: &server{info: goodInfo, answer: say(strings.Repeat("x", 70<<10))}, want: "header of more than"},
		"brokenJSON":           {s: &server{info: goodInfo, answer: say("{\"type\"\n")}, want: "header"},
		"noType":               {s: &server{info: goodInfo, answer: say("{}\n")}, want: "without a type"},
		"dataIsNoObject":       {s: &server{info: goodInfo, answer: say("{\"type\":\"x\",\"data_length\":2}\n[]")}, want: "data of"},
		"bothAnswers":          {s: &server{info: goodInfo, answer: say(`{"type":"detection","data":{"name":"alexa"}}` + "\n" + `{"type":"not-detected"}` + "\n")}, want: "both"},
		"tooManyEvents":        {s: &server{info: goodInfo, answer: say(strings.Repeat(`{"type":"x"}`+"\n", 20000))}, want: "events"},
		"payloadNeverComplete": {s: &server{info: goodInfo, answer: say(`{"type":"x","payload_length":500000}` + "\n")}, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := detect(t, c.s, sound(1000, 500), c.names...)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %+v, %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

// What a server says besides, in pieces of a byte each, is read past.
func TestUnknownEventsAndSmallPiecesAreReadPast(t *testing.T) {
	s := &server{info: goodInfo, onStart: func(w io.Writer) {
		for _, b := range []byte("{\"type\":\"voice-started\",\"data\":{\"timestamp\":null},\"data_length\":2,\"payload_length\":5}\n{}\n\n{}{") {
			w.Write([]byte{b})
		}
	}}
	if got, err := detect(t, s, sound(1000)); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAServerThatClosesIsAFailure(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	c, err := wyoming.New(wyoming.Options{Address: "tcp://" + l.Addr().String(), Names: []string{"alexa"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Detect(t.Context(), sound(1000)); err == nil {
		t.Errorf("got %+v without an error", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Detect(ctx, sound(1000)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []wyoming.Options{
		{Address: "host", Names: []string{"a"}}, {Address: "host:1"}, {Address: "host:1", Names: []string{""}},
		{Address: "host:1", Names: []string{"a", "b\x1b[2J"}}, {Address: "host:1", Names: []string{"a\xff"}}, {Address: "host:1", Names: []string{strings.Repeat("a", 101)}},
	} {
		if _, err := wyoming.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// A server that says anything at all neither hangs nor crashes the client.
func FuzzServer(f *testing.F) {
	f.Add([]byte("{\"type\":\"info\",\"data\":" + goodInfo + "}\n{\"type\":\"not-detected\"}\n{\"type\":\"info\"}\n"))
	f.Add([]byte("{\"type\":\"info\",\"data\":" + goodInfo + "}\n{\"type\":\"detection\",\"data\":{\"name\":\"alexa\",\"timestamp\":3}}\n{\"type\":\"info\"}\n"))
	f.Add([]byte("{\"type\":\"x\",\"data_length\":4,\"payload_length\":3}\n{}  abc{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, conn)
			conn.Write(text)
			conn.(*net.UnixConn).CloseWrite()
		}()
		c, err := wyoming.New(wyoming.Options{Address: "unix://" + l.Addr().String(), Names: []string{"alexa"}, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Detect(t.Context(), sound(200))
		if err != nil && len(got) > 0 {
			t.Errorf("words beside an error: %+v", got)
		}
		for _, w := range got {
			if !w.Span.Valid() || w.Span.End > 200*time.Millisecond {
				t.Errorf("a word at %s", w.Span)
			}
		}
	})
}
