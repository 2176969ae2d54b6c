package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"earshot"
)

// Scrubbing says how what the catalog still says of an erased person is made to name nobody.
type Scrubbing struct {
	Subject earshot.SubjectID
	// Tag takes the person's place.
	Tag string
	// Key reports whether a key is one of the person's recordings.
	Key func(bucket, key string) bool
	// Action gives an action without whose it was, and false for one that says nothing of the person. It
	// must keep run, sequence number, state and times.
	Action func(earshot.Action) (earshot.Action, bool)
}

// Scrub takes an erased person out of the catalog: rows of recordings that are gone, the person's
// settings, and names and keys in actions, requests and lifted holds. It is [ErrStale] while a recording
// of the person is there, or a run that has one is open. It returns how many rows it changed. The space
// of what was there is given back by [DB.Compact].
func (d *DB) Scrub(ctx context.Context, s Scrubbing) (changed int, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		changed = 0
		var live int
		if err := tx.QueryRowContext(ctx, "select count(*) from recordings where subject = $1 and gone_at = 0", string(s.Subject)).Scan(&live); err != nil {
			return err
		}
		if live > 0 {
			return fmt.Errorf("%d recording(s) of the person are there: %w", live, ErrStale)
		}
		for _, step := range []func(context.Context, *sql.Tx, Scrubbing) (int, error){d.scrubActions, scrubFacts, scrubRequests, scrubHolds, scrubKeys} {
			n, err := step(ctx, tx, s)
			if changed += n; err != nil {
				return err
			}
		}
		for _, q := range []string{"delete from recordings where subject = $1", "delete from subjects where id = $1"} {
			res, err := tx.ExecContext(ctx, q, string(s.Subject))
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if changed += int(n); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, wrap("taking an erased person out of the catalog", err)
}

// mentions is a pattern for documents that hold the subject's id as a JSON text.
func mentions(s earshot.SubjectID) string {
	return "%" + escapeLike(toJSON(string(s))) + "%"
}

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}

func (d *DB) scrubActions(ctx context.Context, tx *sql.Tx, s Scrubbing) (int, error) {
	found, err := docs[earshot.Action](ctx, tx, `select doc from actions a where doc like $1 escape '\'
		or exists (select 1 from recordings r where r.bucket = a.bucket and r.key = a.key and r.subject = $2)`, mentions(s.Subject), string(s.Subject))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, a := range found {
		clean, ok := s.Action(a)
		if !ok {
			continue
		}
		var open int
		err := tx.QueryRowContext(ctx, "select count(*) from runs where id = $1 and state in ('draft', 'sealed', 'approved', 'applying')", string(a.Run)).Scan(&open)
		if err != nil {
			return n, err
		}
		if open > 0 {
			return n, fmt.Errorf("run %s, which is not over, has to do with the person: %w", a.Run, ErrStale)
		}
		_, err = tx.ExecContext(ctx, "update actions set bucket = $1, key = $2, doc = $3 where run = $4 and seq = $5",
			clean.Recording.ID.Bucket, clean.Recording.ID.Key, toJSON(clean), string(a.Run), a.Seq)
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// scrubFacts forgets what looks into event logs said of the person; they are looked into again.
func scrubFacts(ctx context.Context, tx *sql.Tx, s Scrubbing) (int, error) {
	rows, err := tx.QueryContext(ctx, `select bucket, key, facts from recordings where subject <> $2 and facts like $1 escape '\'`, mentions(s.Subject), string(s.Subject))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	type row struct{ bucket, key, facts string }
	var all []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.bucket, &r.key, &r.facts); err != nil {
			return 0, err
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	n := 0
	for _, r := range all {
		var k Known
		if err := json.Unmarshal([]byte(r.facts), &k); err != nil {
			return n, err
		}
		if k.Rows == nil {
			continue
		}
		k.Rows = nil
		if _, err := tx.ExecContext(ctx, "update recordings set facts = $1, due_at = 0 where bucket = $2 and key = $3", facts(k), r.bucket, r.key); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func scrubRequests(ctx context.Context, tx *sql.Tx, s Scrubbing) (int, error) {
	found, err := docs[earshot.Request](ctx, tx, "select doc from requests where subject = $1", string(s.Subject))
	if err != nil {
		return 0, err
	}
	for _, q := range found {
		if q.ClosedAt.IsZero() {
			return 0, fmt.Errorf("request %s is open: %w", q.ID, ErrStale)
		}
		q.Subject, q.Identity = "", ""
		if _, err := tx.ExecContext(ctx, "update requests set subject = $1, doc = $2 where id = $3", "erased:"+s.Tag, toJSON(q), q.ID); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}

func scrubHolds(ctx context.Context, tx *sql.Tx, s Scrubbing) (int, error) {
	found, err := docs[earshot.Hold](ctx, tx, "select doc from holds")
	if err != nil {
		return 0, err
	}
	n := 0
	for _, h := range found {
		about := func(key string) bool { return s.Key(h.Bucket, key) }
		named := h.Subject == s.Subject
		if !named && !slices.ContainsFunc(h.Keys, about) && !strings.Contains(h.Prefix, string(s.Subject)) {
			continue
		}
		if h.LiftedAt.IsZero() && named {
			return n, fmt.Errorf("hold %s stands: %w", h.ID, ErrStale)
		}
		if h.LiftedAt.IsZero() {
			continue // what else it covers must stay covered
		}
		hidden := "erased:" + s.Tag
		if named {
			h.Subject = earshot.SubjectID(hidden)
		}
		for i, key := range h.Keys {
			if about(key) {
				h.Keys[i] = hidden
			}
		}
		if strings.Contains(h.Prefix, string(s.Subject)) {
			h.Prefix = hidden
		}
		if _, err := tx.ExecContext(ctx, "update holds set doc = $1 where id = $2", toJSON(h), h.ID); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// scrubKeys deletes rows of what is gone whose key names the person, though nobody had looked at it.
func scrubKeys(ctx context.Context, tx *sql.Tx, s Scrubbing) (int, error) {
	rows, err := tx.QueryContext(ctx, `select bucket, key from recordings where gone_at > 0 and key like $1 escape '\'`, "%"+escapeLike(string(s.Subject))+"%")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var all [][2]string
	for rows.Next() {
		var r [2]string
		if err := rows.Scan(&r[0], &r[1]); err != nil {
			return 0, err
		}
		if s.Key(r[0], r[1]) {
			all = append(all, r)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	for _, r := range all {
		if _, err := tx.ExecContext(ctx, "delete from recordings where bucket = $1 and key = $2", r[0], r[1]); err != nil {
			return 0, err
		}
	}
	for _, table := range []string{"attention", "hearings", "voices"} { // what is not there any more cannot fail, nor be heard, nor speak
		if _, err := tx.ExecContext(ctx, "delete from "+table+" where not exists (select 1 from recordings r where r.bucket = "+table+".bucket and r.key = "+table+".key and r.gone_at = 0)"); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

// Compact writes the catalog anew without the space of what was deleted, so that nothing of it is left
// in the file. With PostgreSQL that is the server's business (vacuum full, and the archive of its log).
func (d *DB) Compact(ctx context.Context) error {
	if d.dialect.server {
		return nil
	}
	for _, q := range []string{"vacuum", "pragma wal_checkpoint(truncate)"} {
		if _, err := d.db.ExecContext(ctx, q); err != nil {
			return wrap("compacting the catalog", err)
		}
	}
	return nil
}

// Owners gives the recordings of a bucket that have a stem and are not gone.
func (d *DB) Owners(ctx context.Context, bucket, stem string) ([]Row, error) {
	out, err := d.page(ctx, "select "+d.dialect.row+" from recordings where gone_at = 0 and stem <> '' and bucket = $1 and stem = $2 order by key", bucket, stem)
	return out, wrap("looking for a companion's recording", err)
}

// TouchBesides makes the rows due that `besides` names for recordings which went at or after `since`, and
// returns the time of the last of those.
func (d *DB) TouchBesides(ctx context.Context, since time.Time, besides func(bucket, key string) []string) (last time.Time, err error) {
	rows, err := d.page(ctx, "select "+d.dialect.row+" from recordings where gone_at > 0 and gone_at >= $1 order by gone_at", micros(since))
	if err != nil {
		return since, wrap("looking for what went", err)
	}
	last = since
	err = d.tx(ctx, func(tx *sql.Tx) error {
		for _, r := range rows {
			for _, key := range besides(r.Recording.ID.Bucket, r.Recording.ID.Key) {
				if err := touch(ctx, tx, "bucket = $1 and key = $2", r.Recording.ID.Bucket, key); err != nil {
					return err
				}
			}
			if r.GoneAt.After(last) {
				last = r.GoneAt
			}
		}
		return nil
	})
	return last, wrap("making what may be orphaned due", err)
}

// WentWith notes that objects went with another one: they are gone, without an action of their own.
func (d *DB) WentWith(ctx context.Context, ids []earshot.RecordingID, at time.Time) error {
	return wrap("noting what went with a recording", d.tx(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, "update recordings set gone_at = $1 where gone_at = 0 and bucket = $2 and key = $3", micros(at), id.Bucket, id.Key); err != nil {
				return err
			}
			if err := dropVoices(ctx, tx, id.Bucket, true, "key = $2", id.Key); err != nil {
				return err
			}
		}
		return nil
	}))
}
