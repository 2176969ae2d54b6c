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

func TestTrimTranscript(t *testing.T) {
	middle := earshot.Spans{{Start: time.Second, End: 2 * time.Second}}
	tests := map[string]struct {
		in, want string
		cut      bool
	}{
		"wordsInsideVanish": {
			in:   `{"text":"One, two. Three","language":"en","words":[{"word":"one","start":0.1,"end":0.9},{"word":"two","start":0.95,"end":1.2},{"word":"three","start":2.0,"end":2.5}]}`,
			want: `{"language":"en","text":"one three","words":[{"end":0.9,"start":0.1,"word":"one"},{"end":2.5,"start":2.0,"word":"three"}]}`,
		},
		"nothingInsideLeavesTheText": {
			in:   `{"text":"One.","words":[{"text":"one","start_ms":100,"end_ms":900}]}`,
			want: `{"text":"One.","words":[{"end_ms":900,"start_ms":100,"text":"one"}]}`,
		},
		"unknownFieldsAreDropped": {
			in:   `{"words":[],"summary":"they spoke of two","nbest":[{"text":"two"}]}`,
			want: `{"words":[]}`,
		},
		"cutMovesWhatFollows": {
			in:   `{"transcript":"a b","words":[{"word":"a","start":1.5,"end":1.6},{"word":"b","start":2.5,"end":"2.75"}]}`,
			want: `{"transcript":"b","words":[{"end":"1.75","start":1.5,"word":"b"}]}`,
			cut:  true,
		},
		"bareList": {
			in:   `[{"word":"a","start":0,"end":0.5},{"word":"b","start":1.5,"end":1.5}]`,
			want: `[{"end":0.5,"start":0,"word":"a"}]`,
		},
		"aws": {
			in:   `{"jobName":"j","results":{"transcripts":[{"transcript":"Hi you, there."}],"summary":[{"transcript":"Hi you"}],"items":[{"type":"pronunciation","start_time":"0.1","end_time":"0.4","alternatives":[{"confidence":"0.9","content":"Hi"}]},{"type":"pronunciation","start_time":"1.1","end_time":"1.4","alternatives":[{"confidence":"0.9","content":"you"}]},{"type":"punctuation","alternatives":[{"confidence":"0.0","content":","}]},{"type":"pronunciation","start_time":"2.1","end_time":"2.4","alternatives":[{"confidence":"0.9","content":"there"}]},{"type":"punctuation","alternatives":[{"confidence":"0.0","content":"."}]}]},"status":"COMPLETED"}`,
			want: `{"jobName":"j","results":{"items":[{"alternatives":[{"confidence":"0.9","content":"Hi"}],"end_time":"0.4","start_time":"0.1","type":"pronunciation"},{"alternatives":[{"confidence":"0.9","content":"there"}],"end_time":"2.4","start_time":"2.1","type":"pronunciation"},{"alternatives":[{"confidence":"0.0","content":"."}],"type":"punctuation"}],"transcripts":[{"transcript":"Hi there."}]},"status":"COMPLETED"}`,
		},
		"awsSegments": {
			in: `{"results":{"transcripts":[{"transcript":"Hi you there."}],"items":[` +
				`{"id":0,"type":"pronunciation","start_time":"0.1","end_time":"0.4","alternatives":[{"content":"Hi"}]},` +
				`{"id":1,"type":"pronunciation","start_time":"1.1","end_time":"1.4","alternatives":[{"content":"you"}]},` +
				`{"id":2,"type":"pronunciation","start_time":"2.1","end_time":"2.4","alternatives":[{"content":"there"}]},` +
				`{"id":3,"type":"punctuation","alternatives":[{"content":"."}]}],` +
				`"audio_segments":[{"id":0,"transcript":"Hi","start_time":"0.0","end_time":"0.5","items":[0]},` +
				`{"id":1,"transcript":"you there.","start_time":"1.1","end_time":"2.4","items":[1,2,3]},{"id":2,"transcript":"you","start_time":"1.1","end_time":"1.4","items":[1]}],` +
				`"speaker_labels":{"speakers":2,"segments":[{"start_time":"0.0","end_time":"2.4","speaker_label":"spk_0","items":[` +
				`{"start_time":"0.1","end_time":"0.4","speaker_label":"spk_0"},{"start_time":"1.1","end_time":"1.4","speaker_label":"spk_0"}]},` +
				`{"start_time":"1.1","end_time":"1.4","speaker_label":"spk_1","items":[]}]}}}`,
			want: `{"results":{"audio_segments":[{"end_time":"0.5","id":0,"items":[0],"start_time":"0.0","transcript":"Hi"},` +
				`{"end_time":"2.4","id":1,"items":[2,3],"start_time":"2.1","transcript":"there."}],` +
				`"items":[{"alternatives":[{"content":"Hi"}],"end_time":"0.4","id":0,"start_time":"0.1","type":"pronunciation"},` +
				`{"alternatives":[{"content":"there"}],"end_time":"2.4","id":2,"start_time":"2.1","type":"pronunciation"},` +
				`{"alternatives":[{"content":"."}],"id":3,"type":"punctuation"}],` +
				`"speaker_labels":{"segments":[{"end_time":"0.4","items":[{"end_time":"0.4","speaker_label":"spk_0","start_time":"0.1"}],"speaker_label":"spk_0","start_time":"0.1"}],"speakers":2},` +
				`"transcripts":[{"transcript":"Hi there."}]}}`,
		},
		"whisper": {
			in:   `{"text":" One two. Three.","language":"en","segments":[{"id":0,"start":0.0,"end":1.4,"text":" One two.","tokens":[1,2],"words":[{"word":" One","start":0.0,"end":0.5,"probability":0.9},{"word":" two.","start":1.0,"end":1.4,"probability":0.9}]},{"id":1,"start":2.0,"end":3.0,"text":" Three.","tokens":[3]},{"id":2,"start":1.5,"end":1.6,"text":" four","tokens":[4]}]}`,
			want: `{"language":"en","segments":[{"end":1.4,"id":0,"start":0.0,"text":" One","words":[{"end":0.5,"probability":0.9,"start":0.0,"word":" One"}]},{"end":3.0,"id":1,"start":2.0,"text":" Three."}],"text":" One Three."}`,
		},
		"webvtt": {
			in:   "WEBVTT - two people\n\nNOTE two\n\nintro\n00:00.000 --> 00:00.900 align:start\none\n\n00:00:01.000 --> 00:00:01.500\ntwo\n\n00:00.500 --> 00:03.000\nred <00:01.200>green <00:02.000>blue\n",
			want: "WEBVTT\n\n00:00:00.000 --> 00:00:00.900 align:start\none\n\n00:00:02.000 --> 00:00:03.000\nblue\n",
		},
		"srt": {
			in:   "1\r\n00:00:00,000 --> 00:00:00,900\r\none\r\nand a half\r\n\r\n2\r\n00:00:01,000 --> 00:00:02,500\r\ntwo\r\n\r\n3\r\n00:00:03,000 --> 00:00:04,000\r\nthree\r\n",
			want: "1\n00:00:00,000 --> 00:00:00,900\none\nand a half\n\n2\n00:00:02,000 --> 00:00:03,000\nthree\n",
			cut:  true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			r, err := redact.TrimTranscript(&out, strings.NewReader(test.in), middle, test.cut)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSuffix(out.String(), "\n"); got != strings.TrimSuffix(test.want, "\n") {
				t.Errorf("got  %s\nwant %s\n%+v", got, test.want, r)
			}
		})
	}
}

func TestTrimTranscriptRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, in := range map[string]string{
		"prose":       "she said two words",
		"empty":       "",
		"object":      `{"transcript":"two words"}`,
		"brokenJSON":  `{"words":[`,
		"twoValues":   `{"words":[]} {"words":[]}`,
		"untimedWord": `{"words":[{"word":"two"}]}`,
		"backwards":   `{"words":[{"word":"two","start":2,"end":1}]}`,
		"oddCue":      "WEBVTT\n\nwhat is this\n",
		"oddTime":     "1\n00:00:99 --> 00:01:00,000\nx\n",
		"latin1":      "{\"words\":[{\"word\":\"\xE9\",\"start\":1,\"end\":2}]}",
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			_, err := redact.TrimTranscript(&out, strings.NewReader(in), nil, false)
			if !errors.Is(err, redact.ErrOpaque) || out.Len() > 0 {
				t.Errorf("got %v and %d bytes, want ErrOpaque and nothing", err, out.Len())
			}
		})
	}
}

func FuzzTranscript(f *testing.F) {
	f.Add(`{"text":"a b","words":[{"word":"a","start":0.1,"end":0.9}]}`)
	f.Add("WEBVTT\n\n00:00.500 --> 00:03.000\nred <00:01.200>green\n")
	f.Add("1\n00:00:00,000 --> 00:00:00,900\none\n")
	f.Add(`{"results":{"items":[{"type":"punctuation","alternatives":[{"content":"."}]}]}}`)
	f.Add(`{"results":{"items":[{"id":1,"type":"pronunciation","start_time":"0.1","end_time":"0.4","alternatives":[{"content":"a"}]}],"audio_segments":[{"transcript":"a","start_time":"0","end_time":"3","items":[1]}],"speaker_labels":{"segments":[{"start_time":"0","end_time":"3","items":[{"start_time":"0.1","end_time":"0.4"}]}]}}}`)
	f.Add(`{"segments":[{"start":0,"end":1,"text":"x","words":[{"word":"x","start":0,"end":1}]}]}`)
	f.Fuzz(func(t *testing.T, in string) {
		erased := earshot.Spans{{Start: time.Second, End: 2 * time.Second}}
		var out, again bytes.Buffer
		if _, err := redact.TrimTranscript(&out, strings.NewReader(in), erased, false); err != nil {
			if !errors.Is(err, redact.ErrOpaque) {
				t.Fatal(err)
			}
			return
		}
		if out.Len() == 0 {
			return
		}
		r, err := redact.TrimTranscript(&again, strings.NewReader(out.String()), erased, false)
		if err != nil || r.Removed > 0 {
			t.Fatalf("trimming again: %v, %d removed", err, r.Removed)
		}
	})
}
