package redact_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

// TestTextWithoutTimesDoesNotOutliveWhatWasErased: what a transcript says beside its timed words may
// have been said within the erased spans.
func TestTextWithoutTimesDoesNotOutliveWhatWasErased(t *testing.T) {
	for name, c := range map[string]struct {
		in       string
		from, to time.Duration
		keeps    string
	}{
		"whisperSegmentWithoutWords": {`{"text":" hello my pin is 1234","segments":[{"id":0,"start":0,"end":1,"text":" hello","words":[{"word":" hello","start":0,"end":1}]},{"id":1,"start":2,"end":4,"text":" my pin is 1234","words":[]}],"language":"en"}`, 2 * time.Second, 4 * time.Second, "hello"},
		"whisperWordsMissing":        {`{"text":" hello my pin is 1234","segments":[{"id":0,"start":0,"end":4,"text":" hello my pin is 1234","words":[{"word":" hello","start":0,"end":1}]}],"language":"en"}`, 2 * time.Second, 4 * time.Second, "hello"},
		"genericWithoutWords":        {`{"words":[],"text":"my pin is 1234"}`, 0, earshot.ToEnd, ""},
		"awsWithoutItems":            {`{"jobName":"j","results":{"transcripts":[{"transcript":"my pin is 1234"}],"items":[]}}`, 0, earshot.ToEnd, ""},
		"rollingCaptions":            {"WEBVTT\n\n00:00.000 --> 00:02.000\nhello<00:00:00.500><c> my</c><00:00:01.000><c> 1234</c>\n\n00:02.000 --> 00:02.010\nhello my 1234\n\n00:02.010 --> 00:04.000\nhello my 1234\nnext<00:00:03.000><c> words</c>\n", time.Second, 2 * time.Second, ""},
	} {
		var out bytes.Buffer
		_, err := redact.TrimTranscript(&out, strings.NewReader(c.in), earshot.Spans{{Start: c.from, End: c.to}}, false)
		if err != nil && !errors.Is(err, redact.ErrOpaque) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && strings.Contains(out.String(), "1234") {
			t.Errorf("%s: the erased word is still there: %s", name, out.String())
		}
		if err == nil && !strings.Contains(out.String(), c.keeps) {
			t.Errorf("%s: %q is gone: %s", name, c.keeps, out.String())
		}
	}
	// What is all timed, and not erased, stays as it was written.
	var out bytes.Buffer
	whole := `{"text":"Hello, World!","words":[{"word":"hello","start":0,"end":1},{"word":"world","start":1,"end":2}]}`
	if _, err := redact.TrimTranscript(&out, strings.NewReader(whole), earshot.Spans{{Start: 5 * time.Second, End: 6 * time.Second}}, false); err != nil || !strings.Contains(out.String(), "Hello, World!") {
		t.Errorf("%v: %s", err, out.String())
	}
}
