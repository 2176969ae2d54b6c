package redact_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

// mutate flips bytes, cuts the end off, or splices a piece of the file into it elsewhere.
func mutate(rng *rand.Rand, src []byte) []byte {
	b := bytes.Clone(src)
	switch rng.IntN(4) {
	case 0, 1:
		for range 1 + rng.IntN(4) {
			b[rng.IntN(len(b))] ^= byte(1 + rng.IntN(255))
		}
	case 2:
		b = b[:rng.IntN(len(b))]
	default:
		from, n, to := rng.IntN(len(b)), 1+rng.IntN(2000), rng.IntN(len(b))
		piece := bytes.Clone(b[from:min(len(b), from+n)])
		b = append(b[:to:to], append(piece, b[to:]...)...)
	}
	return b
}

// TestMutatedFilesAreVerifiedOrRefused damages real files 10,000 times.
func TestMutatedFilesAreVerifiedOrRefused(t *testing.T) {
	rounds := 10_000
	if testing.Short() {
		rounds = 1000
	}
	for _, coding := range []string{"wav", "mp3", "flac", "opus"} {
		t.Run(coding, func(t *testing.T) {
			t.Parallel()
			var files [][]byte
			var names []string
			for _, file := range corpus(t, coding) {
				if b, err := os.ReadFile(file); err == nil && len(b) > 64 && len(b) < 40_000 {
					files, names = append(files, b), append(names, filepath.Base(file))
				}
			}
			rng := rand.New(rand.NewPCG(4, uint64(len(coding))))
			verified := 0
			for range rounds / 4 {
				i := rng.IntN(len(files))
				src := mutate(rng, files[i])
				start := time.Duration(rng.Int64N(3e9))
				e := redact.Edit{
					Spans: earshot.Spans{{Start: start, End: start + time.Duration(1+rng.Int64N(1e9))}},
					Fill:  fills[rng.IntN(len(fills))],
				}
				_, _, err := redactVerified(src, e)
				switch {
				case err == nil:
					verified++
				case !errors.Is(err, redact.ErrOpaque):
					t.Errorf("%s, mutated: %v", names[i], err)
				}
			}
			t.Logf("%d of %d verified, the others refused", verified, rounds/4)
		})
	}
}
