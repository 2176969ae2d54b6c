package retention_test

import (
	"context"
	"fmt"
	"testing"

	"earshot/storage/storagetest"

	"golang.org/x/sync/errgroup"
)

const benchDue = 1000

// BenchmarkDispose plans and applies the deletion of 1,000 recordings that lie far apart, with intents,
// outcomes and proof, on a MinIO of its own: what remains beside the server's time is ours.
func BenchmarkDispose(b *testing.B) {
	w := newWorld(b, storagetest.MinIO(b), false, false)
	w.template = "clips/{subject}/{device}/{captured:2006/01/02}/{id}.{coding}"
	w.policy = fmt.Sprintf(`
apiVersion: earshot/v1
kind: Policy
metadata: {name: household, owner: a@example.org}
spec:
  scope: {bucket: %s, prefix: clips/}
  rules:
    - {name: period, keep: {for: 90d, from: captured}, then: delete}
  otherwise: keep
`, w.name)
	p := w.mustStart()
	defer func() { p.stop() }()
	day := w.now.AddDate(0, 0, -200).Format("2006/01/02")
	arrive := func() {
		var group errgroup.Group
		group.SetLimit(32)
		for i := range benchDue {
			group.Go(func() error {
				_, err := w.plain.Put(context.Background(), fmt.Sprintf("clips/s%04d/dev/%s/%06d.wav", i, day, i), make([]byte, 4096), "audio/wav", nil, nil)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		if _, err := p.runner.Scan(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		arrive()
		b.StartTimer()
		planned, err := p.runner.Plan(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		applied, err := p.runner.Apply(b.Context(), planned.Run.ID)
		if err != nil || planned.Deletes != benchDue {
			b.Fatal(planned, applied, err)
		}
	}
	b.ReportMetric(float64(b.N)*benchDue/b.Elapsed().Seconds(), "recordings/s")
}
