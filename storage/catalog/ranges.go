package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Range is a stretch of a listing that one process at a time lists: the keys in (After, Through]
// below a prefix. An empty Through is the prefix's end. Begins names it.
type Range struct {
	Begins, After, Through string
	Listed                 int // keys so far, where UnderWay tells
	Lease                  Lease
}

// Ranges counts the stretches of a scan that are not listed to their end.
func (d *DB) Ranges(ctx context.Context, bucket, prefix string) (n int, err error) {
	err = d.db.QueryRowContext(ctx, "select count(*) from scan_ranges where bucket = $1 and prefix = $2", bucket, prefix).Scan(&n)
	return n, wrap("reading the scan's ranges", err)
}

// BeginScan makes a scan of one stretch, the whole prefix, unless one is under way.
func (d *DB) BeginScan(ctx context.Context, bucket, prefix string, now time.Time) error {
	return wrap("beginning a scan", d.tx(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "select count(*) from scan_ranges where bucket = $1 and prefix = $2", bucket, prefix).Scan(&n); err != nil || n > 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, `insert into scan_ranges (bucket, prefix, begins, after_key, through_key) values ($1, $2, '', '', '')
			on conflict (bucket, prefix, begins) do nothing`, bucket, prefix); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `insert into cursors (bucket, prefix, after_key, started_at, done_at) values ($1, $2, '', $3, 0)
			on conflict (bucket, prefix) do update set started_at = excluded.started_at`, bucket, prefix, micros(now))
		return err
	}))
}

// EndScan writes down that a scan came to its end, if it did and nobody has yet: whoever comes to help when
// all is listed has not listed anything.
func (d *DB) EndScan(ctx context.Context, bucket, prefix string, now time.Time) error {
	_, err := d.db.ExecContext(ctx, `update cursors set done_at = $1 where bucket = $2 and prefix = $3 and done_at < started_at
		and not exists (select 1 from scan_ranges s where s.bucket = cursors.bucket and s.prefix = cursors.prefix)`, micros(now), bucket, prefix)
	return wrap("ending a scan", err)
}

// TakeRange gives the owner a stretch that nobody lists. ok is false where there is none.
func (d *DB) TakeRange(ctx context.Context, bucket, prefix string, l Lease) (r Range, ok bool, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		r = Range{Lease: l}
		err := tx.QueryRowContext(ctx, `with picked as materialized
			(select begins from scan_ranges where bucket = $1 and prefix = $2 and lease_until < $3 order by begins limit 1`+d.dialect.skipLocked+`)
			update scan_ranges set owner = $4, lease_until = $5 where bucket = $1 and prefix = $2 and begins in (select begins from picked)
			returning begins, after_key, through_key`, bucket, prefix, micros(l.Now), l.Owner, micros(l.Until)).Scan(&r.Begins, &r.After, &r.Through)
		if ok = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return r, ok, wrap("taking a range to list", err)
}

// HoldRange prolongs the owner's lease on a stretch; one that ends at once gives it back. The listing of a page may
// take longer than a lease.
func (d *DB) HoldRange(ctx context.Context, bucket, prefix, begins string, l Lease) error {
	_, err := d.db.ExecContext(ctx, "update scan_ranges set lease_until = $1 where bucket = $2 and prefix = $3 and begins = $4 and owner = $5",
		micros(l.Until), bucket, prefix, begins, l.Owner)
	return wrap("prolonging the lease on a range", err)
}

// UnderWay lists the stretches that somebody lists, for one of them to be split.
func (d *DB) UnderWay(ctx context.Context, bucket, prefix string) ([]Range, error) {
	rows, err := d.db.QueryContext(ctx, "select begins, after_key, through_key, listed from scan_ranges where bucket = $1 and prefix = $2 order by listed", bucket, prefix)
	if err != nil {
		return nil, wrap("reading the scan's ranges", err)
	}
	defer rows.Close()
	var out []Range
	for rows.Next() {
		var r Range
		if err := rows.Scan(&r.Begins, &r.After, &r.Through, &r.Listed); err != nil {
			return nil, wrap("reading the scan's ranges", err)
		}
		out = append(out, r)
	}
	return out, wrap("reading the scan's ranges", rows.Err())
}

// Split cuts the stretch behind the key `at`: what lies beyond becomes one of its own that anybody
// may take. It is false where the listing has passed that key already.
func (d *DB) Split(ctx context.Context, bucket, prefix, begins, at string) (done bool, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		done = false
		var after, through string
		err := tx.QueryRowContext(ctx, "select after_key, through_key from scan_ranges where bucket = $1 and prefix = $2 and begins = $3"+d.dialect.forUpdate,
			bucket, prefix, begins).Scan(&after, &through)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil || at <= after || through != "" && at >= through {
			return err
		}
		if _, err := tx.ExecContext(ctx, "update scan_ranges set through_key = $1 where bucket = $2 and prefix = $3 and begins = $4", at, bucket, prefix, begins); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "insert into scan_ranges (bucket, prefix, begins, after_key, through_key) values ($1, $2, $3, $3, $4)", bucket, prefix, at, through)
		done = err == nil
		return err
	})
	return done, wrap("splitting a range", err)
}

// EndScanLeases ends the leases on stretches. It is for those who know that nobody else lists.
func (d *DB) EndScanLeases(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "update scan_ranges set lease_until = 0 where lease_until > 0")
	return wrap("ending leases", err)
}

// within holds a page against the stretch that it belongs to, as that stands now: it may have been
// split meanwhile, or have gone to somebody else.
func (d *DB) within(ctx context.Context, tx *sql.Tx, p Page) (Page, error) {
	var owner, through string
	err := tx.QueryRowContext(ctx, "select owner, through_key from scan_ranges where bucket = $1 and prefix = $2 and begins = $3"+d.dialect.forUpdate,
		p.Bucket, p.Prefix, p.Range.Begins).Scan(&owner, &through)
	if errors.Is(err, sql.ErrNoRows) || err == nil && owner != p.Range.Lease.Owner {
		return p, fmt.Errorf("this part of the listing is another process's by now: %w", ErrStale)
	}
	if err != nil || through == "" || !p.Last && p.Through < through {
		return p, err
	}
	p.ends = true
	p.Through = through
	n := len(p.Recordings)
	for n > 0 && p.Recordings[n-1].ID.Key > through {
		n--
	}
	p.Recordings = p.Recordings[:n]
	return p, nil
}

// advanceRange writes how far a stretch is listed, and removes one that is listed to its end.
func (d *DB) advanceRange(ctx context.Context, tx *sql.Tx, p Page) error {
	if p.Last || p.ends {
		_, err := tx.ExecContext(ctx, "delete from scan_ranges where bucket = $1 and prefix = $2 and begins = $3", p.Bucket, p.Prefix, p.Range.Begins)
		return err
	}
	_, err := tx.ExecContext(ctx, "update scan_ranges set after_key = $1, lease_until = $2, listed = listed + $3 where bucket = $4 and prefix = $5 and begins = $6",
		p.Through, micros(p.Range.Lease.Until), len(p.Recordings), p.Bucket, p.Prefix, p.Range.Begins)
	return err
}
