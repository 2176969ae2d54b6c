package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"earshot"
)

// FileErasure stores a request for erasure together with the pseudonym by which what arrives late will
// be known, and makes the subject's recordings due.
func (d *DB) FileErasure(ctx context.Context, r earshot.Request, tag string, leaves ...earshot.Leaf) error {
	return wrap("storing a request for erasure", d.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into requests (id, subject, closed, doc) values ($1, $2, $3, $4)
			on conflict (id) do update set closed = excluded.closed, doc = excluded.doc`, r.ID, string(r.Subject), micros(r.ClosedAt), toJSON(r))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "insert into tombstones (tag, at) values ($1, $2) on conflict (tag) do update set at = excluded.at", tag, micros(r.MadeAt))
		if err != nil {
			return err
		}
		if err := touch(ctx, tx, "subject = $1", string(r.Subject)); err != nil {
			return err
		}
		return put(ctx, tx, leaves)
	}))
}

// ErasedAt tells when the person of this pseudonym asked for erasure; zero if never.
func (d *DB) ErasedAt(ctx context.Context, tag string) (time.Time, error) {
	all, err := d.Erased(ctx, []string{tag})
	return all[tag], err
}

// Erased tells when the persons of these pseudonyms asked for erasure; those who never did are left out.
func (d *DB) Erased(ctx context.Context, tags []string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for part := range slices.Chunk(tags, inPart) {
		in, args := list(part, 1)
		if err := d.erased(ctx, out, in, args...); err != nil {
			return nil, wrap("reading who was erased", err)
		}
	}
	return out, nil
}

func (d *DB) erased(ctx context.Context, into map[string]time.Time, in string, args ...any) error {
	rows, err := d.db.QueryContext(ctx, "select tag, at from tombstones where tag in "+in, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var tag string
		var at int64
		if err := rows.Scan(&tag, &at); err != nil {
			return err
		}
		into[tag] = fromMicros(at)
	}
	return rows.Err()
}

// Readmit forgets that the person of this pseudonym was erased, and makes what is known of them due.
func (d *DB) Readmit(ctx context.Context, tag string, subject earshot.SubjectID, leaves ...earshot.Leaf) (was bool, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "delete from tombstones where tag = $1", tag)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if was = n > 0; err != nil || !was {
			return err
		}
		if err := touch(ctx, tx, "subject = $1", string(subject)); err != nil {
			return err
		}
		return put(ctx, tx, leaves)
	})
	return was, wrap("readmitting a person", err)
}

// Erasures tells whose requests for erasure are open, and how many pseudonyms of erased people there
// are, with the time of the last.
func (d *DB) Erasures(ctx context.Context) (e Erasures, err error) {
	all, err := d.AllRequests(ctx, false)
	if err != nil {
		return e, err
	}
	for _, q := range all {
		switch q.Kind {
		case earshot.RequestErasure:
			e.Open = append(e.Open, q.Subject)
		case earshot.RequestRestriction:
			e.Restricted = append(e.Restricted, q.Subject)
		case earshot.RequestAccess:
		}
	}
	var at sql.NullInt64
	err = d.db.QueryRowContext(ctx, "select count(*), max(at) from tombstones").Scan(&e.Tombstones, &at)
	e.Last = fromMicros(at.Int64)
	return e, wrap("reading who was erased", err)
}

// Erasures is whose data goes, or stays, because they asked.
type Erasures struct {
	Open       []earshot.SubjectID // requests for erasure
	Restricted []earshot.SubjectID // requests for restriction
	Tombstones int                 // pseudonyms of people who were erased
	Last       time.Time           // when the last of them asked
}

// AllRequests lists the open requests of all subjects, or all that are kept.
func (d *DB) AllRequests(ctx context.Context, closed bool) ([]earshot.Request, error) {
	query := "select doc from requests where closed = 0 order by id"
	if closed {
		query = "select doc from requests order by id"
	}
	out, err := docs[earshot.Request](ctx, d.db, query)
	return out, wrap("reading requests", err)
}

// Mark reads what was last noted under a name; empty if nothing was.
func (d *DB) Mark(ctx context.Context, name string) (string, error) {
	var value string
	err := d.db.QueryRowContext(ctx, "select value from marks where name = $1", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, wrap("reading a mark", err)
}

// SetMark notes a value under a name.
func (d *DB) SetMark(ctx context.Context, name, value string) error {
	_, err := d.db.ExecContext(ctx, "insert into marks (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value", name, value)
	return wrap("writing a mark", err)
}

// Touch makes recordings due at once.
func (d *DB) Touch(ctx context.Context, ids []earshot.RecordingID) error {
	if len(ids) == 0 {
		return nil
	}
	return wrap("making recordings due", d.tx(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			if err := touch(ctx, tx, "bucket = $1 and key = $2", id.Bucket, id.Key); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TouchBelow makes everything below a prefix due at once.
func (d *DB) TouchBelow(ctx context.Context, bucket, prefix string) error {
	return wrap("making a prefix due", d.tx(ctx, func(tx *sql.Tx) error {
		where, args := "bucket = $1 and key >= $2", []any{bucket, prefix}
		if end := prefixEnd(prefix); end != "" {
			where, args = fmt.Sprintf("%s and key < $%d", where, len(args)+1), append(args, end)
		}
		return touch(ctx, tx, where, args...)
	}))
}
