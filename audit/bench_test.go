package audit_test

import (
	"fmt"
	"testing"

	"earshot/audit"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			f := newFixture(b)
			n := 0
			for b.Loop() {
				b.StopTimer()
				for range size {
					f.head.say(leafOf(b, entry(b, audit.KindIntent, n)))
					n++
				}
				b.StartTimer()
				f.publish(b)
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkVerifyAll(b *testing.B) {
	f := newFixture(b)
	f.act(b, 0, 50_000)
	f.publish(b)
	for b.Loop() {
		if r := f.verify(b, audit.VerifyOptions{}); !r.OK() || r.Entries != 100_000 {
			b.Fatal(r.Findings)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkCertificate(b *testing.B) {
	f := newFixture(b)
	f.act(b, 0, 5000)
	f.publish(b)
	c, err := f.log.Certify(b.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 0, Outcome: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.Verify(audit.TrustKey(f.keys.Verifier)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("draw", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.log.Certify(b.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 0, Outcome: 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
