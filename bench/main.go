// Bench runs earshot beside rclone and mc on one MinIO server, in one run and in turn, and prints
// tables for docs/benchmarks.md. All are whole processes, measured from outside: wall time, and the
// most memory that the process held (wait4). Medians of several runs; the ratio is what to read.
//
//	make bench-scale                  # builds what it needs, and measures everything
//	go run ./bench -only scan,few     # some of it
//	go run ./bench -objects 10000     # a small one
//
// It builds earshot from this module, takes the other programs from .cache (scripts/benchtools.sh and
// scripts/minio.sh put them there), and needs some 2 GB of disk below -dir. Everything that it starts
// listens on 127.0.0.1 and goes with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are what the command line says.
type settings struct {
	objects, rows, expire, due, runs int
	dir, only, cache                 string
}

func main() {
	var s settings
	flag.IntVar(&s.objects, "objects", 100_000, "objects in the bucket that is scanned")
	flag.IntVar(&s.rows, "rows", 1_000_000, "recordings in the catalog of the large cases")
	flag.IntVar(&s.expire, "expire", 10_000, "objects that expire at once")
	flag.IntVar(&s.due, "due", 1000, "objects that are due among the stored ones")
	flag.IntVar(&s.runs, "runs", 3, "runs of each, in turn; medians are printed")
	flag.StringVar(&s.dir, "dir", os.TempDir(), "where the server's and earshot's files go while it runs")
	flag.StringVar(&s.only, "only", "", "cases: scan, expire, few, million (default: all)")
	flag.StringVar(&s.cache, "cache", ".cache", "where mc, rclone and minio are")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a benchmark under way.
type bench struct {
	settings
	ctx      context.Context // of the whole program: cancelled by a signal
	dir      string
	out, say io.Writer
	bin      map[string]string // programs by name
	server   *server
}

func run(ctx context.Context, s settings, out, say io.Writer) error {
	dir, err := os.MkdirTemp(s.dir, "earshot-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for the server's files: %w", err)
	}
	defer os.RemoveAll(dir)
	b := &bench{settings: s, ctx: ctx, dir: dir, out: out, say: say, bin: map[string]string{}}
	if err := b.programs(); err != nil {
		return err
	}
	if b.server, err = startServer(ctx, b.bin["minio"], dir); err != nil {
		return err
	}
	defer b.server.stop()
	if err := b.tools(); err != nil {
		return err
	}
	b.heading()
	for _, c := range []struct {
		name string
		do   func() error
	}{{"scan", b.scan}, {"few", b.few}, {"expire", b.expiry}, {"million", b.million}} {
		if s.only != "" && !slices.Contains(strings.Split(s.only, ","), c.name) {
			continue
		}
		began := time.Now()
		if err := c.do(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(say, "%s took %s\n", c.name, time.Since(began).Round(time.Second))
	}
	return nil
}

// programs finds the others' programs and builds ours.
func (b *bench) programs() error {
	for _, name := range []string{"minio", "mc", "rclone"} {
		found, err := filepath.Glob(filepath.Join(b.cache, name+"-*"))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("there is no %s in %s: scripts/minio.sh and scripts/benchtools.sh build it", name, b.cache)
		}
		if b.bin[name], err = filepath.Abs(found[len(found)-1]); err != nil {
			return err
		}
	}
	b.bin["earshot"] = filepath.Join(b.dir, "earshot")
	build := exec.CommandContext(b.ctx, "go", "build", "-o", b.bin["earshot"], "./cmd/earshot")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("building earshot: %w", err), errors.New(string(text)))
	}
	return nil
}

func (b *bench) heading() {
	version := func(name string) string {
		return strings.TrimPrefix(filepath.Base(b.bin[name]), name+"-")
	}
	fmt.Fprintf(b.out, "%s, %d cores, %s, rclone %s, mc %s, MinIO %s; medians of %d, in turn.\n",
		runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), runtime.Version(), version("rclone"), version("mc"), version("minio"), b.runs)
}
