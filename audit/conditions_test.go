package audit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"earshot/audit"
)

func TestAStoreThatIgnoresConditionsIsRefused(t *testing.T) {
	if err := audit.Probe(t.Context(), newTiles()); err != nil {
		t.Errorf("a good store: %v", err)
	}
	if err := audit.Probe(t.Context(), careless{newTiles()}); !errors.Is(err, audit.ErrUnconditional) {
		t.Errorf("got %v, want ErrUnconditional", err)
	}
}

// TestALockInTheDatabaseStandsInForConditions: two publishers of one log on a careless store, which
// without the lock write over one another.
func TestALockInTheDatabaseStandsInForConditions(t *testing.T) {
	f := newFixture(t)
	var mu sync.Mutex
	o := f.options()
	o.Tiles = careless{f.tiles}
	o.Lock = func(context.Context) (func(), error) { mu.Lock(); return mu.Unlock, nil }
	var group sync.WaitGroup
	for n := range 2 {
		log, err := audit.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !log.DatabaseLock() {
			t.Error("the log does not say that only a lock keeps publishers apart")
		}
		group.Go(func() {
			for i := range 30 {
				f.act(t, n*1000+i*7, 7)
				if _, err := log.Publish(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if r := f.verify(t, audit.VerifyOptions{}); !r.OK() || r.Entries != 2*2*30*7 {
		t.Errorf("%+v", r)
	}
	if got, err := audit.Recover(t.Context(), o, f.head, audit.RecoverOptions{}); err != nil || got.Adopted != 0 {
		t.Errorf("recovering takes the lock too: %+v, %v", got, err)
	}
	// Every certificate says so.
	in, out := entry(t, audit.KindIntent, 9000), entry(t, audit.KindOutcome, 9000)
	in.Intent.LogLock = "database"
	f.head.say(leafOf(t, in), leafOf(t, out))
	size := f.publish(t)
	c, err := f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Intent: size - 2, Outcome: size - 1})
	if err != nil || !slices.ContainsFunc(c.Limits, func(l string) bool { return strings.Contains(l, "lock in the operator's database") }) {
		t.Errorf("%v, %v", c.Limits, err)
	}
}

// careless is a store that overwrites whatever the condition.
type careless struct{ *tiles }

func (c careless) Create(ctx context.Context, key string, data []byte) (bool, error) {
	return true, c.Replace(ctx, key, data)
}

func (c careless) Swap(ctx context.Context, key string, data []byte, _ string) (string, bool, error) {
	return etag(data), true, c.Replace(ctx, key, data)
}
