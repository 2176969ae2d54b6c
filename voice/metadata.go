package voice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"earshot"
)

// ErrSilent means: the source says nothing about what was heard. That is no evidence that nothing was.
var ErrSilent = errors.New("says nothing about the wake word")

// maxEvent is the longest event that is read, in bytes.
const maxEvent = 1 << 20

// avsRate is the rate in which an Alexa Voice Service event counts samples, whatever the coding of
// the audio (SpeechRecognizer interface, Recognize event).
const avsRate = 16000

// avsEvent is the part of a SpeechRecognizer.Recognize event that speaks of the wake word.
type avsEvent struct {
	Event struct {
		Header struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"header"`
		Payload avsPayload `json:"payload"`
	} `json:"event"`
	// Some archives keep the inner event only.
	Header struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"header"`
	Payload avsPayload `json:"payload"`
}

type avsPayload struct {
	Initiator struct {
		Type    string `json:"type"`
		Payload struct {
			WakeWord string `json:"wakeWord"`
			Indices  *struct {
				Start *int64 `json:"startIndexInSamples"`
				End   *int64 `json:"endIndexInSamples"`
			} `json:"wakeWordIndices"`
		} `json:"payload"`
	} `json:"initiator"`
}

// avsStatement reads a SpeechRecognizer.Recognize event. The device SDK always writes a start of 8,000
// samples, half a second, and leaves the indices out where there was less sound before the word; then the
// word is named only. An event that was begun by a tap, or that gives back the initiator of an
// ExpectSpeech directive, is [Unasked].
func avsStatement(objects []map[string]json.RawMessage) (s Statement, mine bool, err error) {
	s.Source = "avs-event/1"
	for _, o := range objects {
		if o["event"] == nil && o["header"] == nil {
			continue
		}
		text, err := json.Marshal(o)
		if err != nil {
			return s, false, err
		}
		var e avsEvent
		if err := json.Unmarshal(text, &e); err != nil {
			if !recognizer(o) { // another kind of event, which has other fields
				continue
			}
			return s, true, errors.New("reading an AVS event: a field has an unexpected type")
		}
		header, payload := e.Event.Header, e.Event.Payload
		if header.Name == "" {
			header, payload = e.Header, e.Payload
		}
		if header.Namespace == "" {
			continue
		}
		mine = true
		if header.Namespace != "SpeechRecognizer" || header.Name != "Recognize" {
			continue
		}
		in := payload.Initiator
		s.Word = strings.ToLower(in.Payload.WakeWord)
		switch {
		case in.Type != "WAKEWORD":
			s.Meaning = Unasked
			return s, true, nil
		case in.Payload.Indices == nil || in.Payload.Indices.Start == nil || in.Payload.Indices.End == nil:
			s.Meaning = Named
			return s, true, nil
		}
		start, end := *in.Payload.Indices.Start, *in.Payload.Indices.End
		// 24 hours of samples: beyond it the figures are not indices.
		if start < 0 || end <= start || end > 24*3600*avsRate {
			return s, true, fmt.Errorf("reading an AVS event: wakeWordIndices %d to %d make no sense", start, end)
		}
		s.Meaning, s.Span = Exact, earshot.Span{Start: samples(start), End: samples(end)}
		return s, true, nil
	}
	return s, mine, fmt.Errorf("reading an AVS event: not a SpeechRecognizer.Recognize event: %w", ErrSilent)
}

// recognizer tells whether an event is a SpeechRecognizer's, whatever else stands in it.
func recognizer(o map[string]json.RawMessage) bool {
	var inner map[string]json.RawMessage
	if json.Unmarshal(o["event"], &inner) == nil && inner["header"] != nil {
		o = inner
	}
	where := o["header"]
	if where == nil {
		where = o["event"]
	}
	return bytes.Contains(where, []byte("SpeechRecognizer"))
}

// WakeFromAVS reads the place of the wake word from an Alexa Voice Service Recognize event. One that
// tells none is [ErrSilent]; what it does say is for [ReadEvent].
func WakeFromAVS(text []byte, at time.Time) (earshot.Listening, error) {
	s, err := ReadEvent(text)
	if err != nil {
		return earshot.Listening{}, err
	}
	if l, ok := s.Listening(at); ok && s.Source == "avs-event/1" {
		return l, nil
	}
	return earshot.Listening{}, fmt.Errorf("the AVS event %w", ErrSilent)
}

func samples(n int64) time.Duration { return time.Duration(n) * time.Second / avsRate }

// WakeFromMilliseconds makes a listening of the start and end that object metadata gives, in
// milliseconds (decimals allowed) from the first sample. Empty texts are [ErrSilent].
func WakeFromMilliseconds(start, end, word string, at time.Time) (earshot.Listening, error) {
	if start == "" && end == "" {
		return earshot.Listening{}, fmt.Errorf("the object's metadata %w", ErrSilent)
	}
	from, err := milliseconds(start)
	if err != nil {
		return earshot.Listening{}, fmt.Errorf("wake word start in the object's metadata: %w", err)
	}
	to, err := milliseconds(end)
	if err != nil {
		return earshot.Listening{}, fmt.Errorf("wake word end in the object's metadata: %w", err)
	}
	span := earshot.Span{Start: from, End: to}
	if !span.Valid() {
		return earshot.Listening{}, errors.New("wake word in the object's metadata: the end does not come after the start")
	}
	return listening("object-metadata/1", span, word, at), nil
}

func milliseconds(text string) (time.Duration, error) {
	ms, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(ms) || ms < 0 || ms > 24*3600*1000 {
		return 0, fmt.Errorf("%q is not a number of milliseconds within a day", text)
	}
	return time.Duration(math.Round(ms * 1e6)), nil
}

func listening(detector string, span earshot.Span, word string, at time.Time) earshot.Listening {
	return earshot.Listening{
		Kind: earshot.KindWake, Detector: detector, At: at, Score: 1,
		Findings: []earshot.Finding{{Kind: earshot.KindWake, Span: span, Score: 1, Word: strings.ToLower(word)}},
	}
}
