package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"earshot/voice"
	"earshot/voice/pcm"

	"github.com/spf13/cobra"
)

func newWakeword(a *app) *cobra.Command {
	return group("wakeword", "Wake words of your own: teach, measure, keep, hand on",
		newEnroll(a), newEvaluateWord(a), newListWords(a), newRemoveWord(a), newExportWord(a), newImportWord(a))
}

// Lengths of recordings that words are taught from and measured on.
const (
	longestClip   = time.Minute
	longestSpeech = time.Hour
)

type enrollOptions struct {
	without  []string
	byFolder bool
	force    bool
	seed     uint64
	steps    int
}

func newEnroll(a *app) *cobra.Command {
	var o enrollOptions
	c := command("enroll NAME FILES...", "Teach a wake word from recordings of it",
		`FILES are recordings of the word alone, files, folders or quoted patterns ('clips/*.wav'). Different speakers
help more than more clips of one. Below five clips the word is found by comparing. From five on, with
recordings without the word (--without, at least two minutes, better an hour, of the same devices), a network
is taught here, which takes minutes. Policies know the word from the next plan on, those of a running serve too;
workers on other machines need the file in their folder of words.`, cobra.MinimumNArgs(2),
		func(cmd *cobra.Command, args []string) error { return a.enroll(cmd.Context(), args[0], args[1:], o) })
	c.Flags().StringArrayVar(&o.without, "without", nil, "recordings without the word: a file, a folder or a quoted pattern (may be repeated)")
	c.Flags().BoolVar(&o.byFolder, "by-folder", false, "all files of a folder are one speaker's")
	c.Flags().BoolVar(&o.force, "force", false, "replace a word of that name")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "seed of teaching: the same files and seed give the same word")
	c.Flags().IntVar(&o.steps, "steps", 0, "steps of teaching each network; default 900")
	return c
}

func (a *app) enroll(ctx context.Context, name string, files []string, o enrollOptions) error {
	dir, err := a.wordsDir()
	if err != nil {
		return err
	}
	if err := vacant(dir, name, o.force); err != nil {
		return err
	}
	clips, err := recordings(files)
	if err != nil {
		return err
	}
	var examples []voice.Example
	for _, f := range clips {
		sound, err := soundOf(ctx, f, longestClip)
		if err != nil {
			return err
		}
		e := voice.Example{PCM: sound}
		if o.byFolder {
			e.Speaker = filepath.Dir(f)
		}
		examples = append(examples, e)
	}
	speech, err := a.sounds(ctx, o.without, longestSpeech)
	if err != nil {
		return err
	}
	say := a.progress()
	w, err := voice.Enroll(ctx, name, examples, voice.EnrollOptions{
		Speech: speech, Seed: o.seed, Steps: o.steps, Now: time.Now().UTC().Truncate(time.Second),
		Progress: func(done float64) {
			if say != nil {
				say("teaching", int(done*1000), 1000)
			}
		},
	})
	if clip := (*voice.ClipError)(nil); errors.As(err, &clip) && clip.Clip < len(clips) {
		return fmt.Errorf("%s: no word of 0.15 to 3 s in it: take a recording of the word alone", clips[clip.Clip])
	}
	if err != nil {
		return err
	}
	if err := saveWord(dir, w); err != nil {
		return err
	}
	if own, err := voice.BuiltInWords(); err == nil && slices.Contains(own, strings.ToLower(name)) {
		a.say("earshot knows this word by itself too: both are listened for")
	}
	if w.Card.Kind == "templates" && w.Card.Clips >= voice.NetworkClips {
		a.say("taught by comparing only: a network needs two minutes or more of recordings without the word (--without)")
	}
	if len(speech) == 0 {
		a.say("its thresholds were not tried on anything: give recordings without the word (--without) to lessen false alarms")
	}
	if e, err := w.Evaluate(ctx, soundsOf(examples), nil); err != nil {
		return err
	} else if e.Found == 0 {
		a.say("it does not find its own clips: something in the recordings without the word (--without) sounds as much like it; do they hold it?")
	}
	return a.emit(card(w), func(out io.Writer) {
		fmt.Fprintf(out, "enrolled %q from %d clip(s) of %d speaker(s) as %s; policies know it from the next plan on\n", w.Name, w.Card.Clips, w.Card.Speakers, kindText(w))
		fmt.Fprintf(out, "how well it does: earshot wakeword evaluate %q --with OTHER-CLIPS --without OTHER-SPEECH\n", w.Name)
	})
}

func soundsOf(examples []voice.Example) (out [][]float32) {
	for _, e := range examples {
		out = append(out, e.PCM)
	}
	return out
}

func kindText(w *voice.OwnWord) string {
	if w.Card.Kind == "network" {
		return "a network"
	}
	return "templates"
}

// recordings expands files, folders and patterns.
func recordings(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err == nil && info.IsDir():
			n := len(out)
			err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
				if err != nil || strings.HasPrefix(d.Name(), ".") || d.IsDir() {
					return err
				}
				if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() { // links count
					out = append(out, path)
				}
				return nil
			})
			if err == nil && len(out) == n {
				err = errors.New("no files in it")
			}
			if err != nil {
				return nil, fmt.Errorf("reading the folder %s: %w", name, err)
			}
		case err == nil:
			out = append(out, name)
		default:
			found, globErr := filepath.Glob(name)
			if globErr != nil || len(found) == 0 {
				return nil, fmt.Errorf("no such recording, folder or pattern: %s", name)
			}
			out = append(out, found...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// soundOf decodes a file.
func soundOf(ctx context.Context, name string, most time.Duration) ([]float32, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening a recording: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	sound, err := pcm.All(ctx, f, info.Size(), most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return sound, nil
}

func (a *app) sounds(ctx context.Context, names []string, most time.Duration) ([][]float32, error) {
	files, err := recordings(names)
	if err != nil {
		return nil, err
	}
	var out [][]float32
	for _, f := range files {
		sound, err := soundOf(ctx, f, most)
		if err != nil {
			return nil, err
		}
		out = append(out, sound)
	}
	return out, nil
}

// evaluation is what evaluate tells. The rates have 95 % intervals (Wilson).
type evaluation struct {
	Word       string     `json:"word"`
	Version    string     `json:"version"`
	With       int        `json:"with"`
	Found      int        `json:"found"`
	Uncertain  int        `json:"uncertain"`
	Recall     [2]float64 `json:"recall"` // of found, interval
	Without    int        `json:"without"`
	FalseFound int        `json:"false_found"`
	Doubts     int        `json:"doubts"`
	Hours      float64    `json:"hours_without"`
	FalseRate  [2]float64 `json:"false_rate"` // of recordings, interval
}

func newEvaluateWord(a *app) *cobra.Command {
	var with, without []string
	c := command("evaluate NAME", "Measure a word on recordings that it was not taught from",
		`--with and --without take a file, a folder or a quoted pattern, and may be repeated. Measure on other
speakers than those who taught it: their own clips say nothing.`, func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("unexpected %q: quote a pattern, name a folder, or repeat --with and --without for each file", args[1])
			}
			return cobra.ExactArgs(1)(nil, args)
		},
		func(cmd *cobra.Command, args []string) error {
			if len(with)+len(without) == 0 {
				return fmt.Errorf("%w: nothing to measure on: give --with, --without or both", errUsage)
			}
			w, _, err := a.findWord(args[0])
			if err != nil {
				return err
			}
			yes, err := a.sounds(cmd.Context(), with, longestSpeech)
			if err != nil {
				return err
			}
			no, err := a.sounds(cmd.Context(), without, longestSpeech)
			if err != nil {
				return err
			}
			e, err := w.Evaluate(cmd.Context(), yes, no)
			if err != nil {
				return err
			}
			out := evaluation{
				Word: w.Name, Version: w.Version(), With: e.With, Found: e.Found, Uncertain: e.Uncertain, Recall: wilson(e.Found, e.With),
				Without: e.Without, FalseFound: e.FalseFound, Doubts: e.Doubts, Hours: e.Hours, FalseRate: wilson(e.FalseFound, e.Without),
			}
			return a.emit(out, out.write)
		})
	c.Flags().StringArrayVar(&with, "with", nil, "recordings with the word")
	c.Flags().StringArrayVar(&without, "without", nil, "recordings without it")
	return c
}

func (e evaluation) write(w io.Writer) {
	if e.With > 0 {
		fmt.Fprintf(w, "with the word:    %d of %d found (95 %% interval %.0f to %.0f %%), %d more uncertain\n", e.Found, e.With, 100*e.Recall[0], 100*e.Recall[1], e.Uncertain)
	}
	if e.Without > 0 {
		fmt.Fprintf(w, "without the word: %d of %d said to hold it (95 %% interval %.1f to %.1f %%), %d more uncertain, in %.2f h\n", e.FalseFound, e.Without, 100*e.FalseRate[0], 100*e.FalseRate[1], e.Doubts, e.Hours)
	}
}

// wilson is the 95 % interval of k successes in n tries (Wilson 1927).
func wilson(k, n int) [2]float64 {
	if n == 0 {
		return [2]float64{0, 1}
	}
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return [2]float64{max(0, centre-half), min(1, centre+half)}
}

// wordCard is what list, enroll and import tell of a word.
type wordCard struct {
	Word    string `json:"word"`
	Version string `json:"version"`
	voice.Card
}

func card(w *voice.OwnWord) wordCard {
	return wordCard{Word: w.Name, Version: w.Version(), Card: w.Card}
}

func newListWords(a *app) *cobra.Command {
	return command("list", "List the wake words: the built-in ones and your own", "", cobra.NoArgs, func(*cobra.Command, []string) error {
		builtIn, err := voice.BuiltInWords()
		if err != nil {
			return err
		}
		var own []*voice.OwnWord
		dir, err := a.wordsDir()
		if err == nil {
			own, err = loadWords(dir)
		} else if errors.Is(err, fs.ErrNotExist) { // no installation: the built-in words are there all the same
			err = nil
		}
		if err != nil {
			return err
		}
		if a.json {
			enc := json.NewEncoder(a.out)
			for _, name := range builtIn {
				if err := enc.Encode(map[string]string{"word": name, "kind": "built-in"}); err != nil {
					return err
				}
			}
			for _, w := range own {
				if err := enc.Encode(card(w)); err != nil {
					return err
				}
			}
			return nil
		}
		t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "WORD\tKIND\tCLIPS\tSPEAKERS\tWITHOUT\tMADE\tVERSION")
		for _, name := range builtIn {
			fmt.Fprintf(t, "%s\tbuilt-in\t\t\t\t\t\n", name)
		}
		for _, w := range own {
			c := w.Card
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.1f min\t%s\t%s\n", w.Name, c.Kind, c.Clips, c.Speakers, c.SpeechHours*60, c.Made.Format(time.DateOnly), w.Version())
		}
		return t.Flush()
	})
}
