package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"earshot/voice"

	"github.com/spf13/cobra"
)

// Words of the operator's own are files in the folder words beside the configuration, one a word, as
// export writes them.
const (
	wordsFolder = "words"
	wordSuffix  = ".word.json"
	mostWord    = 16 << 20 // bytes
)

func (a *app) wordsDir() (string, error) {
	c, err := a.config()
	if err != nil {
		return "", err
	}
	return filepath.Join(c.dir, wordsFolder), nil
}

// loadWords reads all words of a folder, sorted by name; a folder that is not there has none. One that
// cannot be read stops everything: without it recordings would be taken for accidental.
func loadWords(dir string) ([]*voice.OwnWord, error) {
	files, err := os.ReadDir(dir) // no pattern: the folder's own name may look like one
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the wake words: %w", err)
	}
	var out []*voice.OwnWord
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), wordSuffix) {
			continue
		}
		w, err := readWord(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(x, y *voice.OwnWord) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

func readWord(name string) (*voice.OwnWord, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading a wake word: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostWord+1))
	if err != nil {
		return nil, fmt.Errorf("reading the wake word in %s: %w", name, err)
	}
	w, err := voice.ImportWord(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return w, nil
}

// wordFile is where a word of that name lies: letters and digits stay, so that two words can share a
// file name; [vacant] sees to it.
func wordFile(dir, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|. `, r) {
			return '-'
		}
		return r
	}, wordName(name))
	return filepath.Join(dir, plain+wordSuffix)
}

// wordName is the name as it is kept.
func wordName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// vacant refuses a name that is taken.
func vacant(dir, name string, force bool) error {
	if wordName(name) == "" || len(wordName(name)) > 100 {
		return fmt.Errorf("%w: a wake word's name has 1 to 100 letters", errUsage)
	}
	if !voice.Printable(wordName(name)) {
		return fmt.Errorf("%w: a wake word's name %q with control characters, or others that cannot be printed", errUsage, name)
	}
	w, err := readWord(wordFile(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil && force:
		return nil
	case err != nil:
		return err
	case w.Name != wordName(name):
		return fmt.Errorf("the word %q lies where %q would: choose another name", w.Name, wordName(name))
	case !force:
		return fmt.Errorf("the word %q is enrolled already; --force replaces it", w.Name)
	}
	return nil
}

// saveWord writes a word whole or not at all. Only its owner may read it: it is made of voices.
func saveWord(dir string, w *voice.OwnWord) error {
	text, err := w.Export()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of wake words: %w", err)
	}
	return writeWhole(wordFile(dir, w.Name), text)
}

func writeWhole(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".earshot-word-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Rename(tmp.Name(), path)
}

// findWord reads the word of that name. The path is empty where there is none, and given where it cannot be read.
func (a *app) findWord(name string) (*voice.OwnWord, string, error) {
	dir, err := a.wordsDir()
	if err != nil {
		return nil, "", err
	}
	path := wordFile(dir, name)
	w, err := readWord(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && w.Name != wordName(name) { // two names, one file
		builtIn, listErr := voice.BuiltInWords()
		if listErr == nil && slices.Contains(builtIn, wordName(name)) {
			return nil, "", fmt.Errorf("the word %q is built in: this command is for words of your own", wordName(name))
		}
		return nil, "", fmt.Errorf("no word %q is enrolled; earshot wakeword list shows those that are", wordName(name))
	}
	return w, path, err
}

func newRemoveWord(a *app) *cobra.Command {
	return command("remove NAME", "Forget a word of your own",
		"Recordings that hold it count as heard anew from the next plan on.", cobra.ExactArgs(1),
		func(_ *cobra.Command, args []string) error {
			_, path, err := a.findWord(args[0])
			if path == "" { // one that cannot be read stops everything until it is removed
				return err
			}
			name := wordName(args[0])
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("removing the word %q: %w", name, err)
			}
			return a.emit(map[string]string{"removed": name}, func(out io.Writer) { fmt.Fprintf(out, "forgot %q\n", name) })
		})
}

func newExportWord(a *app) *cobra.Command {
	var force bool
	c := command("export NAME OUT", "Write a word with its model card to a file",
		"OUT is a file, or - for standard output. It is made of voices: hand it on as you would recordings.", cobra.ExactArgs(2),
		func(_ *cobra.Command, args []string) error {
			w, _, err := a.findWord(args[0])
			if err != nil {
				return err
			}
			text, err := w.Export()
			if err != nil {
				return err
			}
			if args[1] == "-" {
				_, err := a.out.Write(append(text, '\n'))
				return err
			}
			if _, err := os.Lstat(args[1]); err == nil && !force {
				return fmt.Errorf("%s exists; --force replaces it", args[1])
			}
			return writeWhole(args[1], text)
		})
	c.Flags().BoolVar(&force, "force", false, "replace OUT if it exists")
	return c
}

func newImportWord(a *app) *cobra.Command {
	var force bool
	c := command("import FILE", "Take over a word that was exported",
		"Its card is shown: what it was taught from, and its limits.", cobra.ExactArgs(1),
		func(_ *cobra.Command, args []string) error {
			dir, err := a.wordsDir()
			if err != nil {
				return err
			}
			w, err := readWord(args[0])
			if err != nil {
				return err
			}
			if err := vacant(dir, w.Name, force); err != nil {
				return err
			}
			if err := saveWord(dir, w); err != nil {
				return err
			}
			return a.emit(card(w), func(out io.Writer) {
				c := w.Card
				fmt.Fprintf(out, "imported %q: %s from %d clip(s) of %d speaker(s), %.1f min without the word, made %s\nlimits: %s\n",
					w.Name, kindText(w), c.Clips, c.Speakers, c.SpeechHours*60, c.Made.Format("2006-01-02"), c.Limits)
			})
		})
	c.Flags().BoolVar(&force, "force", false, "replace a word of that name")
	return c
}
