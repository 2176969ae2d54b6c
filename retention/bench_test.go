package retention_test

import (
	"context"
	"fmt"
	"testing"

	"earshot/storage/storagetest"

	"golang.org/x/sync/errgroup"
)

const benchObjects = 20_000

// BenchmarkScan compares listing a bucket into the catalog with listing it and throwing it away.
func BenchmarkScan(b *testing.B) {
	w := newWorld(b, storagetest.Embedded(b), true, false)
	var group errgroup.Group
	group.SetLimit(32)
	for i := range benchObjects {
		group.Go(func() error {
			_, err := w.plain.Put(context.Background(), fmt.Sprintf("clips/s%02d/%06d.wav", i%50, i), []byte("x"), "audio/wav", nil, nil)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	rate := func(b *testing.B) { b.ReportMetric(float64(b.N)*benchObjects/b.Elapsed().Seconds(), "recordings/s") }
	b.Run("listing", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, err := range w.plain.List(b.Context(), "clips/", "") {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != benchObjects {
				b.Fatal(n)
			}
		}
		rate(b)
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			fresh := &world{tb: b, o: w.o, name: w.name, logs: w.logs, policy: w.policy, plain: w.plain, now: w.now, dir: b.TempDir(), keys: w.keys}
			p := fresh.newCatalog()
			b.StartTimer()
			got, err := p.runner.Scan(b.Context())
			if err != nil || got[0].New != benchObjects {
				b.Fatal(got, err)
			}
			b.StopTimer()
			p.stop()
			b.StartTimer()
		}
		rate(b)
	})
	b.Run("again", func(b *testing.B) {
		p := w.mustStart()
		defer p.stop()
		if _, err := p.runner.Scan(b.Context()); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			got, err := p.runner.Scan(b.Context())
			if err != nil || got[0].Same != benchObjects {
				b.Fatal(got, err)
			}
		}
		rate(b)
	})
}
