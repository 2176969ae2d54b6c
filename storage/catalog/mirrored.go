package catalog

import (
	"context"
	"time"

	"earshot"
)

// Leased lists the actions whose intent is out and that a worker may be at now.
func (d *DB) Leased(ctx context.Context, now time.Time) ([]earshot.Action, error) {
	out, err := docs[earshot.Action](ctx, d.db, "select doc from actions where state = 'intended' and lease_until >= $1 order by run, seq", micros(now))
	return out, wrap("listing what is worked at", err)
}

// Mirrored lists the versions of a bucket that we put under the store's own legal hold.
func (d *DB) Mirrored(ctx context.Context, bucket string) ([]earshot.RecordingID, error) {
	rows, err := d.db.QueryContext(ctx, "select key, version from mirrored where bucket = $1 order by key, version", bucket)
	if err != nil {
		return nil, wrap("listing mirrored holds", err)
	}
	defer rows.Close()
	var out []earshot.RecordingID
	for rows.Next() {
		id := earshot.RecordingID{Bucket: bucket}
		if err := rows.Scan(&id.Key, &id.Version); err != nil {
			return nil, wrap("listing mirrored holds", err)
		}
		out = append(out, id)
	}
	return out, wrap("listing mirrored holds", rows.Err())
}

// PutMirrored notes that a version is, or is no longer, under the store's legal hold because of us.
func (d *DB) PutMirrored(ctx context.Context, id earshot.RecordingID, on bool, at time.Time) error {
	if !on {
		_, err := d.db.ExecContext(ctx, "delete from mirrored where bucket = $1 and key = $2 and version = $3", id.Bucket, id.Key, id.Version)
		return wrap("forgetting a mirrored hold", err)
	}
	_, err := d.db.ExecContext(ctx, "insert into mirrored (bucket, key, version, at) values ($1, $2, $3, $4) on conflict (bucket, key, version) do nothing",
		id.Bucket, id.Key, id.Version, micros(at))
	return wrap("noting a mirrored hold", err)
}
