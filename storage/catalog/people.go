package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"earshot"
)

// PutSubject stores what is known of a data subject; the subject's recordings become due at once,
// since a consent or a choice may have changed.
func (d *DB) PutSubject(ctx context.Context, s earshot.Subject, leaves ...earshot.Leaf) error {
	return wrap("storing a data subject", d.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into subjects (id, doc) values ($1, $2)
			on conflict (id) do update set doc = excluded.doc where subjects.doc <> excluded.doc`, string(s.ID), toJSON(s))
		if err != nil {
			return err
		}
		if err := touch(ctx, tx, "subject = $1", string(s.ID)); err != nil {
			return err
		}
		return put(ctx, tx, leaves)
	}))
}

// Subject reads a data subject, nil if the catalog has none of that id.
func (d *DB) Subject(ctx context.Context, id earshot.SubjectID) (*earshot.Subject, error) {
	var s earshot.Subject
	err := d.doc(ctx, &s, "select doc from subjects where id = $1", string(id))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return &s, wrap("reading a data subject", err)
}

// Person is what decisions about a data subject's recordings hang on.
type Person struct {
	Subject  *earshot.Subject  // nil where nothing is known
	Requests []earshot.Request // that are open
}

// Persons reads what is known of several data subjects, each of whom has a place in the answer.
func (d *DB) Persons(ctx context.Context, ids []earshot.SubjectID) (map[earshot.SubjectID]Person, error) {
	out := map[earshot.SubjectID]Person{}
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		if _, ok := out[id]; !ok {
			out[id], texts = Person{}, append(texts, string(id))
		}
	}
	for part := range slices.Chunk(texts, inPart) {
		in, args := list(part, 1)
		subjects, err := docs[earshot.Subject](ctx, d.db, "select doc from subjects where id in "+in, args...)
		if err != nil {
			return nil, wrap("reading data subjects", err)
		}
		for _, s := range subjects {
			p := out[s.ID]
			p.Subject = &s // not in one assignment with the next: that would store p as it was before
			out[s.ID] = p
		}
		requests, err := docs[earshot.Request](ctx, d.db, "select doc from requests where closed = 0 and subject in "+in+" order by id", args...)
		if err != nil {
			return nil, wrap("reading requests", err)
		}
		for _, q := range requests {
			p := out[q.Subject]
			p.Requests = append(p.Requests, q)
			out[q.Subject] = p
		}
	}
	return out, nil
}

// SubjectIDs lists the pseudonyms of everybody that anything is known of.
func (d *DB) SubjectIDs(ctx context.Context) ([]earshot.SubjectID, error) {
	rows, err := d.db.QueryContext(ctx, "select id from subjects union select subject from recordings where subject <> '' union select subject from requests order by 1")
	if err != nil {
		return nil, wrap("listing data subjects", err)
	}
	defer rows.Close()
	var out []earshot.SubjectID
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, wrap("listing data subjects", err)
		}
		out = append(out, earshot.SubjectID(id))
	}
	return out, wrap("listing data subjects", rows.Err())
}

// PlaceHold stores a hold; what it covers becomes due at once, so that its decision is told anew.
func (d *DB) PlaceHold(ctx context.Context, h earshot.Hold, leaves ...earshot.Leaf) error {
	return wrap("placing the hold", d.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "insert into holds (id, doc) values ($1, $2)", h.ID, toJSON(h)); err != nil {
			return err
		}
		if err := touchHold(ctx, tx, h); err != nil {
			return err
		}
		return put(ctx, tx, leaves)
	}))
}

// LiftHold ends a hold that stands. Lifting it twice is [ErrStale].
func (d *DB) LiftHold(ctx context.Context, id, by string, at time.Time, leaves ...earshot.Leaf) (earshot.Hold, error) {
	var h earshot.Hold
	err := d.tx(ctx, func(tx *sql.Tx) error {
		if err := scanDoc(tx.QueryRowContext(ctx, "select doc from holds where id = $1"+d.dialect.forUpdate, id), &h); err != nil {
			return err
		}
		if !h.LiftedAt.IsZero() {
			return fmt.Errorf("hold %s was lifted on %s: %w", id, h.LiftedAt.Format(time.RFC3339), ErrStale)
		}
		h.LiftedAt, h.LiftedBy = at.UTC(), by
		if _, err := tx.ExecContext(ctx, "update holds set lifted = $1, doc = $2 where id = $3", micros(at), toJSON(h), id); err != nil {
			return err
		}
		if err := touchHold(ctx, tx, h); err != nil {
			return err
		}
		return put(ctx, tx, leaves)
	})
	return h, wrap("lifting the hold "+id, err)
}

// Holds lists the holds that stand, or all that ever were.
func (d *DB) Holds(ctx context.Context, lifted bool) ([]earshot.Hold, error) {
	query := "select doc from holds order by id"
	if !lifted {
		query = "select doc from holds where lifted = 0 order by id"
	}
	out, err := docs[earshot.Hold](ctx, d.db, query)
	return out, wrap("reading holds", err)
}

// PutRequest stores a data subject's request, open or closed, and makes the subject's recordings
// due.
func (d *DB) PutRequest(ctx context.Context, r earshot.Request, leaves ...earshot.Leaf) error {
	return wrap("storing a request", d.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into requests (id, subject, closed, doc) values ($1, $2, $3, $4)
			on conflict (id) do update set closed = excluded.closed, doc = excluded.doc`, r.ID, string(r.Subject), micros(r.ClosedAt), toJSON(r))
		if err != nil {
			return err
		}
		if err := touch(ctx, tx, "subject = $1", string(r.Subject)); err != nil {
			return err
		}
		return put(ctx, tx, leaves)
	}))
}

// Request reads one request, open or closed.
func (d *DB) Request(ctx context.Context, id string) (earshot.Request, error) {
	found, err := docs[earshot.Request](ctx, d.db, "select doc from requests where id = $1", id)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("request %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return earshot.Request{}, wrap("reading a request", err)
	}
	return found[0], nil
}

// OpenRequests lists the requests of a subject that are not closed.
func (d *DB) OpenRequests(ctx context.Context, subject earshot.SubjectID) ([]earshot.Request, error) {
	out, err := docs[earshot.Request](ctx, d.db, "select doc from requests where subject = $1 and closed = 0 order by id", string(subject))
	return out, wrap("reading requests", err)
}

// Activated reports since when the catalog knows a policy of this digest, or writes down that it is
// in use from now on, with the entry that says so.
func (d *DB) Activated(ctx context.Context, name string, digest earshot.Digest, now time.Time, leaf earshot.Leaf) (fresh bool, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "insert into policies (digest, name, activated_at) values ($1, $2, $3) on conflict (digest) do nothing",
			digest.String(), name, micros(now))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if fresh = n > 0; err != nil || !fresh {
			return err
		}
		return put(ctx, tx, []earshot.Leaf{leaf})
	})
	return fresh, wrap("activating a policy", err)
}

// touch makes recordings due at once.
func touch(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	// Who is touched again has waited since the first time. That it was is seen by a microsecond: what is
	// decided meanwhile is decided without it.
	set := fmt.Sprintf("update recordings set due_at = case when due_at < 0 then due_at + 1 else %d end where gone_at = 0 and ", atOnce(time.Now()))
	_, err := tx.ExecContext(ctx, set+where, args...)
	return err
}

// atOnce is a date that has come whatever the time is, and tells since when: a recording that became due
// a moment ago is not overdue yet.
func atOnce(since time.Time) int64 { return -micros(since) }

func touchHold(ctx context.Context, tx *sql.Tx, h earshot.Hold) error {
	where, args := "1 = 1", []any{}
	add := func(cond string, v any) {
		args = append(args, v)
		where += fmt.Sprintf(" and "+cond, len(args))
	}
	if h.Bucket != "" {
		add("bucket = $%d", h.Bucket)
	}
	if h.Prefix != "" {
		add("key >= $%d", h.Prefix)
		if end := prefixEnd(h.Prefix); end != "" {
			add("key < $%d", end)
		}
	}
	if len(h.Keys) > 0 {
		in := make([]string, len(h.Keys))
		for i, key := range h.Keys {
			args = append(args, key)
			in[i] = fmt.Sprintf("$%d", len(args))
		}
		where += " and key in (" + strings.Join(in, ", ") + ")"
	}
	if h.Subject != "" {
		add("subject = $%d", string(h.Subject))
	}
	if h.Device != "" {
		add("device = $%d", h.Device)
	}
	return touch(ctx, tx, where, args...)
}

func (d *DB) doc(ctx context.Context, to any, query string, args ...any) error {
	return scanDoc(d.db.QueryRowContext(ctx, query, args...), to)
}

func scanDoc(row *sql.Row, to any) error {
	var text string
	if err := row.Scan(&text); errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	} else if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), to)
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func docs[T any](ctx context.Context, q querier, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		var v T
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Of lists the recordings of a data subject that are not gone, in order.
func (d *DB) Of(ctx context.Context, subject earshot.SubjectID) ([]Row, error) {
	out, err := d.page(ctx, "select "+d.dialect.row+" from recordings where gone_at = 0 and subject <> '' and subject = $1 order by bucket, key", string(subject))
	return out, wrap("listing a data subject's recordings", err)
}

// Undecided counts recordings that no plan has looked at yet, so that nobody knows whose they are.
func (d *DB) Undecided(ctx context.Context) (n int, err error) {
	err = d.db.QueryRowContext(ctx, "select count(*) from recordings where gone_at = 0 and due_digest = ''").Scan(&n)
	return n, wrap("counting recordings that were not looked at", err)
}

// Overdue counts what should have happened by now: requests whose answer is late, and recordings whose
// date came before `due` and that no plan has looked at since.
func (d *DB) Overdue(ctx context.Context, now, due time.Time) (requests, recordings int, err error) {
	open, err := docs[earshot.Request](ctx, d.db, "select doc from requests where closed = 0")
	if err != nil {
		return 0, 0, wrap("counting what is overdue", err)
	}
	for _, q := range open {
		if !q.DueAt.IsZero() && q.DueAt.Before(now) {
			requests++
		}
	}
	err = d.db.QueryRowContext(ctx, "select count(*) from recordings where gone_at = 0 and due_digest <> '' and (due_at >= 0 and due_at < $1 or due_at < 0 and -due_at < $1)", micros(due)).Scan(&recordings)
	return requests, recordings, wrap("counting what is overdue", err)
}
