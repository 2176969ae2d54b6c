// Command benchevents prints how many rows of an event log go through earshot in a second, beside jq and
// gzip -dc | grep over the same file in the same run, and the most memory that each process held. It
// needs jq, gzip and grep; make bench-events runs it. -mb is the size of the file without compression.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

func main() {
	mb := flag.Int("mb", 1000, "size of the file in MB")
	rounds := flag.Int("rounds", 3, "how often each is run, in turn")
	flag.Parse()
	if err := run(context.Background(), *mb, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "benchevents:", err)
		os.Exit(1)
	}
}

type contender struct {
	name string
	args []string
}

const asOf = "2026-11-24T00:00:00Z"

func run(ctx context.Context, mb, rounds int) error {
	dir, err := os.MkdirTemp("", "benchevents-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	exe, plain, zipped, out := filepath.Join(dir, "earshot"), filepath.Join(dir, "motion.jsonl"), filepath.Join(dir, "motion.jsonl.gz"), filepath.Join(dir, "out")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", exe, "./cmd/earshot").CombinedOutput(); err != nil {
		return fmt.Errorf("building earshot: %w: %s", err, text)
	}
	rows, err := fill(plain, mb)
	if err != nil {
		return err
	}
	if text, err := exec.CommandContext(ctx, "gzip", "-k", "-6", plain).CombinedOutput(); err != nil {
		return fmt.Errorf("gzip: %w: %s", err, text)
	}
	survey := []string{"--time", "at", "--subject", "who", "--as-of", asOf, "--delete-after", "30d", "--erase", "s-00017"}
	all := []contender{
		{"earshot, survey, plain", append([]string{exe, "eventlog", plain}, survey...)},
		{"earshot, survey, gzip", append([]string{exe, "eventlog", zipped}, survey...)},
		{"earshot, rewrite and verify, plain", append([]string{exe, "eventlog", plain, out}, survey...)},
		{"earshot, rewrite and verify, gzip", append([]string{exe, "eventlog", zipped, out}, survey...)},
		{"earshot, all kinds of changes, plain", append([]string{exe, "eventlog", plain, out, "--coarsen", "hour", "--drop", "model"}, survey...)},
		{"jq, rewrite, plain", []string{"sh", "-c", `jq -c 'select(.at >= "2026-10-25" and .who != "s-00017")' ` + plain + " > " + out}},
		{"gzip -dc | grep -v, gzip", []string{"sh", "-c", "gzip -dc " + zipped + ` | grep -v '"who":"s-00017"' > ` + out}},
		{"grep -v, plain", []string{"sh", "-c", `grep -v '"who":"s-00017"' ` + plain + " > " + out}},
	}
	times, most := make([][]time.Duration, len(all)), make([]int64, len(all))
	for range rounds {
		for i, c := range all {
			_ = os.Remove(out)
			cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
			start := time.Now()
			if text, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", c.name, err, text)
			}
			times[i] = append(times[i], time.Since(start))
			if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
				most[i] = max(most[i], u.Maxrss)
			}
		}
	}
	fmt.Fprintf(os.Stdout, "%d rows, %d MB plain; median of %d rounds, in turn\n", rows, mb, rounds)
	for i, c := range all {
		slices.Sort(times[i])
		t := times[i][len(times[i])/2]
		memory := fmt.Sprintf("%4d MB", most[i]/1024)
		if c.args[0] == "sh" {
			memory = "" // that of the shell, or of its largest child
		}
		fmt.Fprintf(os.Stdout, "%-38s %7.2f s  %6.2f million rows/s  %s\n", c.name, t.Seconds(), float64(rows)/t.Seconds()/1e6, memory)
	}
	return nil
}

// fill writes events of 60 days, of 500 households.
func fill(path string, mb int) (rows int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	end, err := time.Parse(time.RFC3339, asOf)
	if err != nil {
		return 0, err
	}
	kinds, models := []string{"motion", "ring", "tap", "live-view"}, []string{"Pixel 8", "iPhone 15", "Galaxy S23", "Fairphone 5"}
	for size := 0; size < mb*1e6; rows++ {
		at := end.Add(-time.Duration(rng.IntN(60*86400)) * time.Second)
		n, err := fmt.Fprintf(w, `{"at":%q,"who":"s-%05d","device":"cam-%03d","kind":%q,"app":{"version":"7.%d.0","model":%q},"model":%q,"network":"ssid-%04d","rssi":-%d,"ms":%d}`+"\n",
			at.Format("2006-01-02T15:04:05.000Z"), rng.IntN(500), rng.IntN(900), kinds[rng.IntN(4)], rng.IntN(90), models[rng.IntN(4)], models[rng.IntN(4)], rng.IntN(5000), 30+rng.IntN(60), rng.IntN(4000))
		if err != nil {
			return rows, err
		}
		size += n
	}
	return rows, w.Flush()
}
