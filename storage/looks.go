package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"earshot"

	"github.com/minio/minio-go/v7"
)

// Newest looks afresh at exactly this key and gives what List would give of it; ok is false where
// there is nothing.
func (b *Bucket) Newest(ctx context.Context, key string) (rec earshot.Recording, ok bool, err error) {
	versions, err := b.Versions(ctx, key)
	if err != nil {
		return rec, false, err
	}
	for _, v := range versions {
		if v.Marker {
			continue
		}
		if strings.HasSuffix(key, "/") && v.Size == 0 {
			return rec, false, nil // a folder marker, as List leaves it out
		}
		v.ID.Version = ""
		return earshot.Recording{ID: v.ID, ETag: v.ETag, Size: v.Size, StoredAt: v.StoredAt}, true, nil
	}
	return rec, false, nil
}

// Folders streams the parts of keys between prefix and the next slash, with the slash: what consoles
// show as folders. A folder in which everything lies behind delete markers may be left out.
func (b *Bucket) Folders(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		noOwner := false
		opts := minio.ListObjectsOptions{Prefix: prefix, FetchOwner: &noOwner}
		inner, stop := context.WithCancel(ctx)
		defer stop()
		for o := range b.core.ListObjectsIter(inner, b.name, opts) {
			if o.Err != nil {
				yield("", fmt.Errorf("listing folders of bucket %q: %w", b.name, classify(o.Err)))
				return
			}
			if strings.HasSuffix(o.Key, "/") && o.Key != prefix && !yield(o.Key, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield("", err)
		}
	}
}

// Listen streams the keys that the store says have come or gone, as it says so: a hint, after which
// one looks. Only MinIO can be asked. The stream ends with ctx, or with an error when it breaks; what
// happens until one listens again is not told.
func (b *Bucket) Listen(ctx context.Context) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		inner, stop := context.WithCancel(ctx)
		defer stop()
		events := []string{"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}
		for said := range b.core.ListenBucketNotification(inner, b.name, "", "", events) {
			if said.Err != nil {
				yield(nil, fmt.Errorf("listening to bucket %q: %w", b.name, classify(said.Err)))
				return
			}
			keys := make([]string, 0, len(said.Records))
			for _, r := range said.Records {
				if key, err := url.QueryUnescape(r.S3.Object.Key); err == nil && r.S3.Bucket.Name == b.name {
					keys = append(keys, key)
				}
			}
			if !yield(keys, nil) {
				return
			}
		}
		err := ctx.Err()
		if err == nil {
			err = errors.New("the store ended the stream")
		}
		yield(nil, fmt.Errorf("listening to bucket %q: %w", b.name, err))
	}
}
