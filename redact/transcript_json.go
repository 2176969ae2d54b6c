package redact

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"

	"earshot/redact/internal/opaque"
)

const (
	aboutFields = "id recording language language_code duration duration_ms version model sample_rate confidence"
	textFields  = "text transcript"
	wordFields  = "confidence score probability speaker channel id type"
	timeFields  = "start end start_ms end_ms start_time end_time"
	nameFields  = "word text content"
)

// generic trims {"words": [...], "text": ...}.
func (t *trimmer) generic(root map[string]any) (any, error) {
	list, _ := root["words"].([]any)
	words, err := t.words(list)
	if err != nil {
		return nil, err
	}
	out := t.keepFields("transcript", root, aboutFields, "words "+textFields)
	out["words"] = words
	for name := range strings.FieldsSeq(textFields) {
		if v, ok := root[name]; ok {
			out[name] = t.fullText(v, list, words, " ")
		}
	}
	return out, nil
}

// fullText is the text as it was where nothing is gone and all of it is timed words, and otherwise
// rebuilt from kept words: of what has no time nobody can tell whether it was erased.
func (t *trimmer) fullText(was any, all, kept []any, gap string) any {
	if text, ok := was.(string); ok && t.report.Removed == 0 && letters(text) == letters(joinWords(all, gap)) {
		return text
	}
	return joinWords(kept, gap)
}

// letters is a text without what writers and tokenisers differ in.
func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

func joinWords(words []any, gap string) string {
	var parts []string
	for _, w := range words {
		fields, _ := w.(map[string]any)
		for name := range strings.FieldsSeq(nameFields) {
			if s, ok := fields[name].(string); ok {
				parts = append(parts, s)
				break
			}
		}
	}
	return strings.Join(parts, gap)
}

// words keeps the timed words that were not erased.
func (t *trimmer) words(list []any) ([]any, error) {
	out := []any{}
	for _, item := range list {
		word, ok := item.(map[string]any)
		if !ok {
			return nil, opaque.At(0, "a word that is not an object")
		}
		gone, times, err := t.timed(word)
		if err != nil {
			return nil, err
		}
		if gone {
			t.report.Removed++
			continue
		}
		t.report.Kept++
		kept := t.keepFields("word", word, wordFields+" "+nameFields, timeFields)
		for name, v := range times {
			kept[name] = v
		}
		out = append(out, kept)
	}
	return out, nil
}

// timed reads a word's times, which may be seconds, as number or text, or milliseconds. It returns
// them moved, in the notation that they had.
func (t *trimmer) timed(word map[string]any) (gone bool, times map[string]any, err error) {
	times = make(map[string]any)
	for _, names := range [][2]string{{"start", "end"}, {"start_time", "end_time"}, {"start_ms", "end_ms"}} {
		unit := time.Second
		if strings.HasSuffix(names[0], "_ms") {
			unit = time.Millisecond
		}
		start, ok1 := moment(word[names[0]], unit)
		end, ok2 := moment(word[names[1]], unit)
		if !ok1 && !ok2 && word[names[0]] == nil && word[names[1]] == nil {
			continue
		}
		if !ok1 || !ok2 || end < start {
			return false, nil, opaque.At(0, "a word with unreadable times")
		}
		gone = gone || t.gone(start, end)
		times[names[0]] = rewritten(word[names[0]], start, t.moved(start), unit)
		times[names[1]] = rewritten(word[names[1]], end, t.moved(end), unit)
	}
	if len(times) == 0 {
		return false, nil, opaque.At(0, "a word without times")
	}
	return gone, times, nil
}

func moment(v any, unit time.Duration) (time.Duration, bool) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = v
	default:
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f < 1e9) {
		return 0, false
	}
	return time.Duration(f * float64(unit)), true
}

// rewritten is a time in its old notation, untouched where it did not move.
func rewritten(was any, from, to, unit time.Duration) any {
	if from == to {
		return was
	}
	text := strconv.FormatFloat(float64(to.Round(time.Microsecond))/float64(unit), 'f', -1, 64)
	if _, ok := was.(string); ok {
		return text
	}
	return json.Number(text)
}

// whisper trims {"text", "segments": [{"start", "end", "text", "words": [...]}], "language"}. A
// segment without timed words goes as a whole; tokens always go, for they are the words again.
func (t *trimmer) whisper(root map[string]any) (any, error) {
	segments := []any{}
	var all, before strings.Builder
	list, _ := root["segments"].([]any)
	for _, item := range list {
		segment, ok := item.(map[string]any)
		if !ok {
			return nil, opaque.At(0, "a segment that is not an object")
		}
		if text, ok := segment["text"].(string); ok {
			before.WriteString(text)
		}
		kept, err := t.whisperSegment(segment)
		if err != nil {
			return nil, err
		}
		if kept != nil {
			segments = append(segments, kept)
			text, _ := kept["text"].(string)
			all.WriteString(text)
		}
	}
	out := t.keepFields("transcript", root, aboutFields, "segments words "+textFields)
	out["segments"] = segments
	if words, ok := root["words"].([]any); ok {
		kept, err := t.words(words)
		if err != nil {
			return nil, err
		}
		out["words"] = kept
	}
	for name := range strings.FieldsSeq(textFields) {
		if v, ok := root[name]; ok {
			out[name] = v
			// What is not in the segments has no time.
			if text, ok := v.(string); !ok || before.String() != all.String() || letters(text) != letters(all.String()) {
				out[name] = all.String()
			}
		}
	}
	return out, nil
}

// whisperSegment is nil where nothing of the segment is left.
func (t *trimmer) whisperSegment(segment map[string]any) (map[string]any, error) {
	gone, times, err := t.timed(segment)
	if err != nil {
		return nil, err
	}
	words, hasWords := segment["words"].([]any)
	if gone && !hasWords {
		t.report.Removed++
		return nil, nil
	}
	out := t.keepFields("segment", segment, "id speaker", "words text tokens seek temperature avg_logprob compression_ratio no_speech_prob "+timeFields)
	for name, v := range times {
		out[name] = v
	}
	text, _ := segment["text"].(string)
	if !hasWords {
		t.report.Kept++
		out["text"] = text
		return out, nil
	}
	before := t.report.Removed
	kept, err := t.words(words)
	if err != nil {
		return nil, err
	}
	if gone && len(kept) == 0 {
		if t.report.Removed == before { // it has text and no timed words
			t.report.Removed++
		}
		return nil, nil
	}
	if gone || t.report.Removed > before {
		text = joinWords(kept, wordGap(words))
	}
	out["words"], out["text"] = kept, text
	return out, nil
}

// wordGap is nothing where the words bring their own leading spaces.
func wordGap(words []any) string {
	for _, w := range words {
		fields, _ := w.(map[string]any)
		if s, _ := fields["word"].(string); strings.HasPrefix(s, " ") {
			return ""
		}
	}
	return " "
}
