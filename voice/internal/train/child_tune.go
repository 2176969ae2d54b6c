package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// tuneChild writes the children's calibration and scaling into the tuning, and leaves the words' part
// of it as it is.
func tuneChild(models, scores string) error {
	path := filepath.Join(models, "tuning.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var t tuning
	if err := json.Unmarshal(text, &t); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	scaling := filepath.Join(models, "child-scaling.json")
	if text, err = os.ReadFile(scaling); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &t.Scaling); err != nil {
		return fmt.Errorf("reading %s: %w", scaling, err)
	}
	if t.Recording, t.Segment, err = measureChild(scores); err != nil {
		return err
	}
	t.Version = ""
	if text, err = json.Marshal(t); err != nil {
		return err
	}
	if t.Version, err = version(models, text); err != nil {
		return err
	}
	if text, err = json.Marshal(t); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// measureChildParts prints what each of the parts says alone.
func measureChildParts(scores string) error {
	byFold, err := loadScores(scores)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name  string
		value func(scored) float64
	}{
		{"networks over time", func(s scored) float64 { return s.Timed }},
		{"networks over figures", func(s scored) float64 { return s.Nets }},
		{"trees over figures", func(s scored) float64 { return s.Trees }},
		{"all together", scored.logit},
	} {
		line := ""
		for _, c := range []struct {
			damage string
			frames int
		}{{"clean", 0}, {"clean", 100}, {"noise10", 0}} {
			line += fmt.Sprintf("  %s %d AUC %.3f", c.damage, c.frames, area(choose(byFold, true, c.damage, c.frames), part.value))
		}
		report(part.name+" alone, audited", "%s", line)
	}
	return nil
}
