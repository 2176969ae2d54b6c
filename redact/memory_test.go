package redact_test

import (
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

var errEOF = io.EOF

// TestMP3FiveHundredMegabytesInLittleMemory: frames are remembered in 8 bytes each.
func TestMP3FiveHundredMegabytesInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 500 MB several times")
	}
	body, _ := layerIII(rand.New(rand.NewPCG(1, 1)), 1, 0, 0, false)
	src := repeated{body, 500 << 20 / int64(len(body)) * int64(len(body))}
	var most atomic.Uint64
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapInuse))
			}
		}
	}()
	r, err := redact.Redact(io.Discard, src, src.size, redact.Edit{Spans: earshot.Spans{{Start: time.Hour, End: 2 * time.Hour}}})
	close(done)
	if err != nil {
		t.Fatal(err)
	}
	if r.AfterBytes != src.size || len(r.Erased) != 1 {
		t.Errorf("%d bytes, erased %s", r.AfterBytes, r.Erased)
	}
	t.Logf("%d MiB of heap at most", most.Load()>>20)
	if most.Load() > 64<<20 {
		t.Errorf("%d bytes of heap in use, want at most 64 MiB", most.Load())
	}
}

// zeros is a sparse file in memory: a head, then nothing but zeros.
type zeros struct {
	head []byte
	size int64
}

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	if off >= z.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.size-off))
	clear(p[:n])
	if off < int64(len(z.head)) {
		copy(p[:n], z.head[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
