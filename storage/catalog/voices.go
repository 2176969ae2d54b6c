package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"earshot"
)

// A voice is what one recording tells of its session: the recordings of one place that follow one another
// closely. It is made from the recording's facts, goes with them in the same transaction, and whatever comes,
// goes or is judged otherwise stirs those round it, so that a plan finds them.

// Voice is what a recording tells of whether a child speaks in its session.
type Voice struct {
	Key        string
	Place      string // what the recordings of one session share: their device, and whose it is
	CapturedAt time.Time
	Logit      *float64 // of the probability; nil: it was not judged
	Waits      bool     // it was not, and is to be
	Ear        string   // the version that judged, if another one is to judge anew
	// Pooled is the figure of the session that its decision went by: nil where it went by none, below 0
	// where there was none.
	Pooled *float64
	// Changed says that its session is another one since, by more than what was deleted for us.
	Changed bool
	Stirred int64 // times, since it was decided
}

// SessionSide is how many recordings of a session are looked at before one of them, and behind it.
const SessionSide = 32

const voiceColumns = "key, place, captured_at, logit, waits, ear, pooled, changed, stirred"

func scanVoice(s scannable) (v Voice, err error) {
	var at int64
	var waits, changed int
	err = s.Scan(&v.Key, &v.Place, &at, &v.Logit, &waits, &v.Ear, &v.Pooled, &changed, &v.Stirred)
	v.CapturedAt, v.Waits, v.Changed = time.UnixMicro(at).UTC(), waits != 0, changed != 0
	return v, err
}

func voices(ctx context.Context, q querier, query string, args ...any) (out []Voice, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scanVoice(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// Voice reads what is noted of one recording; nil if nothing is.
func (d *DB) Voice(ctx context.Context, bucket, key string) (*Voice, error) {
	out, err := voices(ctx, d.db, "select "+voiceColumns+" from voices where bucket = $1 and key = $2", bucket, key)
	if err != nil || len(out) == 0 {
		return nil, wrap("reading a voice", err)
	}
	return &out[0], nil
}

// 32 is SessionSide.
const (
	sideBefore = " from voices where bucket = $1 and place = $2 and (captured_at, key) < ($3, $4) order by captured_at desc, key desc limit 32"
	sideAfter  = " from voices where bucket = $1 and place = $2 and (captured_at, key) > ($3, $4) order by captured_at, key limit 32"
)

// Session reads the voices of a place round a recording: on either side up to [SessionSide], until one lies
// further than gap from the one before.
func (d *DB) Session(ctx context.Context, bucket, place string, at time.Time, key string, gap time.Duration) (out []Voice, err error) {
	for _, side := range []string{sideBefore, sideAfter} {
		all, err := voices(ctx, d.db, "select "+voiceColumns+side, bucket, place, at.UnixMicro(), key)
		if err != nil {
			return nil, wrap("reading a session", err)
		}
		last := at
		for _, v := range all {
			if v.CapturedAt.Sub(last).Abs() > gap {
				break
			}
			last = v.CapturedAt
			out = append(out, v)
		}
	}
	return out, nil
}

// Stirred lists up to limit voices below a prefix whose session was stirred since they were decided, in order
// of key, from the first key behind `after`.
func (d *DB) Stirred(ctx context.Context, bucket, prefix, after string, limit int) ([]Voice, error) {
	out, err := voices(ctx, d.db, fmt.Sprintf("select "+voiceColumns+` from voices where stirred > 0 and bucket = $1 and key >= $2 and key > $3
		and ($4 = '' or key < $4) order by key limit %d`, limit), bucket, prefix, after, prefixEnd(prefix))
	return out, wrap("reading which sessions were stirred", err)
}

// Calm notes of stirred voices that what was decided stands.
func (d *DB) Calm(ctx context.Context, bucket string, vs []Voice) error {
	if len(vs) == 0 {
		return nil
	}
	return wrap("writing which sessions stand", d.tx(ctx, func(tx *sql.Tx) error {
		for _, v := range vs { // not one that was stirred again
			if _, err := tx.ExecContext(ctx, "update voices set stirred = 0, changed = 0 where bucket = $1 and key = $2 and stirred = $3", bucket, v.Key, v.Stirred); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Ready reads the rows of those of the keys that a plan may decide now: they are there, no action is under
// way, and they are not left alone for having failed.
func (d *DB) Ready(ctx context.Context, bucket string, keys []string, asOf time.Time) (out []Row, err error) {
	for part := range slices.Chunk(keys, inPart) {
		in, args := list(part, 3)
		page, err := d.page(ctx, "select "+d.dialect.row+" from recordings where"+idle+" and key in "+in+" order by key", append([]any{bucket, micros(asOf)}, args...)...)
		if err != nil {
			return nil, wrap("reading recordings", err)
		}
		out = append(out, page...)
	}
	return out, nil
}

// ForgetVoices empties the table, where no policy asks for it any more.
func (d *DB) ForgetVoices(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "delete from voices")
	return wrap("forgetting sessions", err)
}

// PutVoices writes voices of recordings of which nothing else is to be written: one that could not be
// listened to keeps its session from being judged without it.
func (d *DB) PutVoices(ctx context.Context, fs []Foresight) error {
	if len(fs) == 0 {
		return nil
	}
	return wrap("writing voices", d.tx(ctx, func(tx *sql.Tx) error {
		for i := range fs {
			if err := d.putVoice(ctx, tx, &fs[i]); err != nil {
				return err
			}
		}
		return nil
	}))
}

// putVoice writes a foresight's voice, if the recording is still the one that it is of.
func (d *DB) putVoice(ctx context.Context, tx *sql.Tx, f *Foresight) error {
	id := f.Known.Recording.ID
	var one int
	err := tx.QueryRowContext(ctx, "select 1 from recordings where bucket = $1 and key = $2 and etag = $3 and gone_at = 0"+d.dialect.forUpdate, id.Bucket, id.Key, f.Known.Recording.ETag).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	if f.Voice == nil {
		return dropVoices(ctx, tx, id.Bucket, true, "key = $2", id.Key)
	}
	v := *f.Voice
	if v.Waits { // for one that is not tried again until a person says so nobody waits
		var blocked bool
		if err := tx.QueryRowContext(ctx, "select exists (select 1 from attention where bucket = $1 and key = $2 and blocked = 1)", id.Bucket, id.Key).Scan(&blocked); err != nil {
			return err
		}
		v.Waits = !blocked
	}
	was, err := voices(ctx, tx, "select "+voiceColumns+" from voices where bucket = $1 and key = $2"+d.dialect.forUpdate, id.Bucket, id.Key)
	if err != nil {
		return err
	}
	var old Voice
	if len(was) > 0 {
		old = was[0]
	}
	seen := v.Stirred
	v.Key, v.Stirred, v.Changed = id.Key, 0, false
	switch {
	case f.Later:
		v.Stirred, v.Changed = old.Stirred+1, old.Changed
	case v.Pooled != nil && seen != old.Stirred: // again, since its session was read
		v.Stirred, v.Changed = old.Stirred, old.Changed
	}
	_, err = tx.ExecContext(ctx, `insert into voices (bucket, key, place, captured_at, logit, waits, ear, pooled, stirred, changed)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (bucket, key) do update set place = excluded.place,
		captured_at = excluded.captured_at, logit = excluded.logit, waits = excluded.waits, ear = excluded.ear, pooled = excluded.pooled,
		stirred = excluded.stirred, changed = excluded.changed`,
		id.Bucket, v.Key, v.Place, v.CapturedAt.UnixMicro(), v.Logit, bit(v.Waits), v.Ear, v.Pooled, v.Stirred, bit(v.Changed))
	if err != nil || len(was) > 0 && v.says(old) {
		return err
	}
	if len(was) > 0 && old.speaks() && (old.Place != v.Place || !old.CapturedAt.Equal(v.CapturedAt)) {
		if err := stir(ctx, tx, id.Bucket, old, true); err != nil {
			return err
		}
	}
	if v.speaks() || old.speaks() {
		return stir(ctx, tx, id.Bucket, v, true)
	}
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// speaks reports whether a session hangs on it.
func (v Voice) speaks() bool { return v.Logit != nil || v.Waits }

// says reports whether it tells its session the same as another one. The times are in microseconds, as the
// table has them.
func (v Voice) says(o Voice) bool {
	same := v.Logit == nil && o.Logit == nil || v.Logit != nil && o.Logit != nil && *v.Logit == *o.Logit
	return same && v.Waits == o.Waits && v.Ear == o.Ear && v.Place == o.Place && v.CapturedAt.UnixMicro() == o.CapturedAt.UnixMicro()
}

// stir marks those round a voice: how far the session reaches is not known here, and who is no part of it
// finds the same figure.
func stir(ctx context.Context, tx *sql.Tx, bucket string, v Voice, changed bool) error {
	_, err := tx.ExecContext(ctx, `update voices set stirred = stirred + 1, changed = case when changed < $5 then $5 else changed end
		where bucket = $1 and key in (select key from (select key`+sideBefore+`) a union all select key from (select key`+sideAfter+`) b)`,
		bucket, v.Place, v.CapturedAt.UnixMicro(), v.Key, bit(changed))
	return err
}

// dropVoices takes voices of a bucket out of their sessions: where names them, its arguments from $2 on.
// changed is false for recordings that were deleted for us.
func dropVoices(ctx context.Context, tx *sql.Tx, bucket string, changed bool, where string, args ...any) error {
	args = append([]any{bucket}, args...)
	gone, err := voices(ctx, tx, "select "+voiceColumns+" from voices where bucket = $1 and "+where, args...)
	if err != nil || len(gone) == 0 {
		return err
	}
	if _, err := tx.ExecContext(ctx, "delete from voices where bucket = $1 and "+where, args...); err != nil {
		return err
	}
	for _, v := range gone {
		if v.speaks() {
			if err := stir(ctx, tx, bucket, v, changed); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropVoicesOf is dropVoices for many recordings.
func dropVoicesOf(ctx context.Context, tx *sql.Tx, bucket string, keys []string, changed bool) error {
	var some bool // as a rule there are none: a scan should not have to ask for each key
	if err := tx.QueryRowContext(ctx, "select exists (select 1 from voices where bucket = $1)", bucket).Scan(&some); err != nil || !some {
		return err
	}
	for part := range slices.Chunk(keys, listed) {
		in, args := keyList(part, bucket)
		if err := dropVoices(ctx, tx, bucket, changed, "key in "+in, args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// keysOf are the keys of recordings of one bucket.
func keysOf(recs []earshot.Recording) []string {
	out := make([]string, 0, len(recs))
	for _, r := range recs {
		out = append(out, r.ID.Key)
	}
	return out
}
