package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"earshot"
)

// put writes leaves to the outbox, in order; one that is there already is left as it is.
func put(ctx context.Context, tx *sql.Tx, leaves []earshot.Leaf) error {
	leaves = slices.DeleteFunc(slices.Clone(leaves), func(l earshot.Leaf) bool { return l.ID == "" })
	for part := range slices.Chunk(leaves, putAtOnce) {
		together, err := putTogether(ctx, tx, part)
		if err != nil {
			return err
		}
		if together {
			continue
		}
		for _, l := range part {
			if _, err := tx.ExecContext(ctx, `insert into outbox (entry_id, body) select $1, $2
				where not exists (select 1 from entries where entry_id = $3) on conflict (entry_id) do nothing`, l.ID, l.Body, l.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// putAtOnce is how many entries one statement writes; fewer are written one by one, so that there are few texts of
// statements, each of which is parsed once.
const putAtOnce = 20

// putTogether writes entries with one statement, if there are enough of them and none has a number already.
func putTogether(ctx context.Context, tx *sql.Tx, part []earshot.Leaf) (bool, error) {
	if len(part) < putAtOnce {
		return false, nil
	}
	query, ids, args := "insert into outbox (entry_id, body) values ", make([]string, 0, len(part)), make([]any, 0, 2*len(part))
	for i, l := range part {
		if i > 0 {
			query += ", "
		}
		query += fmt.Sprintf("($%d, $%d)", 2*i+1, 2*i+2)
		ids, args = append(ids, l.ID), append(args, l.ID, l.Body)
	}
	in, named := list(ids, 1)
	var numbered int // counted, since for the first of them PostgreSQL would go through the table
	if err := tx.QueryRowContext(ctx, "select count(*) from entries where entry_id in "+in, named...).Scan(&numbered); err != nil || numbered > 0 {
		return false, err
	}
	_, err := tx.ExecContext(ctx, query+" on conflict (entry_id) do nothing", args...)
	return true, err
}

// Say writes entries that go with no other change.
func (d *DB) Say(ctx context.Context, leaves ...earshot.Leaf) error {
	return wrap("writing to the log's outbox", d.tx(ctx, func(tx *sql.Tx) error { return put(ctx, tx, leaves) }))
}

// Head is the catalog as the log sees it: the place where entries get their numbers.
type Head struct{ d *DB }

// Head of the log whose outbox is in this catalog.
func (d *DB) Head() *Head { return &Head{d} }

// Number gives the next indices to entries that wait, in the order in which they were written. They
// move from the outbox to the numbered entries, under a lock on the log's state: of several processes
// one numbers at a time.
func (h *Head) Number(ctx context.Context, limit int) (size int64, err error) {
	// Mostly nothing waits: then no write transaction is begun.
	var waiting bool
	err = h.d.db.QueryRowContext(ctx, "select exists (select 1 from outbox), size from log_state").Scan(&waiting, &size)
	if err != nil || !waiting {
		return size, wrap("numbering", err)
	}
	err = h.d.tx(ctx, func(tx *sql.Tx) error {
		var base int64
		if err := tx.QueryRowContext(ctx, "select size, base from log_state where one = 1"+h.d.dialect.forUpdate).Scan(&size, &base); err != nil {
			return err
		}
		// An entry that was written again while it got its number is there already.
		if _, err := tx.ExecContext(ctx, "delete from outbox where entry_id in (select e.entry_id from entries e join outbox o on o.entry_id = e.entry_id)"); err != nil {
			return err
		}
		// What others commit meanwhile is not to be deleted unnumbered: the rows are named by their number.
		var last sql.NullInt64
		res, err := tx.ExecContext(ctx, `insert into entries (log_index, entry_id, body)
			select $1 + row_number() over (order by seq) - 1, entry_id, body from outbox order by seq limit $2`, base+size, limit)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, "select max(log_index) from entries").Scan(&last); err != nil {
			return err
		}
		if n > 0 && last.Int64 != base+size+n-1 {
			return fmt.Errorf("the last of %d entries got number %d after %d", n, last.Int64, base+size)
		}
		if _, err := tx.ExecContext(ctx, "delete from outbox where entry_id in (select entry_id from entries where log_index >= $1)", base+size); err != nil {
			return err
		}
		size += n
		_, err = tx.ExecContext(ctx, "update log_state set size = $1 where one = 1", size)
		return err
	})
	return size, wrap("numbering", err)
}

// Numbered reads entries by their numbers.
func (h *Head) Numbered(ctx context.Context, from, to int64) ([]earshot.Leaf, error) {
	rows, err := h.d.db.QueryContext(ctx, `select entry_id, body from entries, log_state
		where log_index >= base + $1 and log_index < base + $2 order by log_index`, from, to)
	if err != nil {
		return nil, wrap("reading the outbox", err)
	}
	defer rows.Close()
	var out []earshot.Leaf
	for rows.Next() {
		var l earshot.Leaf
		if err := rows.Scan(&l.ID, &l.Body); err != nil {
			return nil, wrap("reading the outbox", err)
		}
		out = append(out, l)
	}
	return out, wrap("reading the outbox", rows.Err())
}

// Remember stores the root of the tree of a size.
func (h *Head) Remember(ctx context.Context, size int64, root [32]byte) error {
	_, err := h.d.db.ExecContext(ctx, "insert into roots (size, root) values ($1, $2) on conflict (size) do nothing", size, root[:])
	return wrap("storing a root", err)
}

// Root reads the root of the tree of a size.
func (h *Head) Root(ctx context.Context, size int64) (root [32]byte, ok bool, err error) {
	var b []byte
	err = h.d.db.QueryRowContext(ctx, "select root from roots where size = $1", size).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return root, false, nil
	}
	if err == nil && len(b) != len(root) {
		err = fmt.Errorf("a root of %d bytes", len(b))
	}
	copy(root[:], b)
	return root, err == nil, wrap("reading a root", err)
}

// Published is the size of the public tree.
func (h *Head) Published(ctx context.Context) (size int64, err error) {
	err = h.d.db.QueryRowContext(ctx, "select published from log_state where one = 1").Scan(&size)
	return size, wrap("reading the log's state", err)
}

// Waiting counts the entries that wait in the outbox, up to `most`.
func (h *Head) Waiting(ctx context.Context, most int) (n int, err error) {
	err = h.d.db.QueryRowContext(ctx, "select count(*) from (select 1 from outbox limit $1) w", most).Scan(&n)
	return n, wrap("reading the log's outbox", err)
}

// SetPublished raises the size of the public tree.
func (h *Head) SetPublished(ctx context.Context, size int64) error {
	_, err := h.d.db.ExecContext(ctx, "update log_state set published = $1 where one = 1 and published < $1", size)
	return wrap("writing the log's state", err)
}

// Index is the number of an entry in the current shard; ok is false if it has none there.
func (h *Head) Index(ctx context.Context, entryID string) (index int64, ok bool, err error) {
	err = h.d.db.QueryRowContext(ctx, "select log_index - base from entries, log_state where entry_id = $1 and log_index >= base", entryID).Scan(&index)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return index, err == nil, wrap("finding an entry", err)
}

// CountBelow counts those of the entries that have a number below `below` in the current shard.
func (h *Head) CountBelow(ctx context.Context, entryIDs []string, below int64) (n int, err error) {
	for part := range slices.Chunk(entryIDs, inPart) {
		var some int
		in, args := list(part, 2)
		err := h.d.db.QueryRowContext(ctx, `select count(*) from entries, log_state
			where log_index >= base and log_index < base + $1 and entry_id in `+in, append([]any{below}, args...)...).Scan(&some)
		if err != nil {
			return 0, wrap("finding entries", err)
		}
		n += some
	}
	return n, nil
}

// inPart is how many values one list in a statement has.
const inPart = 500

// list writes a list of values for "in", whose placeholders begin with $first.
func list(values []string, first int) (text string, args []any) {
	var b strings.Builder
	for i, v := range values {
		b.WriteString(map[bool]string{true: "(", false: ", "}[i == 0])
		b.WriteString("$" + strconv.Itoa(first+i))
		args = append(args, v)
	}
	return b.String() + ")", args
}

// Has tells whether an entry was ever written here, in whatever shard, numbered or waiting.
func (h *Head) Has(ctx context.Context, entryID string) (has bool, err error) {
	err = h.d.db.QueryRowContext(ctx, `select exists (select 1 from entries where entry_id = $1)
		or exists (select 1 from outbox where entry_id = $1)`, entryID).Scan(&has)
	return has, wrap("finding an entry", err)
}

// Place is the number of an entry, counted over all shards; ok is false if it has none.
func (h *Head) Place(ctx context.Context, entryID string) (index int64, ok bool, err error) {
	err = h.d.db.QueryRowContext(ctx, "select log_index from entries where entry_id = $1", entryID).Scan(&index)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return index, err == nil, wrap("finding an entry", err)
}
