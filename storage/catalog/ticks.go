package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// LastRun is when the last scheduled run of a policy that came to its end began, zero if none did.
func (d *DB) LastRun(ctx context.Context, policy string) (time.Time, error) {
	var at int64
	err := d.db.QueryRowContext(ctx, "select last_run from schedules where policy = $1", policy).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return fromMicros(at), wrap("reading the schedule", err)
}

// Ran writes down that the owner's scheduled run of a policy, which began at that time, is over. Where the run has
// gone to another process meanwhile nothing changes.
func (d *DB) Ran(ctx context.Context, policy, owner string, at time.Time) error {
	_, err := d.db.ExecContext(ctx, "update schedules set last_run = $1, lease_until = 0 where policy = $2 and owner = $3", micros(at), policy, owner)
	return wrap("writing the schedule", err)
}

// TakeTick gives the owner the scheduled run that follows the one of the time last. It is false
// where somebody else is at it, or has made it.
func (d *DB) TakeTick(ctx context.Context, policy string, l Lease, last time.Time) (bool, error) {
	res, err := d.db.ExecContext(ctx, `insert into schedules (policy, last_run, owner, lease_until) values ($1, $2, $3, $4)
		on conflict (policy) do update set owner = excluded.owner, lease_until = excluded.lease_until
		where schedules.last_run = $2 and (schedules.lease_until < $5 or schedules.owner = $3)`, policy, micros(last), l.Owner, micros(l.Until), micros(l.Now))
	if err != nil {
		return false, wrap("writing the schedule", err)
	}
	n, err := res.RowsAffected()
	return n > 0, wrap("writing the schedule", err)
}

// FreeTick gives a scheduled run back that was cut off: it is made up for.
func (d *DB) FreeTick(ctx context.Context, policy, owner string) error {
	_, err := d.db.ExecContext(ctx, "update schedules set lease_until = 0 where policy = $1 and owner = $2", policy, owner)
	return wrap("writing the schedule", err)
}
