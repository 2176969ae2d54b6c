package catalog

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"

	"earshot"
)

// Transition is one action on its way to its next state, with what is said of it.
type Transition struct {
	Action earshot.Action // in its new state
	Leaf   earshot.Leaf
	// Effect on the catalog's recording, only with an outcome.
	Effect Effect
}

// Effect is what an outcome changes in the catalog.
type Effect struct {
	Gone  bool
	Known *Known // the recording after a redaction: it is due afresh
}

// Claim writes the intents of a batch (or, for those in state skipped, why not), each only if its action is still
// planned and reserved for the owner: whoever reserved it since may have announced it, and given it back, already. It
// returns those that were claimed: only they may be acted upon, and only once the log has published their intents,
// and only while the lease lasts.
func (d *DB) Claim(ctx context.Context, l Lease, batch []Transition) ([]earshot.Action, error) {
	var claimed []earshot.Action
	err := d.tx(ctx, func(tx *sql.Tx) error {
		claimed = claimed[:0]
		moved, err := d.advance(ctx, tx, claiming, batch, micros(l.Until), l.Owner)
		for _, t := range moved {
			claimed = append(claimed, t.Action)
		}
		return err
	})
	return claimed, wrap("claiming actions", err)
}

// Settle writes outcomes, each only if its action is still intended, with their effects.
func (d *DB) Settle(ctx context.Context, now int64, batch ...Transition) error {
	return wrap("settling actions", d.tx(ctx, func(tx *sql.Tx) error {
		moved, err := d.advance(ctx, tx, settling, batch)
		if err != nil {
			return err
		}
		done, gone := map[string][]string{}, map[string][]string{} // keys by bucket
		for _, t := range moved {
			id := t.Action.Recording.ID
			switch t.Action.State {
			case earshot.ActionFailed:
				err = failed(ctx, tx, now, id, t.Action.Recording.ETag, t.Action.Why)
			case earshot.ActionDone:
				done[id.Bucket] = append(done[id.Bucket], id.Key)
			case earshot.ActionPlanned, earshot.ActionIntended, earshot.ActionSkipped:
			}
			if err != nil {
				return err
			}
			switch k := t.Effect.Known; {
			case t.Effect.Gone:
				gone[id.Bucket] = append(gone[id.Bucket], id.Key)
			case k != nil:
				_, err = tx.ExecContext(ctx, `update recordings set etag = $1, size = $2, stored_at = $3, facts = $4, due_at = $7 where bucket = $5 and key = $6`,
					k.Recording.ETag, k.Recording.Size, micros(k.Recording.StoredAt), facts(*k), id.Bucket, id.Key, atOnce(time.Now()))
			}
			if err != nil {
				return err
			}
		}
		return settleKeys(ctx, tx, now, done, gone)
	}))
}

// settleKeys writes what became of many recordings: those of which something was done, and of them those that went.
func settleKeys(ctx context.Context, tx *sql.Tx, now int64, done, gone map[string][]string) error {
	for _, bucket := range slices.Sorted(maps.Keys(done)) {
		if err := succeeded(ctx, tx, bucket, done[bucket]); err != nil {
			return err
		}
	}
	for _, bucket := range slices.Sorted(maps.Keys(gone)) {
		keys := gone[bucket]
		for _, key := range keys { // one by one: for a list PostgreSQL goes through the bucket where it has not counted yet what is in it
			if _, err := tx.ExecContext(ctx, "update recordings set gone_at = $1, facts = '', disposition = 'deleted', reason = '' where bucket = $2 and key = $3", now, bucket, key); err != nil {
				return err
			}
		}
		if err := dropVoicesOf(ctx, tx, bucket, keys, false); err != nil {
			return err
		}
	}
	return nil
}

// movesAtOnce is how many actions one statement moves on: with a server each is a trip there and back.
const movesAtOnce = 20

// move is what moves actions of a run on: what is set besides, and which actions are in the state for it. next names
// its parameters, which come behind those of the actions.
type move func(next func() string) (set, where string)

func claiming(next func() string) (set, where string) {
	return "intent_id = v.entry, lease_until = " + next(), "actions.state = 'planned' and actions.owner = " + next()
}

func settling(func() string) (set, where string) {
	return "outcome_id = v.entry", "actions.state = 'intended'"
}

// query moves n actions.
func (m move) query(d dialect, n int) string {
	count := 0
	next := func() string {
		count++
		return d.parameter(count)
	}
	var rows []string
	for range n {
		rows = append(rows, "(cast("+next()+" as bigint), "+next()+", "+next()+", "+next()+")")
	}
	set, where := m(next)
	// The bounds are for PostgreSQL, which may join the other way round: then it looks at few actions all the same.
	return "with v(seq, state, doc, entry) as (values " + strings.Join(rows, ", ") + ") update" + d.orFail + " actions set state = v.state, doc = v.doc, " + set +
		" from v where actions.seq = v.seq and " + where +
		" and actions.run = " + next() + " and actions.seq >= " + next() + " and actions.seq <= " + next() + " returning actions.seq"
}

// advance moves those actions of a batch on that are in the state for it, and writes their entries. It returns them,
// in order.
func (d *DB) advance(ctx context.Context, tx *sql.Tx, m move, batch []Transition, more ...any) (moved []Transition, err error) {
	var leaves []earshot.Leaf
	for len(batch) > 0 {
		first, n := batch[0].Action, 1
		for n < len(batch) && n < movesAtOnce && batch[n].Action.Run == first.Run {
			n++
		}
		if n < movesAtOnce { // few texts of statements, so that each is parsed once
			n = 1
		}
		var args []any
		least, most := first.Seq, first.Seq
		for _, t := range batch[:n] {
			a := t.Action
			args = append(args, a.Seq, string(a.State), toJSON(a), t.Leaf.ID)
			least, most = min(least, a.Seq), max(most, a.Seq)
		}
		args = append(append(args, more...), string(first.Run), least, most)
		went, err := movedBy(ctx, tx, m.query(d.dialect, n), args)
		if err != nil {
			return nil, err
		}
		for _, t := range batch[:n] {
			if went[t.Action.Seq] {
				moved, leaves = append(moved, t), append(leaves, t.Leaf)
			}
		}
		batch = batch[n:]
	}
	return moved, put(ctx, tx, leaves)
}

// movedBy runs a statement that moves actions on, and tells which.
func movedBy(ctx context.Context, tx *sql.Tx, query string, args []any) (map[int]bool, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int]bool{}
	for rows.Next() {
		var seq int
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		out[seq] = true
	}
	return out, rows.Err()
}
