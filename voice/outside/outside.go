package outside

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"earshot"
	"earshot/voice"
)

// Options says what is run.
type Options struct {
	Command []string      // the program and its arguments; no shell
	Version string        // of the program and its models: with another version recordings are heard anew
	Timeout time.Duration // for one recording; default one minute
}

// Program is a detector that is a process for each recording. It is safe for concurrent use.
type Program struct{ o Options }

// Limits of what is read.
const (
	maxOutput = 1 << 20
	maxLine   = 16 << 10
	maxWords  = 1000
)

// New checks the options and that there is such a program.
func New(o Options) (*Program, error) {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return nil, errors.New("a detector without a command")
	}
	if _, err := exec.LookPath(o.Command[0]); err != nil {
		return nil, fmt.Errorf("a detector's command: %w", err)
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	return &Program{o}, nil
}

// Name is the program's name and version.
func (p *Program) Name() string {
	name := "outside:" + filepath.Base(p.o.Command[0])
	if p.o.Version != "" {
		name += "/" + p.o.Version
	}
	return name
}

// Detect runs the program on the sound.
func (p *Program) Detect(ctx context.Context, pcm []float32) ([]voice.Wake, error) {
	limited, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	out, err := p.run(limited, pcm)
	if err != nil {
		switch {
		case ctx.Err() != nil:
			err = ctx.Err()
		case limited.Err() != nil:
			err = fmt.Errorf("no answer within %s: %w", p.o.Timeout, limited.Err())
		}
		return nil, fmt.Errorf("running the detector %s: %w", filepath.Base(p.o.Command[0]), err)
	}
	return parse(out, time.Duration(len(pcm))*time.Second/voice.Rate)
}

var errTooMuch = errors.New("too much output")

func (p *Program) run(ctx context.Context, pcm []float32) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, p.o.Command[0], p.o.Command[1:]...)
	cmd.Env = []string{}
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	// A group of its own, so that what the program started dies with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out := &bounded{full: func() { cancel(errTooMuch) }}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	written := make(chan error, 1)
	go func() {
		err := feed(stdin, pcm)
		written <- errors.Join(err, stdin.Close())
	}()
	err = cmd.Wait()
	_ = kill() // what it left behind; the group may be empty
	if feedErr := <-written; err == nil && feedErr != nil {
		err = errors.New("it did not read all of the sound")
	}
	if cause := context.Cause(ctx); errors.Is(cause, errTooMuch) {
		err = fmt.Errorf("more than %d bytes of output", maxOutput)
	}
	return out.b.Bytes(), err
}

// feed writes the sound in pieces.
func feed(w io.Writer, pcm []float32) error {
	buf := make([]byte, 0, 32<<10)
	for len(pcm) > 0 {
		n := min(len(pcm), 16<<10)
		buf = buf[:0]
		for _, v := range pcm[:n] {
			buf = binary.LittleEndian.AppendUint16(buf, uint16(int16(max(-32768, min(32767, v*32768)))))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		pcm = pcm[n:]
	}
	return nil
}

// bounded keeps what a program writes, up to the limit.
type bounded struct {
	b    bytes.Buffer
	full func()
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.b.Len()+len(p) > maxOutput {
		b.full()
		return 0, errTooMuch
	}
	return b.b.Write(p)
}

// line is one line of the program's answer.
type line struct {
	Word  *string  `json:"word"`
	Start *float64 `json:"start_ms"`
	End   *float64 `json:"end_ms"`
	Score *float64 `json:"score"`
	Done  bool     `json:"done"`
}

// parse reads the program's answer about a sound of the given length.
func parse(text []byte, length time.Duration) ([]voice.Wake, error) {
	var out []voice.Wake
	done := false
	s := bufio.NewScanner(bytes.NewReader(text))
	s.Buffer(nil, maxLine)
	for n := 1; s.Scan(); n++ {
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("line %d of a detector's answer: not an object with word, start_ms, end_ms, score", n)
		}
		switch {
		case done:
			return nil, fmt.Errorf("line %d of a detector's answer comes behind its last", n)
		case l.Done:
			done = true
			continue
		case len(out) == maxWords:
			return nil, fmt.Errorf("more than %d words", maxWords)
		}
		w, ok := l.wake(length)
		if !ok {
			return nil, fmt.Errorf("line %d of a detector's answer: want a word that can be printed, 0 <= start_ms < end_ms within the sound, and a score of 0 to 1", n)
		}
		out = append(out, w)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("a detector's answer: %w", err)
	}
	if !done {
		return nil, errors.New(`a detector's answer ends without {"done": true}`)
	}
	return out, nil
}

func (l line) wake(length time.Duration) (w voice.Wake, ok bool) {
	if l.Word == nil || *l.Word == "" || !voice.Printable(*l.Word) || l.Start == nil || l.End == nil {
		return w, false
	}
	w = voice.Wake{Word: strings.ToLower(*l.Word), Score: 1, Verdict: voice.Found}
	if l.Score != nil {
		w.Score = *l.Score
	}
	const day = 24 * 3600 * 1000
	// A detector may round the end up.
	if !(*l.Start >= 0 && *l.Start < *l.End && *l.End <= day && w.Score >= 0 && w.Score <= 1) {
		return w, false
	}
	w.Span = earshot.Span{Start: time.Duration(*l.Start * 1e6), End: min(length, time.Duration(*l.End*1e6))}
	w.Erase = w.Span
	return w, w.Span.Valid()
}
