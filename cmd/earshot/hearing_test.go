package main

import (
	"os"
	"path/filepath"
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
