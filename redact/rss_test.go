package redact_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

// sparse writes a file, leaving holes where whole pieces are zero.
type sparse struct {
	f  *os.File
	at int64
}

func (s *sparse) Write(p []byte) (int, error) {
	if !allZeros(p) {
		if _, err := s.f.WriteAt(p, s.at); err != nil {
			return 0, err
		}
	}
	s.at += int64(len(p))
	return len(p), nil
}

// redactAndVerify is what the child process does: redact one file, verify, and print the peak of
// its resident memory in KiB.
func redactAndVerify(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(name + ".out")
	if err != nil {
		return err
	}
	w := &sparse{f: out}
	r, err := redact.Redact(w, f, st.Size(), redact.Edit{Spans: earshot.Spans{{Start: time.Hour, End: 2 * time.Hour}}})
	if err != nil {
		return err
	}
	if err := out.Truncate(w.at); err != nil {
		return err
	}
	if err := redact.Verify(f, st.Size(), out, w.at, r); err != nil {
		return err
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	_, err = fmt.Printf("maxrss %d %+v\n", usage.Maxrss, *r.Heard)
	return err
}

// TestPeakMemoryOfHugeFiles runs a process for each huge file and asks the system for its peak of
// resident memory. It takes minutes of CPU and 1 GB of disk: EARSHOT_RSS=1 turns it on.
func TestPeakMemoryOfHugeFiles(t *testing.T) {
	if name := os.Getenv("EARSHOT_RSS_CHILD"); name != "" {
		if err := redactAndVerify(name); err != nil {
			t.Fatal(err)
		}
		return
	}
	if os.Getenv("EARSHOT_RSS") == "" {
		t.Skip("set EARSHOT_RSS=1 to measure")
	}
	for name, write := range map[string]func(f *os.File) error{
		"bw64-4GiB": func(f *os.File) error {
			const size = 4<<30 + 4096
			w := wavFile{form: "BW64", tag: 1, channels: 2, bits: 16, container: 2, rate: 48000}
			head := w.bytes()
			binary.LittleEndian.PutUint64(head[28:], uint64(size-len(head)))
			_, err := f.Write(head)
			if err == nil {
				err = f.Truncate(size)
			}
			return err
		},
		"mp3-500MB-128k": func(f *os.File) error {
			body, _ := layerIII(rand.New(rand.NewPCG(1, 1)), 4000, 0, 0, false)
			return fill(f, body, 500_000_000)
		},
		"mp3-500MB-16kHz-24k": func(f *os.File) error { // 108 bytes a frame: 4.6 million of them
			frame := make([]byte, 108)
			copy(frame, "\xFF\xF3\x38\xC0")
			return fill(f, frame, 500_000_000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			f, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := write(f); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestPeakMemoryOfHugeFiles$", "-test.v")
			cmd.Env = append(os.Environ(), "EARSHOT_RSS_CHILD="+file)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_, rest, _ := bytes.Cut(out, []byte("maxrss "))
			word, heard, _ := strings.Cut(string(rest), " ")
			kib, err := strconv.Atoi(word)
			if err != nil {
				t.Fatalf("no figure in %s", out)
			}
			heard, _, _ = strings.Cut(heard, "\n")
			t.Logf("peak %.1f MiB, %v of CPU, %s", float64(kib)/1024, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), heard)
			if kib > 64<<10 {
				t.Errorf("peak of %d KiB, want at most 64 MiB", kib)
			}
		})
	}
}

// fill repeats body up to size bytes.
func fill(w io.Writer, body []byte, size int) error {
	piece := bytes.Repeat(body, 1+(1<<20)/len(body))
	for n := 0; n < size; n += len(piece) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}
