package voice_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"earshot"
	"earshot/voice"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample reads a recording of our own making: mono 16-bit WAV at 16 kHz, or at 8 kHz doubled.
func sample(tb testing.TB, name string) []float32 {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "cmd", "earshot", "samples", name))
	if err != nil {
		tb.Fatal(err)
	}
	rate := binary.LittleEndian.Uint32(text[24:])
	var out []float32
	for i := 44; i+1 < len(text); i += 2 {
		v := float32(int16(binary.LittleEndian.Uint16(text[i:]))) / 32768
		out = append(out, v)
		if rate == 8000 {
			out = append(out, v)
		}
	}
	return out
}

func listener(tb testing.TB) *voice.Listener {
	tb.Helper()
	l, err := voice.NewListener()
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func hear(tb testing.TB, l *voice.Listener, pcm []float32) voice.Heard {
	tb.Helper()
	h, err := l.Hear(tb.Context(), pcm)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func noise(seconds float64, level float32) []float32 {
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, int(seconds*voice.Rate))
	for i := range x {
		x[i] = level * float32(r.NormFloat64())
	}
	return x
}

// Long recordings are heard in blocks of two minutes: speech that goes on from one to the next has no gap,
// nor have the voices in it, and what was heard in the first does not grow with those that follow.
func TestSpeechGoesOnFromBlockToBlock(t *testing.T) {
	l, clip := listener(t), sample(t, "clip-33.wav")
	var words []float32
	for _, s := range hear(t, l, clip).Segments {
		words = append(words, clip[s.Span.Start*voice.Rate/time.Second:s.Span.End*voice.Rate/time.Second]...)
	}
	const blocks = 4
	pcm := noise(blocks*118, 1e-4)
	for at := range pcm[117*voice.Rate-3*voice.Rate/2 : 124*voice.Rate] {
		pcm[117*voice.Rate-3*voice.Rate/2+at] += words[at%len(words)]
	}
	copy(pcm[10*voice.Rate:], clip)
	long, short := hear(t, l, pcm), hear(t, l, pcm[:120*voice.Rate])
	for i, s := range short.Speech {
		if s.End < 100*time.Second && (i >= len(long.Speech) || long.Speech[i] != s) {
			t.Errorf("speech %v of the first block: %v with those that follow", s, long.Speech)
		}
	}
	end := 115500 * time.Millisecond
	for _, s := range long.Segments {
		if s.Span.End < end {
			continue
		}
		if gap := s.Span.Start - end; gap > 400*time.Millisecond || gap < -400*time.Millisecond {
			t.Errorf("from %s to %s there is speech, and no voice is judged", end, s.Span.Start)
		}
		end = s.Span.End
	}
	if end < 123*time.Second {
		t.Errorf("the voices end at %s", end)
	}
}

// A word that the border of two blocks cuts is erased whole: the cut one may have the better score.
func TestAWordAcrossBlocksIsErasedWhole(t *testing.T) {
	l, quiet := listener(t), noise(123, 1e-4)
	for _, name := range []string{"clip-16.wav", "clip-25.wav"} { // the one is heard where it is cut only, the other in both blocks
		clip, word := sample(t, name), wordOf(t, name)
		heard := 0
		for cut := 20 * time.Millisecond; cut < 400*time.Millisecond; cut += 40 * time.Millisecond {
			pcm := slices.Clone(quiet)
			at := 120*time.Second + cut - word.End // of the clip, so that the word ends behind the first block
			copy(pcm[at*voice.Rate/time.Second:], clip)
			wakes, err := l.WakeWords(t.Context(), pcm)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range wakes {
				if heard++; w.Word == "computer" && w.Erase.End < at+word.End {
					t.Errorf("%s, cut %s before its end: erased to %s, ends at %s (%+v)", name, cut, w.Erase.End, at+word.End, w)
				}
			}
		}
		if heard == 0 {
			t.Errorf("%s is never heard", name)
		}
	}
}

// What is heard in recordings of our own is kept to the last bit. Other kinds of machine may round
// otherwise: there the figures are compared to four digits.
func TestGolden(t *testing.T) {
	l := listener(t)
	got := map[string]voice.Heard{}
	for _, name := range []string{"clip-17.wav", "clip-25.wav", "clip-33.wav", "clip-50.wav"} {
		got[name] = hear(t, l, sample(t, name))
	}
	text, err := json.MarshalIndent(got, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "heard.json")
	if *update {
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)+"\n"); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A Listener that has heard other recordings, and a new one, hear the same.
func TestTheSameSamplesGiveTheSameBits(t *testing.T) {
	old, pcm := listener(t), sample(t, "clip-25.wav")
	first := hear(t, old, pcm)
	hear(t, old, sample(t, "clip-33.wav"))
	hear(t, old, noise(7, 0.1))
	for _, l := range []*voice.Listener{old, listener(t)} {
		a, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(hear(t, l, pcm))
		if err != nil {
			t.Fatal(err)
		}
		if string(a) != string(b) {
			t.Errorf("first %s\nthen %s", a, b)
		}
	}
}

// Clips without speech hold no speech, no wake word and no child.
func TestWithoutSpeechNothingIsHeard(t *testing.T) {
	tone := make([]float32, 3*voice.Rate)
	click := make([]float32, 3*voice.Rate)
	for i := range tone {
		tone[i] = 0.3 * float32(math.Sin(2*math.Pi*440*float64(i)/voice.Rate))
	}
	click[voice.Rate] = 0.9
	cases := map[string][]float32{
		"nothing": nil, "oneSample": {0.5}, "silence": make([]float32, 2*voice.Rate), "noise": noise(4, 0.05),
		"loudNoise": noise(4, 0.5), "steadyTone": tone, "click": click,
	}
	l := listener(t)
	for name, pcm := range cases {
		h := hear(t, l, pcm)
		if len(h.Speech) != 0 || len(h.Wakes) != 0 || h.Voice.Known || len(h.Segments) != 0 {
			t.Errorf("%s: heard %+v", name, h)
		}
	}
}

// Samples that are no numbers, or far too loud, do no harm.
func TestOddSamplesDoNoHarm(t *testing.T) {
	l := listener(t)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e30, -1e30} {
		pcm := append([]float32(nil), sample(t, "clip-25.wav")...)
		pcm[9000] = bad
		h := hear(t, l, pcm)
		if math.IsNaN(h.Voice.Probability) {
			t.Errorf("%v: probability %v", bad, h.Voice.Probability)
		}
		if _, err := json.Marshal(h); err != nil {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// All spans lie within the recording, the span for erasing covers the word's own, and what was
// heard becomes facts of each kind.
func TestSpansLieWithin(t *testing.T) {
	l := listener(t)
	for _, name := range []string{"clip-17.wav", "clip-25.wav", "clip-33.wav", "clip-50.wav"} {
		h := hear(t, l, sample(t, name))
		within := earshot.Span{End: h.Length}
		for _, w := range h.Wakes {
			if !(earshot.Spans{within}).Covers(earshot.Spans{w.Erase}) || !(earshot.Spans{w.Erase}).Covers(earshot.Spans{w.Span}) {
				t.Errorf("%s: wake word %+v in %v", name, w, h.Length)
			}
		}
		if !(earshot.Spans{within}).Covers(h.Speech) || h.CommandEnd > h.Length {
			t.Errorf("%s: speech %v, command end %v in %v", name, h.Speech, h.CommandEnd, h.Length)
		}
		kinds := map[earshot.Kind]bool{}
		for _, x := range h.Listenings(time.Unix(0, 0), voice.Reading{}) {
			kinds[x.Kind] = true
			for _, f := range x.Findings {
				if !f.Span.Valid() || f.Score < 0 || f.Score > 1 {
					t.Errorf("%s: finding %+v", name, f)
				}
			}
		}
		if !kinds[earshot.KindWake] || !kinds[earshot.KindSpeech] || !kinds[earshot.KindChild] {
			t.Errorf("%s: listenings of %v", name, kinds)
		}
	}
}

// A long recording is heard in blocks: what it holds is found wherever it lies, once.
func TestLongRecordingsAreHeardInBlocks(t *testing.T) {
	l := listener(t)
	one := sample(t, "clip-25.wav")
	want := len(hear(t, l, one).Wakes)
	pcm := noise(130, 0.0005)
	for _, at := range []float64{20, 116, 123} { // the second lies across the border of the blocks
		for i, v := range one {
			pcm[int(at*voice.Rate)+i] += v
		}
	}
	h := hear(t, l, pcm)
	if len(h.Wakes) != 3*want {
		t.Errorf("%d wake words alone, in three copies: %+v", want, h.Wakes)
	}
	for i := 1; i < len(h.Wakes); i++ {
		if h.Wakes[i].Span.Start < h.Wakes[i-1].Span.End && h.Wakes[i].Word == h.Wakes[i-1].Word {
			t.Errorf("heard twice: %+v", h.Wakes)
		}
	}
}

func TestACancelledListeningFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := listener(t).Hear(ctx, noise(1, 0.1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestWakeWordsAgreeWithHear(t *testing.T) {
	l, pcm := listener(t), sample(t, "clip-25.wav")
	got, err := l.WakeWords(t.Context(), pcm)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hear(t, l, pcm).Wakes, got); diff != "" {
		t.Errorf("-Hear +WakeWords:\n%s", diff)
	}
}

func BenchmarkHear(b *testing.B) {
	l, pcm := listener(b), sample(b, "clip-25.wav")
	hear(b, l, pcm)
	b.ReportAllocs()
	for b.Loop() {
		hear(b, l, pcm)
	}
	b.ReportMetric(float64(len(pcm))/voice.Rate*float64(b.N)/b.Elapsed().Seconds(), "x_realtime")
}

func BenchmarkWakeWords(b *testing.B) {
	l, pcm := listener(b), sample(b, "clip-25.wav")
	for b.Loop() {
		if _, err := l.WakeWords(b.Context(), pcm); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(pcm))/voice.Rate*float64(b.N)/b.Elapsed().Seconds(), "x_realtime")
}
