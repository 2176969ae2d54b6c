package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Foresight is what the policies of one digest say of a recording, and when to look again.
type Foresight struct {
	Known       Known // written back, so that it is not asked for again
	Digest      string
	Disposition string
	Rule        string
	Reason      string
	Due         time.Time // zero: never
	// Was, where not nil, is the row as it was read. One that was made due since (by a request, a hold, a
	// page of a listing) is left alone: it was decided without that.
	Was *Row
	// Same says that nothing more was learned than Was has: only what is decided otherwise is written.
	Same bool
	// Later says that it was not decided yet, since its session is to be heard first: only what was learned
	// is written, and it stays due.
	Later bool
	// Sessions says that Voice is what it tells of its session; nil: nothing.
	Sessions bool
	Voice    *Voice
}

// Foresee writes decisions back. A recording whose ETag is no longer the one that was decided on, or that
// was made due while it was decided, is left alone: it is due anyway. What is written last may be lost with the
// machine's power, and is then decided again; sealing the plan makes it last.
func (d *DB) Foresee(ctx context.Context, fs []Foresight) error {
	if len(fs) == 0 {
		return nil
	}
	err := d.lazily(ctx, func(tx *sql.Tx) error {
		var again []*Foresight
		for i := range fs {
			f := &fs[i]
			r := f.Known.Recording
			var err error
			switch was := f.Was; {
			case f.Later && f.Same:
			case f.Later:
				_, err = tx.ExecContext(ctx, "update recordings set facts = $1, subject = $2, device = $3 where bucket = $4 and key = $5 and etag = $6 and due_at = $7 and stored_at = $8",
					facts(f.Known), string(r.Subject), r.Device, r.ID.Bucket, r.ID.Key, r.ETag, was.rawDue, micros(was.Recording.StoredAt))
			case was == nil:
				_, err = tx.ExecContext(ctx, foreseeLearned,
					facts(f.Known), string(r.Subject), r.Device, f.Disposition, f.Rule, f.Reason, f.due(), mark(f.Digest), r.ID.Bucket, r.ID.Key, r.ETag)
			case !f.Same:
				_, err = tx.ExecContext(ctx, foreseeLearned+" and due_at = $12 and stored_at = $13",
					facts(f.Known), string(r.Subject), r.Device, f.Disposition, f.Rule, f.Reason, f.due(), mark(f.Digest), r.ID.Bucket, r.ID.Key, r.ETag,
					was.rawDue, micros(was.Recording.StoredAt))
			case was.Disposition != f.Disposition || was.Rule != f.Rule:
				_, err = tx.ExecContext(ctx, `update recordings set disposition = $1, rule = $2, reason = $3, due_at = $4, due_digest = $5
					where bucket = $6 and key = $7 and etag = $8 and due_at = $9 and stored_at = $10`,
					f.Disposition, f.Rule, f.Reason, f.due(), mark(f.Digest), r.ID.Bucket, r.ID.Key, r.ETag, was.rawDue, micros(was.Recording.StoredAt))
			default: // after a change of policy that is most of them
				again = append(again, f)
			}
			if err == nil && f.Sessions {
				err = d.putVoice(ctx, tx, f)
			}
			if err != nil {
				return err
			}
		}
		return d.foreseeAgain(ctx, tx, again)
	})
	if err != nil {
		return fmt.Errorf("writing decisions: %w", err)
	}
	return nil
}

const foreseeLearned = `update recordings set facts = $1, subject = $2, device = $3, disposition = $4, rule = $5,
	reason = $6, due_at = $7, due_digest = $8 where bucket = $9 and key = $10 and etag = $11`

func (f *Foresight) due() int64 {
	if f.Due.IsZero() {
		return Never
	}
	return micros(f.Due)
}

// foresights is how many rows one statement of foreseeAgain writes: half of the time would go into
// statements of one row.
const foresights = 20

// foreseeAgain writes when recordings are due of which the same is to become as before. The columns of
// other indices are not named, so that those need not be written.
func (d *DB) foreseeAgain(ctx context.Context, tx *sql.Tx, fs []*Foresight) error {
	for len(fs) > 0 {
		first := fs[0]
		n := 1
		for n < min(len(fs), foresights) && fs[n].Digest == first.Digest {
			n++
		}
		if n < foresights { // few texts of statements, so that each is parsed once
			n = 1
		}
		args := make([]any, 0, 8*n+1)
		for _, f := range fs[:n] {
			r := f.Known.Recording
			args = append(args, r.ID.Bucket, r.ID.Key, r.ETag, f.Reason, f.due(), f.Was.rawDue, micros(f.Was.Recording.StoredAt), f.Was.place)
		}
		args = append(args, mark(first.Digest))
		if _, err := tx.ExecContext(ctx, d.foreseeQuery(n), args...); err != nil {
			return err
		}
		fs = fs[n:]
	}
	return nil
}

// foreseeQuery writes n rows.
func (d *DB) foreseeQuery(n int) string {
	var b strings.Builder
	count := 0
	next := func() string {
		count++
		return d.dialect.parameter(count)
	}
	b.WriteString("with v(bucket, key, etag, reason, due, was, stored, place) as (values ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + next() + ", " + next() + ", " + next() + ", " + next())
		for range 4 {
			b.WriteString(", cast(" + next() + " as bigint)")
		}
		b.WriteString(")")
	}
	b.WriteString(") update" + d.dialect.orFail + ` recordings set reason = v.reason, due_at = v.due, due_digest = ` + next() + ` from v
		where recordings.bucket = v.bucket and recordings.key = v.key and recordings.etag = v.etag
		and recordings.due_at = v.was and recordings.stored_at = v.stored` + d.dialect.atPlace)
	return b.String()
}
