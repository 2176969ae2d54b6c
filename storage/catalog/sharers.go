package catalog

import (
	"context"
	"database/sql"
)

// Beat notes that a process (id) still shares the bounds on what a store is asked for, and gives the beats of all that
// do or did. What it writes may be lost with the machine's power, as the process would be.
func (d *DB) Beat(ctx context.Context, store, id string) (map[string]int64, error) {
	out := map[string]int64{}
	err := d.lazily(ctx, func(tx *sql.Tx) error {
		clear(out)
		_, err := tx.ExecContext(ctx, "insert into sharers (store, id, beats) values ($1, $2, 1) on conflict (store, id) do update set beats = sharers.beats + 1", store, id)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "select id, beats from sharers where store = $1", store)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			var beats int64
			if err := rows.Scan(&id, &beats); err != nil {
				return err
			}
			out[id] = beats
		}
		return rows.Err()
	})
	return out, wrap("sharing the store's pace", err)
}

// Leave takes processes out that do not share the bounds on a store any more.
func (d *DB) Leave(ctx context.Context, store string, ids ...string) error {
	return wrap("leaving the store's pace to others", d.lazily(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, "delete from sharers where store = $1 and id = $2", store, id); err != nil {
				return err
			}
		}
		return nil
	}))
}
