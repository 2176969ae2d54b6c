package wake

import (
	"os"
	"path/filepath"
	"testing"

	"earshot/voice/internal/net"
)

// builtIn is a detector of the embedded networks.
func builtIn(tb testing.TB) *Detector {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", "models", "wake-*.net"))
	if err != nil || len(names) == 0 {
		tb.Fatalf("%d networks, %v", len(names), err)
	}
	var models []*net.Model
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		m, err := net.Decode(text)
		if err != nil {
			tb.Fatal(err)
		}
		models = append(models, m)
	}
	return NewDetector([]Word{{Name: "a", Window: 24}, {Name: "b", Window: 23}, {Name: "c", Window: 25}, {Name: "d", Window: 30}, {Name: "e", Window: 26}}, models...)
}

func TestScanningAgainAllocatesNothing(t *testing.T) {
	d, powers := builtIn(t), bursts(500, 30, flat)
	again := func() {
		d.Scan(powers)
		d.Best(0)
	}
	again()
	if n := testing.AllocsPerRun(3, again); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The networks alone, on spectra of 5 s.
func BenchmarkScan(b *testing.B) {
	d, powers := builtIn(b), bursts(500, 30, flat)
	d.Scan(powers)
	b.ReportAllocs()
	for b.Loop() {
		d.Scan(powers)
	}
	b.ReportMetric(5*float64(b.N)/b.Elapsed().Seconds(), "x_realtime")
}
