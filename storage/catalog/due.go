package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"
	"time"
)

// mark is what rows carry of the digest that they were decided by: its first 128 bits, since the index has it
// once for each row.
func mark(digest string) string { return digest[:min(len(digest), 32)] }

// duePage is how many rows are read at a time.
const duePage = 1000

// Due streams the recordings below the prefix that policies of this digest must look at: those due
// at asOf and those that were never decided by this digest, first of all those that are due at once.
// Rows may be written while it runs; none comes twice that was not made due again.
func (d *DB) Due(ctx context.Context, bucket, prefix, digest string, asOf time.Time) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		q := dueQuery{d: d, bucket: bucket, prefix: prefix, end: prefixEnd(prefix), digest: mark(digest), asOf: micros(asOf), yield: yield}
		if err := q.run(ctx); err != nil {
			yield(Row{}, fmt.Errorf("reading what is due: %w", err))
		}
	}
}

// dueQuery is one reading of what is due.
type dueQuery struct {
	d                   *DB
	bucket, prefix, end string
	digest              string
	asOf                int64
	yield               func(Row, error) bool
	over                bool // whoever reads has enough
}

func (q *dueQuery) run(ctx context.Context) error {
	// What is to be destroyed is written back as due as of now, in whichever part it came: that part is read
	// before anything is, and is as good as empty.
	if err := q.ofDigest(ctx, q.digest, q.asOf, q.asOf); err != nil || q.over {
		return err
	}
	// What was asked for comes first, whatever policies its rows were decided by.
	for of, ok, err := q.next(ctx, "", true); ok || err != nil; of, ok, err = q.next(ctx, of, false) {
		if err != nil {
			return err
		}
		if err := q.ofDigest(ctx, of, math.MinInt64, -1); err != nil || q.over {
			return err
		}
	}
	// Then what this digest has decided: rows of other digests move into it as they are decided afresh.
	if err := q.ofDigest(ctx, q.digest, 0, q.asOf-1); err != nil || q.over {
		return err
	}
	var large []string
	for other, ok, err := q.next(ctx, "", true); ok || err != nil; other, ok, err = q.next(ctx, other, false) {
		if err != nil {
			return err
		}
		if other == q.digest {
			continue
		}
		many, err := q.many(ctx, other)
		if err != nil {
			return err
		}
		if many {
			large = append(large, other)
			continue
		}
		if err := q.ofDigest(ctx, other, 0, math.MaxInt64); err != nil || q.over {
			return err
		}
	}
	for _, other := range large {
		if err := q.sweep(ctx, other); err != nil || q.over {
			return err
		}
	}
	return nil
}

// next gives the first digest behind one that rows of the bucket were decided by.
func (q *dueQuery) next(ctx context.Context, after string, first bool) (digest string, ok bool, err error) {
	cmp := map[bool]string{true: ">=", false: ">"}[first]
	rows, err := q.d.db.QueryContext(ctx, "select due_digest from recordings where gone_at = 0 and bucket = $1 and due_digest "+cmp+" $2 order by due_digest limit 1", q.bucket, after)
	if err != nil {
		return "", false, err
	}
	defer rows.Close()
	if ok = rows.Next(); ok {
		err = rows.Scan(&digest)
	}
	return digest, ok, errors.Join(err, rows.Err())
}

// sweepFrom is how many rows of another digest are worth going through all rows, if they are a good part
// (one in sweepShare) of them.
const (
	sweepFrom  = 5_000
	sweepShare = 8
)

// many reports whether so many rows are of a digest that they are read faster in order of key than in that
// of the index, which leads all over the table. PostgreSQL's planner has its own ways.
func (q *dueQuery) many(ctx context.Context, digest string) (bool, error) {
	if q.d.dialect.server {
		return false, nil
	}
	var n, all int64 // about all: without counting
	if err := q.d.db.QueryRowContext(ctx, "select coalesce(max(rowid), 0) from recordings").Scan(&all); err != nil {
		return false, err
	}
	want := max(sweepFrom, all/sweepShare)
	err := q.d.db.QueryRowContext(ctx, "select count(*) from (select 1 from recordings where gone_at = 0 and bucket = $1 and due_digest = $2 limit $3) x", q.bucket, digest, want).Scan(&n)
	return n >= want, err
}

// idle: what an action is open for belongs to that action until it is settled; what failed is left alone
// for a while ($2 is now).
const idle = ` gone_at = 0 and bucket = $1 and not exists
	(select 1 from actions a where a.bucket = recordings.bucket and a.key = recordings.key and a.state = 'intended')
	and not exists (select 1 from attention t where t.bucket = recordings.bucket and t.key = recordings.key and t.etag = recordings.etag
	and (t.blocked > 0 or t.next_at > $2))`

// The parts of what is due, each a stretch of an index that begins behind the row of the page before: no page
// reads again what earlier ones have read.
const (
	dueOfDigest = " from recordings where" + idle +
		" and due_digest = $3 and (due_at, key) > ($4, $5) and due_at <= $6 order by due_at, key limit 1000"
	// Digest and time are not compared as they are, or the engine might take the index and sort. What is due at once was
	// given before; what became so since is for the next plan.
	dueSweep = " from recordings where" + idle +
		" and due_digest || '' = $3 and due_at + 0 >= 0 and key > $4 and ($5 = '' or key < $5) order by key limit 1000"
)

// ofDigest gives the rows that a digest has decided and that are due in a time, in order of time.
func (q *dueQuery) ofDigest(ctx context.Context, digest string, from, by int64) error {
	var page []Row
	for fromDue, fromKey := from, ""; !q.over; {
		var err error
		page, err = q.d.pageInto(ctx, page[:0], "select "+q.d.dialect.row+dueOfDigest, q.bucket, q.asOf, digest, fromDue, fromKey, by)
		if err != nil {
			return err
		}
		for _, r := range page {
			fromDue, fromKey = r.rawDue, r.Recording.ID.Key
			if fromKey < q.prefix || q.end != "" && fromKey >= q.end {
				continue
			}
			if q.over = !q.yield(r, nil); q.over {
				return nil
			}
		}
		if len(page) < duePage {
			return nil
		}
	}
	return nil
}

// sweep gives the rows that a digest has decided, in order of key. While one page is decided and written, the next
// is read: what is written meanwhile is of rows before it.
func (q *dueQuery) sweep(ctx context.Context, digest string) error {
	type page struct {
		rows []Row
		err  error
	}
	ctx, stop := context.WithCancel(ctx)
	read, done := make(chan page), make(chan []Row, 2)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	done <- nil
	done <- nil
	reading.Go(func() {
		for from, n := beforePrefix(q.prefix), duePage; n == duePage; {
			select {
			case <-ctx.Done():
				return
			case rows := <-done:
				rows, err := pageFrom(ctx, q.d.reader, rows[:0], "select "+q.d.dialect.row+dueSweep, q.bucket, q.asOf, digest, from, q.end)
				if n = len(rows); n > 0 {
					from = rows[n-1].Recording.ID.Key
				}
				select {
				case <-ctx.Done():
					return
				case read <- page{rows, err}:
				}
			}
		}
	})
	for {
		var p page
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p = <-read:
		}
		if p.err != nil {
			return p.err
		}
		for _, r := range p.rows {
			if r.Recording.ID.Key < q.prefix {
				continue
			}
			if q.over = !q.yield(r, nil); q.over {
				return nil
			}
		}
		if len(p.rows) < duePage {
			return nil
		}
		done <- p.rows
	}
}

// beforePrefix is a key that sorts before all that begin with the prefix, and not far.
func beforePrefix(prefix string) string {
	if prefix == "" {
		return ""
	}
	return prefix[:len(prefix)-1]
}
