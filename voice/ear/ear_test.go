package ear_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/voice"
	"earshot/voice/ear"
)

type engine struct {
	found []voice.Wake
	err   error
}

func (e engine) Name() string { return "engine" }

func (e engine) Detect(context.Context, []float32) ([]voice.Wake, error) { return e.found, e.err }

// silence is a WAV file.
func silence(seconds int) []byte {
	n := seconds * 16000 * 2
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data")
	return append(binary.LittleEndian.AppendUint32(b, uint32(n)), make([]byte, n)...)
}

func TestAllDetectorsThatFailAreTold(t *testing.T) {
	e, err := ear.New(ear.Options{Workers: 1, Detectors: []voice.Detector{engine{err: errors.New("gone")}, engine{}, engine{err: errors.New("busy")}}})
	if err != nil {
		t.Fatal(err)
	}
	wav := silence(3)
	heard, err := e.Hear(t.Context(), bytes.NewReader(wav), int64(len(wav)))
	if err != nil || !strings.Contains(heard.Failed, "gone") || !strings.Contains(heard.Failed, "busy") {
		t.Errorf("told of %q, %v, want both", heard.Failed, err)
	}
}

func TestADetectorThatFailsLeavesTheWakeWordUnknown(t *testing.T) {
	sure := voice.Wake{Word: "hey", Span: earshot.Span{Start: time.Second, End: 2 * time.Second}, Score: 1, Verdict: voice.Found}
	doubt := sure
	doubt.Score, doubt.Verdict = 0.2, voice.Uncertain
	gone := engine{err: errors.New("gone")}
	for name, c := range map[string]struct {
		engines []voice.Detector
		words   int
		known   bool
		why     bool
	}{
		"finds":             {[]voice.Detector{engine{found: []voice.Wake{sure}}}, 1, true, false},
		"nothing":           {[]voice.Detector{engine{}}, 0, true, false},
		"fails":             {[]voice.Detector{gone}, 0, false, true},
		"tooLate":           {[]voice.Detector{engine{err: context.DeadlineExceeded}}, 0, false, true},
		"doubts":            {[]voice.Detector{engine{found: []voice.Wake{doubt}}}, 1, true, false},
		"anotherDoubts":     {[]voice.Detector{gone, engine{found: []voice.Wake{doubt}}}, 0, false, true},
		"anotherIsSure":     {[]voice.Detector{engine{found: []voice.Wake{sure}}, gone}, 1, true, true},
		"anotherHasNothing": {[]voice.Detector{engine{}, gone}, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := ear.New(ear.Options{Workers: 1, Detectors: c.engines})
			if err != nil {
				t.Fatal(err)
			}
			wav := silence(3)
			facts, why, ok, err := e.Listen(t.Context(), bytes.NewReader(wav), int64(len(wav)), time.Now())
			if err != nil || !ok || (why != "") != c.why || len(facts) < 1 {
				t.Fatalf("%v, %q, %v, %v", facts, why, ok, err)
			}
			wake := slices.IndexFunc(facts, func(l earshot.Listening) bool { return l.Kind == earshot.KindWake })
			if known := wake >= 0; known != c.known || known && len(facts[wake].Findings) != c.words {
				t.Errorf("the wake word is known: %v, want %v with %d words: %+v", known, c.known, c.words, facts)
			}
		})
	}
}

func TestALongRecordingIsNotHeardAtAll(t *testing.T) {
	e, err := ear.New(ear.Options{Workers: 1, Longest: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	wav := silence(3)
	facts, why, ok, err := e.Listen(t.Context(), bytes.NewReader(wav), int64(len(wav)), time.Now())
	if err != nil || ok || why == "" || len(facts) > 0 {
		t.Errorf("%v, %q, %v, %v", facts, why, ok, err)
	}
}
