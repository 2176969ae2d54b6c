package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"earshot"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// Limits of a sweep.
const (
	// sweepFew is how many keys are not worth a page of a listing.
	sweepFew = 24
	// sweepPage is how many entries of a listing are read before asking whether it is worth going on.
	sweepPage = 1000
	// sweepHits is how many of the wanted keys a page must pass to be cheaper than asking for each key
	// (measured: a page costs a server about as much as 50 listings of one key).
	sweepHits = 50
	// sweepApart is how many keys are asked for one by one before a page is tried again.
	sweepApart = 256
	// uploadsPages bounds the pages of unfinished uploads that are read for all keys at once.
	uploadsPages = 4
)

// Sweep is a fresh look at many keys of a bucket at once.
type Sweep struct {
	versions map[string][]Version
	listed   map[string]bool // the key was looked for in a listing of its neighbourhood, not by itself
}

// Versions of a key, newest first, each once.
func (s Sweep) Versions(key string) []Version { return s.versions[key] }

// Sweep looks afresh at everything that the store has under exactly these keys but for unfinished
// uploads. Where they lie close together, pages of a listing are read, else each key is asked for, as
// many at once as workers says (1 and more). Times of storage may be cut down to whole seconds.
func (b *Bucket) Sweep(ctx context.Context, keys []string, workers int) (Sweep, error) {
	one := b.Versions
	if b.versioning == Unversioned {
		one = b.only
	}
	return b.sweep(ctx, keys, workers, one)
}

// only is the one object under a key of a bucket without versions, which costs half of what a listing does.
// That there is none it does not prove: somebody may have begun to keep versions.
func (b *Bucket) only(ctx context.Context, key string) ([]Version, error) {
	var info minio.ObjectInfo
	err := again(ctx, func() (err error) {
		info, err = b.core.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading metadata: %w", err)
	}
	info.Key = key // the answer to HEAD does not carry it
	return []Version{b.version(info)}, nil
}

// sweep is Sweep with the way to ask for one key.
func (b *Bucket) sweep(ctx context.Context, keys []string, workers int, one func(context.Context, string) ([]Version, error)) (Sweep, error) {
	s := Sweep{versions: map[string][]Version{}, listed: map[string]bool{}}
	keys = slices.Clone(keys)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	all := keys
	for len(keys) > sweepFew && !b.store.disordered.Load() {
		n, worth, err := b.sweepPages(ctx, keys, &s)
		if errors.Is(err, errDisorder) { // the flag is up: what was read off pages so far is worth nothing
			return b.sweep(ctx, all, workers, one)
		}
		if err != nil {
			return s, fmt.Errorf("listing versions: %w", err)
		}
		if keys = keys[n:]; !worth && len(keys) > sweepFew {
			n = min(sweepApart, len(keys))
			if err := eachAlone(ctx, keys[:n], workers, one, &s); err != nil {
				return s, err
			}
			keys = keys[n:]
		}
	}
	return s, eachAlone(ctx, keys, workers, one, &s)
}

// sweepPages lists from the first key on for as long as the listing passes enough of the keys. It
// returns how many keys are settled, and whether it was worth it to the end.
func (b *Bucket) sweepPages(ctx context.Context, keys []string, s *Sweep) (settled int, worth bool, err error) {
	err = again(ctx, func() error {
		settled, worth = 0, true
		found := map[string][]Version{}
		noOwner := false
		opts := minio.ListObjectsOptions{Prefix: commonPrefix(keys), Recursive: true, FetchOwner: &noOwner, WithVersions: b.versioning != Unversioned}
		if first := keys[0]; len(first) > len(opts.Prefix) {
			opts.StartAfter = first[:len(first)-1] // sorts before it, and little lies between
		}
		inner, stop := context.WithCancel(ctx)
		defer stop()
		seen, before, last := 0, 0, ""
		for o := range b.core.ListObjectsIter(inner, b.name, opts) {
			if o.Err != nil {
				return o.Err
			}
			if o.Key < last {
				b.store.disordered.Store(true)
				return errDisorder
			}
			last = o.Key
			for settled < len(keys) && keys[settled] < o.Key {
				settled++
			}
			if settled == len(keys) {
				break
			}
			if o.Key == keys[settled] {
				found[o.Key] = append(found[o.Key], b.version(o))
			}
			if seen++; seen%sweepPage == 0 && keys[settled] != o.Key { // the versions of one key stay together
				if settled-before < sweepHits {
					worth = false
					break
				}
				before = settled
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if worth { // the listing came to its end, or went beyond the last key
			settled = len(keys)
		}
		for _, key := range keys[:settled] {
			s.listed[key], s.versions[key] = true, once(found[key])
		}
		return nil
	})
	return settled, worth, err
}

// errDisorder: S3 lists in order of key, and this store does not.
var errDisorder = errors.New("the store does not list in order of key")

// SweepAgain looks at keys for the proof that nothing is there any more. before is what a sweep showed
// when something was: a listing that did not show a key then proves nothing about it now, and the store
// is asked for that key alone.
func (b *Bucket) SweepAgain(ctx context.Context, keys []string, workers int, before Sweep) (Sweep, error) {
	s, err := b.sweep(ctx, keys, workers, b.Versions)
	if err != nil {
		return s, err
	}
	var doubtful []string
	for _, key := range keys {
		if s.listed[key] && len(s.versions[key]) == 0 && !before.listed[key] && len(before.versions[key]) > 0 {
			doubtful = append(doubtful, key)
			delete(s.listed, key)
		}
	}
	return s, eachAlone(ctx, doubtful, workers, b.Versions, &s)
}

// once leaves out entries that a store repeats at the end of a page.
func once(versions []Version) []Version {
	var out []Version
	for _, v := range versions {
		if !slices.ContainsFunc(out, func(x Version) bool { return x.ID == v.ID }) {
			out = append(out, v)
		}
	}
	return out
}

// eachAlone asks for each key by itself.
func eachAlone(ctx context.Context, keys []string, workers int, one func(context.Context, string) ([]Version, error), s *Sweep) error {
	found := make([][]Version, len(keys))
	err := side(ctx, len(keys), workers, func(ctx context.Context, i int) (err error) {
		found[i], err = one(ctx, keys[i])
		return err
	})
	for i, key := range keys {
		s.versions[key] = found[i]
	}
	return err
}

func commonPrefix(keys []string) string {
	first, last := keys[0], keys[len(keys)-1] // sorted
	n := 0
	for n < len(first) && n < len(last) && first[n] == last[n] {
		n++
	}
	for n > 0 && n < len(first) && first[n]&0xc0 == 0x80 { // not inside a character
		n--
	}
	return first[:n]
}

// side does f for 0 to n-1, up to workers at once, and returns the first error.
func side(ctx context.Context, n, workers int, f func(context.Context, int) error) error {
	group, inner := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(max(workers, 1), n) {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := f(inner, i); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// ListsUploads reports whether the store lists unfinished uploads of many keys at once; MinIO lists those of
// one key at a time (and gives them up by itself after a day, by default).
func (b *Bucket) ListsUploads() bool { return !b.exactUploads }

// Uploads finds unfinished multipart uploads of exactly these keys: their identifiers, by key. Where the
// store can list them for a part of the bucket, that takes few requests however many keys there are.
func (b *Bucket) Uploads(ctx context.Context, keys []string, workers int) (map[string][]string, error) {
	out := map[string][]string{}
	if len(keys) == 0 {
		return out, nil
	}
	keys = slices.Clone(keys)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > 1 && !b.exactUploads {
		all, complete, err := b.uploadsBelow(ctx, commonPrefix(keys))
		if err != nil {
			return nil, fmt.Errorf("listing unfinished uploads: %w", err)
		}
		if complete {
			for _, key := range keys {
				if ids := all[key]; len(ids) > 0 {
					out[key] = ids
				}
			}
			return out, nil
		}
	}
	found := make([][]string, len(keys))
	err := side(ctx, len(keys), workers, func(ctx context.Context, i int) (err error) {
		found[i], err = b.uploads(ctx, keys[i])
		return err
	})
	for i, key := range keys {
		if len(found[i]) > 0 {
			out[key] = found[i]
		}
	}
	return out, err
}

// uploadsBelow lists the unfinished uploads below a prefix; complete is false where there are too many
// to read them for the sake of a few.
func (b *Bucket) uploadsBelow(ctx context.Context, prefix string) (all map[string][]string, complete bool, err error) {
	err = again(ctx, func() error {
		all, complete = map[string][]string{}, false
		var keyMarker, idMarker string
		for range uploadsPages {
			page, err := b.core.ListMultipartUploads(ctx, b.name, prefix, keyMarker, idMarker, "", 1000)
			if err != nil {
				if notSupported(err) {
					complete = true
					return nil
				}
				return err
			}
			for _, u := range page.Uploads {
				if !slices.Contains(all[u.Key], u.UploadID) {
					all[u.Key] = append(all[u.Key], u.UploadID)
				}
			}
			if !page.IsTruncated || page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker {
				complete = true
				return nil
			}
			keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
		}
		return nil
	})
	return all, complete, err
}

// most is how many versions one request may name (S3 API limit); destroyAtOnce how many such requests go
// side by side.
const (
	most          = 1000
	destroyAtOnce = 4
)

// DestroyMany does what [Bucket.Destroy] does, with one request for up to 1,000 versions, several
// requests at once. before is asked before each request; its error is that of all versions that were
// not asked for. What the store did not confirm is destroyed one by one.
func (b *Bucket) DestroyMany(ctx context.Context, ids []earshot.RecordingID, before func(context.Context) error) []error {
	errs := make([]error, len(ids))
	size := min(most, max(100, (len(ids)+destroyAtOnce-1)/destroyAtOnce))
	chunks := (len(ids) + size - 1) / size
	_ = side(ctx, chunks, destroyAtOnce, func(ctx context.Context, c int) error {
		part, partErrs := ids[c*size:min((c+1)*size, len(ids))], errs[c*size:min((c+1)*size, len(ids))]
		if err := before(ctx); err != nil {
			for i := range partErrs {
				partErrs[i] = err
			}
			return nil
		}
		confirmed := b.destroyChunk(ctx, part)
		for i, id := range part {
			if confirmed[id] {
				continue
			}
			if partErrs[i] = before(ctx); partErrs[i] == nil {
				partErrs[i] = b.Destroy(ctx, part[i:i+1])[0]
			}
		}
		return nil
	})
	return errs
}

var errNoVersion = errors.New("destroying a version: no version given in a bucket that keeps versions; that would only hide it")

// destroyChunk sends one request and returns what the store has confirmed.
func (b *Bucket) destroyChunk(ctx context.Context, ids []earshot.RecordingID) map[earshot.RecordingID]bool {
	confirmed := map[earshot.RecordingID]bool{}
	objects := make(chan minio.ObjectInfo, len(ids))
	for _, id := range ids {
		if id.Bucket == b.name && (id.Version != "" || b.versioning == Unversioned) {
			objects <- minio.ObjectInfo{Key: id.Key, VersionID: id.Version}
		}
	}
	close(objects)
	for r := range b.core.RemoveObjectsWithResult(ctx, b.name, objects, minio.RemoveObjectsOptions{}) {
		if r.Err == nil && r.ObjectName != "" {
			confirmed[earshot.RecordingID{Bucket: b.name, Key: r.ObjectName, Version: r.ObjectVersionID}] = true
		}
	}
	return confirmed
}

// And joins two looks at different keys.
func (s Sweep) And(o Sweep) Sweep {
	if s.versions == nil {
		s = Sweep{versions: map[string][]Version{}, listed: map[string]bool{}}
	}
	maps.Copy(s.versions, o.versions)
	maps.Copy(s.listed, o.listed)
	return s
}
