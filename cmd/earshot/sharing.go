package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"math"
	"time"
)

// Processes of one installation keep the bounds of store.pace together. Each beats in the catalog, and takes one part
// of as many as there are.
const (
	beatEach = 2 * time.Second
	// beatWait is how long one that comes in asks nothing, until the others have noticed and left it its part.
	beatWait = beatEach + beatEach/2
	// beatLife: one that has not beaten for so long is gone, and its part the others'.
	beatLife = 5 * beatEach
)

// beating is where processes see each other.
type beating interface {
	Beat(ctx context.Context, store, id string) (map[string]int64, error)
	Leave(ctx context.Context, store string, ids ...string) error
}

// sharing is one process's part in keeping the bounds.
type sharing struct {
	at        beating
	store, id string
	share     func(n int)
	log       *slog.Logger

	seen map[string]heartbeat
	last time.Time // when the others could see us last
	stop context.CancelFunc
	done chan struct{}
}

// heartbeat is when somebody's beat was seen to change.
type heartbeat struct {
	beats int64
	at    time.Time
}

// joinSharing begins to share the bounds, and to beat until it is left. Where there are others it waits until they know.
func joinSharing(ctx context.Context, at beating, store string, share func(int), log *slog.Logger) (*sharing, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	s := &sharing{at: at, store: store, id: hex.EncodeToString(b[:]), share: share, log: log, seen: map[string]heartbeat{}, done: make(chan struct{})}
	n, err := s.beat(ctx, beatLife)
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go s.run(run)
	if n > 1 {
		select {
		case <-time.After(beatWait):
		case <-ctx.Done():
			s.leave()
			return nil, ctx.Err()
		}
	}
	return s, nil
}

func (s *sharing) run(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(beatEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := s.beat(ctx, beatEach); err != nil && ctx.Err() == nil && time.Since(s.last) > beatLife-beatEach {
			s.share(math.MaxInt) // the others are about to take us for gone
			s.log.WarnContext(ctx, "the store's pace cannot be shared: the catalog does not answer; going as slowly as possible", "err", err)
		}
	}
}

// beat shows that we are there, and takes our part. It returns how many there are.
func (s *sharing) beat(ctx context.Context, within time.Duration) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	beats, err := s.at.Beat(ctx, s.store, s.id)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	s.last = now
	var gone []string
	for id, count := range beats {
		if was, ok := s.seen[id]; !ok || was.beats != count || id == s.id {
			s.seen[id] = heartbeat{count, now}
		}
		if now.Sub(s.seen[id].at) > beatLife {
			gone = append(gone, id)
		}
	}
	for id := range s.seen {
		if _, ok := beats[id]; !ok {
			delete(s.seen, id)
		}
	}
	n = len(s.seen) - len(gone)
	s.share(n)
	if len(gone) > 0 {
		err = s.at.Leave(ctx, s.store, gone...)
	}
	return n, err
}

// leave ends the sharing.
func (s *sharing) leave() {
	s.stop()
	<-s.done
	ctx, cancel := context.WithTimeout(context.Background(), beatEach)
	defer cancel()
	_ = s.at.Leave(ctx, s.store, s.id) // else the others notice soon
}
