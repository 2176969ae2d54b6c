package redact

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"earshot/redact/internal/opaque"
)

// cue is one timed text of WebVTT or SRT.
type cue struct {
	start, end time.Duration
	settings   string
	lines      []string
}

// vtt trims WebVTT. Notes, styles, regions and cue names are dropped. Where a cue times its words
// (<00:01.500>), only the erased ones go; otherwise the whole cue goes.
func (t *trimmer) vtt(text string) ([]byte, error) {
	t.report.Shape = "webvtt"
	blocks := blocksOfText(text)
	var out strings.Builder
	out.WriteString("WEBVTT\n")
	if len(blocks[0]) > 1 || blocks[0][0] != "WEBVTT" {
		t.strip("header")
	}
	var last cue
	rolling := false
	for _, block := range blocks[1:] {
		if !strings.Contains(block[0], "-->") && (len(block) < 2 || !strings.Contains(block[1], "-->")) {
			if !regexp.MustCompile(`^(NOTE|STYLE|REGION)\b`).MatchString(block[0]) {
				return nil, opaque.At(0, "a WebVTT block that is neither cue nor note")
			}
			t.strip("notes and styles")
			continue
		}
		if !strings.Contains(block[0], "-->") {
			t.strip("cue names")
			block = block[1:]
		}
		c, err := parseCue(block)
		if err != nil {
			return nil, err
		}
		rolling = rolling || repeats(last, c)
		last = c
		kept, err := t.timedLines(c)
		if err != nil {
			return nil, err
		}
		if len(kept.lines) == 0 {
			continue
		}
		fmt.Fprintf(&out, "\n%s --> %s%s\n%s\n", cueTime(t.moved(kept.start), '.'), cueTime(t.moved(kept.end), '.'),
			kept.settings, strings.Join(kept.lines, "\n"))
	}
	if rolling && t.report.Removed > 0 {
		return nil, errRolling()
	}
	return []byte(out.String()), nil
}

// errRolling: what a cue repeats may have been said at another time than the cue's, and erased there.
func errRolling() error {
	return opaque.At(0, "rolling captions, which repeat lines of the cue before: nobody can tell when a repeated word was said")
}

// repeats reports whether a cue shows a line of the one before again.
func repeats(before, c cue) bool {
	plain := func(line string) string { return letters(markup.ReplaceAllString(line, "")) }
	for _, a := range before.lines {
		for _, b := range c.lines {
			if p := plain(a); p != "" && p == plain(b) {
				return true
			}
		}
	}
	return false
}

var markup = regexp.MustCompile(`<[^>]*>`)

// srt trims SubRip: whole cues, numbered anew.
func (t *trimmer) srt(text string) ([]byte, error) {
	t.report.Shape = "srt"
	var out strings.Builder
	var last cue
	rolling := false
	for _, block := range blocksOfText(text) {
		if len(block) > 1 && !strings.Contains(block[0], "-->") {
			if _, err := strconv.Atoi(strings.TrimSpace(block[0])); err != nil {
				return nil, opaque.At(0, "a cue without a number")
			}
			block = block[1:]
		}
		c, err := parseCue(block)
		if err != nil {
			return nil, err
		}
		rolling = rolling || repeats(last, c)
		last = c
		if t.gone(c.start, c.end) {
			t.report.Removed++
			continue
		}
		if t.report.Kept++; t.report.Kept > 1 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "%d\n%s --> %s\n%s\n", t.report.Kept,
			cueTime(t.moved(c.start), ','), cueTime(t.moved(c.end), ','), strings.Join(c.lines, "\n"))
	}
	if rolling && t.report.Removed > 0 {
		return nil, errRolling()
	}
	return []byte(out.String()), nil
}

// blocksOfText splits text at blank lines.
func blocksOfText(text string) [][]string {
	var blocks [][]string
	var block []string
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)+"\n", "\n") {
		if strings.TrimSpace(line) != "" {
			block = append(block, line)
			continue
		}
		if len(block) > 0 {
			blocks = append(blocks, block)
		}
		block = nil
	}
	if len(block) > 0 {
		blocks = append(blocks, block)
	}
	return blocks
}

var cueTimes = regexp.MustCompile(`^\s*(\d[\d:.,]*)\s+-->\s+(\d[\d:.,]*)((?:\s+[a-z]+:[\w%,.-]+)*)\s*$`)

func parseCue(block []string) (cue, error) {
	m := cueTimes.FindStringSubmatch(block[0])
	if m == nil {
		return cue{}, opaque.At(0, "a cue without readable times")
	}
	start, ok1 := parseCueTime(m[1])
	end, ok2 := parseCueTime(m[2])
	if !ok1 || !ok2 || end < start {
		return cue{}, opaque.At(0, "a cue without readable times")
	}
	return cue{start, end, m[3], block[1:]}, nil
}

// parseCueTime reads hh:mm:ss.mmm, with comma or point, the hours being optional.
func parseCueTime(text string) (time.Duration, bool) {
	clock, fraction, ok := strings.Cut(strings.ReplaceAll(text, ",", "."), ".")
	parts := strings.Split(clock, ":")
	if !ok || len(fraction) != 3 || len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	var n int64
	for _, p := range parts {
		v, err := strconv.ParseUint(p, 10, 20)
		if err != nil {
			return 0, false
		}
		n = n*60 + int64(v)
	}
	ms, err := strconv.ParseUint(fraction, 10, 16)
	if err != nil {
		return 0, false
	}
	return time.Duration(n)*time.Second + time.Duration(ms)*time.Millisecond, true
}

func cueTime(d time.Duration, point byte) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d%c%03d", ms/3600000, ms/60000%60, ms/1000%60, point, ms%1000)
}

var inlineTime = regexp.MustCompile(`<(\d[\d:.]*)>`)

// timedLines is what is left of a WebVTT cue: no lines where nothing is. The cue is narrowed to what
// is kept of it, and where a word went between two others the first one's end is marked, so that no
// word seems to have been spoken for longer than it was.
func (t *trimmer) timedLines(c cue) (cue, error) {
	text := strings.Join(c.lines, "\n")
	marks := inlineTime.FindAllStringSubmatchIndex(text, -1)
	if len(marks) == 0 {
		if t.gone(c.start, c.end) {
			t.report.Removed++
			return cue{}, nil
		}
		t.report.Kept++
		return c, nil
	}
	starts, pieces := []time.Duration{c.start}, []string{text[:marks[0][0]]}
	for i, m := range marks {
		at, ok := parseCueTime(text[m[2]:m[3]])
		if !ok || at < starts[i] || at > c.end {
			return cue{}, opaque.At(0, "a word with unreadable times")
		}
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		starts, pieces = append(starts, at), append(pieces, text[m[1]:end])
	}
	starts = append(starts, c.end)
	kept := cue{settings: c.settings, start: -1}
	var out strings.Builder
	for i, piece := range pieces {
		if strings.TrimSpace(piece) == "" {
			continue
		}
		if t.gone(starts[i], starts[i+1]) {
			t.report.Removed++
			continue
		}
		t.report.Kept++
		if kept.start < 0 {
			kept.start = starts[i]
		} else {
			if kept.end < starts[i] {
				fmt.Fprintf(&out, "<%s>", cueTime(t.moved(kept.end), '.'))
			}
			fmt.Fprintf(&out, "<%s>", cueTime(t.moved(starts[i]), '.'))
		}
		kept.end = starts[i+1]
		out.WriteString(piece)
	}
	if text := strings.Trim(out.String(), " \n"); text != "" {
		kept.lines = []string{text}
	}
	return kept, nil
}
