package voice_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"earshot"
	"earshot/voice"
)

// wordOf is where the wake word of a sample is, as samples/manifest.tsv says in samples at 16 kHz.
func wordOf(tb testing.TB, name string) earshot.Span {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "cmd", "earshot", "samples", "manifest.tsv"))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "\t")
		if cells[0] == name {
			from, err1 := strconv.Atoi(cells[4])
			to, err2 := strconv.Atoi(cells[5])
			if err := errors.Join(err1, err2); err != nil {
				tb.Fatal(err)
			}
			return earshot.Span{Start: time.Duration(from) * time.Second / voice.Rate, End: time.Duration(to) * time.Second / voice.Rate}
		}
	}
	tb.Fatalf("no %s in the manifest", name)
	return earshot.Span{}
}

// From a few clips a word is enrolled by comparing; what is exported and imported hears the same.
func TestAnEnrolledWordIsTheSameAfterExport(t *testing.T) {
	pcm := sample(t, "clip-16.wav")
	w, err := voice.Enroll(t.Context(), " Computer ", []voice.Example{{PCM: pcm, Span: wordOf(t, "clip-16.wav")}}, voice.EnrollOptions{Now: time.Unix(1, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	if w.Name != "computer" || w.Card.Kind != "templates" || w.Card.Clips != 1 {
		t.Errorf("enrolled %q, card %+v", w.Name, w.Card)
	}
	e, err := w.Evaluate(t.Context(), [][]float32{pcm}, [][]float32{noise(3, 0.1)})
	if err != nil {
		t.Fatal(err)
	}
	if e.Found != 1 || e.FalseFound != 0 {
		t.Errorf("on its own clip and on noise: %+v", e)
	}
	text, err := w.Export()
	if err != nil {
		t.Fatal(err)
	}
	again, err := voice.ImportWord(text)
	if err != nil {
		t.Fatal(err)
	}
	if again.Version() != w.Version() {
		t.Errorf("version %s, was %s", again.Version(), w.Version())
	}
	var heard [2]voice.Heard
	for i, x := range []*voice.OwnWord{w, again} {
		l, err := voice.NewListener(x)
		if err != nil {
			t.Fatal(err)
		}
		heard[i] = hear(t, l, pcm)
	}
	if diff := cmp.Diff(heard[0].Wakes, heard[1].Wakes); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// Several listeners share a word, not its buffers: each hears as if it were alone.
func TestListenersOfOneWordDoNotDisturbEachOther(t *testing.T) {
	pcm := sample(t, "clip-16.wav")
	w, err := voice.Enroll(t.Context(), "mine", []voice.Example{{PCM: pcm, Span: wordOf(t, "clip-16.wav")}}, voice.EnrollOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sounds := [][]float32{pcm, pcm[:len(pcm)/3], noise(5, 0.1)}
	var wg sync.WaitGroup
	for _, sound := range sounds {
		l, err := voice.NewListener(w)
		if err != nil {
			t.Fatal(err)
		}
		alone := hear(t, l, sound)
		wg.Go(func() {
			for range 5 {
				h, err := l.Hear(t.Context(), sound)
				if diff := cmp.Diff(alone.Wakes, h.Wakes); err != nil || diff != "" {
					t.Errorf("%v; -alone +together:\n%s", err, diff)
				}
			}
		})
	}
	wg.Wait()
}

// Templates are figures of the built-in networks: of others they would never match, and the word would
// never be found. That is said, not kept silent.
func TestAWordOfOtherNetworksIsRefused(t *testing.T) {
	w, err := voice.Enroll(t.Context(), "computer", []voice.Example{{PCM: sample(t, "clip-16.wav"), Span: wordOf(t, "clip-16.wav")}}, voice.EnrollOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mine := w.Figures
	for _, change := range []func(){func() { w.Figures = "00000000" }, func() { w.Figures = "" }, func() { w.Figures, w.Format = mine, "earshot-word/1" }} {
		change()
		text, err := w.Export()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := voice.ImportWord(text); !errors.Is(err, voice.ErrStale) {
			t.Errorf("figures %q, format %q: error %v", w.Figures, w.Format, err)
		}
	}
}

// A word that was altered so that it is never found, everywhere, or with a score that is no number does not
// pass for one that works; and what is imported can be written and read again.
func TestAnAlteredWordIsRefused(t *testing.T) {
	w, err := voice.Enroll(t.Context(), "computer", []voice.Example{{PCM: sample(t, "clip-16.wav"), Span: wordOf(t, "clip-16.wav")}}, voice.EnrollOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := w.Export()
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(*voice.OwnWord){
		"deaf":          func(w *voice.OwnWord) { w.Word.Found = 5 },
		"everywhere":    func(w *voice.OwnWord) { w.Word.Found, w.Word.Uncertain = -1, -3 },
		"crossed":       func(w *voice.OwnWord) { w.Word.Uncertain = w.Word.Found + 0.01 },
		"less in noise": func(w *voice.OwnWord) { w.Word.Noise = -9 },
		"no length":     func(w *voice.OwnWord) { w.Word.Window = 0 },
		"infinite":      func(w *voice.OwnWord) { w.Templates[0].Rows[7] = 3e38 },
		"narrow":        func(w *voice.OwnWord) { w.Templates[0].Width = 1 },
		"short":         func(w *voice.OwnWord) { w.Templates[0].Rows = w.Templates[0].Rows[:w.Templates[0].Width] },
		"nothing":       func(w *voice.OwnWord) { w.Templates, w.Networks = nil, [][]byte{} },
		"never":         func(w *voice.OwnWord) { w.Word.Found = 1.09 },
		"any sound":     func(w *voice.OwnWord) { w.Word.Uncertain = 1e-30 },
		"empty rows":    func(w *voice.OwnWord) { clear(w.Templates[0].Rows) },
		"short rows":    func(w *voice.OwnWord) { scale(w.Templates[0].Rows, 0.9) },
		"long rows":     func(w *voice.OwnWord) { scale(w.Templates[0].Rows, 1.1) },
		"no clips":      func(w *voice.OwnWord) { w.Card.Clips = -5 },
		"escapes":       func(w *voice.OwnWord) { w.Card.Limits = "\x1b[2J" },
		"unprintable":   func(w *voice.OwnWord) { w.Name = "comp\u200buter" },
		"endless":       func(w *voice.OwnWord) { w.Name = strings.Repeat("a", 101) },
		"capitals":      func(w *voice.OwnWord) { w.Name = "Computer" },
		"control":       func(w *voice.OwnWord) { w.Name = "comp\x1b[2J" },
	} {
		x, err := voice.ImportWord(text)
		if err != nil {
			t.Fatal(err)
		}
		alter(x)
		altered, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		if name == "nothing" { // an empty list is not written
			altered = append(bytes.TrimSuffix(altered, []byte("}")), `,"networks":[]}`...)
		}
		if _, err := voice.ImportWord(altered); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func scale(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}

// Templates stay templates, whatever the card says, and thresholds as high as enrolling can put them are taken.
func TestWhatEnrollingMakesIsTaken(t *testing.T) {
	pcm := sample(t, "clip-16.wav")
	example := []voice.Example{{PCM: pcm, Span: wordOf(t, "clip-16.wav")}}
	// The word itself among the speech without it puts the threshold as high as it goes.
	w, err := voice.Enroll(t.Context(), "computer", example, voice.EnrollOptions{Speech: [][]float32{pcm}})
	if err != nil {
		t.Fatal(err)
	}
	if w.Word.Found < 1 {
		t.Errorf("found from %v on: this test has to be built anew", w.Word.Found)
	}
	w.Card.Kind = "network"
	text, err := w.Export()
	if err != nil {
		t.Fatal(err)
	}
	again, err := voice.ImportWord(text)
	if err != nil {
		t.Fatal(err)
	}
	if again.Card.Kind != "templates" {
		t.Errorf("templates are said to be a %s", again.Card.Kind)
	}
}

// The version names what was learned, not when.
func TestTheSameClipsMakeTheSameVersion(t *testing.T) {
	example := []voice.Example{{PCM: sample(t, "clip-16.wav"), Span: wordOf(t, "clip-16.wav")}}
	var versions [2]string
	for i := range versions {
		w, err := voice.Enroll(t.Context(), "computer", example, voice.EnrollOptions{Now: time.Unix(int64(i), 0)})
		if err != nil {
			t.Fatal(err)
		}
		versions[i] = w.Version()
	}
	if versions[0] != versions[1] {
		t.Errorf("%s, then %s", versions[0], versions[1])
	}
}

// With clips and speech enough a network is taught on the spot, and says how far it is.
func TestEnoughClipsTeachANetwork(t *testing.T) {
	var clips []voice.Example
	for _, name := range []string{"clip-16.wav", "clip-33.wav", "clip-50.wav", "clip-00.wav", "clip-07.wav"} {
		clips = append(clips, voice.Example{PCM: sample(t, name), Span: wordOf(t, name)})
	}
	var speech [][]float32
	for range 20 {
		speech = append(speech, noise(7, 0.01))
	}
	last := 0.0
	w, err := voice.Enroll(t.Context(), "computer", clips, voice.EnrollOptions{Speech: speech, Steps: 2, Progress: func(done float64) { last = done }})
	if err != nil {
		t.Fatal(err)
	}
	if w.Card.Kind != "network" || last != 1 || w.Card.Speakers != 5 {
		t.Errorf("card %+v, progress %v", w.Card, last)
	}
	text, err := w.Export()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := voice.ImportWord(text); err != nil {
		t.Error(err)
	}
	w.Format, w.Network, w.Networks = "earshot-word/2", w.Networks[0], nil
	if text, err = w.Export(); err != nil {
		t.Fatal(err)
	}
	old, err := voice.ImportWord(text)
	if err != nil {
		t.Fatalf("a word of the format before: %v", err)
	}
	if e, err := old.Evaluate(t.Context(), [][]float32{clips[0].PCM}, nil); err != nil || e.With != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestEnrollingNeedsAWord(t *testing.T) {
	for name, clips := range map[string][]voice.Example{
		"":      {{PCM: noise(1, 0.1)}},
		"none":  nil,
		"quiet": {{PCM: make([]float32, voice.Rate)}},
	} {
		if _, err := voice.Enroll(t.Context(), name, clips, voice.EnrollOptions{}); !errors.Is(err, voice.ErrTooLittle) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

// No steps make a network that knows nothing of the word.
func TestEnrollingTakesSteps(t *testing.T) {
	clips := []voice.Example{{PCM: sample(t, "clip-16.wav"), Span: wordOf(t, "clip-16.wav")}}
	if _, err := voice.Enroll(t.Context(), "computer", clips, voice.EnrollOptions{Steps: -5}); err == nil {
		t.Error("-5 steps are taken")
	}
	if _, err := voice.Enroll(t.Context(), "comp\nuter", clips, voice.EnrollOptions{}); err == nil {
		t.Error("a name of two lines is taken")
	}
}

func FuzzImportWord(f *testing.F) {
	f.Add([]byte(`{"name":"x","format":"earshot-word/2","word":{"window":9},"templates":[{"width":2,"rows":[1,2]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		w, err := voice.ImportWord(text)
		if err != nil {
			return
		}
		if _, err := w.Evaluate(t.Context(), [][]float32{noise(0.5, 0.1)}, nil); err != nil {
			t.Error(err)
		}
	})
}

// An own word may have the name of a built-in one. If it is in doubt where that one is sure, the word is found.
func TestDoubtOfAnOwnWordDoesNotOustABuiltInOne(t *testing.T) {
	pcm, clip, place := noise(5, 1e-3), sample(t, "clip-16.wav"), wordOf(t, "clip-16.wav")
	for i := range int(place.Len() * voice.Rate / time.Second) {
		pcm[2*voice.Rate+i] += clip[int(place.Start*voice.Rate/time.Second)+i]
	}
	at := earshot.Span{Start: 2 * time.Second, End: 2*time.Second + place.Len()}
	w, err := voice.Enroll(t.Context(), "computer", []voice.Example{{PCM: pcm, Span: at}}, voice.EnrollOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Word.Found = 1.01 // as speech that sounds alike raises it
	text, err := w.Export()
	if err != nil {
		t.Fatal(err)
	}
	if w, err = voice.ImportWord(text); err != nil {
		t.Fatal(err)
	}
	l, err := voice.NewListener(w)
	if err != nil {
		t.Fatal(err)
	}
	alone, both := hear(t, listener(t), pcm).Wakes, hear(t, l, pcm).Wakes
	if len(alone) != 1 || alone[0].Verdict != voice.Found || len(both) != 1 || both[0].Verdict != voice.Found {
		t.Errorf("without the own word %+v, with it %+v", alone, both)
	}
}
