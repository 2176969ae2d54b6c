package interop_test

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"earshot/audit"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// BenchmarkAppend appends batches of entries, durably, beside Tessera's POSIX driver on the same
// disk. An operation is a batch. They do not do quite the same: ours signs and publishes a checkpoint
// with every batch; Tessera integrates before it answers and publishes checkpoints on a timer.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("earshot/%d", n), func(b *testing.B) {
			s := newSite(b, false)
			for b.Loop() {
				s.append(b, n)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
		b.Run(fmt.Sprintf("tessera/%d", n), func(b *testing.B) {
			skey, _, err := note.GenerateKey(rand.Reader, "example.org/log")
			if err != nil {
				b.Fatal(err)
			}
			signer, err := note.NewSigner(skey)
			if err != nil {
				b.Fatal(err)
			}
			ctx := b.Context()
			d, err := posix.New(ctx, posix.Config{Path: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			o := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(uint(n), time.Millisecond).WithCheckpointInterval(100 * time.Millisecond)
			a, stop, _, err := tessera.NewAppender(ctx, d, o)
			if err != nil {
				b.Fatal(err)
			}
			at := 0
			for b.Loop() {
				futures := make([]tessera.IndexFuture, n)
				for i := range futures {
					futures[i] = a.Add(ctx, tessera.NewEntry(leaf(b, at).Body))
					at++
				}
				for _, f := range futures {
					if _, err := f(); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			if err := stop(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkVerifyAll reads and verifies a million entries from files, beside the SHA-256 sums alone
// that this cannot do without: one of every entry and one of every node.
func BenchmarkVerifyAll(b *testing.B) {
	const n = 1_000_000
	s := newSite(b, false)
	for range n / 1000 {
		for range 1000 {
			s.head.leaves = append(s.head.leaves, leaf(b, len(s.head.leaves)))
		}
	}
	if _, err := s.log.Publish(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("earshot", func(b *testing.B) {
		for b.Loop() {
			r, err := audit.VerifyAll(b.Context(), s.tiles, audit.TrustKey(s.keys.Verifier), audit.VerifyOptions{})
			if err != nil || !r.OK() || r.Entries != n {
				b.Fatal(r, err)
			}
		}
	})
	b.Run("hashes", func(b *testing.B) {
		node := make([]byte, 65)
		for b.Loop() {
			for _, l := range s.head.leaves {
				h := sha256.New()
				h.Write([]byte{0})
				h.Write(l.Body)
				h.Sum(node[:1])
				sha256.Sum256(node)
			}
		}
	})
}

// BenchmarkProofs draws certificates' proofs from a log of 100,000 entries, and verifies them.
func BenchmarkProofs(b *testing.B) {
	s := newSite(b, false)
	for range 100 {
		s.append(b, 1000)
	}
	trust := audit.TrustKey(s.keys.Verifier)
	b.Run("draw", func(b *testing.B) {
		for i := int64(0); b.Loop(); i++ {
			if _, err := s.log.Prove(b.Context(), i*7919%100_000); err != nil {
				b.Fatal(err)
			}
		}
	})
	p, err := s.log.Prove(b.Context(), 54_321)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := p.Verify(trust); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBytes tells how much a log takes on disk, published every 256 entries.
func BenchmarkBytes(b *testing.B) {
	for b.Loop() {
		s := newSite(b, false)
		bodies := 0
		for range 40 {
			s.append(b, 256)
		}
		for _, l := range s.head.leaves {
			bodies += len(l.Body)
		}
		var stored int64
		err := filepath.WalkDir(s.tiles.dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				stored += info.Size()
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		n := float64(len(s.head.leaves))
		b.ReportMetric(float64(stored)/n, "stored-B/entry")
		b.ReportMetric(float64(bodies)/n, "body-B/entry")
	}
}
