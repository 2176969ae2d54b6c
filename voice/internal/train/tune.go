package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"earshot/voice/internal/child"
	"earshot/voice/internal/wake"
)

// tuning is what the package voice reads beside the networks; see there.
type tuning struct {
	Version   string          `json:"version"`
	Words     []wake.Word     `json:"words"`
	MarginMS  int             `json:"erase_margin_ms"`
	Scaling   child.Scaling   `json:"scaling"`
	Recording calibration     `json:"recording"`
	Segment   calibration     `json:"segment"`
	Own       json.RawMessage `json:"own"`
}

// tune measures everything, and writes the thresholds and calibrations.
func tune(root, models, scores string, versions int) error {
	var t tuning
	text, err := os.ReadFile(filepath.Join(models, "tuning.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil {
		if err := json.Unmarshal(text, &t); err != nil {
			return err
		}
	}
	text, err = os.ReadFile(filepath.Join(models, "child-scaling.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &t.Scaling); err != nil {
		return err
	}
	// The calibration of children's voices stays where no cross-validation is at hand.
	switch recording, segment, err := measureChild(scores); {
	case errors.Is(err, errNoScores) && t.Recording.Slope != 0:
		report("child voice", "%v: the calibration stays", err)
	case err != nil:
		return err
	default:
		t.Recording, t.Segment = recording, segment
	}
	if t.Words, err = tuneWake(root, models, versions); err != nil {
		return err
	}
	t.MarginMS, t.Own = eraseMargin, json.RawMessage(`{"found":0.72,"uncertain":0.62}`)
	t.Version = ""
	if text, err = json.Marshal(t); err != nil {
		return err
	}
	if t.Version, err = version(models, text); err != nil {
		return err
	}
	text, err = json.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(models, "tuning.json"), append(text, '\n'), 0o644)
}

// eraseMargin is what an erased word is wider than where the networks think that it may be, in
// milliseconds.
const eraseMargin = 100

// version names the networks and the tuning by their bytes: with another threshold, too, recordings must
// be listened to again.
func version(models string, tuning []byte) (string, error) {
	names, err := filepath.Glob(filepath.Join(models, "*.net"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	h.Write(tuning)
	return "earshot-voice/2-" + hex.EncodeToString(h.Sum(nil)[:4]), nil
}
