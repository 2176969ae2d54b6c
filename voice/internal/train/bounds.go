package main

import (
	"fmt"
	"path/filepath"

	"earshot/voice/internal/sound"
	"earshot/voice/internal/wake"
)

// tryBounds prints the errors of the boundaries under several rules, on clusters of the training part that
// networks taught with -choose have not heard: those of the test shall not choose.
func tryBounds(root, models string) error {
	words, err := loadWords(root)
	if err != nil {
		return err
	}
	sentences, err := loadSentences(root)
	if err != nil {
		return err
	}
	nets, err := loadModels(filepath.Join(models, "wake-*.net"))
	if err != nil {
		return err
	}
	d := wake.NewDetector(wordsOf(builtIn(), words), nets...)
	babble := babbleOf(only(sentences, "train"))
	made := composites(words, only(sentences, "threshold"), 2, heldOut(words), 17)
	type sums struct{ on, off []int }
	found := map[string]*sums{}
	var order []string
	mel := sound.NewMel()
	for _, kind := range []string{"clean", "noise20", "noise10"} {
		for i, m := range made {
			d.Scan(mel.Powers(under(kind, m, babble, uint64(i)), nil))
			word := 0
			for w := range d.Words {
				if d.Words[w].Name == m.word {
					word = w
				}
			}
			for _, report := range []float32{0.3, 0.4, 0.5, 0.6, 0.7} {
				for _, rule := range []wake.Bounds{{Bridge: 3}, {Bridge: 6}} {
					rule.Report, rule.Erase = report, 0.15
					d.Bounds = rule
					h := d.Best(word)
					key := fmt.Sprintf("%s %+v", kind, rule)
					if found[key] == nil {
						found[key] = &sums{}
						order = append(order, key)
					}
					s := found[key]
					s.on, s.off = append(s.on, h.Onset-m.onset), append(s.off, h.Offset-m.offset)
				}
			}
		}
	}
	for _, key := range order {
		s := found[key]
		report(key, "onset %.0f %.0f offset %.0f %.0f", quantile(s.on, .5), quantile(s.on, .95), quantile(s.off, .5), quantile(s.off, .95))
	}
	return nil
}
