// Package notify takes what a store tells of objects that came and went, and has a Runner look at
// them, so that the catalog follows the store within seconds.
//
// It promises that a hint is only a hint: the key is looked at afresh before anything is written, so
// that doubled, late, reordered or forged events do no harm. It does not promise that every event
// arrives: the listing makes up for lost ones. It refuses who does not know the secret, and never
// repeats keys in answers or log messages.
//
// A worked flow: `earshot serve` makes an Inbox with the runner's Look and mounts its Handler at POST
// /events. Hints are collected for a moment and looked at together; a sender is answered when they
// have been.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"earshot/storage/catalog"
)

// Options of an Inbox.
type Options struct {
	// Look looks at keys of a bucket afresh; it must pass over what it does not know.
	Look func(ctx context.Context, bucket string, keys []string) (catalog.Observed, error)
	// Token is the secret that senders must know. Empty: nobody may send.
	Token string
	// Known reports whether a bucket is one of ours; events of others are passed over.
	Known  func(bucket string) bool
	Logger *slog.Logger // default: silent
}

// Hint is a key that something may have happened to.
type Hint struct{ Bucket, Key string }

// parcel is hints that somebody waits for.
type parcel struct {
	hints []Hint
	done  chan error // holds one
}

// Inbox collects hints. It is safe for concurrent use.
type Inbox struct {
	o       Options
	parcels chan parcel
	looked  atomic.Int64
	missed  atomic.Int64
	stopped chan struct{} // closed when Run is over
}

// errFull: more hints wait than we take. The sender tries again later, or the listing finds them.
var errFull = errors.New("too many events wait")

// errStopped: nobody follows hints any more.
var errStopped = errors.New("events are no longer followed")

// How hints are collected: for so long, up to so many, while so many senders wait.
const (
	collectFor  = 200 * time.Millisecond
	collectMost = 2000
	waitMost    = 1024
)

// New makes an Inbox. Run must run for anything to happen.
func New(o Options) *Inbox {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Inbox{o: o, parcels: make(chan parcel, waitMost), stopped: make(chan struct{})}
}

// Looked is how many keys were looked at because of hints, and Missed how many could not be.
func (i *Inbox) Looked() int64 { return i.looked.Load() }

// Missed is how many hints could not be followed; the next listing makes up for them.
func (i *Inbox) Missed() int64 { return i.missed.Load() }

// Put hands in hints and waits until they have been followed, or Run is over.
func (i *Inbox) Put(ctx context.Context, hints []Hint) error {
	p := parcel{hints: hints, done: make(chan error, 1)}
	select {
	case i.parcels <- p:
	default:
		i.missed.Add(int64(len(hints)))
		return errFull
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-i.stopped:
	}
	select {
	case err := <-p.done: // they were the last
		return err
	default:
		i.missed.Add(int64(len(hints)))
		return errStopped
	}
}

// Run follows hints until ctx ends, once. One at a time: looks at one key never overtake one another.
func (i *Inbox) Run(ctx context.Context) {
	defer close(i.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-i.parcels:
			batch := []parcel{p}
			n := len(p.hints)
			timer := time.NewTimer(collectFor)
			for collecting := true; collecting && n < collectMost; {
				select {
				case more := <-i.parcels:
					batch, n = append(batch, more), n+len(more.hints)
				case <-timer.C:
					collecting = false
				case <-ctx.Done():
					collecting = false
				}
			}
			timer.Stop()
			i.follow(ctx, batch)
		}
	}
}

// follow looks at what a batch hints at and answers who sent it.
func (i *Inbox) follow(ctx context.Context, batch []parcel) {
	byBucket := map[string][]string{}
	for _, p := range batch {
		for _, h := range p.hints {
			byBucket[h.Bucket] = append(byBucket[h.Bucket], h.Key)
		}
	}
	failed := map[string]error{}
	for bucket, keys := range byBucket {
		if _, err := i.o.Look(ctx, bucket, keys); err != nil {
			failed[bucket] = err
			i.missed.Add(int64(len(keys)))
			if ctx.Err() == nil {
				i.o.Logger.WarnContext(ctx, "events could not be followed; the next listing makes up for them", "bucket", bucket, "events", len(keys), "err", err)
			}
			continue
		}
		i.looked.Add(int64(len(keys)))
	}
	for _, p := range batch {
		var err error
		for _, h := range p.hints {
			err = errors.Join(err, failed[h.Bucket])
			if err != nil {
				break
			}
		}
		p.done <- err
	}
}
