// Command benchredact prints what redacting two seconds of a minute costs as whole processes: earshot
// beside ffmpeg, sox and cp, over the same files, in turn, and the most memory that each process held.
// It needs ffmpeg and sox; make bench-redact runs it. With -huge it redacts a sparse BW64 file of 4 GiB
// and an MP3 file of 500 MB besides, which takes 5 GB of disk and minutes.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
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
	huge := flag.Bool("huge", false, "files of 4 GiB and 500 MB, too")
	flag.Parse()
	if err := run(context.Background(), *huge); err != nil {
		fmt.Fprintln(os.Stderr, "benchredact:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, huge bool) error {
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
	if huge {
		return runHuge(ctx, dir, exe, files)
	}
	return nil
}

// runHuge redacts an hour of files that do not fit into the memory that earshot may use.
func runHuge(ctx context.Context, dir, exe string, files map[string]string) error {
	bare := filepath.Join(dir, "bare.mp3") // no tag and no Info frame, so that it can be repeated
	cmd := exec.CommandContext(ctx, "ffmpeg", "-loglevel", "error", "-i", files["44.mp3"], "-c", "copy", "-write_xing", "0", "-id3v2_version", "0", "-map_metadata", "-1", bare)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making a bare MP3: %w: %s", err, text)
	}
	sound, err := os.ReadFile(bare)
	if err != nil {
		return err
	}
	for name, write := range map[string]func(f *os.File) error{
		"500 MB MP3": func(f *os.File) error {
			for n := 0; n < 500_000_000; n += len(sound) {
				if _, err := f.Write(sound); err != nil {
					return err
				}
			}
			return nil
		},
		"4 GiB BW64, sparse": func(f *os.File) error {
			const size = 4<<30 + 80
			head := append([]byte("BW64\xFF\xFF\xFF\xFFWAVEds64\x1C\x00\x00\x00"), make([]byte, 28)...)
			binary.LittleEndian.PutUint64(head[20:], size-8)
			binary.LittleEndian.PutUint64(head[28:], 4<<30)
			head = append(head, "fmt \x10\x00\x00\x00\x01\x00\x02\x00\x80\xBB\x00\x00\x00\xEE\x02\x00\x04\x00\x10\x00data\xFF\xFF\xFF\xFF"...)
			_, err := f.Write(head)
			return errors.Join(err, f.Truncate(4<<30+int64(len(head))))
		},
	} {
		in, out := filepath.Join(dir, "huge"), filepath.Join(dir, "huge-out")
		f, err := os.Create(in)
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
		cmd = exec.CommandContext(ctx, exe, "redact", in, out, "--span", "1h-2h", "--force")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, text)
		}
		fmt.Fprintf(os.Stdout, "%s: %.1f s of CPU, %.1f MiB\n", name, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), peak(cmd))
		if err := errors.Join(os.Remove(in), os.Remove(out)); err != nil {
			return err
		}
	}
	return nil
}

// peak is the most resident memory of a process that ended, in MiB.
func peak(cmd *exec.Cmd) float64 {
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return float64(u.Maxrss) / 1024
	}
	return 0
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
				contender{"sox trim and pad", []string{"sox", "-D", in, to("sox"), "trim", "0", "=29", "=31", "pad", "2@29"}})
		}
		c.contenders = append(c.contenders, contender{"cp", []string{"cp", in, to("cp")}})
		out = append(out, c)
	}
	return out
}

func (c benchCase) run(ctx context.Context) error {
	times := make([][]time.Duration, len(c.contenders))
	most := make([]float64, len(c.contenders))
	for round := range rounds + 1 { // the first is a warm-up
		for i, x := range c.contenders {
			cmd := exec.CommandContext(ctx, x.args[0], x.args[1:]...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return errors.Join(fmt.Errorf("%s, %s: %s", c.name, x.name, out), err)
			}
			most[i] = max(most[i], peak(cmd))
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
		fmt.Fprintf(os.Stdout, "  %-26s %7.4f  %6.2fx %7.1f MiB\n", x.name, m, m/first, most[i])
	}
	return nil
}
