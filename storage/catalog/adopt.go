package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"earshot"
)

// Say writes entries that go with no other change.
func (h *Head) Say(ctx context.Context, leaves ...earshot.Leaf) error { return h.d.Say(ctx, leaves...) }

// Fence is the mark of this catalog's timeline; empty for one that was never restored.
func (h *Head) Fence(ctx context.Context) (fence string, err error) {
	err = h.d.db.QueryRowContext(ctx, "select fence from log_state where one = 1").Scan(&fence)
	return fence, wrap("reading the log's state", err)
}

// Adopt makes the numbers of the outbox those of the published log, in one transaction: after the
// restore of a backup the log is ahead, and it is the log that was promised to the world. Entries
// have the indices 0 to size-1. What has another number here loses it and will get a new one.
func (h *Head) Adopt(ctx context.Context, fence string, size int64, root [32]byte, entries iter.Seq2[earshot.Leaf, error],
	extra func(adopted, renumbered int64) ([]earshot.Leaf, error),
) (adopted, renumbered int64, err error) {
	err = h.d.tx(ctx, func(tx *sql.Tx) error {
		adopted, renumbered = 0, 0
		var base int64
		if err := tx.QueryRowContext(ctx, "select base from log_state where one = 1"+h.d.dialect.forUpdate).Scan(&base); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "update entries set log_index = -1 - log_index where log_index >= $1", base); err != nil {
			return err
		}
		index := base
		for leaf, err := range entries {
			if err != nil {
				return err
			}
			was, err := place(ctx, tx, leaf, index)
			if err != nil {
				return err
			}
			if was == missing {
				adopted++
			} else if was != index && was >= 0 {
				renumbered++
			}
			index++
		}
		if index != base+size {
			return fmt.Errorf("the log gave %d entries of %d", index-base, size)
		}
		n, err := unnumber(ctx, tx, "log_index < $1", 0)
		if err != nil {
			return err
		}
		renumbered += n
		if _, err := tx.ExecContext(ctx, "delete from roots"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "update log_state set size = $1, published = $1, fence = $2 where one = 1", size, fence); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "insert into roots (size, root) values ($1, $2)", size, root[:]); err != nil {
			return err
		}
		leaves, err := extra(adopted, renumbered)
		if err != nil {
			return err
		}
		return put(ctx, tx, leaves)
	})
	return adopted, renumbered, wrap("adopting the published log", err)
}

// What place tells of an entry that had no number.
const (
	missing = -2 // it was not there at all
	waiting = -1 // it was waiting
)

// place gives an entry its index, and the bytes that the log has of it, and returns the index that
// it had.
func place(ctx context.Context, tx *sql.Tx, leaf earshot.Leaf, index int64) (int64, error) {
	var old int64
	err := tx.QueryRowContext(ctx, "select log_index from entries where entry_id = $1", leaf.ID).Scan(&old)
	if err == nil {
		_, err = tx.ExecContext(ctx, "update entries set log_index = $1, body = $2 where entry_id = $3", index, leaf.Body, leaf.ID)
		return -1 - old, err
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	res, err := tx.ExecContext(ctx, "delete from outbox where entry_id = $1", leaf.ID)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "insert into entries (entry_id, body, log_index) values ($1, $2, $3)", leaf.ID, leaf.Body, index)
	if n == 0 {
		return missing, err
	}
	return waiting, err
}

// unnumber takes entries back to the outbox, before all that waits there, in the order in which
// they were numbered (of negative numbers: in which they had been).
func unnumber(ctx context.Context, tx *sql.Tx, where string, arg int64) (int64, error) {
	res, err := tx.ExecContext(ctx, `insert into outbox (seq, entry_id, body)
		select (select coalesce(min(seq), 0) from outbox) - row_number() over (order by abs(log_index) desc), entry_id, body from entries where `+where, arg)
	if err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "delete from entries where "+where, arg); err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
