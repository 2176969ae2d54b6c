package pcm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/voice/pcm"
)

func dataDir(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("EARSHOT_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "audio")); err != nil {
		tb.Skip("no recordings: set EARSHOT_TESTDATA")
	}
	return dir
}

// reference decodes with the decoders that are known to be right: opusdec (which is libopus), mpg123
// for two compliance streams that ffmpeg is wrong about, ffmpeg for the rest; nil where that does not.
func reference(tb testing.TB, path string) []float32 {
	tb.Helper()
	if text, err := os.ReadFile(path); err == nil && bytes.Contains(text[:min(len(text), 64)], []byte("OpusHead")) {
		wav := filepath.Join(tb.TempDir(), "reference.wav")
		if exec.CommandContext(tb.Context(), "opusdec", "--quiet", "--rate", "48000", "--float", path, wav).Run() != nil {
			tb.Skip("no opusdec")
		}
		path = wav
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		tb.Skip("no ffmpeg")
	}
	if strings.Contains(path, "si_huff") || strings.Contains(path, "sideinfo-blocktype") {
		wav := filepath.Join(tb.TempDir(), "reference.wav")
		if exec.CommandContext(tb.Context(), "mpg123", "-q", "--no-gapless", "-w", wav, path).Run() != nil {
			tb.Skip("no mpg123")
		}
		path = wav
	}
	if strings.Contains(path, "RIFX") { // ffmpeg takes its samples for little endian ones
		wav := filepath.Join(tb.TempDir(), "reference.wav")
		if exec.CommandContext(tb.Context(), "sox", path, wav).Run() != nil {
			tb.Skip("no sox")
		}
		path = wav
	}
	out, err := exec.CommandContext(tb.Context(), "ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", "16000", "-f", "f32le", "-").Output()
	if err != nil {
		return nil
	}
	samples := make([]float32, len(out)/4)
	for i := range samples {
		samples[i] = math.Float32frombits(binary.LittleEndian.Uint32(out[4*i:]))
	}
	return samples
}

// likeness is the correlation of two signals at the best of a few shifts, and that shift in samples.
func likeness(a, b []float32) (best float64, shift int) {
	best = -2
	n := min(len(a), len(b), 6*pcm.Rate)
	for d := -120; d <= 120; d++ {
		var ab, aa, bb float64
		for i := max(0, -d); i < n-max(0, d); i++ {
			x, y := float64(a[i+d]), float64(b[i])
			ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
		}
		if c := ab / math.Sqrt(aa*bb+1e-20); c > best {
			best, shift = c, d
		}
	}
	return best, shift
}

func quiet(b []float32) bool {
	for _, v := range b {
		if math.Abs(float64(v)) > 4e-3 {
			return false
		}
	}
	return true
}

// TestTheCorpusIsHeardRightlyOrNotAtAll decodes every file of the corpus beside ffmpeg: what is
// decoded sounds alike, at the same time; the rest is refused with a reason.
func TestTheCorpusIsHeardRightlyOrNotAtAll(t *testing.T) {
	dir := dataDir(t)
	heard, refused := 0, 0
	err := filepath.WalkDir(filepath.Join(dir, "audio"), func(path string, d fs.DirEntry, err error) error {
		ext := strings.ToLower(filepath.Ext(path))
		if err != nil || d.IsDir() || strings.Contains(path, "/ref/") || ext == "" || !strings.Contains(".wav.mp3.flac.opus.ogg.bit.mp2.mp1.oga", ext) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.Base(path)
		got, err := pcm.All(t.Context(), bytes.NewReader(text), int64(len(text)), 10*time.Minute)
		if err != nil {
			if !errors.Is(err, pcm.ErrUnheard) {
				t.Errorf("%s: %v", name, err)
			}
			refused++
			t.Logf("%s: %v", name, err)
			return nil
		}
		want := reference(t, path)
		if len(want) == 0 {
			t.Logf("%s: %d samples are heard, and ffmpeg gives none", name, len(got))
			return nil
		}
		heard++
		if quiet(want) && quiet(got) {
			return nil
		}
		like, shift := likeness(got, want)
		if len(got) == 0 && strings.Contains(name, "zero_zero") {
			return nil // ffmpeg plays the tags behind an empty data chunk
		}
		if strings.Contains(name, "sin1k") && like > 0.999 {
			return nil // a period more or less
		}
		if strings.Contains(name, "channels") && like > 0.75 {
			return nil // ffmpeg weighs the loudspeakers of more than two channels
		}
		if len(got) > 2000 && (shift < -16 || shift > 16) || like < 0.98 || math.Abs(float64(len(got)-len(want))) > 2500 {
			t.Errorf("%s: likeness %.4f at a shift of %d samples, %d samples instead of %d", name, like, shift, len(got), len(want))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files are heard as ffmpeg hears them, %d are refused", heard, refused)
	if heard < 150 {
		t.Errorf("only %d files were compared", heard)
	}
}

// speech is one clip of a person.
func speech(tb testing.TB) string {
	tb.Helper()
	var clip string
	_ = filepath.WalkDir(filepath.Join(dataDir(tb), "wakeword"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && clip == "" {
			clip = path
		}
		return err
	})
	if clip == "" {
		tb.Skip("no speech")
	}
	return clip
}

// TestEncodersOfTheField makes one clip in many codings and hears it beside ffmpeg.
func TestEncodersOfTheField(t *testing.T) {
	clip := speech(t)
	for name, args := range map[string]string{
		"silk.opus":    "-c:a libopus -b:a 8k -application voip -ar 16000",
		"voip16.opus":  "-c:a libopus -b:a 16k -application voip",
		"hybrid.ogg":   "-c:a libopus -b:a 24k -application voip -ar 24000",
		"celt.opus":    "-c:a libopus -b:a 64k -application audio",
		"frames.opus":  "-c:a libopus -b:a 16k -frame_duration 60",
		"low.opus":     "-c:a libopus -b:a 32k -application lowdelay -frame_duration 5",
		"stereo.opus":  "-c:a libopus -b:a 48k -ac 2",
		"of32.mp3":     "-c:a libmp3lame -b:a 32k -ar 16000",
		"of22k.mp3":    "-c:a libmp3lame -b:a 32k -ar 22050",
		"of22k24.mp3":  "-c:a libmp3lame -b:a 24k -ar 22050 -ac 2",
		"vbr22k.mp3":   "-c:a libmp3lame -q:a 4 -ar 22050",
		"of11k.mp3":    "-c:a libmp3lame -b:a 24k -ar 11025",
		"of12k.mp3":    "-c:a libmp3lame -b:a 16k -ar 12000 -ac 2",
		"of48k.mp3":    "-c:a libmp3lame -b:a 320k -ar 48000 -ac 2",
		"of44k.mp3":    "-c:a libmp3lame -b:a 320k -ar 44100 -ac 2",
		"of128.mp3":    "-c:a libmp3lame -b:a 128k -ar 44100 -ac 2",
		"vbr.mp3":      "-c:a libmp3lame -q:a 5 -ar 24000",
		"of8k.flac":    "-c:a flac -ar 8000",
		"ogg.oga":      "-c:a flac -ar 16000",
		"alaw.wav":     "-c:a pcm_alaw -ar 8000",
		"mulaw.wav":    "-c:a pcm_mulaw -ar 8000",
		"ima.wav":      "-c:a adpcm_ima_wav -ar 16000",
		"ms.wav":       "-c:a adpcm_ms -ar 22050",
		"f32of48k.wav": "-c:a pcm_f32le -ar 48000",
		"s24of44k.wav": "-c:a pcm_s24le -ar 44100 -ac 2",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			args := append(append([]string{"-v", "error", "-i", clip}, strings.Fields(args)...), path)
			if out, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput(); err != nil {
				t.Skipf("ffmpeg: %v %s", err, out)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pcm.All(t.Context(), bytes.NewReader(text), int64(len(text)), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			want := reference(t, path)
			like, shift := likeness(got, want)
			if like < 0.99 || shift < -8 || shift > 8 {
				t.Errorf("likeness %.4f at a shift of %d samples, %d samples instead of %d", like, shift, len(got), len(want))
			}
			part, err := pcm.Part(t.Context(), bytes.NewReader(text), int64(len(text)), earshot.Span{Start: 250 * time.Millisecond, End: 500 * time.Millisecond})
			if err != nil || len(part) != pcm.Rate/4 {
				t.Fatalf("a part: %d samples, %v", len(part), err)
			}
			for i, v := range part {
				if v != got[pcm.Rate/4+i] {
					t.Fatalf("a part differs from the whole at sample %d", i)
				}
			}
		})
	}
}

// TestTheFilterPassesSpeechAndStopsWhatFoldsBack measures tones through the resampler.
func TestTheFilterPassesSpeechAndStopsWhatFoldsBack(t *testing.T) {
	for _, c := range []struct {
		rate             int
		hertz, low, high float64 // dB
	}{
		{44100, 1000, -0.1, 0.1}, {44100, 6500, -0.3, 0.3}, {44100, 9500, -200, -60}, {48000, 15000, -200, -60},
		{8000, 3000, -0.2, 0.2}, {22050, 5000, -0.2, 0.2}, {16000, 7900, -0.1, 0.1}, {11025, 4000, -0.2, 0.2},
	} {
		wav := sine(c.rate, c.hertz, 2)
		got, err := pcm.All(t.Context(), bytes.NewReader(wav), int64(len(wav)), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 * pcm.Rate; len(got) < want-1 || len(got) > want+1 {
			t.Errorf("%d Hz: %d samples, want %d", c.rate, len(got), want)
		}
		sum := 0.0
		for _, v := range got[2000 : len(got)-2000] {
			sum += float64(v) * float64(v)
		}
		level := 10*math.Log10(sum/float64(len(got)-4000)+1e-20) - 10*math.Log10(0.125)
		if level < c.low || level > c.high {
			t.Errorf("%.0f Hz out of %d: %.2f dB, want %.1f to %.1f", c.hertz, c.rate, level, c.low, c.high)
		}
	}
}

// sine is a WAV file of half amplitude, in float.
func sine(rate int, hertz, seconds float64) []byte {
	n := int(float64(rate) * seconds)
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x03\x00\x01\x00")
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(4*rate))
	b = append(b, 4, 0, 32, 0)
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(4*n))
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(0.5*math.Sin(2*math.Pi*hertz*float64(i)/float64(rate)))))
	}
	return b
}

// What lost a page, its end or a bit is no recording in which nothing was found.
func TestWhatIsDamagedIsNotHeard(t *testing.T) {
	clip := speech(t)
	make := func(name string, args ...string) []byte {
		path := filepath.Join(t.TempDir(), name)
		if out, err := exec.CommandContext(t.Context(), "ffmpeg", append(append([]string{"-v", "error", "-i", clip}, args...), path)...).CombinedOutput(); err != nil {
			t.Skipf("ffmpeg: %v %s", err, out)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	flac, opus, mp3 := make("a.flac"), make("a.opus", "-c:a", "libopus", "-page_duration", "100000"), make("a.mp3", "-b:a", "64k", "-ar", "16000")
	second := bytes.Index(opus[bytes.LastIndex(opus, []byte("OpusTags")):], []byte("OggS")) + bytes.LastIndex(opus, []byte("OpusTags"))
	third := second + 4 + bytes.Index(opus[second+4:], []byte("OggS"))
	twice := bytes.Clone(flac)
	twice[26] ^= 1 // a bit of STREAMINFO's sum
	inverse := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x80\x3e\x00\x00\x00\xfa\x00\x00\x04\x00\x10\x00data\xff\xff\xff\xff")
	for i := range 16000 {
		v := int16(8000 * math.Sin(float64(i)/9))
		inverse = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(inverse, uint16(v)), uint16(-v))
	}
	for name, text := range map[string][]byte{
		"aPageIsMissing":    append(bytes.Clone(opus[:second]), opus[third:]...),
		"aPageIsCutOff":     opus[:len(opus)-20],
		"flacIsCutOff":      flac[:len(flac)/2],
		"flacHasAnotherSum": twice,
		"junkBetweenFrames": append(append(bytes.Clone(mp3[:len(mp3)/2]), "this is no frame"...), mp3[len(mp3)/2:]...),
		"channelsCancel":    inverse,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := pcm.All(t.Context(), bytes.NewReader(text), int64(len(text)), time.Minute); !errors.Is(err, pcm.ErrUnheard) {
				t.Errorf("%d samples, %v, want unheard", len(got), err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sine(8000, 400, 0.01))
	f.Add([]byte("fLaC\x00\x00\x00\x22"))
	f.Add([]byte("OggS\x00\x02"))
	f.Add([]byte{0xFF, 0xFB, 0x90, 0x64, 0, 0, 0, 0})
	f.Add([]byte("ID3\x03\x00\x00\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := pcm.All(t.Context(), bytes.NewReader(b), int64(len(b)), time.Minute)
		if err != nil && !errors.Is(err, pcm.ErrUnheard) {
			t.Errorf("%v", err)
		}
		if len(got) > 60*pcm.Rate {
			t.Errorf("%d samples", len(got))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, rate := range map[string]int{"16kHz": 16000, "44.1kHz": 44100} {
		wav := sine(rate, 440, 60)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := pcm.Decode(b.Context(), bytes.NewReader(wav), int64(len(wav)), func([]float32) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(60*float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
		})
	}
}
