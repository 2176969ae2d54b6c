package redact_test

import (
	"bytes"
	"errors"
	"os"
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
