package main

import (
	"fmt"
	"path/filepath"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"github.com/minio/minio-go/v7"
)

// million measures what a catalog of a million recordings costs. The objects of all but the due ones
// are not there: neither a plan nor apply asks the store for what is not due, which the count of the
// requests shows.
func (b *bench) million() error {
	const bucket = "million"
	if err := b.server.fresh(b.ctx, bucket, false); err != nil {
		return err
	}
	if err := b.site(bucket); err != nil {
		return err
	}
	began := time.Now()
	if err := b.rowsOf(bucket, b.rows, stored); err != nil {
		return err
	}
	fmt.Fprintf(b.say, "%d rows written in %s\n", b.rows, time.Since(began).Round(time.Second))
	if _, _, err := b.run(b.cmd("earshot", "--json", "plan", "--no-scan")); err != nil {
		return err
	}
	days := 90
	changed := func() error {
		days++
		return b.policy(bucket, fmt.Sprintf("%dd", days))
	}
	arrive := func() error {
		if err := b.server.fill(b.ctx, bucket, b.due, due); err != nil {
			return err
		}
		return b.dueRows(bucket)
	}
	cs := []contender{
		{fmt.Sprintf("second run, %d due: plan + apply", b.due), arrive, func() (measured, error) { return b.dispose(b.due) }},
		{"nothing due: plan", nil, b.measure(b.cmd("earshot", "--json", "plan", "--no-scan"))},
		{"decide + foresee all, after a policy change: plan", changed, b.measure(b.cmd("earshot", "--json", "plan", "--no-scan"))},
	}
	ms, err := b.inTurn(cs)
	if err != nil {
		return err
	}
	b.table(fmt.Sprintf("%d recordings in the catalog", b.rows), cs, ms)
	return b.requests(arrive)
}

// requests counts what a second run asks the store.
func (b *bench) requests(arrive func() error) error {
	if err := arrive(); err != nil {
		return err
	}
	c, err := b.server.counting()
	if err != nil {
		return err
	}
	defer func() { _ = c.server.Close() }()
	if err := b.configure(c.addr, 8); err != nil {
		return err
	}
	if _, err := b.dispose(b.due); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nRequests to the store (log included) of a run with %d due among %d: %d, %.2f for each.\n", b.due, b.rows, c.requests.Load(), float64(c.requests.Load())/float64(b.due))
	return b.configure(b.server.addr, 8)
}

// rowsOf writes recordings into the catalog as a listing would, in order of key.
func (b *bench) rowsOf(bucket string, n int, key func(int) string) error {
	ctx := b.ctx
	db, err := catalog.Open(ctx, catalog.Options{Path: filepath.Join(b.dir, "site", "catalog.db")})
	if err != nil {
		return err
	}
	defer db.Close()
	at := time.Now().Add(-time.Hour)
	const subjects = 1000 // keys come in order subject by subject
	page := catalog.Page{Bucket: bucket, Prefix: "clips/"}
	for s := range subjects {
		for i := s; i < n; i += subjects {
			page.Recordings = append(page.Recordings, earshot.Recording{
				ID: earshot.RecordingID{Bucket: bucket, Key: key(i)}, ETag: fmt.Sprintf("%032x", i), Size: objectSize, StoredAt: at,
			})
		}
		if len(page.Recordings) == 0 {
			break
		}
		page.Through = page.Recordings[len(page.Recordings)-1].ID.Key
		if _, _, err := db.Observe(ctx, page, at); err != nil {
			return err
		}
		page.After, page.Recordings = page.Through, nil
	}
	return nil
}

// dueRows tells the catalog of the due recordings, as events of the store would.
func (b *bench) dueRows(bucket string) error {
	db, err := catalog.Open(b.ctx, catalog.Options{Path: filepath.Join(b.dir, "site", "catalog.db")})
	if err != nil {
		return err
	}
	defer db.Close()
	look := catalog.Look{Bucket: bucket, AsOf: time.Now()}
	for o := range b.server.client.ListObjectsIter(b.ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			return o.Err
		}
		look.Keys = append(look.Keys, o.Key)
		look.Recordings = append(look.Recordings, earshot.Recording{ID: earshot.RecordingID{Bucket: bucket, Key: o.Key}, ETag: o.ETag, Size: o.Size, StoredAt: o.LastModified})
	}
	_, err = db.Looked(b.ctx, look, time.Now())
	return err
}
