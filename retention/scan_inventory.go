package retention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/inventory"
)

// ErrOldInventory says that the bucket was listed after the inventory was made, which tells nothing new.
var ErrOldInventory = errors.New("the inventory is older than the last listing")

// inventorySlack is how far the clocks of a store and of this machine may differ, and how late a report
// may have taken up what came.
const inventorySlack = 15 * time.Minute

// ScanInventory brings the catalog up to date by an inventory report of the store instead of a
// listing. A report is older than the store: it neither takes away nor brings back what the catalog
// learned since, and what it lacks, or tells otherwise than a later look did, is looked at afresh. It
// is not counted as a full listing, since nobody can tell what it was filtered by.
func (r *Runner) ScanInventory(ctx context.Context, m inventory.Manifest, fetch inventory.Fetch, names ...string) ([]Scanned, error) {
	if err := r.Activate(ctx); err != nil {
		return nil, err
	}
	all, err := r.rules.scopes(names)
	if err != nil {
		return nil, err
	}
	var scopes []Scope
	for _, s := range all {
		if s.Bucket != m.Source {
			continue
		}
		scopes = append(scopes, s)
		last, err := r.o.Catalog.LastScan(ctx, s.Bucket, s.Prefix)
		if err != nil {
			return nil, err
		}
		if last.After(m.Created) {
			return nil, fmt.Errorf("%w: it was made on %s, and bucket %q was listed to its end on %s", ErrOldInventory,
				m.Created.Format(time.RFC3339), s.Bucket, last.Format(time.RFC3339))
		}
	}
	if len(scopes) == 0 {
		return nil, fmt.Errorf("the inventory is of bucket %q, of which no policy speaks", m.Source)
	}
	staged, err := inventory.Stage(ctx, m, fetch, r.o.Spool)
	if err != nil {
		return nil, fmt.Errorf("reading the inventory of bucket %q: %w", m.Source, err)
	}
	defer staged.Close()
	var out []Scanned
	for _, s := range scopes {
		got, err := r.scanStaged(ctx, s, staged)
		out = append(out, got)
		if err != nil {
			return out, fmt.Errorf("scanning bucket %q by its inventory: %w", s.Bucket, err)
		}
	}
	return out, nil
}

// scanStaged writes the part of a report that lies in a scope into the catalog.
func (r *Runner) scanStaged(ctx context.Context, s Scope, staged *inventory.Staged) (Scanned, error) {
	made := staged.Manifest.Created
	out := Scanned{Scope: s, InventoryOf: made}
	var doubtful []string
	page := catalog.Page{Bucket: s.Bucket, Prefix: s.Prefix, Stem: r.layout.stem, AsOf: made.Add(-inventorySlack), Lacking: &doubtful}
	inPage := 0
	write := func() error {
		o, _, err := r.o.Catalog.Observe(ctx, page, r.now())
		if err != nil {
			return err
		}
		looked, err := r.Look(ctx, s.Bucket, doubtful)
		if err != nil {
			return fmt.Errorf("looking at what the inventory leaves open: %w", err)
		}
		out.Looked += len(doubtful)
		o.Add(looked)
		out.Add(o)
		out.Listed += o.New + o.Changed + o.Same
		r.o.Progress("scan", out.Listed, 0)
		page.After, page.Recordings, inPage = page.Through, page.Recordings[:0], 0
		return nil
	}
	for rec, err := range staged.Recordings() {
		if err != nil {
			return out, err
		}
		if !strings.HasPrefix(rec.ID.Key, s.Prefix) {
			continue
		}
		if !storage.IsText(rec.ID.Key) {
			out.Odd++
			continue
		}
		page.Through = rec.ID.Key
		if r.layout.isRecording(rec.ID.Key) {
			page.Recordings = append(page.Recordings, rec)
		} else {
			out.Other++
		}
		if inPage++; inPage == writePage {
			if err := write(); err != nil {
				return out, err
			}
		}
	}
	page.Last = true
	r.warnOdd(ctx, s.Bucket, out.Odd)
	return out, write()
}
