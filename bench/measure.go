package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// measured is what one or more processes cost, one after the other.
type measured struct {
	wall time.Duration
	cpu  time.Duration
	rss  int64 // bytes; the most that any of them held
}

func (m measured) plus(n measured) measured {
	return measured{m.wall + n.wall, m.cpu + n.cpu, max(m.rss, n.rss)}
}

// command is a program with its arguments.
type command struct {
	bin  string
	args []string
}

func (b *bench) cmd(name string, args ...string) command { return command{b.bin[name], args} }

// run runs a program and measures it. What it says on stdout is returned; what it says besides is part
// of the error.
func (b *bench) run(c command) (measured, string, error) {
	cmd := exec.CommandContext(b.ctx, c.bin, c.args...)
	cmd.Env = append(os.Environ(), b.env()...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	began := time.Now()
	err := cmd.Run()
	m := measured{wall: time.Since(began)}
	if cmd.ProcessState != nil {
		m.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			m.rss = u.Maxrss << 10
		}
	}
	if err != nil {
		text := strings.TrimSpace(said.String())
		return m, out.String(), errors.Join(fmt.Errorf("%s %s: %w", c.bin, strings.Join(c.args, " "), err), errors.New(text[max(0, len(text)-2000):]))
	}
	return m, out.String(), nil
}

// contender is one of those that are measured in turn. prepare is done before each of its runs and not
// measured.
type contender struct {
	name    string
	prepare func() error
	do      func() (measured, error)
}

// inTurn runs all contenders in turn, several times, and gives the medians.
func (b *bench) inTurn(cs []contender) ([]measured, error) {
	all := make([][]measured, len(cs))
	for n := range b.runs {
		for i, c := range cs {
			if c.prepare != nil {
				if err := c.prepare(); err != nil {
					return nil, fmt.Errorf("preparing %s: %w", c.name, err)
				}
			}
			m, err := c.do()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Fprintf(b.say, "  %d/%d %s: %.2f s, %d MB\n", n+1, b.runs, c.name, m.wall.Seconds(), m.rss>>20)
			all[i] = append(all[i], m)
		}
	}
	out := make([]measured, len(cs))
	for i, ms := range all {
		out[i] = measured{median(ms, func(m measured) int64 { return int64(m.wall) }), median(ms, func(m measured) int64 { return int64(m.cpu) }), int64(median(ms, func(m measured) int64 { return m.rss }))}
	}
	return out, nil
}

func median(ms []measured, of func(measured) int64) time.Duration {
	var xs []int64
	for _, m := range ms {
		xs = append(xs, of(m))
	}
	slices.Sort(xs)
	return time.Duration(xs[len(xs)/2])
}

// table prints the medians; the time of every contender is divided by that of the first, which is earshot's.
func (b *bench) table(title string, cs []contender, ms []measured) {
	fmt.Fprintf(b.out, "\n### %s\n\n| what | seconds | of earshot's (%s) | CPU s | most memory, MB |\n|---|---|---|---|---|\n", title, cs[0].name)
	for i, c := range cs {
		fmt.Fprintf(b.out, "| %s | %.2f | %.2fx | %.2f | %d |\n", c.name, ms[i].wall.Seconds(), float64(ms[i].wall)/float64(ms[0].wall), ms[i].cpu.Seconds(), ms[i].rss>>20)
	}
}
