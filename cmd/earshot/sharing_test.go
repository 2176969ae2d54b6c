package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// beats is a catalog of which only the beats count; away makes it not answer.
type beats struct {
	mu   sync.Mutex
	all  map[string]int64
	away bool
}

var errAway = errors.New("away")

func (b *beats) Beat(_ context.Context, _, id string) (map[string]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return nil, errAway
	}
	b.all[id]++
	return maps.Clone(b.all), nil
}

func (b *beats) Leave(_ context.Context, _ string, ids ...string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	for _, id := range ids {
		delete(b.all, id)
	}
	return nil
}

func (b *beats) answer(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

// part is what a process was told last.
type part struct {
	mu sync.Mutex
	n  int
}

func (p *part) set(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n = n
}

func (p *part) is(t *testing.T, what string, want int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n != want {
		t.Errorf("%s: one of %d, want %d", what, p.n, want)
	}
}

// TestProcessesShareTheBounds: whoever comes in asks nothing before the others go slower, and nobody goes faster before
// another is gone.
func TestProcessesShareTheBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := &beats{all: map[string]int64{}}
		join := func(p *part) *sharing {
			t.Helper()
			s, err := joinSharing(t.Context(), at, "s", p.set, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		var one, two, three part
		began := time.Now()
		a := join(&one)
		if took := time.Since(began); took > 0 {
			t.Errorf("alone, it waited for %s", took)
		}
		one.is(t, "alone", 1)
		time.Sleep(time.Second)
		b := join(&two)
		one.is(t, "when another has begun", 2)
		two.is(t, "the other", 2)
		c := join(&three)
		for _, p := range []*part{&one, &two, &three} {
			p.is(t, "of three", 3)
		}
		c.leave()
		time.Sleep(beatEach)
		one.is(t, "after one left", 2)

		// One dies: it beats no more, and leaves nothing.
		b.stop()
		<-b.done
		time.Sleep(beatLife - beatEach)
		one.is(t, "not yet gone", 2)
		time.Sleep(3 * beatEach)
		one.is(t, "gone", 1)

		// The catalog is away: the others would take us for gone, so that nothing of the bounds is ours.
		at.answer(true)
		time.Sleep(beatLife + time.Millisecond)
		one.is(t, "without the catalog", math.MaxInt)
		at.answer(false)
		time.Sleep(beatEach)
		one.is(t, "with the catalog again", 1)
		a.leave()
		if len(at.all) != 0 {
			t.Errorf("left behind: %v", at.all)
		}
	})
}

// TestWhoIsInterruptedWhileHeWaitsHasLeft lets somebody give up before it was his turn.
func TestWhoIsInterruptedWhileHeWaitsHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := &beats{all: map[string]int64{"other": 1}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var p part
		if _, err := joinSharing(ctx, at, "s", p.set, slog.New(slog.DiscardHandler)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if len(at.all) != 1 {
			t.Errorf("left behind: %v", at.all)
		}
	})
}
