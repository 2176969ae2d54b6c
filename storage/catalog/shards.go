package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"earshot"
)

// Shard is one tree of the log: a year's, say. The last checkpoint of one opens the next.
type Shard struct {
	N          int64     `json:"n"`
	Base       int64     `json:"base"`   // index of its first entry, counted over all shards
	Size       int64     `json:"size"`   // entries; of the current one 0
	Origin     string    `json:"origin"` // empty: the one in the configuration
	Prefix     string    `json:"prefix"`
	Checkpoint []byte    `json:"-"` // the last, as signed; nil of the current one
	ClosedAt   time.Time `json:"closed_at,omitzero"`
}

// Shard is the current shard.
func (d *DB) Shard(ctx context.Context) (Shard, error) {
	var s Shard
	err := d.db.QueryRowContext(ctx, "select shard, base, origin, prefix from log_state where one = 1").Scan(&s.N, &s.Base, &s.Origin, &s.Prefix)
	return s, wrap("reading the log's state", err)
}

// Closed lists the shards that were closed, oldest first.
func (d *DB) Closed(ctx context.Context) ([]Shard, error) {
	rows, err := d.db.QueryContext(ctx, "select n, base, size, origin, prefix, checkpoint, closed_at from log_shards order by n")
	if err != nil {
		return nil, wrap("reading the log's shards", err)
	}
	defer rows.Close()
	var out []Shard
	for rows.Next() {
		var s Shard
		var closed int64
		if err := rows.Scan(&s.N, &s.Base, &s.Size, &s.Origin, &s.Prefix, &s.Checkpoint, &closed); err != nil {
			return nil, wrap("reading the log's shards", err)
		}
		s.ClosedAt = fromMicros(closed)
		out = append(out, s)
	}
	return out, wrap("reading the log's shards", rows.Err())
}

// Roll closes the current shard, of which everything is published, and begins the next, whose first
// entry is genesis. old names the current one's origin and prefix for those that the configuration
// named.
func (d *DB) Roll(ctx context.Context, old Shard, next Shard, genesis earshot.Leaf, now time.Time) error {
	err := d.tx(ctx, func(tx *sql.Tx) error {
		var base, shard, published int64
		if err := tx.QueryRowContext(ctx, "select base, shard, published from log_state where one = 1"+d.dialect.forUpdate).Scan(&base, &shard, &published); err != nil {
			return err
		}
		if shard != old.N || published != old.Size {
			return fmt.Errorf("%w: shard %d of %d entries is the current one", ErrStale, shard, published)
		}
		// What was written behind the last entry goes into the next shard, behind its genesis.
		if _, err := unnumber(ctx, tx, "log_index >= $1", base+published); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "insert into log_shards (n, base, size, origin, prefix, checkpoint, closed_at) values ($1, $2, $3, $4, $5, $6, $7)",
			shard, base, published, old.Origin, old.Prefix, old.Checkpoint, micros(now)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "update log_state set shard = $1, base = $2, size = 1, published = 0, origin = $3, prefix = $4, fence = '' where one = 1",
			shard+1, base+published, next.Origin, next.Prefix); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "delete from roots"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "insert into entries (entry_id, body, log_index) values ($1, $2, $3)", genesis.ID, genesis.Body, base+published)
		return err
	})
	return wrap("closing the log's shard", err)
}
