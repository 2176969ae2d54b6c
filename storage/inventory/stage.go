package inventory

import (
	"bufio"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"earshot"
)

// Fetch writes the object of a key to w. It may begin again, after calling reset, which takes w back to
// empty.
type Fetch func(ctx context.Context, key string, w io.Writer, reset func() error) error

// ErrDamaged says that the report is not whole. Nothing of it is used; get it again, or list.
var ErrDamaged = errors.New("the inventory is damaged")

// Staged is a report that has been read, found whole and sorted. Close it.
type Staged struct {
	Manifest Manifest
	Rows     int // in the files
	sorter   *sorter
}

// Stage fetches the files of a report one after the other, holds them against the manifest, and sorts
// their rows, in nameless files in dir (empty: the system's).
func Stage(ctx context.Context, m Manifest, fetch Fetch, dir string) (*Staged, error) {
	return stage(ctx, m, fetch, dir, sortMemory)
}

func stage(ctx context.Context, m Manifest, fetch Fetch, dir string, memory int) (*Staged, error) {
	s := &Staged{Manifest: m, sorter: newSorter(dir, memory)}
	for n, f := range m.Files {
		if err := s.file(ctx, f, fetch, dir); err != nil {
			s.Close()
			return nil, fmt.Errorf("file %d of %d: %w", n+1, len(m.Files), err)
		}
	}
	if err := s.sorter.seal(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close gives the disk back.
func (s *Staged) Close() { s.sorter.close() }

func (s *Staged) file(ctx context.Context, f File, fetch Fetch, dir string) error {
	spool, err := nameless(dir)
	if err != nil {
		return err
	}
	defer spool.Close()
	if err := fetch(ctx, f.Key, &limited{w: spool, left: f.Size}, func() error { return rewind(spool) }); err != nil {
		return fmt.Errorf("fetching it: %w", err)
	}
	sum := md5.New() // what S3 Inventory has; it tells accidents, not forgeries
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the spool: %w", err)
	}
	size, err := io.Copy(sum, spool)
	if err != nil {
		return fmt.Errorf("reading the spool: %w", err)
	}
	if size != f.Size || [16]byte(sum.Sum(nil)) != f.MD5 {
		return fmt.Errorf("%w: its size or MD5 checksum is not the manifest's", ErrDamaged)
	}
	add := func(r row) error {
		s.Rows++
		if s.Rows%10_000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return s.sorter.add(r)
	}
	if s.Manifest.Format == Parquet {
		err = readParquet(spool, size, s.Manifest, add)
	} else {
		err = readCSV(bufio.NewReaderSize(io.NewSectionReader(spool, 0, size), runBuffer), s.Manifest, add)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, os.ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func rewind(f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return f.Truncate(0)
}

// limited refuses more bytes than were announced, before they fill the disk. What was written before a
// transfer began again counts twice, so that it allows for some of that.
type limited struct {
	w    io.Writer
	left int64
	over int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.over += int64(len(p)); l.over > 8*l.left+1<<20 {
		return 0, fmt.Errorf("%w: it is larger than the manifest says", ErrDamaged)
	}
	return l.w.Write(p)
}

// Recordings streams what the report says that the bucket held, in order of key, one for each key, as
// [storage.Bucket.List] would: the newest version that is no delete marker; no folder markers. ETag is
// empty, StoredAt zero or Size -1 where the report does not tell; below a delete marker it does not
// tell which of two versions of one moment is the newer.
func (s *Staged) Recordings() iter.Seq2[earshot.Recording, error] {
	return func(yield func(earshot.Recording, error) bool) {
		var held row // the newest so far of its key
		give := func() bool {
			if held.key == "" || strings.HasSuffix(held.key, "/") && held.size == 0 {
				return true
			}
			rec := earshot.Recording{ID: earshot.RecordingID{Bucket: s.Manifest.Source, Key: held.key}, ETag: held.etag, Size: held.size}
			if held.stored != 0 {
				rec.StoredAt = time.UnixMicro(held.stored).UTC()
			}
			return yield(rec, nil)
		}
		for r, err := range s.sorter.sorted() {
			if err != nil {
				yield(earshot.Recording{}, err)
				return
			}
			switch {
			case r.marker:
			case r.key != held.key:
				if !give() {
					return
				}
				held = r
			case !held.latest && r.stored == held.stored && r.etag != held.etag:
				held.etag = ""
			}
		}
		give()
	}
}
