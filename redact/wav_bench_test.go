package redact_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

func FuzzWAV(f *testing.F) {
	for _, file := range corpus(f, "wav") {
		if b, err := os.ReadFile(file); err == nil && len(b) < 40000 {
			f.Add(b, int64(1e7), int64(9e7), byte(0))
		}
	}
	f.Fuzz(fuzzRedact)
}

// fuzzRedact: never a panic, and verified or refused.
func fuzzRedact(t *testing.T, src []byte, start, length int64, fill byte) {
	start, length = max(0, start), max(1, length)
	span := earshot.Span{Start: time.Duration(start), End: earshot.ToEnd}
	if start < math.MaxInt64-length {
		span.End = time.Duration(start + length)
	}
	e := redact.Edit{Spans: earshot.Spans{span}, Fill: fills[int(fill)%len(fills)]}
	out, _, err := redactVerified(src, e)
	if err != nil {
		if !errors.Is(err, redact.ErrOpaque) {
			t.Fatalf("%v, want verified or ErrOpaque", err)
		}
		return
	}
	if e.Fill == earshot.FillCut {
		e.Spans = nil
	}
	twice, _, err := redactVerified(out, e)
	if err != nil || !bytes.Equal(out, twice) {
		t.Fatalf("redacting again: %v; %d bytes, then %d", err, len(out), len(twice))
	}
}

func BenchmarkWAV(b *testing.B) {
	f := wavFile{form: "RIFF", tag: 1, channels: 2, bits: 16, container: 2, rate: 44100, sound: noise(60 * 4 * 44100)}
	src := f.bytes()
	spans := earshot.Spans{{Start: 29 * time.Second, End: 31 * time.Second}}
	dir := b.TempDir()
	in := filepath.Join(dir, "in.wav")
	if err := os.WriteFile(in, src, 0o600); err != nil {
		b.Fatal(err)
	}
	run := func(name string, work func(dst io.Writer, src *os.File) error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				from, err := os.Open(in)
				if err != nil {
					b.Fatal(err)
				}
				to, err := os.Create(filepath.Join(dir, "out.wav"))
				if err != nil {
					b.Fatal(err)
				}
				if err := errors.Join(work(to, from), from.Close(), to.Close()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("copy", func(dst io.Writer, src *os.File) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 256<<10))
		return err
	})
	for _, fill := range fills {
		run(string(fill), func(dst io.Writer, from *os.File) error {
			_, err := redact.Redact(dst, from, int64(len(src)), redact.Edit{Spans: spans, Fill: fill})
			return err
		})
	}
}
