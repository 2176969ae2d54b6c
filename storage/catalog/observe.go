package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"earshot"
)

// Page is a stretch of a listing: every object of the bucket whose key begins with Prefix and lies
// in (After, Through], in order of key.
type Page struct {
	Bucket, Prefix string
	After, Through string
	Last           bool // the listing ends here: Through stands for the end
	Recordings     []earshot.Recording
	// Stem gives the part of a key that companions are found by; nil where there are none.
	Stem func(key string) string
	// AsOf is when the store was asked, or the moment that an inventory tells of. What the catalog knows
	// to have been stored since is left as it is. Zero: nothing has been stored since.
	AsOf time.Time
	// Lacking, if not nil, says that the page tells of a time long past, such as an inventory: what it
	// lacks is not gone for that, nor what it tells only in part, or otherwise than a later look, taken
	// from it, but named here, to be looked at. What went since AsOf does not come back by it.
	Lacking *[]string
	// Range is the stretch of a scan that the page belongs to, with its lease prolonged.
	Range *Range
	ends  bool // the page reaches the stretch's end: Through is that
}

// Observed counts what a page changed.
type Observed struct {
	New     int `json:"new"`
	Changed int `json:"changed"`
	Gone    int `json:"gone"` // in the catalog, not in the store any more
	Same    int `json:"same"`
}

// Add sums up.
func (o *Observed) Add(p Observed) {
	o.New, o.Changed, o.Gone, o.Same = o.New+p.New, o.Changed+p.Changed, o.Gone+p.Gone, o.Same+p.Same
}

// LastScan is when the bucket below the prefix was last listed to the end; zero if never.
func (d *DB) LastScan(ctx context.Context, bucket, prefix string) (time.Time, error) {
	var done int64
	err := d.db.QueryRowContext(ctx, "select done_at from cursors where bucket = $1 and prefix = $2", bucket, prefix).Scan(&done)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return fromMicros(done), err
}

// Listed is when the last full listing of the bucket below the prefix began: what was stored before is in the
// catalog, unlike what came while it went on. Zero if there was none, or one is under way.
func (d *DB) Listed(ctx context.Context, bucket, prefix string) (time.Time, error) {
	var began int64
	err := d.db.QueryRowContext(ctx, `select started_at from cursors where bucket = $1 and prefix = $2 and done_at > 0
		and not exists (select 1 from scan_ranges s where s.bucket = cursors.bucket and s.prefix = cursors.prefix)`, bucket, prefix).Scan(&began)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return fromMicros(began), wrap("reading when the bucket was listed", err)
}

// Observe writes what a page of a listing changes, and how far its stretch is listed, in one
// transaction. Recordings that the catalog has in the page's range and the page does not are gone.
// Those with an action under way are left to it. end reports whether the stretch is listed to its
// end; one that went to another process is [ErrStale].
func (d *DB) Observe(ctx context.Context, page Page, now time.Time) (o Observed, end bool, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		o = Observed{}
		p := page
		if p.Range != nil {
			if p, err = d.within(ctx, tx, p); err != nil {
				return err
			}
		}
		end = p.Last || p.ends
		if err := d.compareAll(ctx, tx, p, &o, now); err != nil {
			return err
		}
		if p.Range == nil {
			return nil
		}
		return d.advanceRange(ctx, tx, p)
	})
	if err != nil {
		return Observed{}, false, fmt.Errorf("writing a page of bucket %q: %w", page.Bucket, err)
	}
	return o, end, nil
}

// How much of the catalog is held in memory at a time, and how much a page of the past may leave open.
const (
	knownMost   = 10_000
	lackingMost = 1_000_000
)

// compareAll compares a page part by part, since the catalog may have any number of rows in its range.
func (d *DB) compareAll(ctx context.Context, tx *sql.Tx, p Page, o *Observed, now time.Time) error {
	if p.Lacking != nil {
		*p.Lacking = nil
	}
	rest := p.Recordings
	for {
		known, last, err := knownRange(ctx, tx, p)
		if err != nil {
			return err
		}
		more := len(known) == knownMost
		n := len(rest)
		for more && n > 0 && rest[n-1].ID.Key > last {
			n--
		}
		p.Recordings, rest = rest[:n], rest[n:]
		if err := d.compare(ctx, tx, p, known, o, now); err != nil || !more {
			return err
		}
		if p.Lacking != nil && len(*p.Lacking) > lackingMost {
			return fmt.Errorf("it lacks more than %d recordings in a row that the catalog has: list the bucket instead", lackingMost)
		}
		p.After = last
	}
}

// compare writes how the page differs from what the catalog has of its keys.
func (d *DB) compare(ctx context.Context, tx *sql.Tx, p Page, known map[string]knownRow, o *Observed, now time.Time) error {
	asOf := micros(p.AsOf)
	past := p.Lacking != nil
	var fresh []earshot.Recording
	var doubtful []string
	for _, r := range p.Recordings {
		k, ok := known[r.ID.Key]
		delete(known, r.ID.Key)
		there := ok && k.gone == 0
		switch {
		case ok && k.outlasts(asOf):
			o.Same++
		case past && ok && !there && k.gone > asOf && micros(r.StoredAt) <= k.gone: // it went since
			o.Same++
		case past && !told(r):
			if there {
				o.Same++
			} else {
				doubtful = append(doubtful, r.ID.Key)
			}
		case there && k.etag == r.ETag && k.size == r.Size && fromMicros(k.stored).Unix() == r.StoredAt.Unix():
			o.Same++
		case past && there && k.stored > micros(r.StoredAt): // somebody looked later than the report did
			doubtful = append(doubtful, r.ID.Key)
		case there:
			o.Changed++
			fresh = append(fresh, r)
		default:
			o.New++
			fresh = append(fresh, r)
		}
	}
	if err := upsert(ctx, tx, fresh, p.Stem); err != nil {
		return err
	}
	var gone []string
	for key, k := range known {
		if k.gone == 0 && !k.outlasts(asOf) {
			gone = append(gone, key)
		}
	}
	slices.Sort(gone)
	if past {
		*p.Lacking = append(append(*p.Lacking, gone...), doubtful...)
		return nil
	}
	o.Gone += len(gone)
	return markGone(ctx, tx, p.Bucket, gone, now)
}

// told reports whether a page tells all of a recording that a listing would.
func told(r earshot.Recording) bool { return r.ETag != "" && !r.StoredAt.IsZero() && r.Size >= 0 }

// markGone notes that keys of a bucket are no longer in the store.
func markGone(ctx context.Context, tx *sql.Tx, bucket string, keys []string, now time.Time) error {
	for part := range slices.Chunk(keys, listed) {
		list, args := keyList(part, micros(now), bucket)
		if _, err := tx.ExecContext(ctx, "update recordings set gone_at = $1 where bucket = $2 and key in "+list, args...); err != nil {
			return err
		}
	}
	return dropVoicesOf(ctx, tx, bucket, keys, true)
}

// keyList is the text of a list of keys as parameters behind those given, and all of them.
func keyList(keys []string, before ...any) (string, []any) {
	var list strings.Builder
	args := before
	for i, key := range keys {
		sep := ","
		if i == 0 {
			sep = "("
		}
		args = append(args, key)
		fmt.Fprintf(&list, "%s$%d", sep, len(args))
	}
	return list.String() + ")", args
}

type knownRow struct {
	etag         string
	size         int64
	stored, gone int64 // microseconds; stored may be a whole second, since HEAD has no finer ones
	busy         bool
}

// outlasts reports whether the row is left as it is, whatever was seen of the key at that moment: an
// action is under way for it, or it was stored since.
func (k knownRow) outlasts(asOf int64) bool { return k.busy || asOf > 0 && k.stored > asOf }

const knownColumns = `select key, etag, size, stored_at, gone_at,
	exists (select 1 from actions a where a.bucket = r.bucket and a.key = r.key and a.state = 'intended') from recordings r`

// knownRange reads what the catalog has of the page's range, up to so many rows, and the last of their
// keys. A prefix is a range of keys too: [prefix, prefixEnd).
func knownRange(ctx context.Context, tx *sql.Tx, p Page) (known map[string]knownRow, last string, err error) {
	query := knownColumns + " where bucket = $1 and key > $2 and key >= $3"
	args := []any{p.Bucket, p.After, p.Prefix}
	if !p.Last || p.ends {
		query += " and key <= $4"
		args = append(args, p.Through)
	} else if end := prefixEnd(p.Prefix); end != "" {
		query += " and key < $4"
		args = append(args, end)
	}
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("%s order by key limit %d", query, knownMost), args...)
	if err != nil {
		return nil, "", err
	}
	return readKnown(rows, len(p.Recordings))
}

func readKnown(rows *sql.Rows, about int) (known map[string]knownRow, last string, err error) {
	defer rows.Close()
	known = make(map[string]knownRow, about)
	for rows.Next() {
		var k knownRow
		if err := rows.Scan(&last, &k.etag, &k.size, &k.stored, &k.gone, &k.busy); err != nil {
			return nil, "", err
		}
		known[last] = k
	}
	return known, last, rows.Err()
}

// prefixEnd is the least string that is greater than every string with the prefix; empty where
// there is none. It is text again, since PostgreSQL takes nothing else: in UTF-8 the order of bytes is that
// of characters.
func prefixEnd(prefix string) string {
	for prefix != "" {
		last, n := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-n]
		switch {
		case last < 0xd7ff || last >= 0xe000 && last < utf8.MaxRune:
			return prefix + string(last+1)
		case last == 0xd7ff: // surrogates are no characters
			return prefix + string(rune(0xe000))
		}
	}
	return ""
}

// upsertRows is how many recordings one statement carries.
const upsertRows = 30

func upsert(ctx context.Context, tx *sql.Tx, recs []earshot.Recording, stem func(string) string) error {
	if stem == nil {
		stem = func(string) string { return "" }
	}
	args := make([]any, 0, upsertRows*6)
	bind := func(recs []earshot.Recording) []any {
		args = args[:0]
		for _, r := range recs {
			args = append(args, r.ID.Bucket, r.ID.Key, r.ETag, r.Size, micros(r.StoredAt), stem(r.ID.Key))
		}
		return args
	}
	for part := range slices.Chunk(recs, upsertRows) {
		if _, err := tx.ExecContext(ctx, upsertText(len(part)), bind(part)...); err != nil {
			return err
		}
	}
	if len(recs) == 0 {
		return nil
	}
	return dropVoicesOf(ctx, tx, recs[0].ID.Bucket, keysOf(recs), true) // what was heard was of another version
}

// upsertText is the statement for n recordings.
func upsertText(n int) string {
	var q strings.Builder
	q.WriteString("insert into recordings (bucket, key, etag, size, stored_at, stem) values ")
	for i := range n {
		if i > 0 {
			q.WriteByte(',')
		}
		fmt.Fprintf(&q, "($%d,$%d,$%d,$%d,$%d,$%d)", i*6+1, i*6+2, i*6+3, i*6+4, i*6+5, i*6+6)
	}
	q.WriteString(` on conflict (bucket, key) do update set etag = excluded.etag, size = excluded.size,
		stored_at = excluded.stored_at, stem = excluded.stem, subject = '', device = '', facts = '', disposition = '', rule = '', reason = '',
		due_at = 0, due_digest = '', gone_at = 0`)
	return q.String()
}

// listed is how many keys one list in a statement has.
const listed = 200

// Sharing counts the recordings of a bucket that have a stem: more than one means that nobody can
// tell whose a companion found by it is.
func (d *DB) Sharing(ctx context.Context, bucket, stem string) (int, error) {
	var n int
	err := d.db.QueryRowContext(ctx, "select count(*) from recordings where gone_at = 0 and stem <> '' and bucket = $1 and stem = $2", bucket, stem).Scan(&n)
	return n, wrap("looking for recordings that share companions", err)
}
