package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"earshot"
)

// Trouble is a recording that something failed on.
type Trouble struct {
	ID      earshot.RecordingID `json:"id"` // without version
	ETag    string              `json:"etag"`
	Code    string              `json:"code"` // what was wrong the last time
	Tries   int                 `json:"tries"`
	FirstAt time.Time           `json:"first_at"`
	LastAt  time.Time           `json:"last_at"`
	NextAt  time.Time           `json:"next_at"` // before that it is not tried again
	// Blocked: it is not tried again until a person says so.
	Blocked bool `json:"blocked"`
}

// waits are how long a recording is left alone after its first failure, its second and so on. When they
// are used up it is blocked.
var waits = [...]time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour}

// Failed notes that something failed on recordings. Only ID, ETag and Code of each are read.
func (d *DB) Failed(ctx context.Context, at time.Time, ts []Trouble) error {
	if len(ts) == 0 {
		return nil
	}
	return wrap("noting what failed", d.tx(ctx, func(tx *sql.Tx) error {
		for _, t := range ts {
			if err := failed(ctx, tx, micros(at), t.ID, t.ETag, t.Code); err != nil {
				return err
			}
		}
		return nil
	}))
}

func failed(ctx context.Context, tx *sql.Tx, at int64, id earshot.RecordingID, etag, code string) error {
	// Another object under the same key is another case.
	if _, err := tx.ExecContext(ctx, "delete from attention where bucket = $1 and key = $2 and etag <> $3", id.Bucket, id.Key, etag); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `insert into attention (bucket, key, etag, code, tries, first_at, last_at, next_at, blocked)
		values ($1, $2, $3, $4, 0, $5, $5, 0, 0) on conflict (bucket, key) do nothing`, id.Bucket, id.Key, etag, code, at); err != nil {
		return err
	}
	var tries int
	if err := tx.QueryRowContext(ctx, "select tries from attention where bucket = $1 and key = $2", id.Bucket, id.Key).Scan(&tries); err != nil {
		return err
	}
	next, blocked := at, 1
	if tries < len(waits) {
		next, blocked = at+waits[tries].Microseconds(), 0
	}
	_, err := tx.ExecContext(ctx, "update attention set code = $1, tries = $2, last_at = $3, next_at = $4, blocked = $5 where bucket = $6 and key = $7",
		code, tries+1, at, next, blocked, id.Bucket, id.Key)
	return err
}

func succeeded(ctx context.Context, tx *sql.Tx, bucket string, keys []string) error {
	for part := range slices.Chunk(keys, listed) {
		in, args := keyList(part, bucket)
		if _, err := tx.ExecContext(ctx, "delete from attention where bucket = $1 and key in "+in, args...); err != nil {
			return err
		}
	}
	return nil
}

// Attention lists up to limit recordings that something failed on and that are still there, in order of
// bucket and key, from the first after (bucket, key).
func (d *DB) Attention(ctx context.Context, bucket, key string, limit int) ([]Trouble, error) {
	rows, err := d.db.QueryContext(ctx, fmt.Sprintf(`select t.bucket, t.key, t.etag, code, tries, first_at, last_at, next_at, blocked from attention t
		join recordings r on r.bucket = t.bucket and r.key = t.key and r.gone_at = 0
		where (t.bucket, t.key) > ($1, $2) order by t.bucket, t.key limit %d`, limit), bucket, key)
	if err != nil {
		return nil, wrap("reading what failed", err)
	}
	defer rows.Close()
	var out []Trouble
	for rows.Next() {
		var t Trouble
		var first, last, next int64
		var blocked int
		if err := rows.Scan(&t.ID.Bucket, &t.ID.Key, &t.ETag, &t.Code, &t.Tries, &first, &last, &next, &blocked); err != nil {
			return nil, wrap("reading what failed", err)
		}
		t.FirstAt, t.LastAt, t.NextAt, t.Blocked = fromMicros(first), fromMicros(last), fromMicros(next), blocked != 0
		out = append(out, t)
	}
	return out, wrap("reading what failed", rows.Err())
}

// Troubled counts the recordings that wait for another try, and those that are blocked.
func (d *DB) Troubled(ctx context.Context) (waiting, blocked int, err error) {
	err = d.db.QueryRowContext(ctx, `select count(*), coalesce(sum(t.blocked), 0) from attention t
		join recordings r on r.bucket = t.bucket and r.key = t.key and r.gone_at = 0`).Scan(&waiting, &blocked)
	return waiting - blocked, blocked, wrap("counting what failed", err)
}

// Retry lets a recording be tried again at once, with all its tries; with an empty key all of the bucket,
// with an empty bucket all. It returns how many those are.
func (d *DB) Retry(ctx context.Context, bucket, key string) (int64, error) {
	res, err := d.db.ExecContext(ctx, "delete from attention where ($1 = '' or bucket = $1) and ($2 = '' or key = $2)", bucket, key)
	if err != nil {
		return 0, wrap("letting recordings be tried again", err)
	}
	return res.RowsAffected()
}
