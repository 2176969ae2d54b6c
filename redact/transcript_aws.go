package redact

import (
	"encoding/json"
	"strings"

	"earshot/redact/internal/opaque"
)

// awsSaid is a kept item: a word with its times, or a punctuation mark.
type awsSaid struct {
	content string
	mark    bool
	times   map[string]any
}

// aws trims an AWS Transcribe result. A punctuation mark has no time and shares the fate of the
// word before it. Segments and speaker labels keep what stands for kept items; anything else that
// repeats words is dropped.
func (t *trimmer) aws(root map[string]any) (any, error) {
	results, _ := root["results"].(map[string]any)
	list, ok := results["items"].([]any)
	if !ok {
		return nil, opaque.At(0, "an AWS Transcribe result without items")
	}
	items := []any{}
	said := make(map[string]awsSaid)
	var text, before strings.Builder
	gone := false
	for _, v := range list {
		item, ok := v.(map[string]any)
		if !ok {
			return nil, opaque.At(0, "an item that is not an object")
		}
		mark := item["type"] == "punctuation"
		before.WriteString(firstContent(item))
		var times map[string]any
		if !mark {
			var err error
			if gone, times, err = t.timed(item); err != nil {
				return nil, err
			}
		}
		switch {
		case gone && !mark:
			t.report.Removed++
		case !gone:
			kept, content := t.awsItem(item)
			for name, v := range times {
				kept[name] = v
			}
			items = append(items, kept)
			if id, ok := item["id"].(json.Number); ok {
				said[id.String()] = awsSaid{content, mark, times}
			}
			if !mark {
				t.report.Kept++
				if text.Len() > 0 {
					text.WriteByte(' ')
				}
			}
			text.WriteString(content)
		}
	}
	out := t.keepFields("transcript", root, "jobName accountId status", "results")
	inner := t.keepFields("results", results, "language_code", "items transcripts audio_segments speaker_labels")
	inner["items"] = items
	if list, ok := results["audio_segments"].([]any); ok {
		inner["audio_segments"] = t.awsSegments(list, said)
	}
	if labels, ok := results["speaker_labels"].(map[string]any); ok {
		kept, err := t.awsSpeakers(labels)
		if err != nil {
			return nil, err
		}
		inner["speaker_labels"] = kept
	}
	if list, ok := results["transcripts"].([]any); ok {
		inner["transcripts"] = []any{map[string]any{"transcript": t.awsText(list, before.String(), text.String())}}
	}
	out["results"] = inner
	return out, nil
}

// awsText is the transcript as it was where nothing is gone and all of it is timed items.
func (t *trimmer) awsText(was []any, items, rebuilt string) string {
	if len(was) == 1 && t.report.Removed == 0 {
		first, _ := was[0].(map[string]any)
		if text, ok := first["transcript"].(string); ok && letters(text) == letters(items) {
			return text
		}
	}
	return rebuilt
}

// firstContent is what an item says by its first alternative.
func firstContent(item map[string]any) string {
	list, _ := item["alternatives"].([]any)
	if len(list) == 0 {
		return ""
	}
	first, _ := list[0].(map[string]any)
	content, _ := first["content"].(string)
	return content
}

// awsItem keeps an item with its alternatives, and gives the first alternative's text.
func (t *trimmer) awsItem(item map[string]any) (kept map[string]any, content string) {
	kept = t.keepFields("item", item, "id type speaker_label channel_label vocabularyFilterMatch language_code", "alternatives "+timeFields)
	alternatives := []any{}
	list, _ := item["alternatives"].([]any)
	for _, v := range list {
		if a, ok := v.(map[string]any); ok {
			alternatives = append(alternatives, t.keepFields("item", a, "confidence content", ""))
		}
	}
	kept["alternatives"] = alternatives
	if len(alternatives) > 0 {
		first, _ := alternatives[0].(map[string]any)
		content, _ = first["content"].(string)
	}
	return kept, content
}

// awsSegments keeps the segments of which nothing was erased. Of others it keeps what the kept items
// that they name give: their words, and the times of the first and the last of them.
func (t *trimmer) awsSegments(list []any, said map[string]awsSaid) []any {
	out := []any{}
	for _, v := range list {
		segment, _ := v.(map[string]any)
		gone, times, err := t.timed(segment)
		if err != nil { // nobody can tell whether it was erased
			t.strip("segment")
			continue
		}
		ids, _ := segment["items"].([]any)
		kept := []any{}
		var text strings.Builder
		var narrow map[string]any
		for _, id := range ids {
			n, _ := id.(json.Number)
			item, ok := said[n.String()]
			if !ok {
				continue
			}
			kept = append(kept, n)
			if !item.mark {
				narrow = narrowed(narrow, item.times)
				if text.Len() > 0 {
					text.WriteByte(' ')
				}
			}
			text.WriteString(item.content)
		}
		s := t.keepFields("segment", segment, "id speaker_label channel_label language_code", "items transcript "+timeFields)
		switch whole := !gone && len(kept) == len(ids); {
		case whole:
			if _, ok := segment["transcript"].(string); ok {
				s["transcript"] = segment["transcript"]
			}
		case narrow == nil:
			continue
		default:
			s["transcript"], times = text.String(), narrow
		}
		s["items"] = kept
		out = append(out, withTimes(s, times))
	}
	return out
}

// narrowed goes from the beginning of was to the end of next.
func narrowed(was, next map[string]any) map[string]any {
	out := make(map[string]any, len(next))
	for name, v := range next {
		out[name] = v
		if first, ok := was[name]; ok && strings.HasPrefix(name, "start") {
			out[name] = first
		}
	}
	return out
}

func withTimes(to, times map[string]any) map[string]any {
	for name, v := range times {
		to[name] = v
	}
	return to
}

// awsSpeakers keeps who spoke when, outside what was erased.
func (t *trimmer) awsSpeakers(labels map[string]any) (map[string]any, error) {
	segments := []any{}
	list, _ := labels["segments"].([]any)
	for _, v := range list {
		segment, _ := v.(map[string]any)
		gone, times, err := t.timed(segment)
		if err != nil { // nobody can tell whether it was erased
			t.strip("segment")
			continue
		}
		var narrow map[string]any
		items := []any{}
		words, _ := segment["items"].([]any)
		for _, w := range words {
			word, ok := w.(map[string]any)
			if !ok {
				return nil, opaque.At(0, "a word that is not an object")
			}
			lost, times, err := t.timed(word)
			if err != nil {
				return nil, err
			}
			if !lost {
				items = append(items, withTimes(t.keepFields("word", word, "speaker_label", timeFields), times))
				narrow = narrowed(narrow, times)
			}
		}
		if gone || len(items) < len(words) {
			if times = narrow; times == nil {
				continue
			}
		}
		s := t.keepFields("segment", segment, "speaker_label channel_label", "items "+timeFields)
		s["items"] = items
		segments = append(segments, withTimes(s, times))
	}
	out := t.keepFields("speaker labels", labels, "speakers channel_label", "segments")
	out["segments"] = segments
	return out, nil
}
