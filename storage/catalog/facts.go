package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"earshot"
)

// Known is what the catalog keeps of one recording beyond its listing.
type Known struct {
	Recording earshot.Recording                  `json:"recording"`
	HeadKnown bool                               `json:"head_known,omitempty"`
	Heard     map[earshot.Kind]earshot.Listening `json:"heard,omitempty"`
	Deaf      map[earshot.Kind]string            `json:"deaf,omitempty"`
	// Erased is what was taken out, in the recording's own first timeline; cuts shift what follows.
	Erased []earshot.Redaction `json:"erased,omitempty"`
	Length time.Duration       `json:"length,omitempty"`
	Fault  string              `json:"fault,omitempty"`
	// Unheard says what a version of the ear could not tell of it, so that it does not try again.
	Unheard *Unheard `json:"unheard,omitempty"`
	// Rows is what the last look into an event log showed.
	Rows *earshot.RowFacts `json:"rows,omitempty"`
}

// Unheard is what a version of the ear could not tell of a recording.
type Unheard struct {
	Version string `json:"version"`
	Why     string `json:"why,omitempty"` // it could not be listened to at all
	// Kinds gives reasons for single kinds, where it was listened to.
	Kinds map[earshot.Kind]string `json:"kinds,omitempty"`
	// Wake is what was heard of the wake word and does not stand, for the device says otherwise. It is
	// weighed again with every look: what the device says may come late.
	Wake *earshot.Listening `json:"wake,omitempty"`
}

// Row is a recording as the catalog has it, with what was decided of it last.
type Row struct {
	Known
	Disposition string    `json:"disposition"`
	Rule        string    `json:"rule"`
	Reason      string    `json:"reason"`
	DueAt       time.Time `json:"due_at"`
	GoneAt      time.Time `json:"gone_at,omitzero"`
	rawDue      int64
	place       int64 // where it lies in the table, with SQLite
}

// Never is a due date that does not come.
const Never = math.MaxInt64

// rowColumns come before the place, which the dialect adds: see scanRow.
const rowColumns = "bucket, key, etag, size, stored_at, facts, disposition, rule, reason, due_at, gone_at"

// facts is what the column of that name has of a recording: what has a column of its own is not in it again.
func facts(k Known) string {
	r := &k.Recording
	r.ID.Bucket, r.ID.Key, r.ETag, r.Size, r.StoredAt = "", "", "", 0, time.Time{}
	return toJSON(k)
}

type scannable interface{ Scan(...any) error }

func scanRow(s scannable) (Row, error) {
	var r Row
	var bucket, key, etag string
	var facts []byte
	var size, stored, due, gone int64
	if err := s.Scan(&bucket, &key, &etag, &size, &stored, &facts, &r.Disposition, &r.Rule, &r.Reason, &due, &gone, &r.place); err != nil {
		return r, err
	}
	if len(facts) > 0 {
		if err := json.Unmarshal(facts, &r.Known); err != nil {
			return r, fmt.Errorf("facts of a recording: %w", err)
		}
	}
	r.Recording.ID.Bucket, r.Recording.ID.Key = bucket, key
	r.Recording.ETag, r.Recording.Size, r.Recording.StoredAt = etag, size, fromMicros(stored)
	r.GoneAt = fromMicros(gone)
	r.rawDue = due
	if due != Never && due > 0 { // below zero: at once, see atOnce
		r.DueAt = fromMicros(due)
	}
	return r, nil
}

// Recording reads one row, gone or not.
func (d *DB) Recording(ctx context.Context, bucket, key string) (Row, error) {
	r, err := scanRow(d.db.QueryRowContext(ctx, "select "+d.dialect.row+" from recordings where bucket = $1 and key = $2", bucket, key))
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("recording: %w (run earshot scan)", ErrNotFound)
	}
	return r, err
}

// Recordings reads the rows of those of the keys that the catalog knows, gone or not.
func (d *DB) Recordings(ctx context.Context, bucket string, keys []string) (map[string]Row, error) {
	out := map[string]Row{}
	for part := range slices.Chunk(keys, inPart) {
		in, args := list(part, 2)
		page, err := d.page(ctx, "select "+d.dialect.row+" from recordings where bucket = $1 and key in "+in, append([]any{bucket}, args...)...)
		if err != nil {
			return nil, wrap("reading recordings", err)
		}
		for _, row := range page {
			out[row.Recording.ID.Key] = row
		}
	}
	return out, nil
}

// Decided lists up to limit recordings below a prefix of which a disposition was said last, in order
// of key, from the first key after `after`.
func (d *DB) Decided(ctx context.Context, bucket, prefix, disposition, after string, limit int) ([]Row, error) {
	query, args := "select "+d.dialect.row+" from recordings where gone_at = 0 and bucket = $1 and key >= $2 and key > $3 and disposition = $4", []any{bucket, prefix, after, disposition}
	if end := prefixEnd(prefix); end != "" {
		query, args = query+" and key < $5", append(args, end)
	}
	out, err := d.page(ctx, fmt.Sprintf("%s order by key limit %d", query, limit), args...)
	return out, wrap("listing decisions", err)
}

// livePage is how many rows are read at a time.
const livePage = 1000

// Live streams every recording below the prefix that is not gone, in order of key.
func (d *DB) Live(ctx context.Context, bucket, prefix string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for after, first := "", true; ; first = false {
			query, args := "select "+d.dialect.row+" from recordings where gone_at = 0 and bucket = $1 and key >= $2", []any{bucket, prefix}
			if !first {
				query, args = query+" and key > $3", append(args, after)
			}
			if end := prefixEnd(prefix); end != "" {
				args = append(args, end)
				query += fmt.Sprintf(" and key < $%d", len(args))
			}
			page, err := d.page(ctx, fmt.Sprintf("%s order by key limit %d", query, livePage), args...)
			if err != nil {
				yield(Row{}, fmt.Errorf("reading recordings: %w", err))
				return
			}
			for _, r := range page {
				after = r.Recording.ID.Key
				if !yield(r, nil) {
					return
				}
			}
			if len(page) < livePage {
				return
			}
		}
	}
}

// GoneSince streams the recordings of a bucket that a scan or a run found gone after a time (zero: ever), in order of key.
func (d *DB) GoneSince(ctx context.Context, bucket string, since time.Time) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for after := ""; ; {
			page, err := d.page(ctx, "select "+d.dialect.row+" from recordings where gone_at > $1 and bucket = $2 and key > $3 order by key limit 1000", micros(since), bucket, after)
			if err != nil {
				yield(Row{}, wrap("listing what is gone", err))
				return
			}
			for _, row := range page {
				if after = row.Recording.ID.Key; !yield(row, nil) {
					return
				}
			}
			if len(page) < 1000 {
				return
			}
		}
	}
}

func (d *DB) page(ctx context.Context, query string, args ...any) ([]Row, error) {
	return d.pageInto(ctx, nil, query, args...)
}

// pageInto is page with room for the rows: they are large, and many.
func (d *DB) pageInto(ctx context.Context, out []Row, query string, args ...any) ([]Row, error) {
	return pageFrom(ctx, d.db, out, query, args...)
}

func pageFrom(ctx context.Context, db *sql.DB, out []Row, query string, args ...any) ([]Row, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRow(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// Matched tells by which rules the recordings of the catalog were decided last, and by which the
// actions of runs made since then were.
func (d *DB) Matched(ctx context.Context, since time.Time) (map[string]int, error) {
	out := map[string]int{}
	for _, q := range []struct {
		text string
		args []any
	}{
		{"select rule, count(*) from recordings where gone_at = 0 group by rule", nil},
		{"select " + d.dialect.ruleOf + ", count(*) from actions a join runs r on r.id = a.run where r.created_at >= $1 group by 1", []any{micros(since)}},
	} {
		if err := d.countInto(ctx, out, q.text, q.args...); err != nil {
			return nil, wrap("counting what rules decided", err)
		}
	}
	return out, nil
}

func (d *DB) countInto(ctx context.Context, out map[string]int, query string, args ...any) error {
	rows, err := d.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var rule sql.NullString
		var n int
		if err := rows.Scan(&rule, &n); err != nil {
			return err
		}
		out[rule.String] += n
	}
	return rows.Err()
}

// ActiveSince is when a policy of this digest was first in use; zero if it never was.
func (d *DB) ActiveSince(ctx context.Context, digest earshot.Digest) (time.Time, error) {
	var at int64
	err := d.db.QueryRowContext(ctx, "select activated_at from policies where digest = $1", digest.String()).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return fromMicros(at), wrap("reading since when a policy is in use", err)
}
