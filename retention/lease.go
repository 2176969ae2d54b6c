package retention

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"time"

	"earshot/storage"
	"earshot/storage/catalog"
)

// How long an action belongs to the worker that took it, and how often that is prolonged. A worker
// that is gone holds its actions up for at most leaseFor.
const (
	leaseFor   = 45 * time.Second
	leaseRenew = 10 * time.Second
	// leaseMargin is for the request under way and for clocks that differ.
	leaseMargin = 10 * time.Second
)

// errLease: this worker's lease has ended. Others may be at the action by now, or a hold may rest on
// nobody being at it.
var errLease = errors.New("the lease on the action has ended before it was done; it is taken up again")

// lease is the right to act upon one batch, for as long as it can be prolonged.
type lease struct {
	catalog *catalog.DB
	owner   string
	until   atomic.Int64 // nanoseconds since 1970, by our wall clock
	batch   atomic.Pointer[catalog.Reserved]
	stop    context.CancelFunc
	done    chan struct{}
}

// hire begins a lease under a fresh name and prolongs it until it is let go.
func (r *Runner) hire(ctx context.Context) *lease {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	l := &lease{catalog: r.o.Catalog, owner: hex.EncodeToString(b[:]), done: make(chan struct{})}
	l.until.Store(time.Now().Add(leaseFor).UnixNano())
	l.batch.Store(&catalog.Reserved{})
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(l.done)
		whileHeld(ctx, func() {
			if now := time.Now(); l.valid(now) {
				// What ended while the database was asked is not ours any more, whatever it says.
				if err := l.catalog.Renew(ctx, l.terms(now), *l.batch.Load()); err == nil && l.valid(time.Now()) {
					l.until.Store(now.Add(leaseFor).UnixNano())
				}
			}
		})
	}()
	return l
}

// whileHeld prolongs again and again what is leased, until ctx ends.
func whileHeld(ctx context.Context, prolong func()) {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			prolong()
		}
	}
}

// letGo ends the prolonging. What the worker still has is free when the lease ends.
func (l *lease) letGo() {
	l.stop()
	<-l.done
}

// terms are what the catalog is told. Leases go by the machine's clock, not by the run's.
func (l *lease) terms(now time.Time) catalog.Lease {
	return catalog.Lease{Owner: l.owner, Now: now, Until: now.Add(leaseFor)}
}

// current are the terms as they stand.
func (l *lease) current() catalog.Lease {
	return catalog.Lease{Owner: l.owner, Now: time.Now(), Until: time.Unix(0, l.until.Load())}
}

func (l *lease) valid(now time.Time) bool { return now.UnixNano() < l.until.Load() }

type leaseKey struct{}

// under makes the lease known to what is done with the context, and to the store's requests, which may wait for
// their turn.
func (l *lease) under(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, leaseKey{}, l)
	return storage.Sure(ctx, func() error { return ours(ctx) })
}

// ours is an error where the lease that ctx is under is about to end. It is asked right before
// every request that destroys or replaces something.
func ours(ctx context.Context) error {
	l, ok := ctx.Value(leaseKey{}).(*lease)
	if ok && !l.valid(time.Now().Add(leaseMargin)) {
		return errLease
	}
	return nil
}
