package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// The rules that the law in the code goes by, as decisions name them.
const (
	RuleHold = "hold"
	RuleLock = "object-lock"
)

// Tally counts the recordings below a prefix by what was decided of them last. What it costs does not hang on how
// many there are, but for those that are not decided yet and for the first time that this prefix is asked for: from
// then on the database counts along.
func (d *DB) Tally(ctx context.Context, bucket, prefix string) (map[string]int, error) {
	out := map[string]int{}
	err := d.countAlong(ctx, bucket, prefix, time.Now())
	var added int
	switch {
	case err == nil:
		if added, err = d.addUp(ctx, out, tallyQuery, bucket, prefix); err == nil && added > addedMost {
			err = d.condense(ctx, bucket, prefix)
		}
	case lockedOut(err): // another time
		_, err = d.addUp(ctx, out, countQuery, bucket, prefix, prefixEnd(prefix))
	}
	if err != nil {
		return nil, wrap("counting recordings", err)
	}
	var undecided int
	if err := d.db.QueryRowContext(ctx, undecidedQuery, bucket, prefix, prefixEnd(prefix)).Scan(&undecided); err != nil {
		return nil, wrap("counting recordings", err)
	}
	if undecided > 0 {
		out[""] = undecided
	}
	out["total"] += undecided
	return out, nil
}

const (
	tallyQuery = "select disposition, rule, cast(sum(n) as bigint), count(*) from tallies where bucket = $1 and prefix = $2 group by disposition, rule having sum(n) <> 0"
	// countQuery goes through the rows.
	countQuery = `select disposition, rule, count(*), 1 from recordings
		where gone_at = 0 and disposition <> '' and bucket = $1 and key >= $2 and ($3 = '' or key < $3) group by disposition, rule`
	// What is not decided is counted on the index of what is due. The key is not compared as it is, or the engine would
	// rather go through the rows themselves in order of key.
	undecidedQuery = `select count(*) from recordings where gone_at = 0 and disposition = '' and bucket = $1 and due_digest = ''
		and key || '' >= $2 and ($3 = '' or key || '' < $3)`
	// tallyBase is what is decided by now, less what was counted along since the prefix is: one statement, so that both
	// are of one moment.
	tallyBase = `insert into tallies select cast($1 as text), cast($2 as text), disposition, rule, sum(n) from (
		select disposition, rule, count(*) as n from recordings
			where gone_at = 0 and disposition <> '' and bucket = $1 and key >= $2 and ($3 = '' or key < $3) group by disposition, rule
		union all select disposition, rule, -n from tallies where bucket = $1 and prefix = $2) x
		group by disposition, rule having sum(n) <> 0`
)

// addUp adds the counts of a query to out, and tells how many rows that took.
func (d *DB) addUp(ctx context.Context, out map[string]int, query string, args ...any) (added int, err error) {
	rows, err := d.db.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var disposition, rule string
		var n, of int
		if err := rows.Scan(&disposition, &rule, &n, &of); err != nil {
			return 0, err
		}
		if rule == RuleHold || rule == RuleLock {
			disposition = "held"
		}
		out[disposition] += n
		out["total"] += n
		added += of
	}
	return added, rows.Err()
}

// A prefix that nobody asked for so long is not counted any more; when that was is written at most so often.
const (
	countedFor = 60 * 24 * time.Hour
	readEach   = 24 * time.Hour
)

// countAlong makes sure that the database counts along what is decided below a prefix.
func (d *DB) countAlong(ctx context.Context, bucket, prefix string, now time.Time) error {
	var known, read int64
	err := d.db.QueryRowContext(ctx, "select known, read_at from tallied where bucket = $1 and prefix = $2", bucket, prefix).Scan(&known, &read)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		if err := d.beginCounting(ctx, bucket, prefix, now); err != nil {
			return err
		}
	}
	if known == 0 {
		return d.tx(ctx, func(tx *sql.Tx) error {
			err := tx.QueryRowContext(ctx, "select known from tallied where bucket = $1 and prefix = $2"+d.dialect.forUpdate, bucket, prefix).Scan(&known)
			if err != nil || known > 0 { // somebody else was there first
				return err
			}
			if _, err := tx.ExecContext(ctx, tallyBase+d.dialect.addUp, bucket, prefix, prefixEnd(prefix)); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "update tallied set known = 1 where bucket = $1 and prefix = $2", bucket, prefix)
			return err
		})
	}
	if now.Sub(fromMicros(read)) > readEach {
		_, err = d.db.ExecContext(ctx, "update tallied set read_at = $1 where bucket = $2 and prefix = $3", micros(now), bucket, prefix)
	}
	return err
}

// beginCounting has whatever is decided from now on counted. What other transactions have already decided by then, and
// not brought to an end, would be lost to it: they are waited for, but not long, since others that write wait meanwhile
// (a vacuum against wraparound holds the table for hours).
func (d *DB) beginCounting(ctx context.Context, bucket, prefix string, now time.Time) error {
	return d.tx(ctx, func(tx *sql.Tx) error {
		if d.dialect.server {
			for _, q := range []string{"set local lock_timeout = '5s'", "lock table recordings in share mode", "set local lock_timeout = 0"} {
				if _, err := tx.ExecContext(ctx, q); err != nil {
					return err
				}
			}
		}
		for _, q := range []struct {
			text string
			args []any
		}{
			{"delete from tallies where exists (select 1 from tallied t where t.bucket = tallies.bucket and t.prefix = tallies.prefix and t.read_at < $1)", []any{micros(now.Add(-countedFor))}},
			{"delete from tallied where read_at < $1", []any{micros(now.Add(-countedFor))}},
			{"insert into tallied (bucket, prefix, until, known, read_at) values ($1, $2, $3, 0, $4) on conflict do nothing", []any{bucket, prefix, prefixEnd(prefix), micros(now)}},
		} {
			if _, err := tx.ExecContext(ctx, q.text, q.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// addedMost is how many rows are added up each time before they are made one again; with SQLite they are anyway.
const addedMost = 256

// condense puts the sums in the place of what was added up.
func (d *DB) condense(ctx context.Context, bucket, prefix string) error {
	_, err := d.db.ExecContext(ctx, `with x as (delete from tallies where bucket = $1 and prefix = $2 returning disposition, rule, n)
		insert into tallies select cast($1 as text), cast($2 as text), disposition, rule, sum(n) from x group by disposition, rule having sum(n) <> 0`, bucket, prefix)
	if givenUp(err) { // two at once: the other's will do
		return nil
	}
	return err
}
