package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"earshot"

	"github.com/minio/minio-go/v7"
)

// Version is one entry of a key's history.
type Version struct {
	ID       earshot.RecordingID
	ETag     string
	Size     int64
	StoredAt time.Time
	Latest   bool
	Marker   bool // a delete marker: it hides, it does not erase
}

// Versions lists every version and delete marker of exactly this key, newest first, each once. In
// a bucket that was never versioned it lists the one object, with an empty version.
func (b *Bucket) Versions(ctx context.Context, key string) ([]Version, error) {
	var out []Version
	err := again(ctx, func() error {
		out = out[:0]
		opts := minio.ListObjectsOptions{Prefix: key, Recursive: true, WithVersions: true}
		inner, stop := context.WithCancel(ctx)
		defer stop()
		for o := range b.core.ListObjectsIter(inner, b.name, opts) {
			if o.Err != nil {
				return o.Err
			}
			if o.Key != key {
				break // S3 lists in order of key, so that the exact key comes first
			}
			v := b.version(o)
			// Some stores repeat the last entry of a page.
			if !slices.ContainsFunc(out, func(x Version) bool { return x.ID == v.ID }) {
				out = append(out, v)
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("listing versions: %w", err)
	}
	return out, nil
}

// Destroy removes exactly the given versions and reports one error per id, nil when the store has
// confirmed it. A version that is already gone counts as removed, so Destroy may be repeated after
// a crash. It never writes a delete marker: a marker hides, it does not erase; an id without a
// version in a bucket that keeps versions is therefore refused. A version under object lock is
// left alone and reported as [ErrLocked]; governance is not bypassed.
func (b *Bucket) Destroy(ctx context.Context, ids []earshot.RecordingID) []error {
	errs := make([]error, len(ids))
	for i, id := range ids {
		switch {
		case id.Bucket != b.name:
			errs[i] = fmt.Errorf("destroying a version: it belongs to bucket %q, not %q", id.Bucket, b.name)
		case id.Version == "" && b.versioning != Unversioned:
			errs[i] = errNoVersion
		default:
			errs[i] = b.destroy(ctx, id)
		}
	}
	return errs
}

func (b *Bucket) destroy(ctx context.Context, id earshot.RecordingID) error {
	// The store may answer a DELETE of a locked version with a plain AccessDenied; asking first
	// tells the two apart, and spares the attempt.
	lock, err := b.Lock(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("destroying a version: %w", err)
	}
	if lock.LegalHold || !lock.RetainUntil.IsZero() && lock.RetainUntil.After(time.Now()) {
		return fmt.Errorf("destroying a version: %w", ErrLocked)
	}
	err = again(ctx, func() error {
		return b.core.RemoveObject(ctx, b.name, id.Key, minio.RemoveObjectOptions{VersionID: id.Version})
	})
	if err == nil || errors.Is(err, ErrNotFound) {
		return nil
	}
	// Some stores answer a repeated DELETE with an error of their own making. What counts is
	// whether the version is still there.
	if versions, listErr := b.Versions(ctx, id.Key); listErr == nil &&
		!slices.ContainsFunc(versions, func(v Version) bool { return v.ID == id }) {
		return nil
	}
	return fmt.Errorf("destroying a version: %w", err)
}

// AbortUploads gives up the unfinished multipart uploads of exactly this key, whose parts the
// store keeps and bills though no listing of objects shows them. It returns how many there were.
func (b *Bucket) AbortUploads(ctx context.Context, key string) (int, error) {
	ids, err := b.uploads(ctx, key)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		err := again(ctx, func() error { return b.core.AbortMultipartUpload(ctx, b.name, key, id) })
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, fmt.Errorf("giving up an unfinished upload: %w", err)
		}
	}
	return len(ids), nil
}

func (b *Bucket) uploads(ctx context.Context, key string) ([]string, error) {
	var ids []string
	err := again(ctx, func() error {
		ids = ids[:0]
		var keyMarker, idMarker string
		for {
			page, err := b.core.ListMultipartUploads(ctx, b.name, key, keyMarker, idMarker, "", 1000)
			if err != nil {
				if notSupported(err) {
					return nil
				}
				return err
			}
			for _, u := range page.Uploads {
				if u.Key == key && !slices.Contains(ids, u.UploadID) {
					ids = append(ids, u.UploadID)
				}
			}
			if !page.IsTruncated || page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker {
				return nil
			}
			keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing unfinished uploads: %w", err)
	}
	return ids, nil
}

// Presence is what a fresh look at a key shows. The zero value means that nothing is left.
type Presence struct {
	Versions []Version // data and delete markers, newest first
	Uploads  int       // unfinished multipart uploads
}

// Gone reports whether nothing of the key is left.
func (p Presence) Gone() bool { return len(p.Versions) == 0 && p.Uploads == 0 }

// Present looks afresh at everything that the store has under exactly this key: versions, delete
// markers and unfinished uploads. It is the proof that a destruction happened, and must be asked
// after it.
func (b *Bucket) Present(ctx context.Context, key string) (Presence, error) {
	versions, err := b.Versions(ctx, key)
	if err != nil {
		return Presence{}, err
	}
	ids, err := b.uploads(ctx, key)
	if err != nil {
		return Presence{}, err
	}
	return Presence{Versions: versions, Uploads: len(ids)}, nil
}
