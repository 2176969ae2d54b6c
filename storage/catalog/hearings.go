package catalog

import (
	"context"
	"database/sql"

	"earshot"
)

// AskToHear puts recordings on the list of those that the plan in the making waits for to be listened to, by
// those who go by the same terms.
func (d *DB) AskToHear(ctx context.Context, terms string, ids []earshot.RecordingID) error {
	return wrap("asking for recordings to be heard", d.tx(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, `insert into hearings (bucket, key, terms, owner, lease_until) values ($1, $2, $3, '', 0)
				on conflict (bucket, key) do nothing`, id.Bucket, id.Key, terms); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TakeToHear gives the owner up to limit recordings of that list that nobody else has, each as the catalog
// knows it. What is gone by now comes off the list.
func (d *DB) TakeToHear(ctx context.Context, terms string, l Lease, limit int) (out []Row, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		out = out[:0]
		if _, err := tx.ExecContext(ctx, `delete from hearings where not exists (select 1 from recordings r
			where r.bucket = hearings.bucket and r.key = hearings.key and r.gone_at = 0)`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `with picked as materialized
			(select bucket, key from hearings where lease_until < $1 and terms = $5 order by bucket, key limit $2`+d.dialect.skipLocked+`)
			update hearings set owner = $3, lease_until = $4 where (bucket, key) in (select bucket, key from picked)`,
			micros(l.Now), limit, l.Owner, micros(l.Until), terms); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "select "+d.dialect.row+` from recordings where gone_at = 0 and (bucket, key) in
			(select bucket, key from hearings where owner = $1 and lease_until = $2) order by bucket, key`, l.Owner, micros(l.Until))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scanRow(rows)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	return out, wrap("taking recordings to hear", err)
}

// Heard writes what was learned of a recording, if it is still the one that was given out to the owner and it
// still has it, and takes it off the list: without anything learned, too, since nobody is to wait for it.
func (d *DB) Heard(ctx context.Context, owner string, was Row, learned *Known) error {
	id := was.Recording.ID
	return wrap("writing what was heard", d.tx(ctx, func(tx *sql.Tx) error {
		if learned != nil {
			r := learned.Recording
			// Who comes too late may know less than was found out and written since.
			if _, err := tx.ExecContext(ctx, `update recordings set facts = $1, subject = $2, device = $3
				where bucket = $4 and key = $5 and etag = $6 and stored_at = $7 and gone_at = 0
				and exists (select 1 from hearings h where h.bucket = recordings.bucket and h.key = recordings.key and h.owner = $8)`,
				facts(*learned), string(r.Subject), r.Device, id.Bucket, id.Key, r.ETag, micros(was.Recording.StoredAt), owner); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "delete from hearings where bucket = $1 and key = $2 and owner = $3", id.Bucket, id.Key, owner)
		return err
	}))
}

// LeaveToHear gives back what the owner was given and did not come to.
func (d *DB) LeaveToHear(ctx context.Context, owner string) error {
	_, err := d.db.ExecContext(ctx, "update hearings set owner = '', lease_until = 0 where owner = $1", owner)
	return wrap("giving back recordings to hear", err)
}

// ToHear counts what is on the list.
func (d *DB) ToHear(ctx context.Context) (n int, err error) {
	err = d.db.QueryRowContext(ctx, "select count(*) from hearings").Scan(&n)
	return n, wrap("counting what is to be heard", err)
}

// StopHearing clears the list: a plan that was cut off is not waited for any more.
func (d *DB) StopHearing(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "delete from hearings")
	return wrap("clearing what is to be heard", err)
}
