package storage

import (
	"context"
	"fmt"
	"iter"
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
// show as folders, from the one on that the key `after` lies in. A folder in which everything lies behind
// delete markers may be left out. With most > 0 it ends after that many entries, among which are objects
// that lie between the folders. Names that are no text are left out.
func (b *Bucket) Folders(ctx context.Context, prefix, after string, most int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		noOwner := false
		opts := minio.ListObjectsOptions{Prefix: prefix, StartAfter: after, FetchOwner: &noOwner}
		inner, stop := context.WithCancel(ctx)
		defer stop()
		seen := 0
		for o := range b.core.ListObjectsIter(inner, b.name, opts) {
			if o.Err != nil {
				yield("", fmt.Errorf("listing folders of bucket %q: %w", b.name, classify(o.Err)))
				return
			}
			folder := strings.HasSuffix(o.Key, "/") && o.Key != prefix
			switch {
			case folder && !IsText(o.Key):
				b.odd.Add(1)
			case folder && !yield(o.Key, nil):
				return
			}
			if seen++; seen == most {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield("", err)
		}
	}
}

// Beyond gives the n-th key (at most 1,000) below the prefix that sorts behind `after`, whatever is
// stored under it; empty where there are not that many. It is one request.
func (b *Bucket) Beyond(ctx context.Context, prefix, after string, n int) (string, error) {
	noOwner := false
	opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, StartAfter: after, FetchOwner: &noOwner, MaxKeys: n}
	seen := 0
	for o := range b.core.ListObjectsIter(ctx, b.name, opts) {
		if o.Err != nil {
			return "", fmt.Errorf("listing bucket %q: %w", b.name, classify(o.Err))
		}
		if seen++; seen == n {
			return o.Key, nil
		}
	}
	return "", ctx.Err()
}
