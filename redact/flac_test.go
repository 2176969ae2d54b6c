package redact_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"earshot"
	"earshot/redact"
)

func TestFLACCorpus(t *testing.T) {
	t.Parallel()
	var tb table
	for _, file := range corpus(t, "flac") {
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
		sets := 5
		if len(src) > 100_000 {
			sets = 2
		}
		for _, spans := range spanSets(filepath.Base(file), info.Length, sets) {
			for _, fill := range fills {
				if _, _, err := checkLaws(t, src, redact.Edit{Spans: spans, Fill: fill}); err != nil {
					verdict, why = "refused", opaqueReason(err)
				}
			}
		}
		tb.add(file, verdict, why)
	}
	tb.print(t)
}

// TestFLACAgainstTools: flac -t passes, and ffmpeg finds the kept samples equal and the rest
// silent or gone.
func TestFLACAgainstTools(t *testing.T) {
	t.Parallel()
	ffmpeg, flac := tool(t, "ffmpeg"), tool(t, "flac")
	dir := t.TempDir()
	decoded, refused := 0, 0
	for _, file := range corpus(t, "flac") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		heard := ffmpegPlays(t.Context(), ffmpeg, dir, "a.flac", coded{src, ""})[0]
		before, derr := heard.samples, heard.err
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		if derr == nil && len(before) > 0 {
			decoded++
			if err != nil {
				refused++
				t.Logf("ffmpeg decodes what we refuse: %s: %v", filepath.Base(file), err)
			}
		}
		if err != nil || derr != nil || len(before) == 0 || strings.Contains(file, "application_block_last") {
			continue
		}
		var files []coded
		var reports []redact.Report
		for i, fill := range fills {
			out, r, err := redactVerified(src, redact.Edit{Spans: spanSets(file, info.Length, 5)[i+2], Fill: fill})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			files, reports = append(files, coded{out, ""}), append(reports, r)
		}
		test := []string{"-t", "-s"}
		for i, after := range ffmpegPlays(t.Context(), ffmpeg, dir, "b.flac", files...) {
			if after.err != nil {
				t.Errorf("%s: ffmpeg: %v", file, after.err)
			}
			checkSamples(t, filepath.Base(file)+" "+string(fills[i]), before, after.samples, 0, reports[i], info)
			test = append(test, filepath.Join(dir, fmt.Sprintf("%d-b.flac", i)))
		}
		if talk, err := exec.CommandContext(t.Context(), flac, test...).CombinedOutput(); err != nil {
			t.Errorf("%s: flac -t: %v: %s", filepath.Base(file), err, strings.TrimSpace(string(talk)))
		}
	}
	if refused*10 > decoded {
		t.Errorf("refused %d of the %d files that ffmpeg decodes, want at most a tenth", refused, decoded)
	}
}

// TestFLACInOgg puts recordings into Ogg with ffmpeg, which then decodes what we make of them.
func TestFLACInOgg(t *testing.T) {
	t.Parallel()
	ffmpeg := tool(t, "ffmpeg")
	dir := t.TempDir()
	name := filepath.Join(dir, "a.ogg")
	done, chained := 0, 0
	var first [][]byte
	for _, file := range corpus(t, "flac") {
		if st, err := os.Stat(file); err != nil || st.Size() > 60_000 || strings.Contains(file, "zero_zero") { // ffmpeg refuses an empty stream
			continue
		}
		if exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-y", "-i", file, "-map", "0:a:0", "-c", "copy", "-f", "ogg", name).Run() != nil {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		if err != nil {
			t.Logf("%s: %v", filepath.Base(file), err)
			continue
		}
		files, reports := []coded{{src, ""}}, []redact.Report(nil)
		for i, spans := range spanSets(file, info.Length, 3) {
			out, r, err := checkLaws(t, src, redact.Edit{Spans: spans, Fill: fills[i]})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			files, reports = append(files, coded{out, ""}), append(reports, r)
			done++
		}
		all := ffmpegPlays(t.Context(), ffmpeg, dir, "b.ogg", files...)
		for i, after := range all[1:] {
			if all[0].err == nil && after.err != nil {
				t.Errorf("%s: ffmpeg: %v", file, after.err)
			} else if all[0].err == nil {
				checkSamples(t, filepath.Base(file)+" in Ogg "+string(fills[i]), all[0].samples, after.samples, 0, reports[i], info)
			}
		}
		first = append(first, src)
		if n := len(first); n > 1 && len(first[n-1])+len(first[n-2]) < 80_000 {
			chain := append(bytes.Clone(first[n-2]), first[n-1]...)
			info, err := redact.Inspect(bytes.NewReader(chain), int64(len(chain)))
			if err != nil { // ffmpeg does not close a stream without frames
				t.Logf("%s in a chain: %v", file, err)
				continue
			}
			for i, spans := range append(spanSets(file, info.Length, 5), nil, earshot.Spans{{End: earshot.ToEnd}}) {
				if _, _, err := checkLaws(t, chain, redact.Edit{Spans: spans, Fill: fills[i%3]}); err != nil {
					t.Errorf("%s in a chain, %s %s: %v", file, fills[i%3], spans, err)
				}
				chained++
			}
		}
	}
	if done == 0 {
		t.Skip("ffmpeg makes no Ogg files here")
	}
	t.Logf("%d redactions, and %d of chains", done, chained)
}

func FuzzFLAC(f *testing.F) {
	for _, file := range corpus(f, "flac") {
		if b, err := os.ReadFile(file); err == nil && len(b) < 20000 {
			f.Add(b, int64(1e7), int64(9e7), byte(0))
		}
	}
	f.Fuzz(fuzzRedact)
}
