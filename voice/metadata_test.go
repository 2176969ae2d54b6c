package voice_test

import (
	"errors"
	"testing"
	"time"

	"earshot"
	"earshot/voice"
)

const recognize = `{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize","messageId":"m"},"payload":{"profile":"NEAR_FIELD",
"format":"AUDIO_L16_RATE_16000_CHANNELS_1","initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":8000,"endIndexInSamples":20800},"wakeWord":"ALEXA"}}}}}`

func TestWakeFromAVS(t *testing.T) {
	got, err := voice.WakeFromAVS([]byte(recognize), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := earshot.Span{Start: 500 * time.Millisecond, End: 1300 * time.Millisecond}
	if len(got.Findings) != 1 || got.Findings[0].Span != want || got.Findings[0].Word != "alexa" {
		t.Errorf("got %+v, want the word alexa at %v", got, want)
	}
	for name, c := range map[string]struct {
		text   string
		silent bool
	}{
		"aTapSaysNothing":            {`{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"TAP"}}}}`, true},
		"noIndicesSayNothing":        {`{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWord":"ALEXA"}}}}}`, true},
		"anotherEventSaysNothing":    {`{"event":{"header":{"namespace":"System","name":"SynchronizeState"}}}`, true},
		"reversedIndicesAreRefused":  {`{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":9,"endIndexInSamples":9}}}}}`, false},
		"brokenJSONIsRefused":        {`{"event":`, false},
		"indicesOfTheWrongTypeFails": {`{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":"8000","endIndexInSamples":9}}}}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := voice.WakeFromAVS([]byte(c.text), time.Time{})
			if err == nil || errors.Is(err, voice.ErrSilent) != c.silent {
				t.Errorf("got %+v, %v; silent should be %v", l, err, c.silent)
			}
		})
	}
}

func TestWakeFromMilliseconds(t *testing.T) {
	got, err := voice.WakeFromMilliseconds("412.5", "1100", "Computer", time.Time{})
	if want := (earshot.Span{Start: 412500 * time.Microsecond, End: 1100 * time.Millisecond}); err != nil || got.Findings[0].Span != want {
		t.Errorf("got %+v, %v, want %v", got, err, want)
	}
	if _, err := voice.WakeFromMilliseconds("", "", "", time.Time{}); !errors.Is(err, voice.ErrSilent) {
		t.Errorf("nothing said: got %v, want ErrSilent", err)
	}
	for _, c := range [][2]string{{"5", "5"}, {"-1", "5"}, {"NaN", "5"}, {"", "5"}, {"1", "1e99"}, {"x", "y"}} {
		if l, err := voice.WakeFromMilliseconds(c[0], c[1], "", time.Time{}); err == nil || errors.Is(err, voice.ErrSilent) {
			t.Errorf("%q: got %+v, %v, want an error", c, l, err)
		}
	}
}

func FuzzWakeFromAVS(f *testing.F) {
	f.Add([]byte(recognize))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := voice.WakeFromAVS(text, time.Time{})
		if err == nil && (len(l.Findings) != 1 || !l.Findings[0].Span.Valid()) {
			t.Errorf("a listening without a sensible finding: %+v", l)
		}
	})
}
