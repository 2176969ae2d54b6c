package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"earshot"
	"earshot/redact/internal/opaque"
)

// maxTranscript is the longest transcript that is read, in bytes.
const maxTranscript = 64 << 20

// TranscriptReport says what was taken out of a transcript. It holds no words.
type TranscriptReport struct {
	Shape    string `json:"shape"`    // words, aws-transcribe, whisper, webvtt or srt
	Kept     int    `json:"kept"`     // timed words, or cues where only cues are timed
	Removed  int    `json:"removed"`  // the same, taken out
	Stripped []Leak `json:"stripped"` // fields that are not understood, and so not kept
}

// TrimTranscript copies a transcript from src to dst without the words that were spoken, even in
// part, within erased. Full-text fields are rebuilt from the kept words. With shiftCut, which is
// for sound that was cut, the times of later words move forward by what was cut before them.
//
// It knows generic words JSON ({"words": [{"word", "start", "end"}], "text"}), AWS Transcribe
// JSON, Whisper JSON, WebVTT and SRT. Fields outside an allow-list are dropped, because any of them
// may repeat what was said; where only whole cues are timed, whole cues go. Any other shape, and a
// word that is not timed, is [ErrOpaque]; nothing is written then.
func TrimTranscript(dst io.Writer, src io.Reader, erased earshot.Spans, shiftCut bool) (TranscriptReport, error) {
	text, err := io.ReadAll(io.LimitReader(src, maxTranscript+1))
	if err != nil {
		return TranscriptReport{}, fmt.Errorf("reading the transcript: %w", err)
	}
	if len(text) > maxTranscript {
		return TranscriptReport{}, opaque.At(maxTranscript, "transcript of more than %d bytes", maxTranscript)
	}
	text = bytes.TrimPrefix(text, []byte("\xEF\xBB\xBF"))
	t := trimmer{erased: erased.Merge(), shift: shiftCut, report: TranscriptReport{Stripped: []Leak{}}}
	out, err := t.trim(text)
	if err != nil {
		return TranscriptReport{}, fmt.Errorf("trimming a transcript: %w", err)
	}
	if _, err := dst.Write(out); err != nil {
		return TranscriptReport{}, fmt.Errorf("writing the transcript: %w", err)
	}
	return t.report, nil
}

// trimmer trims one transcript.
type trimmer struct {
	erased earshot.Spans
	shift  bool
	report TranscriptReport
}

func (t *trimmer) trim(text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, opaque.At(0, "the transcript is not UTF-8")
	}
	head := bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(head) == 0:
		return nil, opaque.At(0, "an empty transcript")
	case head[0] == '{' || head[0] == '[':
		return t.json(text)
	case bytes.HasPrefix(head, []byte("WEBVTT")):
		return t.vtt(string(head))
	case head[0] >= '0' && head[0] <= '9':
		return t.srt(string(head))
	}
	return nil, opaque.At(0, "a transcript of unknown shape")
}

func (t *trimmer) json(text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		return nil, opaque.At(d.InputOffset(), "the transcript is not JSON")
	}
	if d.More() {
		return nil, opaque.At(d.InputOffset(), "more than one JSON value")
	}
	var err error
	switch v := root.(type) {
	case []any:
		t.report.Shape = "words"
		root, err = t.words(v)
	case map[string]any:
		_, results := v["results"].(map[string]any)
		_, segments := v["segments"].([]any)
		_, words := v["words"].([]any)
		switch {
		case results:
			t.report.Shape = "aws-transcribe"
			root, err = t.aws(v)
		case segments:
			t.report.Shape = "whisper"
			root, err = t.whisper(v)
		case words:
			t.report.Shape = "words"
			root, err = t.generic(v)
		default:
			err = opaque.At(0, "JSON of unknown shape")
		}
	default:
		err = opaque.At(0, "JSON of unknown shape")
	}
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("encoding the transcript: %w", err)
	}
	return out.Bytes(), nil
}

// gone reports whether any of [start, end) was erased. A word without length is a moment.
func (t *trimmer) gone(start, end time.Duration) bool {
	return t.erased.Overlaps(start, max(end, start+1))
}

// moved is where a kept moment lies after the cut.
func (t *trimmer) moved(at time.Duration) time.Duration {
	if !t.shift {
		return at
	}
	cut := time.Duration(0)
	for _, s := range t.erased {
		if s.Start < at {
			cut += min(s.End, at) - s.Start
		}
	}
	return at - cut
}

// keepFields copies the named fields that hold a single value, and reports all others but those
// that the caller deals with itself.
func (t *trimmer) keepFields(where string, from map[string]any, keep, handled string) map[string]any {
	out := make(map[string]any)
	for name, v := range from {
		_, object := v.(map[string]any)
		_, list := v.([]any)
		switch {
		case hasField(handled, name):
		case hasField(keep, name) && !object && !list:
			out[name] = v
		default:
			t.strip(where)
		}
	}
	return out
}

// strip counts dropped fields by place. Field names are not shown: in a foreign shape they may be
// anything.
func (t *trimmer) strip(where string) {
	for _, l := range t.report.Stripped {
		if l.Where == where {
			return
		}
	}
	t.report.Stripped = append(t.report.Stripped, Leak{where, "fields that are not understood"})
}

func hasField(list, name string) bool {
	for field := range strings.FieldsSeq(list) {
		if field == name {
			return true
		}
	}
	return false
}
