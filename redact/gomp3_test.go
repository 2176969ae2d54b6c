package redact_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gomp3 "github.com/hajimehoshi/go-mp3"

	"earshot"
	"earshot/redact"
)

// goMP3 decodes to one channel of 16-bit samples; nil where go-mp3 gives up.
func goMP3(b []byte) (out []int) {
	defer func() {
		if recover() != nil {
			out = nil
		}
	}()
	d, err := gomp3.NewDecoder(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	raw, err := io.ReadAll(d)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		out = append(out, int(int16(binary.LittleEndian.Uint16(raw[i:]))))
	}
	return out
}

// TestMP3AgainstGoMP3: of MPEG-1 layer III, go-mp3 hears a change in a stretch no longer than what
// was erased, and silence in it. It is not asked about what it decodes wrongly: MPEG-2 and 2.5,
// free format, and the streams made to break decoders.
func TestMP3AgainstGoMP3(t *testing.T) {
	compared := 0
	for _, file := range corpus(t, "mp3") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		if err != nil || info.Length < time.Second/2 || len(src) > 300_000 || strings.Contains(file, "nonstandard") ||
			!strings.HasPrefix(info.Format, "MPEG-1 layer III") || strings.Contains(info.Format, "free") {
			continue
		}
		clean, _, err := redactVerified(src, redact.Edit{})
		if err != nil {
			t.Fatal(err)
		}
		out, r, err := redactVerified(clean, redact.Edit{Spans: earshot.Spans{{Start: info.Length / 3, End: info.Length * 2 / 3}}})
		if err != nil {
			continue
		}
		before, after := goMP3(clean), goMP3(out)
		if before == nil || len(before) != len(after) {
			t.Logf("%s: go-mp3 gives up, or hears %d and %d samples", filepath.Base(file), len(before), len(after))
			continue
		}
		first, last, quiet, most := -1, -1, 0, 0
		for i := range before {
			if before[i] != after[i] {
				if first < 0 {
					first = i
				}
				last = i
			}
			if quiet++; after[i] != 0 {
				quiet = 0
			}
			most = max(most, quiet)
		}
		erased := int(r.Erased.Total().Seconds()*float64(info.SampleRate) + 0.5)
		if first >= 0 && last-first >= erased {
			t.Errorf("%s: changed from sample %d to %d, want %d samples at most", filepath.Base(file), first, last, erased)
		}
		if most < erased-2*1056 {
			t.Errorf("%s: %d samples of silence, want %d", filepath.Base(file), most, erased-2*1056)
		}
		compared++
	}
	t.Logf("%d files compared", compared)
}
