package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"earshot"
)

// Page is a stretch of a listing: every object of the bucket whose key begins with Prefix and lies
// in (After, Through], in order of key.
type Page struct {
	Bucket, Prefix string
	After, Through string
	Last           bool // the listing ends here: Through stands for the end
	Recordings     []earshot.Recording
	// Stem gives the part of a key that companions are found by; nil where there are none.
	Stem func(key string) string
	// Range is the stretch of a scan that the page belongs to, with its lease prolonged.
	Range *Range
	ends  bool // the page reaches the stretch's end: Through is that
}

// Observed counts what a page changed.
type Observed struct {
	New     int `json:"new"`
	Changed int `json:"changed"`
	Gone    int `json:"gone"` // in the catalog, not in the store any more
	Same    int `json:"same"`
}

// Add sums up.
func (o *Observed) Add(p Observed) {
	o.New, o.Changed, o.Gone, o.Same = o.New+p.New, o.Changed+p.Changed, o.Gone+p.Gone, o.Same+p.Same
}

// LastScan is when the bucket below the prefix was last listed to the end; zero if never.
func (d *DB) LastScan(ctx context.Context, bucket, prefix string) (time.Time, error) {
	var done int64
	err := d.db.QueryRowContext(ctx, "select done_at from cursors where bucket = $1 and prefix = $2", bucket, prefix).Scan(&done)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return fromMicros(done), err
}

// Observe writes what a page of a listing changes, and how far its stretch is listed, in one
// transaction. Recordings that the catalog has in the page's range and the page does not are gone.
// Those with an action under way are left to it. end reports whether the stretch is listed to its
// end; one that went to another process is [ErrStale].
func (d *DB) Observe(ctx context.Context, page Page, now time.Time) (o Observed, end bool, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		o = Observed{}
		p := page
		if p.Range != nil {
			if p, err = d.within(ctx, tx, p); err != nil {
				return err
			}
		}
		end = p.Last || p.ends
		known, err := knownRange(ctx, tx, p)
		if err != nil {
			return err
		}
		var fresh []earshot.Recording
		for _, r := range p.Recordings {
			k, ok := known[r.ID.Key]
			delete(known, r.ID.Key)
			switch {
			case ok && k.busy:
				o.Same++
			case ok && !k.gone && k.etag == r.ETag && k.size == r.Size && k.stored == r.StoredAt.Unix():
				o.Same++
			case ok && !k.gone:
				o.Changed++
				fresh = append(fresh, r)
			default:
				o.New++
				fresh = append(fresh, r)
			}
		}
		if err := upsert(ctx, tx, fresh, p.Stem); err != nil {
			return err
		}
		for key, k := range known {
			if k.gone || k.busy {
				continue
			}
			o.Gone++
			if _, err := tx.ExecContext(ctx, "update recordings set gone_at = $1 where bucket = $2 and key = $3", micros(now), p.Bucket, key); err != nil {
				return err
			}
		}
		if p.Range == nil {
			return nil
		}
		return d.advanceRange(ctx, tx, p)
	})
	if err != nil {
		return Observed{}, false, fmt.Errorf("writing a page of bucket %q: %w", page.Bucket, err)
	}
	return o, end, nil
}

type knownRow struct {
	etag       string
	size       int64
	stored     int64 // seconds: HEAD has no finer ones
	gone, busy bool
}

// knownRange reads what the catalog has of the page's range. A prefix is a range of keys too:
// [prefix, prefixEnd).
func knownRange(ctx context.Context, tx *sql.Tx, p Page) (map[string]knownRow, error) {
	query := `select key, etag, size, stored_at, gone_at,
		exists (select 1 from actions a where a.bucket = r.bucket and a.key = r.key and a.state = 'intended')
		from recordings r where bucket = $1 and key > $2 and key >= $3`
	args := []any{p.Bucket, p.After, p.Prefix}
	if !p.Last || p.ends {
		query += " and key <= $4"
		args = append(args, p.Through)
	} else if end := prefixEnd(p.Prefix); end != "" {
		query += " and key < $4"
		args = append(args, end)
	}
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := make(map[string]knownRow, len(p.Recordings))
	for rows.Next() {
		var key string
		var gone, stored int64
		var k knownRow
		if err := rows.Scan(&key, &k.etag, &k.size, &stored, &gone, &k.busy); err != nil {
			return nil, err
		}
		k.stored = fromMicros(stored).Unix()
		k.gone = gone != 0
		known[key] = k
	}
	return known, rows.Err()
}

// prefixEnd is the least string that is greater than every string with the prefix; empty where
// there is none.
func prefixEnd(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 {
		if b[len(b)-1] < 0xff {
			b[len(b)-1]++
			return string(b)
		}
		b = b[:len(b)-1]
	}
	return ""
}

// upsertRows is how many recordings one statement carries.
const upsertRows = 200

func upsert(ctx context.Context, tx *sql.Tx, recs []earshot.Recording, stem func(string) string) error {
	if stem == nil {
		stem = func(string) string { return "" }
	}
	for len(recs) > 0 {
		n := min(upsertRows, len(recs))
		var q strings.Builder
		q.WriteString("insert into recordings (bucket, key, etag, size, stored_at, stem) values ")
		args := make([]any, 0, n*6)
		for i, r := range recs[:n] {
			if i > 0 {
				q.WriteByte(',')
			}
			fmt.Fprintf(&q, "($%d,$%d,$%d,$%d,$%d,$%d)", i*6+1, i*6+2, i*6+3, i*6+4, i*6+5, i*6+6)
			args = append(args, r.ID.Bucket, r.ID.Key, r.ETag, r.Size, micros(r.StoredAt), stem(r.ID.Key))
		}
		q.WriteString(` on conflict (bucket, key) do update set etag = excluded.etag, size = excluded.size,
			stored_at = excluded.stored_at, stem = excluded.stem, subject = '', device = '', facts = '', disposition = '', rule = '', reason = '',
			due_at = 0, due_digest = '', gone_at = 0`)
		if _, err := tx.ExecContext(ctx, q.String(), args...); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

// Sharing counts the recordings of a bucket that have a stem: more than one means that nobody can
// tell whose a companion found by it is.
func (d *DB) Sharing(ctx context.Context, bucket, stem string) (int, error) {
	var n int
	err := d.db.QueryRowContext(ctx, "select count(*) from recordings where gone_at = 0 and stem <> '' and bucket = $1 and stem = $2", bucket, stem).Scan(&n)
	return n, wrap("looking for recordings that share companions", err)
}
