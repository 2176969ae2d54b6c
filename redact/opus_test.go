package redact_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

func TestOpusCorpus(t *testing.T) {
	var tb table
	for _, file := range corpus(t, "opus") {
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
		chained := append(bytes.Clone(src), src...)
		for _, spans := range spanSets(filepath.Base(file), info.Length, 5) {
			for _, fill := range []earshot.Fill{earshot.FillSilence, earshot.FillCut} {
				for _, b := range [][]byte{src, chained} {
					if _, _, err := checkLaws(t, b, redact.Edit{Spans: spans, Fill: fill}); err != nil {
						t.Errorf("%s: %v", file, err)
					}
				}
			}
		}
		tb.add(file, "verified", info.Format)
	}
	tb.print(t)
}

// TestOpusAgainstOpusdec: before the span all samples are equal, within it the sound is zero from
// 10 ms on, the length is the same.
func TestOpusAgainstOpusdec(t *testing.T) {
	opusdec := tool(t, "opusdec")
	name := filepath.Join(t.TempDir(), "a.opus")
	decode := func(b []byte) []int {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		raw, err := exec.CommandContext(t.Context(), opusdec, "--quiet", "--rate", "48000", "--no-dither", "--force-stereo", name, name+".raw").Output()
		if err != nil {
			t.Fatalf("opusdec: %v: %s", err, raw)
		}
		raw, err = os.ReadFile(name + ".raw")
		if err != nil {
			t.Fatal(err)
		}
		out := make([]int, len(raw)/4) // one channel of two
		for i := range out {
			out[i] = int(int16(binary.LittleEndian.Uint16(raw[4*i:])))
		}
		return out
	}
	for _, file := range corpus(t, "opus") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		if err != nil || info.Length < time.Second/2 {
			continue
		}
		before := decode(src)
		for _, spans := range []earshot.Spans{{{Start: info.Length / 3, End: info.Length / 2}}, {{End: info.Length / 4}}, {{Start: info.Length / 2, End: earshot.ToEnd}}} {
			out, r, err := redactVerified(src, redact.Edit{Spans: spans})
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			cut, c, err := redactVerified(src, redact.Edit{Spans: spans, Fill: earshot.FillCut})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if got, want := len(decode(cut)), len(before)-int(c.Erased.Total().Seconds()*48000+0.5); got != want {
				t.Errorf("%s: %d samples after a cut of %s, want %d", file, got, c.Erased, want)
			}
			after := decode(out)
			if len(after) != len(before) {
				t.Fatalf("%s: %d samples, want %d", file, len(after), len(before))
			}
			from, to := int(r.Erased[0].Start.Seconds()*48000+0.5), int(r.Erased[0].End.Seconds()*48000+0.5)
			if n := firstDifference(before[:from], after[:from], 0); n >= 0 {
				t.Errorf("%s: sample %d before the span differs", file, n)
			}
			quiet := from + 480
			if from == 0 {
				quiet = 0
			}
			for i := quiet; i < to; i++ {
				if after[i] != 0 {
					t.Errorf("%s: sample %d in %s is %d, want silence", file, i, r.Erased, after[i])
					break
				}
			}
			last := to
			for i := to; i < len(after); i++ {
				if d := after[i] - before[i]; d > 327 || d < -327 {
					last = i
				}
			}
			t.Logf("%s %s: last sample off by 1 %% is %v behind the span", filepath.Base(file), r.Erased, time.Duration(last-to)*time.Second/48000)
		}
	}
}

func FuzzOpus(f *testing.F) {
	for _, file := range corpus(f, "opus") {
		if b, err := os.ReadFile(file); err == nil {
			f.Add(b, int64(1e7), int64(9e7), byte(0))
		}
	}
	f.Fuzz(fuzzRedact)
}

// FuzzOpusPackets makes the checksums of pages right again, so that what is damaged is packets.
func FuzzOpusPackets(f *testing.F) {
	for _, file := range corpus(f, "opus") {
		if b, err := os.ReadFile(file); err == nil {
			f.Add(b[:min(len(b), 20000)], int64(1e7), int64(9e7), byte(0))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, start, length int64, fill byte) {
		src = bytes.Clone(src)
		redact.SumPages(src)
		fuzzRedact(t, src, start, length, fill)
	})
}
