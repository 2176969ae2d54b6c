package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/voice"
	"earshot/voice/pcm"
)

// TestARunningProcessTakesUpWords: what hears is made anew when the folder of words has changed, and only then.
func TestARunningProcessTakesUpWords(t *testing.T) {
	dir := t.TempDir()
	e := (&Config{dir: dir}).ears()
	now := func() string {
		t.Helper()
		hears, err := e.now()
		if err != nil {
			t.Fatal(err)
		}
		return hears.Version()
	}
	without := now()
	first := e.made
	if again := now(); again != without || e.made != first {
		t.Error("nothing has changed, and it was made anew")
	}
	f, err := os.Open(filepath.Join("samples", "clip-16.wav"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sound, err := pcm.All(t.Context(), f, info.Size(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	word, err := voice.Enroll(t.Context(), "mine", []voice.Example{{PCM: sound, Span: earshot.Span{Start: 1500 * time.Millisecond, End: 2300 * time.Millisecond}}}, voice.EnrollOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := word.Export()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, wordsFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, wordsFolder, "mine"+wordSuffix)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if with := now(); with == without {
		t.Error("a word was enrolled, and it does not hear it")
	}
	if err := os.WriteFile(name, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.now(); err == nil {
		t.Error("a word is damaged, and it hears as if there were none")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if again := now(); again != without {
		t.Error("the word was removed, and it still hears it")
	}
}

// What is erased beside the wake word hangs on what is heard, what an event says, and whether all detectors answered.
// Nothing is erased silently: where nothing can be, that is an error.
func TestWhatIsErasedBesideTheWord(t *testing.T) {
	const ms = time.Millisecond
	span := func(from, to time.Duration) earshot.Span { return earshot.Span{Start: from * ms, End: to * ms} }
	alexa := voice.Wake{Word: "alexa", Span: span(600, 1500), Erase: span(400, 1640), Score: 0.9, Verdict: voice.Found}
	doubtful := alexa
	doubtful.Score, doubtful.Verdict = 0.2, voice.Uncertain
	home := `{"type":"wake_word-end","data":{"wake_word_output":{"wake_word_id":"%","timestamp":1600}}}`
	exact := `{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":8000,"endIndexInSamples":24000},"wakeWord":"ALEXA"}}}}}`
	before, word, both := redactOptions{before: true}, redactOptions{word: true}, redactOptions{before: true, after: true}
	for name, c := range map[string]struct {
		heard  []voice.Wake
		event  string
		failed string
		o      redactOptions
		want   string // the spans, or else the error
	}{
		"heard":                   {[]voice.Wake{alexa}, "", "", before, "0s-400ms"},
		"heardNothing":            {nil, "", "", before, "no wake word is heard; give --span"},
		"aMomentOfTheSameWord":    {[]voice.Wake{alexa}, strings.ReplaceAll(home, "%", "alexa"), "", before, "0s-400ms"},
		"aMomentOfAnotherWord":    {[]voice.Wake{alexa}, strings.ReplaceAll(home, "%", "hey nabu"), "", before, "may begin with the recording"},
		"aMomentAlone":            {nil, strings.ReplaceAll(home, "%", "alexa"), "", before, "may begin with the recording"},
		"aMomentAloneIsErased":    {nil, strings.ReplaceAll(home, "%", "alexa"), "", word, "0s-1.8s"},
		"aMomentAloneBehind":      {nil, strings.ReplaceAll(home, "%", "alexa"), "", both, "1.8s-"},
		"aPlace":                  {[]voice.Wake{alexa}, exact, "", word, "400ms-1.64s"},
		"aPlaceAlone":             {nil, exact, "", before, "0s-500ms"},
		"aDetectorFailed":         {[]voice.Wake{alexa}, "", "it is down", before, "0s-400ms"},
		"aDetectorFailedAndDoubt": {[]voice.Wake{doubtful}, "", "it is down", before, "it is down"},
		"aDetectorFailedAndEvent": {[]voice.Wake{doubtful}, exact, "it is down", before, "0s-400ms"},
		"doubt":                   {[]voice.Wake{doubtful}, "", "", before, "0s-400ms"},
		"doubtIsNotSure":          {[]voice.Wake{doubtful}, "", "", redactOptions{before: true, sure: true}, "no wake word is heard"},
	} {
		t.Run(name, func(t *testing.T) {
			l := lookedAt{failed: c.failed}
			l.heard.Wakes = c.heard
			if c.event != "" {
				path := filepath.Join(t.TempDir(), "event.json")
				if err := os.WriteFile(path, []byte(c.event), 0o600); err != nil {
					t.Fatal(err)
				}
				said, placed, err := readStatement(path)
				if err != nil || !placed {
					t.Fatal(said, placed, err)
				}
				l.heard.Join([]voice.Wake{said})
			}
			spans, err := besideWord(l, c.o)
			switch {
			case err != nil && (len(spans) > 0 || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, %v, want %s", spans, err, c.want)
			case err == nil && spans.String() != c.want:
				t.Errorf("erased %s, want %s", spans, c.want)
			}
		})
	}
}

// A word that is known only to be near a moment is shown as such; and where a word is heard, it is not said that
// nobody speaks.
func TestInspectTellsWhatIsLoose(t *testing.T) {
	var x inspection
	x.hear(lookedAt{heard: voice.Heard{Wakes: []voice.Wake{
		{Word: "alexa", Span: earshot.Span{End: time.Second}, Erase: earshot.Span{End: time.Second}, Score: 1, Verdict: voice.Found, Loose: true},
	}}})
	var text strings.Builder
	x.printSound(&text)
	if !x.Wake.Words[0].Loose || !strings.Contains(text.String(), "somewhere in 0 to 1000 ms") || strings.Contains(text.String(), "nobody speaks") {
		t.Errorf("%+v\n%s", x.Wake, text.String())
	}
}
