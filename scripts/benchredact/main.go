// Command benchredact prints what redacting two seconds of a minute costs as whole processes: earshot
// beside ffmpeg, sox and cp, over the same files, in turn. It needs ffmpeg and sox; make bench-redact
// runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const rounds = 9

// contender is one way to do a job; the first of a case is the one that ratios are taken to.
type contender struct {
	name string
	args []string
}

type benchCase struct {
	name       string
	contenders []contender
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "benchredact:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "benchredact-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "earshot")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", exe, "./cmd/earshot").CombinedOutput(); err != nil {
		return fmt.Errorf("building earshot: %w: %s", err, out)
	}
	files, err := inputs(ctx, dir)
	if err != nil {
		return err
	}
	for _, c := range cases(dir, exe, files) {
		if err := c.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// inputs makes the files that the cases read: a minute of noise and tones.
func inputs(ctx context.Context, dir string) (map[string]string, error) {
	sound := []string{"-f", "lavfi", "-i", "sine=frequency=330:duration=60", "-f", "lavfi", "-i", "anoisesrc=d=60:c=pink:a=0.2:seed=7", "-filter_complex", "amix=inputs=2"}
	out := map[string]string{}
	for name, args := range map[string][]string{
		"44.mp3":  {"-ar", "44100", "-ac", "2", "-c:a", "libmp3lame", "-b:a", "128k"},
		"16.mp3":  {"-ar", "16000", "-ac", "1", "-c:a", "libmp3lame", "-b:a", "64k"},
		"44.wav":  {"-ar", "44100", "-ac", "2", "-c:a", "pcm_s16le"},
		"16.wav":  {"-ar", "16000", "-ac", "1", "-c:a", "pcm_s16le"},
		"16.flac": {"-ar", "16000", "-ac", "1", "-c:a", "flac"},
		"48.opus": {"-ar", "48000", "-ac", "1", "-c:a", "libopus", "-b:a", "24k"},
	} {
		out[name] = filepath.Join(dir, "in-"+name)
		args = append(append(append([]string{"-loglevel", "error", "-y"}, sound...), args...), out[name])
		if text, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("making %s: %w: %s", name, err, text)
		}
	}
	return out, nil
}

func cases(dir, exe string, files map[string]string) []benchCase {
	var out []benchCase
	for _, name := range []string{"44.mp3", "16.mp3", "44.wav", "16.wav", "16.flac", "48.opus"} {
		in, to := files[name], func(who string) string { return filepath.Join(dir, "out-"+who+"-"+name) }
		ext := filepath.Ext(name)
		quiet := []string{"ffmpeg", "-loglevel", "error", "-y"}
		list := filepath.Join(dir, name+".txt")
		text := fmt.Sprintf("file '%s'\noutpoint 29\nfile '%s'\ninpoint 31\n", in, in)
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			panic(err) // a folder that we have just made
		}
		c := benchCase{name, []contender{
			{"ffmpeg -c copy, cut out", append(slices.Clone(quiet), "-f", "concat", "-safe", "0", "-i", list, "-c", "copy", to("copy"))},
			{"earshot, silence", []string{exe, "redact", in, to("earshot"), "--span", "29s-31s", "--force"}},
			{"earshot, cut", []string{exe, "redact", in, to("earshotcut"), "--span", "29s-31s", "--fill", "cut", "--force"}},
		}}
		codec := map[string][]string{".mp3": {"-c:a", "libmp3lame", "-b:a", "128k"}, ".wav": {"-c:a", "pcm_s16le"}}[ext]
		if codec != nil {
			silence := append(slices.Clone(quiet), "-i", in, "-af", "volume=enable='between(t,29,31)':volume=0")
			c.contenders = append(c.contenders,
				contender{"ffmpeg volume=0, encode", append(append(silence, codec...), to("encode"))},
				contender{"sox trim and pad", []string{"sox", "-D", in, to("sox"), "trim", "0", "29", "pad", "0", "2"}})
		}
		c.contenders = append(c.contenders, contender{"cp", []string{"cp", in, to("cp")}})
		out = append(out, c)
	}
	return out
}

func (c benchCase) run(ctx context.Context) error {
	times := make([][]time.Duration, len(c.contenders))
	for round := range rounds + 1 { // the first is a warm-up
		for i, x := range c.contenders {
			cmd := exec.CommandContext(ctx, x.args[0], x.args[1:]...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return errors.Join(fmt.Errorf("%s, %s: %s", c.name, x.name, out), err)
			}
			if round > 0 {
				times[i] = append(times[i], cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
			}
		}
	}
	fmt.Fprintf(os.Stdout, "%s (CPU seconds, median of %d)\n", c.name, rounds)
	median := func(d []time.Duration) float64 { slices.Sort(d); return d[len(d)/2].Seconds() }
	first := median(times[0])
	for i, x := range c.contenders {
		m := median(times[i])
		fmt.Fprintf(os.Stdout, "  %-26s %7.3f  %6.2fx\n", x.name, m, m/first)
	}
	return nil
}
