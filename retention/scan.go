package retention

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"earshot"
	"earshot/storage"
	"earshot/storage/catalog"

	"golang.org/x/sync/errgroup"
)

// Scanned is what a scan found.
type Scanned struct {
	Scope  Scope `json:"scope"`
	Listed int   `json:"listed"`
	// Other objects lie in the scope but are no recordings by the layout: companions, and whatever
	// else there is. They are left alone.
	Other int `json:"other"`
	// Odd is about how many objects were left out and alone, since their keys are no text: see [storage.IsText].
	Odd int `json:"odd,omitempty"`
	catalog.Observed
	Resumed bool `json:"resumed,omitempty"` // a scan that was cut off was taken up again
	Recent  bool `json:"recent,omitempty"`  // only the folders of recent dates were listed
	// InventoryOf is when the inventory was made that was read instead of listing; Looked is how many
	// keys were looked at afresh, since it left open what became of them.
	InventoryOf time.Time `json:"inventory_of,omitzero"`
	Looked      int       `json:"looked,omitempty"`
}

// scanPage is how many keys one answer of the store has at most, and writePage how many go to the catalog
// at a time: a transaction costs a write to the disk, whatever it carries.
const (
	scanPage  = 1000
	writePage = 4 * scanPage
)

// Scan lists the scopes of the named policies (all, if none is named) into the catalog. A scan
// that is cut off goes on where it stopped. Where a bucket fails and another does not, it is [ErrPartly].
func (r *Runner) Scan(ctx context.Context, names ...string) ([]Scanned, error) {
	if err := r.Activate(ctx); err != nil {
		return nil, err
	}
	scopes, err := r.rules.scopes(names)
	if err != nil {
		return nil, err
	}
	return r.eachScope(ctx, scopes, "scanning", func(s Scope) (Scanned, error) { return r.scan(ctx, s) })
}

// scan lists one scope, in stretches that are split as it goes, so that as many lists go side by side
// as there are workers for them, however unevenly the keys lie.
func (r *Runner) scan(ctx context.Context, s Scope) (Scanned, error) {
	out := Scanned{Scope: s}
	if !r.o.Catalog.Shared() {
		// Nobody else on this machine scans: what a crash left leased is free.
		if release, err := r.o.Catalog.Exclusive("scan"); err == nil {
			defer release()
			if err := r.o.Catalog.EndScanLeases(ctx); err != nil {
				return out, err
			}
		}
	}
	before, err := r.o.Catalog.Ranges(ctx, s.Bucket, s.Prefix)
	if err != nil {
		return out, err
	}
	out.Resumed = before > 0
	if err := r.o.Catalog.BeginScan(ctx, s.Bucket, s.Prefix, r.now()); err != nil {
		return out, err
	}
	r.o.WakeScan(ctx, s)
	if err := r.list(ctx, s, &out); err != nil {
		return out, err
	}
	return out, r.o.Catalog.EndScan(ctx, s.Bucket, s.Prefix, r.now())
}

// AssistScan lists stretches of a scan that another process has begun, until none is left.
func (r *Runner) AssistScan(ctx context.Context, s Scope) (Scanned, error) {
	out := Scanned{Scope: s}
	if err := r.list(ctx, s, &out); err != nil {
		return out, fmt.Errorf("scanning bucket %q: %w", s.Bucket, err)
	}
	return out, r.o.Catalog.EndScan(ctx, s.Bucket, s.Prefix, r.now())
}

// scanPoll is how long a list that has nothing to do waits for the others.
const scanPoll = 100 * time.Millisecond

// lister is one of the lists of a scan that go side by side.
type lister struct {
	r     *Runner
	b     *storage.Bucket
	scope Scope
	owner string
	mu    *sync.Mutex // guards out and asked
	out   *Scanned
	asked map[string]int // how far each stretch was listed when somebody last tried to split it
	began time.Time
}

func (r *Runner) list(ctx context.Context, s Scope, out *Scanned) error {
	b, err := r.bucket(ctx, s.Bucket)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	asked := map[string]int{}
	group, inner := errgroup.WithContext(ctx)
	for range r.o.Lists {
		var name [8]byte
		_, _ = rand.Read(name[:]) // never fails, see crypto/rand
		l := &lister{r: r, b: b, scope: s, owner: hex.EncodeToString(name[:]), mu: &mu, out: out, asked: asked, began: time.Now()}
		group.Go(func() error { return l.run(inner) })
	}
	return group.Wait()
}

func (l *lister) lease() catalog.Lease {
	now := time.Now() // leases go by the machine's clock
	return catalog.Lease{Owner: l.owner, Now: now, Until: now.Add(leaseFor)}
}

// run lists one stretch after the other until the scan has none left.
func (l *lister) run(ctx context.Context) error {
	for {
		rg, ok, err := l.r.o.Catalog.TakeRange(ctx, l.scope.Bucket, l.scope.Prefix, l.lease())
		if err != nil {
			return err
		}
		if ok {
			if err := l.list(ctx, rg); err != nil && !errors.Is(err, catalog.ErrStale) {
				return err
			}
			continue
		}
		left, err := l.r.o.Catalog.UnderWay(ctx, l.scope.Bucket, l.scope.Prefix)
		if err != nil || len(left) == 0 {
			return err
		}
		split, err := l.split(ctx, left)
		if err != nil {
			return err
		}
		if split {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(scanPoll):
		}
	}
}

// list lists one stretch into the catalog; it stays ours however long a page of it takes. One that is cut off is given
// back.
func (l *lister) list(ctx context.Context, rg catalog.Range) error {
	holding, stop := context.WithCancel(ctx)
	held := make(chan struct{})
	go func() {
		defer close(held)
		whileHeld(holding, func() {
			err := l.r.o.Catalog.HoldRange(holding, l.scope.Bucket, l.scope.Prefix, rg.Begins, l.lease())
			if err != nil && holding.Err() == nil {
				l.r.o.Logger.WarnContext(ctx, "the lease on a part of the listing could not be prolonged", "err", err)
			}
		})
	}()
	err := l.listPages(ctx, rg)
	stop()
	<-held
	if err != nil && !errors.Is(err, catalog.ErrStale) {
		free := l.lease()
		free.Until = time.Time{}
		err = errors.Join(err, l.r.o.Catalog.HoldRange(context.WithoutCancel(ctx), l.scope.Bucket, l.scope.Prefix, rg.Begins, free))
	}
	return err
}

// listPages lists a stretch and writes it, page by page.
func (l *lister) listPages(ctx context.Context, rg catalog.Range) error {
	pages := make(chan catalog.Page, 2) // the next pages are listed while one is written
	group, inner := errgroup.WithContext(ctx)
	done := make(chan struct{}) // the stretch has come to its end, perhaps earlier than we thought
	group.Go(func() error {
		defer close(pages)
		return l.pages(inner, rg, pages, done)
	})
	group.Go(func() error {
		defer close(done)
		for page := range pages {
			rg.Lease = l.lease()
			page.Range = &rg
			o, end, err := l.r.o.Catalog.Observe(inner, page, l.r.now())
			if err != nil {
				return err
			}
			l.mu.Lock()
			l.out.Add(o)
			l.out.Listed += o.New + o.Changed + o.Same
			listed := l.out.Listed
			l.mu.Unlock()
			l.r.o.Progress("scan", listed, 0)
			if end {
				return nil
			}
		}
		return nil
	})
	return group.Wait()
}

// pages lists a stretch and sends it in pages.
func (l *lister) pages(ctx context.Context, rg catalog.Range, pages chan<- catalog.Page, done <-chan struct{}) error {
	// When a page was asked for is not told. It was after the page before it began to come, since no
	// request gives more than a page. This is the machine's clock, as the store's is, and not the Runner's.
	began := time.Now()
	page := catalog.Page{Bucket: l.scope.Bucket, Prefix: l.scope.Prefix, After: rg.After, Through: rg.After, Stem: l.r.layout.stem, AsOf: began}
	send := func() bool {
		select {
		case pages <- page:
			return true
		case <-done:
		case <-ctx.Done():
		}
		return false
	}
	inPage, other := 0, 0
	defer func() {
		l.mu.Lock()
		l.out.Other += other
		l.mu.Unlock()
	}()
	for rec, err := range l.b.List(ctx, l.scope.Prefix, rg.After) {
		if err != nil {
			return err
		}
		if rg.Through != "" && rec.ID.Key > rg.Through {
			page.Through = rg.Through
			send()
			return ctx.Err()
		}
		page.Through = rec.ID.Key
		if l.r.layout.isRecording(rec.ID.Key) {
			page.Recordings = append(page.Recordings, rec)
		} else {
			other++
		}
		if inPage++; inPage == writePage {
			if !send() {
				return ctx.Err()
			}
			page = catalog.Page{Bucket: page.Bucket, Prefix: page.Prefix, After: page.Through, Through: page.Through, Recordings: make([]earshot.Recording, 0, writePage), Stem: page.Stem, AsOf: began}
			inPage, began = 0, time.Now()
		}
	}
	page.Last = true
	send()
	return ctx.Err()
}

// split cuts one of the stretches that others list in two.
func (l *lister) split(ctx context.Context, under []catalog.Range) (bool, error) {
	if time.Since(l.began) < splitAfter {
		return false, nil
	}
	for _, rg := range under {
		l.mu.Lock()
		soon := rg.Listed < l.asked[rg.Begins]+splitEvery
		if !soon {
			l.asked[rg.Begins] = rg.Listed
		}
		l.mu.Unlock()
		if soon { // it may be a small one, and looking for a place to cut costs the store as much as listing
			continue
		}
		at, err := l.cut(ctx, rg)
		if err != nil {
			return false, err
		}
		if at == "" {
			continue
		}
		if done, err := l.r.o.Catalog.Split(ctx, l.scope.Bucket, l.scope.Prefix, rg.Begins, at); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// splitAfter is how long one list may take before it is split. Looking for a place costs the store requests, and
// one that prepares a listing ahead of its reader (MinIO) goes on with what is cut off; a store that is done sooner
// than this is as fast with one list.
const splitAfter = 3 * time.Second

// splitEvery is how many recordings of a stretch are listed before somebody tries to split it, and tries
// again.
const splitEvery = 10 * scanPage

// isRecording is the part of parts that a scan needs, without the cost of the parts.
func (l *layout) isRecording(key string) bool {
	return l.key == nil || l.key.MatchString(key) || l.beside(key)
}

// stem is the part of a recording's key that its companions are found by.
func (l *layout) stem(key string) string {
	if len(l.companions) == 0 {
		return ""
	}
	parts, _ := l.parts(key)
	return parts["id"]
}
