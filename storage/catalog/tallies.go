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
			err = d.condense(ctx, "bucket = $1 and prefix = $2", bucket, prefix)
		}
	case errors.Is(err, errUnderWay): // another time
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
	tallyQuery = "select disposition, rule, cast(sum(n) as bigint), count(*) from tallies where bucket = $1 and prefix = $2 group by disposition, rule"
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
		if added += of; n == 0 {
			continue
		}
		if rule == RuleHold || rule == RuleLock {
			disposition = "held"
		}
		out[disposition] += n
		out["total"] += n
	}
	return added, rows.Err()
}

// A prefix that nobody asked for so long is not counted any more; when that was is written at most so often.
const (
	countedFor = 60 * 24 * time.Hour
	readEach   = 24 * time.Hour
)

// What others were deciding when a prefix came to be counted is waited for, but not for long.
const (
	underWayFor  = 5 * time.Second
	underWayPoll = 50 * time.Millisecond
)

// errUnderWay: somebody still writes who may not know that the prefix is counted.
var errUnderWay = errors.New("others are still writing who began before")

// countAlong makes sure that the database counts along what is decided below a prefix.
func (d *DB) countAlong(ctx context.Context, bucket, prefix string, now time.Time) error {
	for range txTries {
		var known, begun, read int64
		err := d.db.QueryRowContext(ctx, "select known, begun, read_at from tallied where bucket = $1 and prefix = $2", bucket, prefix).Scan(&known, &begun, &read)
		switch {
		case errors.Is(err, sql.ErrNoRows): // whatever is decided from now on is counted
			_, err = d.db.ExecContext(ctx, "insert into tallied (bucket, prefix, until, begun, known, read_at) values ($1, $2, $3, "+d.dialect.transaction+", 0, $4) on conflict do nothing",
				bucket, prefix, prefixEnd(prefix), micros(now))
		case err != nil:
		case known == 0:
			err = d.countBefore(ctx, bucket, prefix, begun)
		case now.Sub(fromMicros(read)) > readEach:
			err = d.tidyTallies(ctx, bucket, prefix, now)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errUnderWay
}

// countBefore adds what was decided before a prefix came to be counted. What other transactions have decided by then and not
// brought to an end would be lost to it: they are waited for, without a lock, since one that waits (a vacuum may hold the table for
// hours) keeps all others waiting.
func (d *DB) countBefore(ctx context.Context, bucket, prefix string, begun int64) error {
	for until := time.Now().Add(underWayFor); d.dialect.over != ""; {
		var over, elsewhere bool
		if err := d.db.QueryRowContext(ctx, d.dialect.over, begun).Scan(&over, &elsewhere); err != nil {
			return err
		}
		if elsewhere { // the catalog was restored to another server
			_, err := d.db.ExecContext(ctx, "delete from tallied where known = 0 and bucket = $1 and prefix = $2 and begun = $3", bucket, prefix, begun)
			return err
		}
		if over {
			break
		}
		if time.Now().After(until) {
			return errUnderWay
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(underWayPoll):
		}
	}
	return d.tx(ctx, func(tx *sql.Tx) error {
		var known int
		err := tx.QueryRowContext(ctx, "select known from tallied where bucket = $1 and prefix = $2"+d.dialect.forUpdate, bucket, prefix).Scan(&known)
		if errors.Is(err, sql.ErrNoRows) || known > 0 { // somebody else was there first
			return nil
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, tallyBase+d.dialect.addUp, bucket, prefix, prefixEnd(prefix))
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "update tallied set known = 1 where bucket = $1 and prefix = $2", bucket, prefix)
		}
		return err
	})
}

// tidyTallies notes that a prefix is asked for, and does what is to be done once a day: prefixes that nobody asks for are not
// counted any more, and what was added up is made one, of those too that are seldom asked for.
func (d *DB) tidyTallies(ctx context.Context, bucket, prefix string, now time.Time) error {
	for _, q := range []struct {
		text string
		args []any
	}{
		{"update tallied set read_at = $1 where bucket = $2 and prefix = $3", []any{micros(now), bucket, prefix}},
		{"delete from tallied where read_at < $1", []any{micros(now.Add(-countedFor))}},
		{"delete from tallies where not exists (select 1 from tallied t where t.bucket = tallies.bucket and t.prefix = tallies.prefix)", nil},
	} {
		if _, err := d.db.ExecContext(ctx, q.text, q.args...); err != nil {
			return err
		}
	}
	if !d.dialect.server {
		return nil
	}
	return d.condense(ctx, "true")
}

// addedMost is how many rows are added up each time before they are made one again; with SQLite they are anyway.
const addedMost = 256

// condense puts the sums in the place of what was added up, of some of the rows.
func (d *DB) condense(ctx context.Context, which string, args ...any) error {
	_, err := d.db.ExecContext(ctx, "with x as (delete from tallies where "+which+` returning bucket, prefix, disposition, rule, n)
		insert into tallies select bucket, prefix, disposition, rule, sum(n) from x group by bucket, prefix, disposition, rule having sum(n) <> 0`, args...)
	if givenUp(err) { // two at once: the other's will do
		return nil
	}
	return err
}
