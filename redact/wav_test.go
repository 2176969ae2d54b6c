package redact_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	gowav "github.com/go-audio/wav"
	"github.com/google/go-cmp/cmp"

	"earshot"
	"earshot/redact"
)

func TestWAVCorpus(t *testing.T) {
	t.Parallel()
	var tb table
	for _, file := range corpus(t, "wav") {
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
		for i, spans := range spanSets(filepath.Base(file), info.Length, 5) {
			for _, fill := range fills {
				out, r, err := checkLaws(t, src, redact.Edit{Spans: spans, Fill: fill})
				if err != nil {
					t.Errorf("%s: %v", file, err)
					continue
				}
				if i == 0 {
					againstGoAudio(t, file, src, out, r, info)
				}
			}
		}
		tb.add(file, "verified", info.Format)
	}
	tb.print(t)
}

// againstGoAudio decodes plain PCM with go-audio/wav: it is right for even data in containers
// that match the bits, and nowhere else.
func againstGoAudio(t *testing.T, file string, src, out []byte, r redact.Report, info redact.Info) {
	t.Helper()
	switch info.Format {
	case "PCM 8 bit", "PCM 16 bit", "PCM 24 bit", "PCM 32 bit":
	default:
		return
	}
	if !bytes.HasPrefix(out, []byte("RIFF")) {
		return
	}
	decode := func(b []byte) []int {
		d := gowav.NewDecoder(bytes.NewReader(b))
		buf, err := d.FullPCMBuffer()
		if err != nil {
			t.Errorf("%s: go-audio/wav: %v", file, err)
			return nil
		}
		return buf.Data
	}
	clean, _, err := redactVerified(src, redact.Edit{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{clean, out} {
		if at := bytes.Index(b, []byte("data")); at < 0 || b[at+4]%2 == 1 {
			return // an odd data chunk: go-audio/wav decodes the pad byte
		}
	}
	before, after := decode(clean), decode(out)
	quiet := 0
	if info.Format == "PCM 8 bit" {
		quiet = 128
	}
	checkSamples(t, fmt.Sprintf("%s %s", filepath.Base(file), r.Fill), before, after, quiet, r, info)
}

// checkSamples compares interleaved samples: same outside, quiet inside (for silence), gone (for
// cut).
func checkSamples(t *testing.T, name string, before, after []int, quiet int, r redact.Report, info redact.Info) {
	t.Helper()
	position := func(d time.Duration) int {
		return min(len(before), int(math.Round(d.Seconds()*float64(info.SampleRate)))*info.Channels)
	}
	var want []int
	at := 0
	inside := make(map[int]bool)
	for _, s := range r.Erased {
		from, to := position(s.Start), position(s.End)
		want = append(want, before[at:from]...)
		at = to
		if r.Fill == earshot.FillCut {
			continue
		}
		for range to - from {
			inside[len(want)] = true
			want = append(want, quiet)
		}
	}
	want = append(want, before[at:]...)
	if len(want) != len(after) {
		t.Errorf("%s: %d samples, want %d", name, len(after), len(want))
		return
	}
	for i := range want {
		if r.Fill == earshot.FillTone && inside[i] {
			continue
		}
		if want[i] != after[i] {
			t.Errorf("%s: sample %d is %d, want %d", name, i, after[i], want[i])
			return
		}
	}
}

// TestWAVAgainstFFmpeg decodes input and output with ffmpeg: equal outside, silent inside.
func TestWAVAgainstFFmpeg(t *testing.T) {
	t.Parallel()
	ffmpeg := tool(t, "ffmpeg")
	dir := t.TempDir()
	decoded, refused := 0, 0
	for _, file := range corpus(t, "wav") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files := []coded{{src, ""}}
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		var r redact.Report
		if err == nil {
			var out []byte
			if out, r, err = redactVerified(src, redact.Edit{Spans: spanSets(file, info.Length, 3)[2]}); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			files = append(files, coded{out, ""})
		}
		all := ffmpegPlays(t.Context(), ffmpeg, dir, "x.wav", files...)
		before := all[0].samples
		if len(before) > 0 {
			decoded++
			if err != nil {
				refused++
				t.Logf("ffmpeg decodes what we refuse: %s: %v", filepath.Base(file), err)
			}
		}
		if err != nil || len(before) == 0 || strings.Contains(file, "zero_zero") {
			continue // zero_zero: ffmpeg plays the tags behind an empty data chunk
		}
		quiet := 0
		switch info.Format {
		case "A-law":
			quiet = 8 << 16 // G.711 A-law has no zero
		}
		frames := int(math.Round(info.Length.Seconds()*float64(info.SampleRate))) * info.Channels
		if len(before) > frames {
			before = before[:frames] // ffmpeg plays the padding of the last ADPCM block
		}
		after := all[1].samples
		checkSamples(t, filepath.Base(file), before, after[:min(len(after), frames)], quiet, r, info)
	}
	if refused*10 > decoded {
		t.Errorf("refused %d of the %d files that ffmpeg decodes, want at most a tenth", refused, decoded)
	}
}

var secret = []byte("the removed words")

func TestWAVForms(t *testing.T) {
	list := append([]byte("LIST\x16\x00\x00\x00INFO"), append(bytes.Clone(secret), 0)...)
	formats := map[string]wavFile{
		"pcm8":        {tag: 1, channels: 1, bits: 8, container: 1},
		"pcm16":       {tag: 1, channels: 2, bits: 16, container: 2},
		"pcm24odd":    {tag: 1, channels: 3, bits: 24, container: 3},
		"pcm24in32":   {tag: 1, channels: 2, bits: 24, container: 4},
		"pcm32":       {tag: 1, channels: 1, bits: 32, container: 4},
		"pcm20ext":    {tag: 1, channels: 1, bits: 24, container: 3, extensible: true},
		"float32":     {tag: 3, channels: 2, bits: 32, container: 4},
		"float64":     {tag: 3, channels: 1, bits: 64, container: 8},
		"float32ext":  {tag: 3, channels: 1, bits: 32, container: 4, extensible: true},
		"alaw":        {tag: 6, channels: 1, bits: 8, container: 1},
		"mulaw":       {tag: 7, channels: 2, bits: 8, container: 1},
		"ima":         {tag: 0x11, channels: 1, bits: 4, container: 256, spb: 505},
		"imaStereo":   {tag: 0x11, channels: 2, bits: 4, container: 512, spb: 505},
		"ms":          {tag: 2, channels: 1, bits: 4, container: 256, spb: 500},
		"msStereo":    {tag: 2, channels: 2, bits: 4, container: 256, spb: 244},
		"factPresent": {tag: 6, channels: 1, bits: 8, container: 1, fact: 9999},
	}
	for name, f := range formats {
		for _, form := range []string{"RIFF", "RIFX", "RF64", "BW64"} {
			for _, lie := range []string{"true", "streaming", "beyond", "metadata"} {
				f := f
				f.form, f.rate, f.sound = form, 8000, noise(24001)
				switch lie {
				case "streaming":
					f.dataSize = 0xFFFFFFFF
				case "beyond":
					f.dataSize = 99999
				case "metadata":
					if form == "RIFX" {
						continue // the list above is little-endian
					}
					f.before, f.after = list, list
				}
				t.Run(name+"/"+form+"/"+lie, func(t *testing.T) {
					src := f.bytes()
					for _, fill := range fills {
						spans := earshot.Spans{
							{Start: 100 * time.Millisecond, End: 151 * time.Millisecond},
							{Start: 300 * time.Millisecond, End: 301 * time.Millisecond},
							{Start: 600 * time.Millisecond, End: earshot.ToEnd},
						}
						out, r, err := checkLaws(t, src, redact.Edit{Spans: spans, Fill: fill})
						if err != nil {
							t.Fatal(err)
						}
						if bytes.Contains(out, secret) {
							t.Error("metadata survived")
						}
						if lie == "metadata" && len(r.Stripped) < 2 {
							t.Errorf("stripped %v, want both lists", r.Stripped)
						}
					}
				})
			}
		}
	}
}

func TestWAVSpans(t *testing.T) {
	f := wavFile{form: "RIFF", tag: 1, channels: 1, bits: 16, container: 2, rate: 44100, sound: noise(2 * 44100)}
	src := f.bytes()
	tests := map[string]struct {
		asked, want earshot.Spans
	}{
		"nothingAskedNothingErased": {nil, nil},
		"beyondTheEndErasesNothing": {earshot.Spans{{Start: time.Second, End: 2 * time.Second}}, nil},
		"toTheEnd":                  {earshot.Spans{{Start: 500 * time.Millisecond, End: earshot.ToEnd}}, earshot.Spans{{Start: 500 * time.Millisecond, End: time.Second}}},
		"widenedToTheSample":        {earshot.Spans{{Start: 30 * time.Microsecond, End: 40 * time.Microsecond}}, earshot.Spans{{Start: 22676, End: 45351}}},
		"overlapsAreMerged":         {earshot.Spans{{Start: 2e8, End: 4e8}, {Start: 1e8, End: 3e8}}, earshot.Spans{{Start: 1e8, End: 4e8}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, r, err := checkLaws(t, src, redact.Edit{Spans: test.asked})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, r.Erased); diff != "" {
				t.Errorf("erased (-want +got):\n%s", diff)
			}
			_, again, err := checkLaws(t, src, redact.Edit{Spans: r.Erased})
			if err != nil || !cmp.Equal(again.Erased, r.Erased) {
				t.Errorf("erasing what was erased: %v %v, want %v", again.Erased, err, r.Erased)
			}
		})
	}
}

func TestWAVRefusals(t *testing.T) {
	plain := wavFile{form: "RIFF", tag: 1, channels: 1, bits: 16, container: 2, rate: 8000, sound: noise(800)}
	change := func(edit func(f *wavFile)) []byte {
		f := plain
		edit(&f)
		return f.bytes()
	}
	tests := map[string][]byte{
		"gsm":            change(func(f *wavFile) { f.tag = 49 }),
		"noChannels":     change(func(f *wavFile) { f.channels = 0 }),
		"secondData":     change(func(f *wavFile) { f.after = []byte("data\x02\x00\x00\x00ab") }),
		"secondFmt":      change(func(f *wavFile) { f.after = plain.bytes()[12:36] }),
		"wavlList":       change(func(f *wavFile) { f.after = []byte("LIST\x04\x00\x00\x00wavl") }),
		"lyingChunk":     change(func(f *wavFile) { f.before = []byte("junk\xF0\xFF\xFF\xFF") }),
		"headerOnly":     plain.bytes()[:12],
		"noSound":        plain.bytes()[:36],
		"wrongSpb":       change(func(f *wavFile) { f.tag, f.bits, f.container, f.spb = 0x11, 4, 256, 506 }),
		"notAWave":       []byte("hello, this is no sound at all"),
		"empty":          nil,
		"wideEightBit":   change(func(f *wavFile) { f.bits = 8 }),
		"sixteenInFour":  change(func(f *wavFile) { f.container = 4 }),
		"noBits":         change(func(f *wavFile) { f.bits = 0 }),
		"unknownSubtype": bytes.Replace(change(func(f *wavFile) { f.extensible = true }), []byte("\x38\x9B\x71"), []byte("\x38\x9B\x72"), 1),
	}
	for name, src := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := redactVerified(src, redact.Edit{})
			if !errors.Is(err, redact.ErrOpaque) {
				t.Errorf("got %v, want ErrOpaque", err)
			}
		})
	}
}

func TestWAVLyingLengthCostsNothing(t *testing.T) {
	plain := wavFile{form: "RIFF", tag: 1, channels: 1, bits: 16, container: 2, rate: 8000, sound: noise(8), dataSize: 2 << 30}
	for name, src := range map[string][]byte{
		"riff":  []byte("RIFF\xFF\xFF\xFF\x7FWAVE"),
		"fmt":   []byte("RIFF\xFF\xFF\xFF\x7FWAVEfmt \xFF\xFF\xFF\x7F"),
		"data":  plain.bytes(),
		"blank": []byte("RIFF\xFF\xFF\xFF\x7FWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1F\x00\x00\x80\x3E\x00\x00\x02\x00\x10\x00data\xFF\xFF\xFF\x7F"),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, _ = redactVerified(src, redact.Edit{Spans: earshot.Spans{{End: earshot.ToEnd}}})
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
				t.Errorf("%d bytes allocated for a file of %d, want at most 1 MiB", got, len(src))
			}
		})
	}
}

// TestVerifyCatchesTampering flips every byte of a small output: none may pass.
func TestVerifyCatchesTampering(t *testing.T) {
	f := wavFile{form: "RIFF", tag: 1, channels: 1, bits: 16, container: 2, rate: 8000, sound: noise(801), fact: 400}
	src := f.bytes()
	spans := earshot.Spans{{Start: 10 * time.Millisecond, End: 20 * time.Millisecond}}
	for _, fill := range fills {
		out, r, err := redactVerified(src, redact.Edit{Spans: spans, Fill: fill})
		if err != nil {
			t.Fatal(err)
		}
		for i := range out {
			bad := bytes.Clone(out)
			bad[i] ^= 0x10
			forged := r // whoever tampers also forges the digest
			forged.After = earshot.DigestOf(bad)
			err := redact.Verify(bytes.NewReader(src), int64(len(src)), bytes.NewReader(bad), int64(len(bad)), forged)
			if err == nil && (i < 28 || i >= 32) { // the bytes per second are nobody's sound
				t.Errorf("%s: flipped byte %d passed", fill, i)
			}
		}
	}
}

func TestWAVFourGigabytesInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 4 GiB")
	}
	const size = 4<<30 + 4096
	f := wavFile{form: "BW64", tag: 1, channels: 2, bits: 16, container: 2, rate: 48000}
	head := f.bytes()
	binary.LittleEndian.PutUint64(head[28:], uint64(size-len(head)))
	src := zeros{head, size}
	r, err := redact.Redact(io.Discard, src, size, redact.Edit{Spans: earshot.Spans{{Start: time.Hour, End: 2 * time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	if r.AfterBytes != size || len(r.Erased) != 1 {
		t.Errorf("%d bytes, erased %s", r.AfterBytes, r.Erased)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapInuse > 64<<20 {
		t.Errorf("%d bytes of heap in use, want at most 64 MiB", m.HeapInuse)
	}
}
