package main

import (
	"context"
	"errors"
	"time"

	"earshot/audit"
	"earshot/storage/catalog"
)

// How a publisher waits for the log's lock in the database.
const (
	logLockPoll = 20 * time.Millisecond
	logLockWait = time.Minute
)

// logLock keeps publishers apart by the catalog, where log.lock says so; nil where the store does.
func (i *installation) logLock() func(ctx context.Context) (release func(), err error) {
	if i.cfg.Log.Lock != "database" {
		return nil
	}
	return func(ctx context.Context) (func(), error) {
		for end := time.Now().Add(logLockWait); ; {
			release, err := i.db.Exclusive("publish")
			if !errors.Is(err, catalog.ErrBusy) || time.Now().After(end) {
				return release, err
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(logLockPoll):
			}
		}
	}
}

// probedMark is the name of the catalog's note of when the log's store was tried last.
const probedMark = "log store probed"

// probeAgain is how often the store is tried: a gateway in front of it may be replaced.
const probeAgain = 24 * time.Hour

// probe finds out, once a day and whenever the place of the log changes, whether the store keeps to
// conditions. One that ignores them is refused unless log.lock is database.
func (i *installation) probe(ctx context.Context, tiles audit.Tiles) error {
	if i.cfg.Log.Lock == "database" {
		return nil
	}
	where := i.options.Endpoint + " " + i.cfg.Log.Bucket + "/" + i.prefix() + " "
	if i.cfg.Store.Embedded != "" {
		where = "embedded "
	}
	noted, err := i.db.Mark(ctx, probedMark)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	if at, err := time.Parse(time.RFC3339, noted[min(len(where), len(noted)):]); err == nil && noted[:len(where)] == where && now.Sub(at) < probeAgain && now.After(at.Add(-time.Minute)) {
		return nil
	}
	if err := audit.Probe(ctx, tiles); err != nil {
		return err
	}
	return i.db.SetMark(ctx, probedMark, where+now.Format(time.RFC3339))
}
