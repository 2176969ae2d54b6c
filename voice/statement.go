package voice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"earshot"
)

// Meaning says how much a device or service tells of the wake word.
type Meaning string

// The meanings.
const (
	// Exact: from where to where the word is, as accurate as the source is.
	Exact Meaning = "exact"
	// DetectionPoint: when an engine was sure of the word, which had ended then, or nearly.
	DetectionPoint Meaning = "detection_point"
	// Named: that a word was detected, but not when.
	Named Meaning = "named"
	// Unasked: that the recording was begun without a wake word, by a tap or as the answer to a question. It
	// is no accident then that none is heard.
	Unasked Meaning = "unasked"
)

// Statement is what a device or service wrote about its own hearing.
type Statement struct {
	Source  string // adapter and its version, such as avs-event/1
	Word    string // in lower case; empty where it does not say
	Meaning Meaning
	Span    earshot.Span  // of Exact
	Moment  time.Duration // of DetectionPoint: no later than this the engine was sure
	// CommandEnd is where the speech that follows ends, 0 where it does not say.
	CommandEnd time.Duration
}

// Listening is the statement as a fact, with the word at its place or somewhere in a window. ok is false
// for statements without a place: what they say is for [Statement.Against].
func (s Statement) Listening(at time.Time) (l earshot.Listening, ok bool) {
	w, ok := s.Wake()
	if w.Span == (earshot.Span{}) {
		return l, false
	}
	l = listening(s.Source, w.Span, s.Word, at)
	l.Loose, l.CommandEnd = w.Loose, s.CommandEnd
	return l, ok
}

// Wake is the wake word that the statement knows a place of, for [Heard.Join].
func (s Statement) Wake() (w Wake, ok bool) {
	w = Wake{Word: s.Word, Score: 1, Verdict: Found}
	switch s.Meaning {
	case Exact:
		w.Span = s.Span
	case DetectionPoint:
		w.Span = earshot.Span{Start: max(0, s.Moment-Before), End: s.Moment + After}
		w.Loose, w.Moment = true, s.Moment
	default:
		return Wake{}, false
	}
	w.Erase = w.Span
	return w, w.Span.Valid()
}

// Against weighs what was heard against a statement without a place. If no word was heard where the
// statement knows of one, or expects none, nothing is known of the wake word, and why says so: such a
// recording must not be taken for an accident. ok is true where what was heard stands.
func (s Statement) Against(heard earshot.Listening) (why string, ok bool) {
	if len(heard.Findings) > 0 {
		return "", true
	}
	switch s.Meaning {
	case Named:
		return "the device detected a wake word (" + s.Source + "), but did not say where, and none is heard", false
	case Unasked:
		return "the recording was begun without a wake word (" + s.Source + ")", false
	}
	return "", true
}

// ReadEvent reads what an assistant keeps beside a recording, told apart by its form: an Alexa Voice
// Service Recognize event, Home Assistant pipeline events, a Rhasspy Hermes message, or Wyoming
// events. What says nothing of a wake word is [ErrSilent]; what is none of these is an error.
func ReadEvent(text []byte) (Statement, error) {
	if len(text) > maxEvent {
		return Statement{}, fmt.Errorf("reading an event: %d bytes, the most is %d", len(text), maxEvent)
	}
	objects, err := jsonObjects(text)
	if err != nil {
		return Statement{}, fmt.Errorf("reading an event: %w", err)
	}
	silent := error(nil)
	for _, read := range []func([]map[string]json.RawMessage) (Statement, bool, error){avsStatement, homeAssistantStatement, hermesStatement, wyomingStatement} {
		s, mine, err := read(objects)
		switch {
		case !mine:
		case errors.Is(err, ErrSilent):
			silent = err
		default:
			return s, err
		}
	}
	if silent == nil {
		silent = fmt.Errorf("the event is of no known kind, and %w", ErrSilent)
	}
	return Statement{}, silent
}

// mostObjects is how many events are looked at in one text.
const mostObjects = 10000

// jsonObjects reads an object, an array of objects, or objects one behind the other (JSON Lines).
func jsonObjects(text []byte) ([]map[string]json.RawMessage, error) {
	var out []map[string]json.RawMessage
	dec := json.NewDecoder(strings.NewReader(string(text)))
	for { // More would end at a bracket too much, and what stands behind it
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		var many []map[string]json.RawMessage
		if raw[0] != '[' {
			many = make([]map[string]json.RawMessage, 1)
			if err := json.Unmarshal(raw, &many[0]); err != nil {
				return nil, err
			}
		} else if err := json.Unmarshal(raw, &many); err != nil {
			return nil, err
		}
		for _, m := range many {
			if m != nil {
				out = append(out, m)
			}
		}
		if len(out) > mostObjects {
			return nil, fmt.Errorf("more than %d events", mostObjects)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("it is empty")
	}
	return out, nil
}

// field decodes one field; a missing or null one leaves v as it is.
func field(m map[string]json.RawMessage, name string, v any) error {
	raw, ok := m[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s has an unexpected type", name) // the value may be personal
	}
	return nil
}

// moment checks a time in milliseconds that another program wrote.
func moment(ms float64) (time.Duration, error) {
	if !(ms >= 0 && ms <= 24*3600*1000) {
		return 0, errors.New("a time that is not within a day")
	}
	return time.Duration(ms * float64(time.Millisecond)), nil
}
