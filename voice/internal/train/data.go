package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mewkiz/flac"

	"earshot/voice/internal/sound"
)

// spoken is one take of a wake word.
type spoken struct {
	word, cluster, split string
	onset, offset        int // milliseconds
	pcm                  []float32
}

// sentence is one sentence of a speaker of known age.
type sentence struct {
	speaker, gender string
	age             int
	suspect         bool
	part            string // train, threshold or test
	pcm             []float32
}

func (s sentence) child() bool { return s.age < 13 }
func (s sentence) teen() bool  { return s.age >= 13 && s.age < 16 }

// rows reads a table with a header line.
func rows(path string) ([]map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var head []string
	var out []map[string]string
	in := bufio.NewScanner(f)
	for in.Scan() {
		cells := strings.Split(in.Text(), "\t")
		if head == nil {
			head = cells
			continue
		}
		row := map[string]string{}
		for i, c := range cells {
			if i < len(head) {
				row[head[i]] = c
			}
		}
		out = append(out, row)
	}
	return out, in.Err()
}

// decode reads a mono FLAC file at 16 kHz. A frame that fails ends the sound: what came before is
// used (fourteen of the clips are so).
func decode(path string) ([]float32, error) {
	s, err := flac.Open(path)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if s.Info.SampleRate != sound.Rate || s.Info.NChannels != 1 {
		return nil, fmt.Errorf("%s: %d Hz, %d channels", path, s.Info.SampleRate, s.Info.NChannels)
	}
	scale := float32(math.Exp2(-float64(s.Info.BitsPerSample - 1)))
	var out []float32
	for {
		frame, err := s.ParseNext()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		for _, v := range frame.Subframes[0].Samples {
			out = append(out, float32(v)*scale)
		}
	}
}

func loadWords(root string) ([]spoken, error) {
	table, err := rows(filepath.Join(root, "wakeword.tsv"))
	if err != nil {
		return nil, err
	}
	var out []spoken
	for _, r := range table {
		on, err1 := strconv.Atoi(r["onset_ms"])
		off, err2 := strconv.Atoi(r["offset_ms"])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: %w", r["file"], err)
		}
		pcm, err := decode(filepath.Join(root, r["file"]))
		if len(pcm) < off*sound.Rate/1000 {
			fmt.Fprintf(os.Stderr, "left out: %s: %v\n", r["file"], err)
			continue
		}
		out = append(out, spoken{r["keyword"], r["speaker_cluster"], r["split"], on, off, pcm})
	}
	return out, nil
}

// loadSentences reads the speakers and deals them out, alike in age and sex: of five, three are
// for training, one for thresholds, one for the test.
func loadSentences(root string) ([]sentence, error) {
	table, err := rows(filepath.Join(root, "speakers.tsv"))
	if err != nil {
		return nil, err
	}
	var out []sentence
	for _, r := range table {
		age, err := strconv.Atoi(r["age"])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r["file"], err)
		}
		pcm, err := decode(filepath.Join(root, r["file"]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r["file"], err)
		}
		out = append(out, sentence{speaker: r["speaker"], gender: r["gender"], age: age, suspect: r["label_note"] == "suspect", pcm: pcm})
	}
	deal(out)
	return out, nil
}

func deal(all []sentence) {
	part := map[string]string{}
	for i, s := range dealt(all) {
		part[s.speaker] = []string{"train", "test", "train", "threshold", "train"}[i%5]
	}
	for i := range all {
		all[i].part = part[all[i].speaker]
	}
}

// dealt is one sentence of each speaker, ordered by sex and age.
func dealt(all []sentence) []sentence {
	var speakers []sentence
	seen := map[string]bool{}
	for _, s := range all {
		if !seen[s.speaker] {
			seen[s.speaker] = true
			speakers = append(speakers, s)
		}
	}
	slices.SortFunc(speakers, func(a, b sentence) int {
		return cmp.Or(cmp.Compare(a.gender, b.gender), cmp.Compare(a.age, b.age), cmp.Compare(a.speaker, b.speaker))
	})
	return speakers
}

func pow10(x float64) float64 { return math.Pow(10, x) }
