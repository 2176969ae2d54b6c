package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"earshot"
)

// Draft begins a run.
func (d *DB) Draft(ctx context.Context, r earshot.Run) error {
	r.State = earshot.RunDraft
	_, err := d.db.ExecContext(ctx, "insert into runs (id, state, created_at, doc) values ($1, $2, $3, $4)", string(r.ID), string(r.State), micros(r.CreatedAt), toJSON(r))
	return wrap("drafting a run", err)
}

// Add adds actions to a draft.
func (d *DB) Add(ctx context.Context, run earshot.RunID, actions []earshot.Action) error {
	return wrap("adding actions", d.tx(ctx, func(tx *sql.Tx) error {
		if _, err := d.expect(ctx, tx, run, earshot.RunDraft); err != nil {
			return err
		}
		for _, a := range actions {
			a.Run, a.State = run, earshot.ActionPlanned
			if _, err := tx.ExecContext(ctx, "insert into actions (run, seq, state, bucket, key, doc) values ($1, $2, $3, $4, $5, $6)",
				string(run), a.Seq, string(a.State), a.Recording.ID.Bucket, a.Recording.ID.Key, toJSON(a)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Move takes a run from one of the states in from to the state that r has, and stores r with the
// entries that say so. A run in another state is [ErrStale].
func (d *DB) Move(ctx context.Context, r earshot.Run, leaves []earshot.Leaf, from ...earshot.RunState) error {
	return wrap("run "+string(r.ID), d.tx(ctx, func(tx *sql.Tx) error {
		if _, err := d.expect(ctx, tx, r.ID, from...); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "update runs set state = $1, doc = $2 where id = $3", string(r.State), toJSON(r), string(r.ID)); err != nil {
			return err
		}
		return put(ctx, tx, leaves)
	}))
}

func (d *DB) expect(ctx context.Context, tx *sql.Tx, run earshot.RunID, states ...earshot.RunState) (earshot.Run, error) {
	var r earshot.Run
	if err := scanDoc(tx.QueryRowContext(ctx, "select doc from runs where id = $1"+d.dialect.forUpdate, string(run)), &r); err != nil {
		return r, err
	}
	for _, s := range states {
		if r.State == s {
			return r, nil
		}
	}
	return r, fmt.Errorf("it is %s: %w", r.State, ErrStale)
}

// Run reads a run.
func (d *DB) Run(ctx context.Context, id earshot.RunID) (earshot.Run, error) {
	var r earshot.Run
	err := d.doc(ctx, &r, "select doc from runs where id = $1", string(id))
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w (earshot show lists the runs)", err)
	}
	return r, wrap("run "+string(id), err)
}

// Runs lists the latest runs, newest first.
func (d *DB) Runs(ctx context.Context, limit int) ([]earshot.Run, error) {
	out, err := docs[earshot.Run](ctx, d.db, "select doc from runs order by created_at desc, id desc limit $1", limit)
	return out, wrap("reading runs", err)
}

// RunsIn lists the runs in a state, oldest first.
func (d *DB) RunsIn(ctx context.Context, state earshot.RunState) ([]earshot.Run, error) {
	out, err := docs[earshot.Run](ctx, d.db, "select doc from runs where state = $1 order by created_at, id", string(state))
	return out, wrap("reading runs", err)
}

// PutApproval stores one person's approval of a sealed run, with its entry. A second one by the
// same person changes nothing.
func (d *DB) PutApproval(ctx context.Context, a earshot.Approval, leaf earshot.Leaf) error {
	return wrap("approving", d.tx(ctx, func(tx *sql.Tx) error {
		r, err := d.expect(ctx, tx, a.Run, earshot.RunSealed, earshot.RunApproved)
		if err != nil {
			return err
		}
		if r.Digest != a.Digest {
			return fmt.Errorf("its digest is %s: %w", r.Digest.Short(), ErrStale)
		}
		res, err := tx.ExecContext(ctx, "insert into approvals (run, by_, doc) values ($1, $2, $3) on conflict (run, by_) do nothing",
			string(a.Run), strings.ToLower(strings.TrimSpace(a.By.Name)), toJSON(a))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return put(ctx, tx, []earshot.Leaf{leaf})
	}))
}

// Approvals lists a run's approvals.
func (d *DB) Approvals(ctx context.Context, run earshot.RunID) ([]earshot.Approval, error) {
	out, err := docs[earshot.Approval](ctx, d.db, "select doc from approvals where run = $1 order by by_", string(run))
	return out, wrap("reading approvals", err)
}

// Actions lists up to limit actions of a run from sequence number `from` on, in order; only those
// in the state, unless it is empty.
func (d *DB) Actions(ctx context.Context, run earshot.RunID, state earshot.ActionState, from, limit int) ([]earshot.Action, error) {
	query, args := "select doc from actions where run = $1 and seq >= $2", []any{string(run), from}
	if state != "" {
		query, args = query+" and state = $3", append(args, string(state))
	}
	out, err := docs[earshot.Action](ctx, d.db, fmt.Sprintf("%s order by seq limit %d", query, limit), args...)
	return out, wrap("reading actions", err)
}

// History lists what runs did to one recording, oldest first.
func (d *DB) History(ctx context.Context, bucket, key string) ([]earshot.Action, error) {
	out, err := docs[earshot.Action](ctx, d.db, "select a.doc from actions a join runs r on r.id = a.run where a.bucket = $1 and a.key = $2 order by r.created_at, a.seq", bucket, key)
	return out, wrap("reading the history of a recording", err)
}

// Acted streams the actions whose outcome has an index of at least `from` in the log, counted over
// all shards, in the order of the log.
func (d *DB) Acted(ctx context.Context, from int64) iter.Seq2[earshot.Action, error] {
	return func(yield func(earshot.Action, error) bool) {
		for {
			rows, err := d.db.QueryContext(ctx, `select a.doc, o.log_index from actions a join entries o on o.entry_id = a.outcome_id
				where o.log_index >= $1 order by o.log_index limit 1000`, from)
			if err != nil {
				yield(earshot.Action{}, wrap("reading what was done", err))
				return
			}
			page, last, err := actedPage(rows)
			if err != nil {
				yield(earshot.Action{}, wrap("reading what was done", err))
				return
			}
			for _, a := range page {
				if !yield(a, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
			from = last + 1
		}
	}
}

func actedPage(rows *sql.Rows) (page []earshot.Action, last int64, err error) {
	defer rows.Close()
	for rows.Next() {
		var doc string
		if err := rows.Scan(&doc, &last); err != nil {
			return nil, 0, err
		}
		var a earshot.Action
		if err := json.Unmarshal([]byte(doc), &a); err != nil {
			return nil, 0, err
		}
		page = append(page, a)
	}
	return page, last, rows.Err()
}

// Unfinished lists the actions of all runs whose intent is written and whose outcome is not.
func (d *DB) Unfinished(ctx context.Context, limit int) ([]earshot.Action, error) {
	out, err := docs[earshot.Action](ctx, d.db, fmt.Sprintf("select doc from actions where state = 'intended' order by run, seq limit %d", limit))
	return out, wrap("reading unfinished actions", err)
}

// Places tells where in the log an action's intent and outcome stand. ok is false while either is
// missing or has no number.
func (d *DB) Places(ctx context.Context, run earshot.RunID, seq int) (intent, outcome int64, ok bool, err error) {
	err = d.db.QueryRowContext(ctx, `select i.log_index, o.log_index from actions a
		join entries i on i.entry_id = a.intent_id join entries o on o.entry_id = a.outcome_id
		where a.run = $1 and a.seq = $2`, string(run), seq).Scan(&intent, &outcome)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, false, nil
	}
	return intent, outcome, err == nil, wrap("finding an action in the log", err)
}
