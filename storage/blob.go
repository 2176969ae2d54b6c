package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"earshot"

	"github.com/minio/minio-go/v7"
)

// maxBlob bounds what Get reads into memory: the largest log tile or companion.
const maxBlob = 32 << 20

// Folder is a prefix of a bucket used for small whole objects: the tiles of a log, companions.
// Its methods report conflicts as values, so that those who use it need not know this package.
type Folder struct {
	bucket *Bucket
	prefix string
	retain func(key string) time.Duration
}

// Folder is the part of the bucket below prefix. Objects created in it are put under COMPLIANCE
// retention for as long as retain says of their key, where the bucket has object lock; 0, or a nil
// retain, means no lock.
func (b *Bucket) Folder(prefix string, retain func(key string) time.Duration) *Folder {
	return &Folder{bucket: b, prefix: prefix, retain: retain}
}

// Get reads a whole object of at most 32 MiB and its ETag. A missing object is fs.ErrNotExist.
func (f *Folder) Get(ctx context.Context, key string) (data []byte, etag string, err error) {
	return f.get(ctx, key, "")
}

func (f *Folder) get(ctx context.Context, key, version string) (data []byte, etag string, err error) {
	var buf bytes.Buffer
	err = again(ctx, func() error {
		buf.Reset()
		body, info, _, err := f.bucket.core.GetObject(ctx, f.bucket.name, f.prefix+key, minio.GetObjectOptions{VersionID: version})
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size > maxBlob {
			return fmt.Errorf("object of %d bytes is larger than the %d that are read whole", info.Size, maxBlob)
		}
		n, err := io.Copy(&buf, io.LimitReader(body, maxBlob+1))
		if err == nil && n != info.Size {
			err = errShort
		}
		etag = strings.Trim(info.ETag, `"`)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("reading a small object: %w", err)
	}
	return buf.Bytes(), etag, nil
}

// Create stores data under a new key. created is false, and nothing is written, if the key was
// taken by other bytes; the same bytes count as created, so that Create may be repeated.
func (f *Folder) Create(ctx context.Context, key string, data []byte) (created bool, err error) {
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true}
	opts.SetMatchETagExcept("*")
	f.lock(key, &opts)
	_, err = f.put(ctx, key, data, opts)
	if err == nil {
		return true, nil
	}
	if errors.Is(err, ErrChanged) {
		have, _, getErr := f.Get(ctx, key)
		if getErr != nil {
			return false, getErr
		}
		return bytes.Equal(have, data), nil
	}
	return false, fmt.Errorf("creating a small object: %w", err)
}

// Replace stores data over whatever the key holds. In a bucket that keeps versions the older ones
// stay.
func (f *Folder) Replace(ctx context.Context, key string, data []byte) error {
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true}
	f.lock(key, &opts)
	if _, err := f.put(ctx, key, data, opts); err != nil {
		return fmt.Errorf("storing a small object: %w", err)
	}
	return nil
}

func (f *Folder) lock(key string, opts *minio.PutObjectOptions) {
	if f.retain == nil || !f.bucket.locking {
		return
	}
	if d := f.retain(key); d > 0 {
		opts.Mode, opts.RetainUntilDate = minio.Compliance, time.Now().Add(d).UTC()
	}
}

// Swap stores data over the object whose ETag is given (empty: the key must be new). swapped is
// false, and nothing is written, if the object is another one by now. An answer that was lost is
// found out about by reading: if the object holds data, it was swapped.
func (f *Folder) Swap(ctx context.Context, key string, data []byte, etag string) (now string, swapped bool, err error) {
	opts := minio.PutObjectOptions{ContentType: "text/plain; charset=utf-8", DisableMultipart: true}
	if etag == "" {
		opts.SetMatchETagExcept("*")
	} else {
		opts.SetMatchETag(etag)
	}
	now, err = f.put(ctx, key, data, opts)
	if err == nil {
		return now, true, nil
	}
	if errors.Is(err, ErrChanged) || errors.Is(err, ErrNotFound) {
		have, tag, getErr := f.Get(ctx, key)
		if getErr != nil {
			return "", false, getErr
		}
		return tag, bytes.Equal(have, data), nil
	}
	return "", false, fmt.Errorf("replacing a small object: %w", err)
}

func (f *Folder) put(ctx context.Context, key string, data []byte, opts minio.PutObjectOptions) (etag string, err error) {
	err = again(ctx, func() error {
		info, err := f.bucket.core.Client.PutObject(ctx, f.bucket.name, f.prefix+key, bytes.NewReader(data), int64(len(data)), opts)
		etag = strings.Trim(info.ETag, `"`)
		return err
	})
	return etag, err
}

// Keys streams the folder's keys in order, without the prefix.
func (f *Folder) Keys(ctx context.Context, below string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for rec, err := range f.bucket.list(ctx, f.prefix+below, "", false) {
			if !yield(strings.TrimPrefix(rec.ID.Key, f.prefix), err) || err != nil {
				return
			}
		}
	}
}

// Put stores an object outright, with metadata and tags. It is for filling buckets (the demo,
// tests); redaction never uses it.
func (b *Bucket) Put(ctx context.Context, key string, data []byte, contentType string, metadata, tags map[string]string) (earshot.RecordingID, error) {
	var id earshot.RecordingID
	err := again(ctx, func() error {
		info, err := b.core.Client.PutObject(ctx, b.name, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
			ContentType: contentType, UserMetadata: metadata, UserTags: tags, DisableMultipart: true,
		})
		id = earshot.RecordingID{Bucket: b.name, Key: key, Version: info.VersionID}
		return err
	})
	if err != nil {
		return id, fmt.Errorf("storing an object: %w", err)
	}
	return id, nil
}

// SetLegalHold places or lifts the store's own legal hold on one version.
func (b *Bucket) SetLegalHold(ctx context.Context, id earshot.RecordingID, on bool) error {
	status := minio.LegalHoldDisabled
	if on {
		status = minio.LegalHoldEnabled
	}
	err := again(ctx, func() error {
		return b.core.PutObjectLegalHold(ctx, b.name, id.Key, minio.PutObjectLegalHoldOptions{Status: &status, VersionID: id.Version})
	})
	if err != nil {
		return fmt.Errorf("setting the legal hold: %w", err)
	}
	return nil
}

// Extend puts the newest version of an object under retention anew, for as long as the folder's
// retention says of its key. It does nothing where the bucket has no object lock.
func (f *Folder) Extend(ctx context.Context, key string) error {
	var opts minio.PutObjectOptions
	if f.lock(key, &opts); opts.Mode == "" {
		return nil
	}
	err := again(ctx, func() error {
		return f.bucket.core.Client.PutObjectRetention(ctx, f.bucket.name, f.prefix+key, minio.PutObjectRetentionOptions{Mode: &opts.Mode, RetainUntilDate: &opts.RetainUntilDate})
	})
	if err != nil {
		return fmt.Errorf("extending a retention: %w", err)
	}
	return nil
}

// Objects streams every version and delete marker in the folder, the newest of a key first, with
// keys that lack the folder's prefix.
func (f *Folder) Objects(ctx context.Context) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		for v, err := range f.bucket.All(ctx, f.prefix) {
			v.ID.Key = strings.TrimPrefix(v.ID.Key, f.prefix)
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Version reads one version of an object, of at most 32 MiB.
func (f *Folder) Version(ctx context.Context, key, version string) ([]byte, error) {
	data, _, err := f.get(ctx, key, version)
	return data, err
}

// Locked tells until when nobody can delete a version: the end of its COMPLIANCE retention, zero if it
// is under none. GOVERNANCE and legal holds are taken away by those who have the right to.
func (f *Folder) Locked(ctx context.Context, key, version string) (time.Time, error) {
	if !f.bucket.locking {
		return time.Time{}, nil
	}
	mode, until, err := f.bucket.retention(ctx, earshot.RecordingID{Bucket: f.bucket.name, Key: f.prefix + key, Version: version})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the retention: %w", err)
	}
	if mode != minio.Compliance.String() {
		return time.Time{}, nil
	}
	return until, nil
}
