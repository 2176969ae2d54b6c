package voice

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// homeAssistantStatement reads the events of a Home Assistant Assist pipeline: one, a list, or as the
// WebSocket interface wraps them. wake_word-end tells at how many milliseconds of the stream the chunk
// came in which the word was detected; stt-vad-end tells, in the same clock, when the command had ended.
// So the times fit recordings that begin with the stream.
func homeAssistantStatement(objects []map[string]json.RawMessage) (s Statement, mine bool, err error) {
	s.Source = "home-assistant/1"
	err = fmt.Errorf("the pipeline's events %w", ErrSilent)
	for _, o := range unwrap(objects) {
		var kind string
		if field(o, "type", &kind) != nil {
			continue
		}
		var data map[string]json.RawMessage
		switch kind {
		case "wake_word-end", "wake_word-start", "stt-start", "stt-vad-start", "stt-vad-end", "stt-end", "run-start", "intent-start":
			mine = true
			if bad := field(o, "data", &data); bad != nil {
				return s, true, fmt.Errorf("a %s event: %w", kind, bad)
			}
		}
		switch kind {
		case "wake_word-end":
			var word struct {
				ID     string   `json:"wake_word_id"`
				Phrase string   `json:"wake_word_phrase"`
				At     *float64 `json:"timestamp"`
			}
			if bad := field(data, "wake_word_output", &word); bad != nil {
				return s, true, fmt.Errorf("a wake_word-end event: %w", bad)
			}
			if word.ID == "" && word.Phrase == "" && word.At == nil {
				continue // an empty output: the stream ended before a word
			}
			s.Word, s.Meaning, err = strings.ToLower(firstOf(word.Phrase, word.ID)), Named, nil
			if word.At != nil {
				s.Meaning = DetectionPoint
				if s.Moment, err = moment(*word.At); err != nil {
					return s, true, fmt.Errorf("a wake_word-end event: %w", err)
				}
			}
		case "run-start":
			// A run whose first stage is not the wake word was begun by a button, or goes on with a talk.
			var stage string
			if field(data, "start_stage", &stage) == nil && stage != "" && stage != "wake_word" && s.Meaning == "" {
				s.Meaning, err = Unasked, nil
			}
		case "stt-vad-end":
			var at *float64
			if field(data, "timestamp", &at) == nil && at != nil {
				if end, bad := moment(*at); bad == nil {
					s.CommandEnd = end
				}
			}
		}
	}
	return s, mine, err
}

// unwrap looks into what holds events: {"events": [...]}, and {"type": "event", "event": {...}}.
func unwrap(objects []map[string]json.RawMessage) []map[string]json.RawMessage {
	var out []map[string]json.RawMessage
	for _, o := range objects {
		var many []map[string]json.RawMessage
		var one map[string]json.RawMessage
		switch {
		case o["events"] != nil && json.Unmarshal(o["events"], &many) == nil && len(many) <= mostObjects:
			out = append(out, many...)
		case o["event"] != nil && json.Unmarshal(o["event"], &one) == nil && one != nil:
			out = append(out, one)
		default:
			out = append(out, o)
		}
	}
	return out
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// hermesStatement reads a message of Rhasspy's Hermes protocol on hermes/hotword/ID/detected: its payload,
// or an object with topic and payload. It has no time.
func hermesStatement(objects []map[string]json.RawMessage) (Statement, bool, error) {
	for _, o := range objects {
		var topic string
		if err := field(o, "topic", &topic); err != nil {
			topic = ""
		}
		payload, word := o, ""
		if parts := strings.Split(topic, "/"); len(parts) == 4 && parts[0] == "hermes" && parts[1] == "hotword" && parts[3] == "detected" {
			word = parts[2]
			payload = nil
			raw := o["payload"]
			var text string
			if json.Unmarshal(raw, &text) == nil { // as a text within the JSON
				raw = json.RawMessage(text)
			}
			if json.Unmarshal(raw, &payload) != nil {
				return Statement{}, true, fmt.Errorf("a Hermes message on hotword detected: its payload is no object")
			}
		} else if payload["modelId"] == nil && payload["model_id"] == nil || payload["siteId"] == nil && payload["site_id"] == nil {
			continue
		}
		var model string
		if err := firstError(field(payload, "model_id", &model), field(payload, "modelId", &model)); err != nil {
			return Statement{}, true, fmt.Errorf("a Hermes message: %w", err)
		}
		return Statement{Source: "hermes/1", Meaning: Named, Word: strings.ToLower(firstOf(word, model))}, true, nil
	}
	return Statement{}, false, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// wyomingChunk is the longest chunk that servers count time by, in milliseconds: the moment lies within
// one chunk of the timestamp.
const wyomingChunk = 80

// wyomingStatement reads detection events of the Wyoming protocol as they are kept: the header with its
// data in one object, or the data merged into it. A not-detected says nothing: servers say it too where
// no model was loaded.
func wyomingStatement(objects []map[string]json.RawMessage) (s Statement, mine bool, err error) {
	s.Source = "wyoming/1"
	err = fmt.Errorf("the Wyoming events %w", ErrSilent)
	for i, o := range objects {
		var kind string
		if field(o, "type", &kind) != nil {
			continue
		}
		if kind == "not-detected" {
			mine = true
		}
		if kind != "detection" {
			continue
		}
		data := map[string]json.RawMessage{}
		if bad := field(o, "data", &data); bad != nil {
			return s, true, fmt.Errorf("a detection: %w", bad)
		}
		if data == nil {
			data = map[string]json.RawMessage{}
		}
		parts := objects[i : i+1]
		if o["data_length"] != nil && i+1 < len(objects) && objects[i+1]["type"] == nil { // as it comes over the wire
			parts = objects[i : i+2]
		}
		for _, part := range parts {
			for _, name := range []string{"name", "timestamp"} {
				if raw, ok := part[name]; ok {
					data[name] = raw
				}
			}
		}
		var name *string
		var at *float64
		if bad := firstError(field(data, "name", &name), field(data, "timestamp", &at)); bad != nil {
			return s, true, fmt.Errorf("a detection: %w", bad)
		}
		s.Meaning = Named
		if name != nil {
			s.Word = strings.ToLower(*name)
		}
		if at != nil {
			s.Meaning = DetectionPoint
			if s.Moment, err = moment(*at); err != nil { // before the chunk is added: none is negative
				return s, true, fmt.Errorf("a detection: %w", err)
			}
			s.Moment += wyomingChunk * time.Millisecond
		}
		return s, true, nil // the first began the recording
	}
	return s, mine, err
}
