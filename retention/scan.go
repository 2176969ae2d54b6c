package retention

import (
	"context"
	"fmt"

	"earshot"
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
	catalog.Observed
	Resumed bool `json:"resumed,omitempty"` // a scan that was cut off was taken up again
}

// scanPage is how many recordings go to the catalog at a time.
const scanPage = 1000

// Scan lists the scopes of the named policies (all, if none is named) into the catalog. A scan
// that is cut off goes on where it stopped.
func (r *Runner) Scan(ctx context.Context, names ...string) ([]Scanned, error) {
	if err := r.Activate(ctx); err != nil {
		return nil, err
	}
	scopes, err := r.rules.scopes(names)
	if err != nil {
		return nil, err
	}
	var out []Scanned
	for _, s := range scopes {
		got, err := r.scan(ctx, s)
		out = append(out, got)
		if err != nil {
			return out, fmt.Errorf("scanning bucket %q: %w", s.Bucket, err)
		}
	}
	return out, nil
}

func (r *Runner) scan(ctx context.Context, s Scope) (Scanned, error) {
	out := Scanned{Scope: s}
	b, err := r.bucket(ctx, s.Bucket)
	if err != nil {
		return out, err
	}
	after, resumed, err := r.o.Catalog.Cursor(ctx, s.Bucket, s.Prefix)
	if err != nil {
		return out, err
	}
	if !resumed {
		after = ""
	}
	out.Resumed = resumed
	pages := make(chan catalog.Page, 4) // the next pages are listed while one is written
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(pages)
		page := catalog.Page{Bucket: s.Bucket, Prefix: s.Prefix, After: after, Through: after, Stem: r.layout.stem}
		send := func() error {
			select {
			case pages <- page:
				return nil
			case <-inner.Done():
				return inner.Err()
			}
		}
		inPage := 0
		for rec, err := range b.List(inner, s.Prefix, after) {
			if err != nil {
				return err
			}
			page.Through = rec.ID.Key
			if r.layout.isRecording(rec.ID.Key) {
				page.Recordings = append(page.Recordings, rec)
			} else {
				out.Other++
			}
			if inPage++; inPage == scanPage {
				if err := send(); err != nil {
					return err
				}
				page = catalog.Page{Bucket: s.Bucket, Prefix: s.Prefix, After: page.Through, Through: page.Through, Recordings: make([]earshot.Recording, 0, scanPage), Stem: r.layout.stem}
				inPage = 0
			}
		}
		page.Last = true
		return send()
	})
	group.Go(func() error {
		for page := range pages {
			o, err := r.o.Catalog.Observe(inner, page, r.now())
			if err != nil {
				return err
			}
			out.Add(o)
			out.Listed += len(page.Recordings)
			r.o.Progress("scan", out.Listed, 0)
		}
		return nil
	})
	err = group.Wait()
	return out, err
}

// isRecording is the part of parts that a scan needs, without the cost of the parts.
func (l *layout) isRecording(key string) bool { return l.key == nil || l.key.MatchString(key) || l.beside(key) }

// stem is the part of a recording's key that its companions are found by.
func (l *layout) stem(key string) string {
	if len(l.companions) == 0 {
		return ""
	}
	parts, _ := l.parts(key)
	return parts["id"]
}
