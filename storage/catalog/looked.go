package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"earshot"
)

// Look is what a fresh look at some keys of a bucket showed: those of Keys that Recordings lacks were
// not there.
type Look struct {
	Bucket     string
	Keys       []string
	Recordings []earshot.Recording
	Stem       func(key string) string // as in Page
	AsOf       time.Time               // when the store was asked
}

// Looked writes what a look showed, in one transaction. It says nothing of any other key. What the
// catalog learned to have been stored or to be gone since the look is left as it is, so that looks may
// overtake one another; what has an action under way is left to that.
func (d *DB) Looked(ctx context.Context, l Look, now time.Time) (o Observed, err error) {
	err = d.tx(ctx, func(tx *sql.Tx) error {
		o = Observed{}
		known := make(map[string]knownRow, len(l.Keys))
		for part := range slices.Chunk(l.Keys, listed) {
			list, args := keyList(part, l.Bucket)
			rows, err := tx.QueryContext(ctx, knownColumns+" where bucket = $1 and key in "+list, args...)
			if err != nil {
				return err
			}
			some, _, err := readKnown(rows, len(part))
			if err != nil {
				return err
			}
			for key, k := range some {
				known[key] = k
			}
		}
		p := Page{Bucket: l.Bucket, Stem: l.Stem, AsOf: l.AsOf}
		for _, r := range l.Recordings {
			k := known[r.ID.Key]
			if k.gone > micros(l.AsOf) && micros(r.StoredAt) <= k.gone { // it went since
				delete(known, r.ID.Key)
				o.Same++
				continue
			}
			p.Recordings = append(p.Recordings, r)
		}
		return d.compare(ctx, tx, p, known, &o, now)
	})
	if err != nil {
		return Observed{}, fmt.Errorf("writing a look at bucket %q: %w", l.Bucket, err)
	}
	return o, nil
}
