package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
)

// probeKey is an object of no meaning, at which a store shows whether it keeps to conditions.
const probeKey = "probe"

// ErrUnconditional means: the store ignores conditions on writing, so that two writers of one log
// would overwrite one another unseen.
var ErrUnconditional = errors.New("the store ignores If-Match or If-None-Match: two writers would overwrite one another's log unseen; use a store that keeps to conditions")

// Probe finds out whether the store refuses a write whose condition does not hold. What the
// protocol's safety hangs on is better tried than believed. It costs four small requests.
func Probe(ctx context.Context, tiles Tiles) error {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	_, _, err := tiles.Get(ctx, probeKey)
	if errors.Is(err, fs.ErrNotExist) {
		_, _, err = tiles.Swap(ctx, probeKey, []byte("earshot\n"), "")
	}
	if err != nil {
		return fmt.Errorf("probing the log's store: %w", err)
	}
	for _, etag := range []string{"", "00000000000000000000000000000000"} {
		_, swapped, err := tiles.Swap(ctx, probeKey, fmt.Appendf(nil, "%x\n", b), etag)
		if err != nil {
			return fmt.Errorf("probing the log's store: %w", err)
		}
		if swapped {
			return fmt.Errorf("probing the log's store: %w", ErrUnconditional)
		}
	}
	return nil
}
