package storage

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"earshot"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// Versioning is the bucket's setting: empty (never switched on), enabled or suspended.
type Versioning string

// The versioning states.
const (
	Unversioned Versioning = ""
	Versioned   Versioning = "enabled"
	Suspended   Versioning = "suspended"
)

// Bucket is one bucket of a Store. It is safe for concurrent use.
type Bucket struct {
	name       string
	store      *Store
	core       *minio.Core
	keep       []string
	versioning Versioning
	locking    bool
	// exactUploads: the store lists unfinished uploads of one key at a time only.
	exactUploads bool
	odd          atomic.Int64 // see OddKeys
}

// Name of the bucket.
func (b *Bucket) Name() string { return b.name }

// Versioning of the bucket when it was opened.
func (b *Bucket) Versioning() Versioning { return b.versioning }

// Locking reports whether the bucket can hold locked objects.
func (b *Bucket) Locking() bool { return b.locking }

// List streams the objects below prefix, in order of key, from the first key after `after`: the
// current ones, and in a bucket that keeps versions also those that lie hidden behind a delete
// marker, as the newest version below it. Only what a listing knows is filled in: ID without
// version, ETag, Size, StoredAt. Keys that are no text are left out, see [Bucket.OddKeys]. A listing
// that breaks is taken up again after the last key; when that fails too the stream ends with the error.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[earshot.Recording, error] {
	return b.list(ctx, prefix, after, b.versioning != Unversioned)
}

func (b *Bucket) list(ctx context.Context, prefix, after string, hidden bool) iter.Seq2[earshot.Recording, error] {
	return func(yield func(earshot.Recording, error) bool) {
		noOwner := false
		failures := 0
		for {
			opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, StartAfter: after, FetchOwner: &noOwner, WithVersions: hidden}
			var broke error
			for o := range b.core.ListObjectsIter(ctx, b.name, opts) {
				if o.Err != nil {
					broke = classify(o.Err)
					break
				}
				failures = 0
				if o.IsDeleteMarker || o.Key == after && after != "" {
					continue // a marker is not a recording; older versions share the newest one's fate
				}
				if o.Key < after {
					b.store.disordered.Store(true)
				}
				after = o.Key
				if strings.HasSuffix(o.Key, "/") && o.Size == 0 {
					continue // a folder marker, as consoles make them
				}
				if !IsText(o.Key) {
					b.odd.Add(1)
					continue
				}
				rec := b.recording(o)
				rec.ID.Version = ""
				if !yield(rec, nil) {
					return
				}
			}
			if broke == nil {
				if err := ctx.Err(); err != nil {
					yield(earshot.Recording{}, err)
				}
				return
			}
			if failures++; failures >= attempts || !transient(broke) || ctx.Err() != nil {
				yield(earshot.Recording{}, fmt.Errorf("listing bucket %q: %w", b.name, broke))
				return
			}
		}
	}
}

func (b *Bucket) recording(o minio.ObjectInfo) earshot.Recording {
	return earshot.Recording{
		ID:       earshot.RecordingID{Bucket: b.name, Key: o.Key, Version: o.VersionID},
		ETag:     strings.Trim(o.ETag, `"`),
		Size:     o.Size,
		StoredAt: o.LastModified.UTC(),
	}
}

// Head is what the store says of one version.
type Head struct {
	ID          earshot.RecordingID
	ETag        string
	Size        int64 // bytes
	StoredAt    time.Time
	ContentType string
	// Metadata is the user metadata, names in lower case without x-amz-meta-.
	Metadata map[string]string
	Tags     map[string]string // nil where there are none
	header   http.Header       // everything else that a replacement must carry on
	tagCount int
}

// Head asks for one version's metadata; version may be empty for the current one. Tags are read
// too if the object has any.
func (b *Bucket) Head(ctx context.Context, key, version string) (Head, error) {
	var info minio.ObjectInfo
	err := again(ctx, func() (err error) {
		info, err = b.core.StatObject(ctx, b.name, key, minio.StatObjectOptions{VersionID: version})
		return err
	})
	if err != nil {
		return Head{}, fmt.Errorf("reading metadata: %w", err)
	}
	rec := b.recording(info)
	h := Head{
		ID: rec.ID, ETag: rec.ETag, Size: rec.Size, StoredAt: rec.StoredAt,
		ContentType: info.ContentType, Metadata: map[string]string{}, header: info.Headers,
		tagCount: info.UserTagCount,
	}
	h.ID.Key = key // the answer to HEAD does not carry it
	if version != "" {
		h.ID.Version = version
	}
	if h.ID.Version == "" && b.versioning != Unversioned {
		h.ID.Version = "null"
	}
	for k, v := range info.UserMetadata {
		h.Metadata[strings.ToLower(k)] = v
	}
	if h.tagCount == 0 && info.Headers.Get("X-Amz-Tagging-Count") == "" {
		return h, nil
	}
	err = again(ctx, func() error {
		tags, err := b.core.GetObjectTagging(ctx, b.name, key, minio.GetObjectTaggingOptions{VersionID: h.ID.Version})
		if err == nil {
			h.Tags = tags.ToMap()
		}
		return err
	})
	if err != nil {
		return Head{}, fmt.Errorf("reading tags: %w", err)
	}
	return h, nil
}

// Lock asks what the store itself protects the version with. A bucket without object lock
// protects nothing.
func (b *Bucket) Lock(ctx context.Context, id earshot.RecordingID) (earshot.Lock, error) {
	var lock earshot.Lock
	if !b.locking {
		return lock, nil
	}
	err := again(ctx, func() error {
		status, err := b.core.GetObjectLegalHold(ctx, b.name, id.Key, minio.GetObjectLegalHoldOptions{VersionID: id.Version})
		if noLock(err) {
			return nil
		}
		lock.LegalHold = err == nil && status != nil && *status == minio.LegalHoldEnabled
		return err
	})
	if err != nil {
		return lock, fmt.Errorf("reading the legal hold: %w", err)
	}
	if lock.Mode, lock.RetainUntil, err = b.retention(ctx, id); err != nil {
		return lock, fmt.Errorf("reading the retention: %w", err)
	}
	return lock, nil
}

// retention reads the mode and end of a version's retention; empty where it has none.
func (b *Bucket) retention(ctx context.Context, id earshot.RecordingID) (mode string, until time.Time, err error) {
	err = again(ctx, func() error {
		kind, end, err := b.core.GetObjectRetention(ctx, b.name, id.Key, id.Version)
		var shape xml.UnmarshalError
		if noLock(err) {
			return nil
		} else if errors.As(err, &shape) {
			// versitygw names the answer's element otherwise than S3; HEAD tells the same.
			mode, until, err = b.retentionByHead(ctx, id)
			return err
		}
		if err == nil && kind != nil && end != nil {
			mode, until = kind.String(), end.UTC()
		}
		return err
	})
	return mode, until, err
}

// retentionByHead reads the retention from the headers of HEAD. S3 leaves them out where the
// credentials may not read them, so that it is only asked second; a store that answers the first
// question at all, though badly, has let us ask.
func (b *Bucket) retentionByHead(ctx context.Context, id earshot.RecordingID) (string, time.Time, error) {
	info, err := b.core.StatObject(ctx, b.name, id.Key, minio.StatObjectOptions{VersionID: id.Version})
	if err != nil {
		return "", time.Time{}, err
	}
	mode, text := info.Headers.Get("X-Amz-Object-Lock-Mode"), info.Headers.Get("X-Amz-Object-Lock-Retain-Until-Date")
	until, err := time.Parse(time.RFC3339, text)
	if err != nil || mode == "" {
		return "", time.Time{}, fmt.Errorf("the store has a retention on the object and does not say until when: %w", ErrLocked)
	}
	return mode, until.UTC(), nil
}

func noLock(err error) bool {
	return minio.ToErrorResponse(err).Code == "NoSuchObjectLockConfiguration"
}

// Fetch writes the bytes of exactly this version and ETag to w, or fails with [ErrChanged] or
// [ErrNotFound] before the first byte. A transfer that breaks is begun again at offset 0: w is
// truncated by calling reset, which must take w back to empty.
func (b *Bucket) Fetch(ctx context.Context, id earshot.RecordingID, etag string, w io.Writer, reset func() error) error {
	err := again(ctx, func() error {
		if err := reset(); err != nil {
			return err
		}
		opts := minio.GetObjectOptions{VersionID: id.Version}
		if err := opts.SetMatchETag(etag); err != nil {
			return err
		}
		body, info, _, err := b.core.GetObject(ctx, b.name, id.Key, opts)
		if err != nil {
			return err
		}
		defer body.Close()
		if got := strings.Trim(info.ETag, `"`); got != etag {
			return ErrChanged // a store that ignores If-Match on GET
		}
		n, err := io.Copy(w, body)
		if err == nil && n != info.Size {
			err = errShort
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the object: %w", err)
	}
	return nil
}

// maxPut is the most that one PUT may carry (S3 API limit).
const maxPut = 5 << 30

// Replace stores r, of size bytes, over the object that head describes, and only if that is still
// the current one: otherwise [ErrChanged] and nothing is written. Content type, encoding,
// storage class, encryption, tags and the user metadata on the allow-list are carried on; add is
// laid over them. The answer's ID names the new version. A PUT whose answer was lost is found out
// about by looking: if the current object carries `add`, it is ours.
func (b *Bucket) Replace(ctx context.Context, head Head, r io.ReadSeeker, size int64, add map[string]string) (Head, error) {
	if size > maxPut {
		return Head{}, fmt.Errorf("replacing the object: %w", ErrTooLarge)
	}
	opts := b.putOptions(head, add)
	err := again(ctx, func() error {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := b.core.Client.PutObject(ctx, b.name, head.ID.Key, r, size, opts)
		if err = classify(err); err != nil && ctx.Err() == nil {
			if now, headErr := b.Head(ctx, head.ID.Key, ""); headErr == nil && carries(now, add) && now.Size == size {
				return nil
			}
		}
		return err
	})
	if err != nil {
		return Head{}, fmt.Errorf("replacing the object: %w", err)
	}
	now, err := b.Head(ctx, head.ID.Key, "")
	if err != nil {
		return Head{}, fmt.Errorf("looking at the replaced object: %w", err)
	}
	if !carries(now, add) || now.Size != size {
		return Head{}, fmt.Errorf("looking at the replaced object: %w", ErrChanged)
	}
	return now, nil
}

func carries(h Head, want map[string]string) bool {
	for k, v := range want {
		if h.Metadata[k] != v {
			return false
		}
	}
	return len(want) > 0
}

func (b *Bucket) putOptions(head Head, add map[string]string) minio.PutObjectOptions {
	get := func(name string) string { return head.header.Get(name) }
	opts := minio.PutObjectOptions{
		ContentType:             head.ContentType,
		ContentEncoding:         get("Content-Encoding"),
		ContentDisposition:      get("Content-Disposition"),
		ContentLanguage:         get("Content-Language"),
		CacheControl:            get("Cache-Control"),
		StorageClass:            get("X-Amz-Storage-Class"),
		WebsiteRedirectLocation: get("X-Amz-Website-Redirect-Location"),
		UserTags:                head.Tags,
		UserMetadata:            map[string]string{},
		DisableMultipart:        true,
	}
	for k, v := range head.Metadata {
		if b.survives(k) {
			opts.UserMetadata[k] = v
		}
	}
	for k, v := range add {
		opts.UserMetadata[k] = v
	}
	switch get("X-Amz-Server-Side-Encryption") {
	case "AES256":
		opts.ServerSideEncryption = encrypt.NewSSE()
	case "aws:kms":
		if sse, err := encrypt.NewSSEKMS(get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"), nil); err == nil {
			opts.ServerSideEncryption = sse
		}
	}
	opts.SetMatchETag(head.ETag)
	return opts
}

func (b *Bucket) survives(name string) bool {
	return slices.ContainsFunc(b.keep, func(allowed string) bool {
		if stem, ok := strings.CutSuffix(allowed, "*"); ok {
			return strings.HasPrefix(name, stem)
		}
		return name == allowed
	})
}

// All streams every version and delete marker of every key below prefix, key by key, the newest of
// a key first; in a bucket that was never versioned, every object, with an empty version. A listing
// that breaks is an error: begin again.
func (b *Bucket) All(ctx context.Context, prefix string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		noOwner := false
		opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, FetchOwner: &noOwner, WithVersions: b.versioning != Unversioned}
		inner, stop := context.WithCancel(ctx)
		defer stop()
		for o := range b.core.ListObjectsIter(inner, b.name, opts) {
			if o.Err != nil {
				yield(Version{}, fmt.Errorf("listing versions of bucket %q: %w", b.name, classify(o.Err)))
				return
			}
			if !yield(b.version(o), nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Version{}, err)
		}
	}
}

func (b *Bucket) version(o minio.ObjectInfo) Version {
	r := b.recording(o)
	v := Version{ID: r.ID, ETag: r.ETag, Size: o.Size, StoredAt: r.StoredAt, Latest: o.IsLatest, Marker: o.IsDeleteMarker}
	if b.versioning == Unversioned {
		v.ID.Version, v.Latest = "", true
	} else if v.ID.Version == "" {
		v.ID.Version = "null"
	}
	return v
}
