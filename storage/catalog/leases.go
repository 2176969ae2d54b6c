package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"earshot"
)

// Lease says who works on something and until when nobody else may. Each worker goes by its own
// clock: the clocks of workers must agree to well within a lease.
type Lease struct {
	Owner string
	Now   time.Time // a lease that ended before is nobody's
	Until time.Time
}

// Reserve gives the owner up to limit planned actions of a run that nobody else has, in order, from
// sequence number `from` on. They stay planned: what is reserved has not been announced, and must
// not be done.
func (d *DB) Reserve(ctx context.Context, run earshot.RunID, l Lease, from, limit int) ([]earshot.Action, error) {
	out, err := d.lease(ctx, reserveHead+d.dialect.skipLocked+reserveTail,
		l.Owner, micros(l.Until), string(run), micros(l.Now), from, limit)
	return out, wrap("reserving actions", err)
}

const (
	reserveHead = `with picked as materialized
		(select seq from actions where run = $3 and state = 'planned' and lease_until < $4 and seq >= $5 order by seq limit $6`
	reserveTail = `) update actions set owner = $1, lease_until = $2 where run = $3 and seq in (select seq from picked) returning doc`
)

// TakeOver gives the owner up to limit actions whose intent is out and whose lease has ended: their
// worker is gone, or has lost its way.
func (d *DB) TakeOver(ctx context.Context, l Lease, limit int) ([]earshot.Action, error) {
	out, err := d.lease(ctx, `with picked as materialized
		(select run, seq from actions where state = 'intended' and lease_until < $3 order by run, seq limit $4`+d.dialect.skipLocked+`)
		update actions set owner = $1, lease_until = $2 where (run, seq) in (select run, seq from picked) returning doc`,
		l.Owner, micros(l.Until), micros(l.Now), limit)
	return out, wrap("taking over actions", err)
}

// Reserved are the actions of a run from one sequence number to another, of which a worker has reserved some.
type Reserved struct {
	Run         earshot.RunID
	First, Last int
}

// Renew prolongs the owner's leases: on all actions whose intent is out, and on those that it has reserved, which
// others would take, announce and give back while it still looks at them.
func (d *DB) Renew(ctx context.Context, l Lease, r Reserved) error {
	return wrap("renewing leases", d.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "update actions set lease_until = $1 where state = 'intended' and owner = $2", micros(l.Until), l.Owner)
		if err == nil && r.Run != "" {
			_, err = tx.ExecContext(ctx, "update actions set lease_until = $1 where run = $3 and seq >= $4 and seq <= $5 and state = 'planned' and owner = $2",
				micros(l.Until), l.Owner, string(r.Run), r.First, r.Last)
		}
		return err
	}))
}

// Release gives planned actions back that the owner reserved and did not come to. It looks at no others: of a large
// run most are planned still.
func (d *DB) Release(ctx context.Context, owner string, r Reserved) error {
	_, err := d.db.ExecContext(ctx, "update actions set lease_until = 0 where run = $1 and seq >= $2 and seq <= $3 and state = 'planned' and owner = $4",
		string(r.Run), r.First, r.Last, owner)
	return wrap("giving back actions", err)
}

// EndLeases ends all leases. It is for those who know that nobody else is at work.
func (d *DB) EndLeases(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "update actions set lease_until = 0 where state in ('planned', 'intended') and lease_until > 0")
	return wrap("ending leases", err)
}

// lease runs a statement (which picks its rows in a part of its own: as a subquery PostgreSQL may run
// the picking again and again, limit or not) in a transaction of its own and reads the documents that it returns, in
// order of run and sequence number.
func (d *DB) lease(ctx context.Context, query string, args ...any) ([]earshot.Action, error) {
	var out []earshot.Action
	err := d.tx(ctx, func(tx *sql.Tx) error {
		out = out[:0]
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var doc string
			if err := rows.Scan(&doc); err != nil {
				return err
			}
			var a earshot.Action
			if err := json.Unmarshal([]byte(doc), &a); err != nil {
				return err
			}
			out = append(out, a)
		}
		return rows.Err()
	})
	slices.SortFunc(out, func(a, b earshot.Action) int { // returning keeps no order
		return cmp.Or(strings.Compare(string(a.Run), string(b.Run)), a.Seq-b.Seq)
	})
	return out, err
}

// Progress counts a run's actions by state.
func (d *DB) Progress(ctx context.Context, run earshot.RunID) (map[earshot.ActionState]int, error) {
	rows, err := d.db.QueryContext(ctx, "select state, count(*) from actions where run = $1 group by state", string(run))
	if err != nil {
		return nil, wrap("counting actions", err)
	}
	defer rows.Close()
	out := map[earshot.ActionState]int{}
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return nil, wrap("counting actions", err)
		}
		out[earshot.ActionState(state)] = n
	}
	return out, wrap("counting actions", rows.Err())
}
