package redact_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"earshot"
	"earshot/redact"
)

func TestMP3Corpus(t *testing.T) {
	var tb table
	for _, file := range corpus(t, "mp3") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		if err != nil {
			if !errors.Is(err, redact.ErrOpaque) {
				t.Errorf("%s: %v", file, err)
			}
			tb.add(file, "refused", opaqueReason(err))
			continue
		}
		verdict, why := "verified", info.Format
		for _, spans := range spanSets(filepath.Base(file), info.Length, 5) {
			for _, fill := range fills {
				_, _, err := checkLaws(t, src, redact.Edit{Spans: spans, Fill: fill})
				if errors.Is(err, redact.ErrOpaque) && (fill != earshot.FillTone || !strings.Contains(err.Error(), "no tone")) {
					verdict, why = "refused", info.Format+": "+opaqueReason(err)
				} else if err != nil && !errors.Is(err, redact.ErrOpaque) {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
		tb.add(file, verdict, why)
	}
	tb.print(t)
}

// ffmpegSamples decodes with ffmpeg to interleaved 32-bit samples as the player would hear them.
// Layers I and II go through the float decoders: the fixed-point ones carry dither from frame to
// frame. A complaint of ffmpeg is an error.
func ffmpegSamples(ctx context.Context, ffmpeg, name string, b []byte, format string) ([]int, error) {
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return nil, err
	}
	args := []string{"-v", "error"}
	switch {
	case strings.Contains(format, "layer II,"):
		args = append(args, "-c:a", "mp2float")
	case strings.Contains(format, "layer I,"):
		args = append(args, "-c:a", "mp1float")
	}
	cmd := exec.CommandContext(ctx, ffmpeg, append(args, "-i", name, "-map", "0:a:0", "-f", "s32le", "-c:a", "pcm_s32le", "-")...)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	raw, err := cmd.Output()
	if err == nil && talk.Len() > 0 {
		err = errors.New(strings.TrimSpace(talk.String()))
	}
	out := make([]int, len(raw)/4)
	for i := range out {
		out[i] = int(int32(binary.LittleEndian.Uint32(raw[4*i:])))
	}
	return out, err
}

// TestMP3AgainstFFmpeg: identical samples outside the erased spans, digital silence inside them
// but for the fades at both edges.
func TestMP3AgainstFFmpeg(t *testing.T) {
	t.Parallel()
	ffmpeg := tool(t, "ffmpeg")
	dir := t.TempDir()
	decoded, refused := 0, 0
	for _, file := range corpus(t, "mp3") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, derr := ffmpegSamples(t.Context(), ffmpeg, filepath.Join(dir, "a.mp3"), src, "")
		clean, _, err := redactVerified(src, redact.Edit{})
		if derr == nil && len(before) > 0 {
			decoded++
			if err != nil {
				refused++
				t.Logf("ffmpeg decodes what we refuse: %s: %v", filepath.Base(file), err)
			}
		}
		if err != nil || len(before) == 0 || strings.Contains(file, "l2-fl11") || strings.Contains(file, "l2-fl12") {
			continue // ffmpeg leaves out the first frame of the two, so that all is shifted
		}
		info, err := redact.Inspect(bytes.NewReader(clean), int64(len(clean)))
		if err != nil {
			t.Fatal(err)
		}
		same, err := ffmpegSamples(t.Context(), ffmpeg, filepath.Join(dir, "a.mp3"), clean, info.Format)
		if err != nil {
			t.Logf("%s: ffmpeg: %v", filepath.Base(file), err)
			continue
		}
		if n := firstDifference(before, same, 1<<16); n >= 0 {
			t.Logf("%s: cleaned differs from sample %d of %d and %d", filepath.Base(file), n, len(before), len(same))
		}
		sets := 5
		if testing.Short() {
			sets = 1
		}
		for n, spans := range spanSets(file, info.Length, sets) {
			out, r, err := redactVerified(clean, redact.Edit{Spans: spans})
			if err != nil {
				t.Logf("%s: %v", filepath.Base(file), err)
				continue
			}
			after, err := ffmpegSamples(t.Context(), ffmpeg, filepath.Join(dir, "a.mp3"), out, info.Format)
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if err := compareEdges(same, after, r, info); err != nil {
				t.Errorf("%s set %d: %v", filepath.Base(file), n, err)
			}
		}
	}
	if refused*10 > decoded {
		t.Errorf("refused %d of the %d files that ffmpeg decodes, want at most a tenth", refused, decoded)
	}
}

func firstDifference(a, b []int, slack int) int {
	for i := range min(len(a), len(b)) {
		if d := a[i] - b[i]; d > slack || d < -slack {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// compareEdges: equal outside r.Erased, zero inside without the outer 1056 samples.
func compareEdges(before, after []int, r redact.Report, info redact.Info) error {
	if len(before) != len(after) {
		return fmt.Errorf("%d samples, want %d", len(after), len(before))
	}
	at := func(d float64) int {
		return int(math.Round(d * float64(info.SampleRate)))
	}
	last := len(before) / info.Channels
	state := make([]byte, last) // 0 kept, 1 fade, 2 silent
	for _, s := range r.Erased {
		from, to := min(last, at(s.Start.Seconds())), min(last, at(s.End.Seconds()))
		if s.End == r.Length {
			to = last
		}
		for i := from; i < to; i++ {
			state[i] = 1
		}
		quietFrom, quietTo := from+1056, to-1056
		if s.Start == 0 {
			quietFrom = 0
		}
		if s.End == r.Length {
			quietTo = last
		}
		for i := quietFrom; i < quietTo; i++ {
			state[i] = 2
		}
	}
	for i := range after {
		switch state[i/info.Channels] {
		case 0:
			if d := before[i] - after[i]; d > 1<<10 || d < -1<<10 { // float rounding, 1/64 of a 16-bit step
				return fmt.Errorf("sample %d of %d (%s erased) is %d, want %d", i/info.Channels, last, r.Erased, after[i], before[i])
			}
		case 2:
			if after[i] != 0 {
				return fmt.Errorf("sample %d of %d (%s erased) is %d, want silence", i/info.Channels, last, r.Erased, after[i])
			}
		}
	}
	return nil
}

func FuzzMP3(f *testing.F) {
	for _, file := range corpus(f, "mp3") {
		if b, err := os.ReadFile(file); err == nil && len(b) < 20000 {
			f.Add(b, int64(1e7), int64(9e7), byte(0))
		}
	}
	f.Fuzz(fuzzRedact)
}
