package redact_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

// wholeFrames reads the recordings of a coding that can be redacted, cleaned of metadata.
func cleaned(t *testing.T, coding string) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	for _, file := range corpus(t, coding) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if clean, _, err := redactVerified(src, redact.Edit{}); err == nil && len(clean) > 0 && len(clean) < 1_000_000 {
			out[filepath.Base(file)] = clean
		}
	}
	return out
}

// TestHearingIsStated: of every verified redaction the report says which decoder listened to how
// many stretches, or why none did.
func TestHearingIsStated(t *testing.T) {
	for _, coding := range []string{"mp3", "flac", "opus", "wav"} {
		count := map[string]int{}
		heard := 0
		for name, src := range cleaned(t, coding) {
			info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
			if err != nil || info.Length < time.Second/2 {
				continue
			}
			_, r, err := redactVerified(src, redact.Edit{Spans: earshot.Spans{{Start: info.Length / 3, End: info.Length / 2}}})
			if err != nil {
				t.Logf("%s: %v", name, err)
				continue
			}
			h := *r.Heard
			if h.Windows == 0 && h.Why == "" {
				t.Errorf("%s: neither heard nor said why not: %+v", name, h)
			}
			if h.Windows > 0 {
				heard++
			}
			count[h.Decoder+" "+h.Why]++
			if h.Skipped > 0 {
				t.Logf("%s: %+v", name, h)
			}
		}
		t.Logf("%s: %d heard: %v", coding, heard, count)
	}
}

// TestHearingCatchesAnUnreachableReservoir: main_data_begin of silent frames tells a decoder how
// much of the reservoir to carry on. The re-parse does not look at it. Where it is 0 in all of them,
// the frame behind the span loses its beginning, and go-mp3 hears that.
func TestHearingCatchesAnUnreachableReservoir(t *testing.T) {
	caught := 0
	for name, src := range cleaned(t, "mp3") {
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		if err != nil || info.Length < time.Second/2 || !strings.Contains(info.Format, "layer III,") {
			continue
		}
		out, r, err := redactVerified(src, redact.Edit{Spans: earshot.Spans{{Start: info.Length / 3, End: info.Length / 2}}})
		if err != nil {
			continue
		}
		changed := false
		bad := bytes.Clone(out)
		if err := redact.MP3Frames(out, func(_ int64, at, lead, _ int) {
			side := bad[at+4 : at+lead]
			if bad[at+1]&1 == 1 && allZeros(side[2:]) && side[0] != 0 {
				changed = true
				side[0], side[1] = 0, side[1]&0x7F
			}
		}); err != nil || !changed {
			continue
		}
		r.After = earshot.DigestOf(bad)
		if redact.VerifyMP3Deaf(src, bad, r) != nil {
			continue // the music CRC tells
		}
		err = redact.Verify(bytes.NewReader(src), int64(len(src)), bytes.NewReader(bad), int64(len(bad)), r)
		if errors.Is(err, redact.ErrUnproved) && strings.Contains(err.Error(), "go-mp3") {
			caught++
		}
		t.Logf("%s: %v %+v", name, err, *r.Heard)
	}
	if caught < 3 {
		t.Errorf("caught %d, want 3 at least", caught)
	}
}

// TestHearingCatchesSound: frames said to be silent that are not, and a kept frame next to the span
// that is not the same, are heard.
func TestHearingCatchesSound(t *testing.T) {
	tested := 0
	for name, src := range cleaned(t, "mp3") {
		var quiet [][3]int // place, lead, slot of the output's frames
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		if err != nil || !strings.Contains(info.Format, "constant") {
			continue
		}
		out, r, err := redactVerified(src, redact.Edit{Spans: earshot.Spans{{Start: info.Length / 3, End: info.Length / 2}}})
		if err != nil || r.Heard.Windows < 2 || r.Heard.Skipped > 0 {
			continue
		}
		tone, _, err := redactVerified(src, redact.Edit{Spans: earshot.Spans{{Start: info.Length / 3, End: info.Length / 2}}, Fill: earshot.FillTone})
		if err != nil {
			t.Fatal(err)
		}
		from, to := int64(-1), int64(0)
		_ = redact.MP3Frames(out, func(k int64, at, lead, slot int) {
			quiet = append(quiet, [3]int{at, lead, slot})
			if !bytes.Equal(out[at:at+lead], src[at:at+lead]) {
				if from < 0 {
					from = k
				}
				to = k + 1
			}
		})
		if from < 2 || to > int64(len(quiet))-5 || to-from < 6 {
			continue
		}
		if _, err := redact.HearMP3(src, out, from, to, false); err != nil {
			t.Errorf("%s: the good output: %v", name, err)
		}
		if _, err := redact.HearMP3(src, tone, from, to, false); err == nil {
			t.Errorf("%s: a tone passed for silence", name)
		}
		if _, err := redact.HearMP3(src, src, from, to, false); err == nil {
			t.Logf("%s: the input passed for silence: it is silent itself?", name)
		}
		if _, err := redact.HearMP3(src, out, from, to, true); err == nil {
			t.Logf("%s: silence passed for a tone, as it may", name)
		}
		bad := bytes.Clone(out)
		f := quiet[from-1]
		for i := f[0] + f[1] + f[2]/4; i < f[0]+f[1]+f[2]/2; i++ {
			bad[i] ^= 0x24
		}
		if _, err := redact.HearMP3(src, bad, from, to, false); err != nil {
			tested++
		}
	}
	if tested < 3 {
		t.Errorf("a change before the span was heard in %d files, want 3 at least", tested)
	}
}

func allZeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// TestHearingCatchesSoundInOpus: packets of sound that stand where silence should, and kept packets
// that differ.
func TestHearingCatchesSoundInOpus(t *testing.T) {
	for name, src := range cleaned(t, "opus") {
		packets := redact.OpusPackets(src)
		if len(packets) < 30 {
			continue
		}
		head, sound := packets[0], packets[2:]
		silence := [][]byte{{31<<3 | (head[9]-1)<<2, 0xFF, 0xFE}, {31<<3 | (head[9]-1)<<2, 0xFF, 0xFE}}
		if h, err := redact.HearOpus(head, sound[:15], sound[:15], silence); err != nil || h.Windows != 1 {
			t.Errorf("%s: silence: %v %+v", name, err, h)
		}
		if _, err := redact.HearOpus(head, sound[:15], sound[:15], sound[15:18]); !errors.Is(err, redact.ErrUnproved) {
			t.Errorf("%s: sound passed for silence: %v", name, err)
		}
		if _, err := redact.HearOpus(head, sound[:15], sound[3:18], silence); !errors.Is(err, redact.ErrUnproved) {
			t.Errorf("%s: other packets passed for kept ones: %v", name, err)
		}
	}
}

// TestOpusFromOpusenc: streams of all kinds are verified, and pion/opus hears silence in them.
func TestOpusFromOpusenc(t *testing.T) {
	opusenc, ffmpeg := tool(t, "opusenc"), tool(t, "ffmpeg")
	dir := t.TempDir()
	speech := corpus(t, "wav")
	var voice string
	for _, file := range speech {
		if strings.Contains(file, "speechocean") {
			voice = file
		}
	}
	for _, channels := range []string{"1", "2"} {
		wav := filepath.Join(dir, channels+".wav")
		if text, err := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-y", "-i", voice, "-ac", channels, "-ar", "48000", wav).CombinedOutput(); err != nil {
			t.Skipf("ffmpeg: %v: %s", err, text)
		}
		for _, size := range []string{"2.5", "5", "10", "20", "40", "60"} {
			for _, rate := range []string{"8", "16", "24", "40", "96"} {
				name := filepath.Join(dir, "a.opus")
				if text, err := exec.CommandContext(t.Context(), opusenc, "--quiet", "--framesize", size, "--bitrate", rate, wav, name).CombinedOutput(); err != nil {
					t.Fatalf("opusenc: %v: %s", err, text)
				}
				src, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
				if err != nil {
					t.Fatal(err)
				}
				for i, spans := range spanSets(size+rate, info.Length, 6) {
					fill := []earshot.Fill{earshot.FillSilence, earshot.FillCut}[i%2]
					if _, r, err := checkLaws(t, src, redact.Edit{Spans: spans, Fill: fill}); err != nil || r.Heard.Windows == 0 || r.Heard.Skipped > 0 {
						t.Errorf("%s channels, %s ms, %s kbit/s, %s %s: %v %+v", channels, size, rate, fill, spans, err, r.Heard)
					}
				}
			}
		}
	}
}

// TestMutatedOpusPackets damages packets, and makes the checksums of their pages right again.
func TestMutatedOpusPackets(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	verified, skipped := 0, 0
	for name, src := range cleaned(t, "opus") {
		info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
		if err != nil || len(src) < 300 {
			continue
		}
		for range 300 {
			bad := bytes.Clone(src)
			for range 1 + rng.IntN(6) {
				bad[200+rng.IntN(len(bad)-200)] ^= byte(1 + rng.IntN(255))
			}
			redact.SumPages(bad)
			start := time.Duration(rng.Int64N(int64(info.Length)))
			e := redact.Edit{Spans: earshot.Spans{{Start: start, End: start + time.Duration(1+rng.Int64N(3e8))}}, Fill: []earshot.Fill{earshot.FillSilence, earshot.FillCut}[rng.IntN(2)]}
			_, r, err := redactVerified(bad, e)
			if err == nil {
				verified++
				skipped += r.Heard.Skipped
			} else if !errors.Is(err, redact.ErrOpaque) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	t.Logf("%d verified, %d stretches not decoded", verified, skipped)
}
