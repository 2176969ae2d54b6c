package voice_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"earshot"
	"earshot/voice"
)

const ms = time.Millisecond

// The forms are those of the sources named in the adapters' comments.
func TestReadEvent(t *testing.T) {
	avs := func(initiator string) string {
		return `{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":` + initiator + `}}}`
	}
	for name, c := range map[string]struct {
		text string
		want voice.Statement
	}{
		"avsIndices": {recognize, voice.Statement{Source: "avs-event/1", Word: "alexa", Meaning: voice.Exact, Span: earshot.Span{Start: 500 * ms, End: 1300 * ms}}},
		"avsWithoutPreroll": {
			avs(`{"type":"WAKEWORD","payload":{"wakeWord":"ALEXA"}}`),
			voice.Statement{Source: "avs-event/1", Word: "alexa", Meaning: voice.Named},
		},
		"avsTap": {avs(`{"type":"TAP"}`), voice.Statement{Source: "avs-event/1", Meaning: voice.Unasked}},
		"avsExpectSpeech": {
			avs(`{"type":"opaque","payload":{"token":"x"}}`),
			voice.Statement{Source: "avs-event/1", Meaning: voice.Unasked},
		},
		"avsBehindAContextEvent": {
			`[{"header":{"namespace":"System","name":"SynchronizeState"}},` + recognize + `]`,
			voice.Statement{Source: "avs-event/1", Word: "alexa", Meaning: voice.Exact, Span: earshot.Span{Start: 500 * ms, End: 1300 * ms}},
		},
		"homeAssistantEvent": {
			`{"type":"wake_word-end","data":{"wake_word_output":{"wake_word_id":"ok_nabu_v0.1","wake_word_phrase":"OK Nabu","timestamp":2900}},"timestamp":"2026-01-02T03:04:05+00:00"}`,
			voice.Statement{Source: "home-assistant/1", Word: "ok nabu", Meaning: voice.DetectionPoint, Moment: 2900 * ms},
		},
		"homeAssistantRun": {
			`{"events":[{"type":"run-start","data":{"pipeline":"p"}},{"type":"wake_word-start","data":{}},
			{"type":"wake_word-end","data":{"wake_word_output":{"wake_word_id":"jarvis","timestamp":1500}}},
			{"type":"stt-vad-start","data":{"timestamp":1900}},{"type":"stt-vad-end","data":{"timestamp":4100}}]}`,
			voice.Statement{Source: "home-assistant/1", Word: "jarvis", Meaning: voice.DetectionPoint, Moment: 1500 * ms, CommandEnd: 4100 * ms},
		},
		"homeAssistantWebSocket": {
			`{"id":3,"type":"event","event":{"type":"wake_word-end","data":{"wake_word_output":{"wake_word_id":"jarvis","timestamp":null}}}}`,
			voice.Statement{Source: "home-assistant/1", Word: "jarvis", Meaning: voice.Named},
		},
		"homeAssistantByButton": {
			`[{"type":"run-start","data":{"start_stage":"stt"}},{"type":"stt-start","data":{}}]`,
			voice.Statement{Source: "home-assistant/1", Meaning: voice.Unasked},
		},
		"hermesMessage": {
			`{"topic":"hermes/hotword/porcupine/detected","payload":{"modelId":"alexa.ppn","modelVersion":"","modelType":"universal","currentSensitivity":0.5,"siteId":"kitchen","sendAudioCaptured":null}}`,
			voice.Statement{Source: "hermes/1", Word: "porcupine", Meaning: voice.Named},
		},
		"hermesPayloadAsText": {
			`{"topic":"hermes/hotword/default/detected","payload":"{\"modelId\":\"x\",\"siteId\":\"s\"}"}`,
			voice.Statement{Source: "hermes/1", Word: "default", Meaning: voice.Named},
		},
		"hermesPayloadAlone": {
			`{"model_id":"Snowboy","site_id":"s","send_audio_captured":true}`,
			voice.Statement{Source: "hermes/1", Word: "snowboy", Meaning: voice.Named},
		},
		"wyomingDetection": {
			"{\"type\": \"detection\", \"data_length\": 38}\n{\"name\": \"alexa\", \"timestamp\": 1200}",
			voice.Statement{Source: "wyoming/1", Word: "alexa", Meaning: voice.DetectionPoint, Moment: 1280 * ms},
		},
		"wyomingDataInTheObject": {
			`{"type":"detection","data":{"name":"Alexa","timestamp":1200,"speaker":null}}`,
			voice.Statement{Source: "wyoming/1", Word: "alexa", Meaning: voice.DetectionPoint, Moment: 1280 * ms},
		},
		"wyomingMerged": {
			`{"type":"detection","name":"alexa","timestamp":null}`,
			voice.Statement{Source: "wyoming/1", Word: "alexa", Meaning: voice.Named},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := voice.ReadEvent([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhatSaysNothingIsSilentAndWhatIsBrokenIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		silent bool
	}{
		"anotherKind":            {`{"hello":1}`, true},
		"anotherAVSEvent":        {`{"event":{"header":{"namespace":"System","name":"x"}}}`, true},
		"emptyWakeWordOutput":    {`{"type":"wake_word-end","data":{"wake_word_output":{}}}`, true},
		"notDetected":            {`{"type":"not-detected"}`, true}, // servers without a model say so too
		"empty":                  {``, false},
		"null":                   {`null`, false},
		"noJSON":                 {`{`, false},
		"list of figures":        {`[1,2]`, false},
		"timeOfTheWrongType":     {`{"type":"wake_word-end","data":{"wake_word_output":{"wake_word_id":"a","timestamp":"now"}}}`, false},
		"timeBeforeTheBegin":     {`{"type":"detection","data":{"name":"a","timestamp":-500}}`, false},
		"hermesPayloadNoObject":  {`{"topic":"hermes/hotword/a/detected","payload":"text"}`, false},
		"timeJustBefore":         {`{"type":"detection","data":{"name":"a","timestamp":-50}}`, false},
		"homeTimeJustBefore":     {`{"type":"wake_word-end","data":{"wake_word_output":{"wake_word_id":"a","timestamp":-50}}}`, false},
		"bracketTooMuch":         {`{"hello":1}} {"type":"detection","data":{"name":"a"}}`, false},
		"bracketInFront":         {`} {"hello":1}`, false},
		"alexaInAList":           {`[{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":"8000","endIndexInSamples":9000}}}}}},{"event":{"header":{"namespace":"System","name":"x"}}}]`, false},
		"alexaBehindAnother":     {`[{"header":{"namespace":"System","name":"x"}},{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":7}}]`, false},
		"anotherOfOddForm":       {`[{"event":{"header":{"namespace":"System","name":"x"},"payload":7}}]`, true},
		"timeBehindADay":         {`{"type":"detection","data":{"name":"a","timestamp":1e99}}`, false},
		"indicesThatMakeNoSense": {`{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":9,"endIndexInSamples":9}}}}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := voice.ReadEvent([]byte(c.text))
			if err == nil || errors.Is(err, voice.ErrSilent) != c.silent {
				t.Errorf("got %+v, %v; silent should be %v", s, err, c.silent)
			}
		})
	}
}

// A statement of a moment becomes a window; those without a place become no listening, and forbid that
// silence is taken for an accident.
func TestStatements(t *testing.T) {
	l, ok := voice.Statement{Source: "x/1", Meaning: voice.DetectionPoint, Moment: 3 * time.Second, CommandEnd: 5 * time.Second}.Listening(time.Time{})
	if want := (earshot.Span{Start: 500 * ms, End: 3200 * ms}); !ok || !l.Loose || l.Findings[0].Span != want || l.CommandEnd != 5*time.Second {
		t.Errorf("got %+v, want a loose %s", l, want)
	}
	nothing, something := earshot.Listening{}, earshot.Listening{Findings: []earshot.Finding{{Kind: earshot.KindWake}}}
	for m, expected := range map[voice.Meaning]bool{voice.Exact: true, voice.DetectionPoint: true, voice.Named: false, voice.Unasked: false} {
		s := voice.Statement{Meaning: m, Span: earshot.Span{End: 1}, Moment: 1}
		if _, ok := s.Listening(time.Time{}); ok != expected {
			t.Errorf("%s: a listening %v, want %v", m, ok, expected)
		}
		if why, ok := s.Against(nothing); ok != expected || ok != (why == "") {
			t.Errorf("%s against nothing: %v, %q", m, ok, why)
		}
		if why, ok := s.Against(something); !ok {
			t.Errorf("%s against a word: %q", m, why)
		}
	}
}

func FuzzReadEvent(f *testing.F) {
	f.Add([]byte(recognize))
	f.Add([]byte(`{"events":[{"type":"wake_word-end","data":{"wake_word_output":{"wake_word_id":"jarvis","timestamp":1500}}}]}`))
	f.Add([]byte(`{"topic":"hermes/hotword/a/detected","payload":"{}"}`))
	f.Add([]byte(`{"type":"detection","data":{"name":"Alexa","timestamp":1200}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := voice.ReadEvent(text)
		if err != nil {
			return
		}
		l, ok := s.Listening(time.Time{})
		if placed := s.Meaning == voice.Exact || s.Meaning == voice.DetectionPoint; ok != placed || ok && !l.Findings[0].Span.Valid() {
			t.Errorf("%+v gives %+v, %v", s, l, ok)
		}
	})
}
