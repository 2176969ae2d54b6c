// Command train rebuilds the embedded networks of package voice from recordings, with fixed seeds,
// and measures them on speakers that they have not heard.
//
//	train [-data DIR] [-out DIR] [-scores DIR] [-seed N] [-steps N] [-fold N] [-versions N] [-takes N] [-choose] \
//	    wake|child|own|tune|tune-child|bounds|measure-wake [CONDITION...]|measure-child|measure-own
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}

// words that the built-in networks know, in the order of their columns.
func builtIn() []string { return []string{"alexa", "computer", "jarvis", "smart mirror", "snowboy"} }

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("train", flag.ContinueOnError)
	data := fs.String("data", dataDir(), "where the recordings and their tables are")
	out := fs.String("out", "voice/models", "where the networks go")
	seed := fs.Uint64("seed", 1, "seed of one network")
	steps := fs.Int("steps", 2400, "steps of training")
	scores := fs.String("scores", ".cache", "where the scores of the cross-validation go")
	only := fs.Int("fold", -1, "one fold only; 5 is the network of all speakers")
	versions := fs.Int("versions", 16, "versions of each sentence without the words: 16 make four and a half hours of the threshold speakers under each condition; false alarms are counted on half as many")
	count := fs.Int("takes", 0, "own words from this number of takes only")
	choose := fs.Bool("choose", false, "train without a quarter of the training clusters, or measure on them: for choosing a recipe")
	all := fs.Bool("all", false, "train on all speakers, those for the test too: nothing can be measured then")
	if err := fs.Parse(args); err != nil {
		return err
	}
	takes := fewTakes()
	if *count > 0 {
		takes = []int{*count}
	}
	switch fs.Arg(0) {
	case "wake":
		return teachWake(ctx, *data, filepath.Join(*out, fmt.Sprintf("wake-%d.net", *seed)), builtIn(), *seed, *steps, *all, *choose)
	case "child":
		return teachChild(ctx, *data, *out, *scores, *steps, *only)
	case "own":
		_, err := teachOwn(ctx, *data, *scores, *choose, takes)
		return err
	case "measure-wake":
		return measureWake(*data, *out, *versions, *choose, fs.Args()[1:])
	case "measure-own":
		return measureOwn(ctx, *data, *scores, *versions, *choose, takes)
	case "bounds":
		return tryBounds(*data, *out)
	case "measure-child":
		if _, _, err := measureChild(*scores); err != nil {
			return err
		}
		return measureChildParts(*scores)
	case "tune-child":
		return tuneChild(*out, *scores)
	case "tune":
		return tune(*data, *out, *scores, *versions)
	default:
		return errors.New("say what: wake, child, own, tune, tune-child, bounds, measure-wake, measure-child or measure-own")
	}
}

func dataDir() string {
	if d := os.Getenv("EARSHOT_TESTDATA"); d != "" {
		return d
	}
	return filepath.Join("..", "shared", "data")
}
