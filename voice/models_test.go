package voice_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// All that is embedded has at most 300 kB, and every file of it has a place in the model cards.
func TestModelsAreSmallAndHaveCards(t *testing.T) {
	cards, err := os.ReadFile(filepath.Join("models", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("models")
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() == "README.md" {
			continue
		}
		sum += info.Size()
		if !strings.Contains(string(cards), f.Name()) {
			t.Errorf("%s has no model card", f.Name())
		}
	}
	if sum > 300_000 {
		t.Errorf("%d bytes of models, at most 300,000", sum)
	}
}

// The version, by which what was heard is kept or heard again, names networks and thresholds by their bytes.
func TestTheVersionNamesNetworksAndThresholds(t *testing.T) {
	h := sha256.New()
	names, err := filepath.Glob(filepath.Join("models", "*.net"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(text)
	}
	text, err := os.ReadFile(filepath.Join("models", "tuning.json"))
	if err != nil {
		t.Fatal(err)
	}
	h.Write(regexp.MustCompile(`"version":"[^"]*"`).ReplaceAll([]byte(strings.TrimSpace(string(text))), []byte(`"version":""`)))
	want := "earshot-voice/2-" + hex.EncodeToString(h.Sum(nil)[:4]) + "." // and a number of what is made of them
	if got := listener(t).Version(); !strings.HasPrefix(got, want) {
		t.Errorf("version %s, of the files %s: run make tune-voice", got, want)
	}
}
