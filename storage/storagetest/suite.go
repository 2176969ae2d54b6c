package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"earshot"
	"earshot/storage"

	"github.com/google/go-cmp/cmp"
)

// Run checks that package storage keeps its contract against the server.
func Run(t *testing.T, o storage.Options) {
	for _, versioned := range []bool{false, true} {
		mode := map[bool]string{false: "unversioned", true: "versioned"}[versioned]
		t.Run(mode+"/listingStreamsEveryKeyOnceInOrder", func(t *testing.T) { testList(t, Bucket(t, o, versioned, false)) })
		t.Run(mode+"/aLookShowsWhatTheListingDoes", func(t *testing.T) { testLooks(t, Bucket(t, o, versioned, false)) })
		t.Run(mode+"/anyKeyUpTo1024BytesCanBeReadReplacedAndDestroyed", func(t *testing.T) { testKeys(t, Bucket(t, o, versioned, false)) })
		t.Run(mode+"/fetchIsPinnedByETag", func(t *testing.T) { testFetch(t, Bucket(t, o, versioned, false)) })
		t.Run(mode+"/replaceKeepsWhatMustLastAndDropsTheRest", func(t *testing.T) { testReplace(t, o, versioned) })
		t.Run(mode+"/destroyLeavesNothing", func(t *testing.T) { testDestroy(t, Bucket(t, o, versioned, false)) })
		t.Run(mode+"/manyAreSeenAndDestroyedAsOneIs", func(t *testing.T) { testSweep(t, Bucket(t, o, versioned, false)) })
		t.Run(mode+"/unfinishedUploadsOfManyAreFound", func(t *testing.T) { testManyUploads(t, o, Bucket(t, o, versioned, false)) })
		t.Run(mode+"/unfinishedUploadsAreFoundAndGivenUp", func(t *testing.T) { testUploads(t, o, Bucket(t, o, versioned, false)) })
		t.Run(mode+"/folderCreatesOnceAndSwapsOnlyOverTheKnown", func(t *testing.T) { testFolder(t, Bucket(t, o, versioned, false)) })
	}
	t.Run("missingBucketIsNotFound", func(t *testing.T) {
		store, err := storage.Connect(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Bucket(t.Context(), Name("nowhere")); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("opening a bucket that is not there: got %v, want ErrNotFound", err)
		}
	})
	t.Run("wrongSecretIsDenied", func(t *testing.T) {
		bad := o
		bad.SecretKey = "wrong-secret-key"
		store, err := storage.Connect(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Bucket(t.Context(), Name("any")); !errors.Is(err, storage.ErrDenied) {
			t.Errorf("opening a bucket with a wrong secret: got %v, want ErrDenied", err)
		}
	})
	t.Run("aDeleteMarkerHidesAndDestroyTakesItToo", func(t *testing.T) { testMarker(t, o) })
	t.Run("lockedVersionsAreReportedAndStay", func(t *testing.T) { testLock(t, o) })
	t.Run("destroyWithoutAVersionIsRefusedWhereVersionsAreKept", func(t *testing.T) {
		b := Bucket(t, o, true, false)
		put(t, b, "k", "v")
		errs := b.Destroy(t.Context(), []earshot.RecordingID{{Bucket: b.Name(), Key: "k"}})
		if errs[0] == nil {
			t.Error("a DELETE without version was sent: it hides the object behind a marker")
		}
		if p := present(t, b, "k"); len(p.Versions) != 1 || p.Versions[0].Marker {
			t.Errorf("the object's history changed: %+v", p)
		}
	})
}

func put(t *testing.T, b *storage.Bucket, key, body string) {
	t.Helper()
	if _, err := b.Put(t.Context(), key, []byte(body), "audio/wav", nil, nil); err != nil {
		t.Fatalf("storing %q: %v", key, err)
	}
}

func present(t *testing.T, b *storage.Bucket, key string) storage.Presence {
	t.Helper()
	p, err := b.Present(t.Context(), key)
	if err != nil {
		t.Fatalf("looking for %q: %v", key, err)
	}
	return p
}

func fetch(t *testing.T, b *storage.Bucket, id earshot.RecordingID, etag string) (string, error) {
	t.Helper()
	var buf bytes.Buffer
	err := b.Fetch(t.Context(), id, etag, &buf, func() error { buf.Reset(); return nil })
	return buf.String(), err
}

func testList(t *testing.T, b *storage.Bucket) {
	var want []string
	for i := range 1100 { // more than one page
		key := fmt.Sprintf("clips/%04d.wav", i)
		want = append(want, key)
		put(t, b, key, "x")
	}
	put(t, b, "other/a.wav", "x")
	var got []string
	for rec, err := range b.List(t.Context(), "clips/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if rec.ETag == "" || rec.Size != 1 || rec.StoredAt.IsZero() || strings.Contains(rec.ETag, `"`) {
			t.Fatalf("incomplete listing entry: %+v", rec)
		}
		got = append(got, rec.ID.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	got = nil
	for rec, err := range b.List(t.Context(), "clips/", "clips/1089.wav") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rec.ID.Key)
	}
	if diff := cmp.Diff(want[1090:], got); diff != "" {
		t.Errorf("listing from a cursor (-want +got):\n%s", diff)
	}
}

// awkwardKeys are keys that clients and servers are known to get wrong.
func awkwardKeys() []string {
	long := strings.Repeat("d/", 8) + strings.Repeat("0123456789abcdef", 12) // within 255 bytes a part
	full := ""
	for len(full)+201 <= 1024 {
		full += strings.Repeat("k", 200) + "/"
	}
	full += strings.Repeat("z", 1024-len(full))
	return []string{
		"with space.wav", "plus+plus.wav", "percent%20literal.wav", "ünïcödé/日本語.wav", "emoji-🦻.wav",
		"q?a=b&c=d#frag.wav", "semi;colon,comma.wav", "quote'\"quote.wav", "tilde~star*(1).wav", "at@home:8.wav", long, full,
	}
}

func testKeys(t *testing.T, b *storage.Bucket) {
	keys := awkwardKeys()
	for _, key := range keys {
		put(t, b, key, "old "+key)
	}
	var listed []string
	for rec, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, rec.ID.Key)
	}
	slices.Sort(keys)
	slices.Sort(listed)
	if diff := cmp.Diff(keys, listed); diff != "" {
		t.Fatalf("listing (-want +got):\n%s", diff)
	}
	for _, key := range keys {
		head, err := b.Head(t.Context(), key, "")
		if err != nil {
			t.Errorf("%q: %v", key, err)
			continue
		}
		if body, err := fetch(t, b, head.ID, head.ETag); err != nil || body != "old "+key {
			t.Errorf("%q: got %q, %v", key, body, err)
		}
		if _, err := b.Replace(t.Context(), head, strings.NewReader("new"), 3, map[string]string{"earshot-redacted": "1"}); err != nil {
			t.Errorf("%q: %v", key, err)
		}
		destroyAll(t, b, key)
		if p := present(t, b, key); !p.Gone() {
			t.Errorf("%q: still there: %+v", key, p)
		}
	}
}

func destroyAll(t *testing.T, b *storage.Bucket, key string) {
	t.Helper()
	var ids []earshot.RecordingID
	for _, v := range present(t, b, key).Versions {
		ids = append(ids, v.ID)
	}
	if err := errors.Join(b.Destroy(t.Context(), ids)...); err != nil {
		t.Errorf("%q: %v", key, err)
	}
}

func testFetch(t *testing.T, b *storage.Bucket) {
	put(t, b, "a", "first")
	head, err := b.Head(t.Context(), "a", "")
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, "a", "second")
	current := earshot.RecordingID{Bucket: b.Name(), Key: "a"}
	if body, err := fetch(t, b, current, head.ETag); !errors.Is(err, storage.ErrChanged) || body != "" {
		t.Errorf("fetching by a stale ETag: got %q, %v, want ErrChanged and no byte", body, err)
	}
	if _, err := fetch(t, b, earshot.RecordingID{Bucket: b.Name(), Key: "gone"}, head.ETag); !errors.Is(err, storage.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("fetching a missing key: got %v, want ErrNotFound", err)
	}
	if b.Versioning() == storage.Versioned {
		if body, err := fetch(t, b, head.ID, head.ETag); err != nil || body != "first" {
			t.Errorf("fetching the old version: got %q, %v", body, err)
		}
	}
}

func testReplace(t *testing.T, o storage.Options, versioned bool) {
	o.KeepMetadata = []string{"captured-at", "x-keep-*"}
	b := Bucket(t, o, versioned, false)
	meta := map[string]string{"captured-at": "2026-01-02T03:04:05Z", "x-keep-me": "yes", "transcript": "what was said"}
	tags := map[string]string{"household": "h 1/2", "class": "clip"}
	if _, err := b.Put(t.Context(), "a.wav", []byte("before"), "audio/x-wav", meta, tags); err != nil {
		t.Fatal(err)
	}
	head, err := b.Head(t.Context(), "a.wav", "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tags, head.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	mark := map[string]string{"earshot-redacted": "tag"}
	now, err := b.Replace(t.Context(), head, strings.NewReader("after!"), 6, mark)
	if err != nil {
		t.Fatal(err)
	}
	wantMeta := map[string]string{"captured-at": meta["captured-at"], "x-keep-me": "yes", "earshot-redacted": "tag"}
	if diff := cmp.Diff(wantMeta, now.Metadata); diff != "" {
		t.Errorf("metadata after the replacement (-want +got):\n%s", diff)
	}
	if now.ContentType != "audio/x-wav" || !cmp.Equal(now.Tags, tags) {
		t.Errorf("after the replacement: content type %q, tags %v", now.ContentType, now.Tags)
	}
	if body, err := fetch(t, b, now.ID, now.ETag); err != nil || body != "after!" {
		t.Errorf("replaced body: got %q, %v", body, err)
	}
	if _, err := b.Replace(t.Context(), head, strings.NewReader("stale!"), 6, map[string]string{"earshot-redacted": "other"}); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("replacing over a stale ETag: got %v, want ErrChanged", err)
	}
	if body, _ := fetch(t, b, now.ID, now.ETag); body != "after!" {
		t.Errorf("a refused replacement changed the object to %q", body)
	}
	destroyAll(t, b, "a.wav")
	if _, err := b.Replace(t.Context(), now, strings.NewReader("ghost!"), 6, map[string]string{"earshot-redacted": "ghost"}); err == nil {
		t.Error("a destroyed object was brought back by a replacement")
	}
}

func testDestroy(t *testing.T, b *storage.Bucket) {
	for _, body := range []string{"one", "two", "three"} {
		put(t, b, "a", body)
	}
	put(t, b, "ab", "neighbour")
	p := present(t, b, "a")
	want := 1
	if b.Versioning() == storage.Versioned {
		want = 3
	}
	if len(p.Versions) != want || !p.Versions[0].Latest {
		t.Fatalf("got %+v, want %d versions, the latest first", p.Versions, want)
	}
	ids := []earshot.RecordingID{}
	for _, v := range p.Versions {
		ids = append(ids, v.ID)
	}
	for range 2 { // it may be repeated
		if err := errors.Join(b.Destroy(t.Context(), ids)...); err != nil {
			t.Fatal(err)
		}
	}
	if p := present(t, b, "a"); !p.Gone() {
		t.Errorf("still there: %+v", p)
	}
	if p := present(t, b, "ab"); len(p.Versions) != 1 {
		t.Errorf("the neighbour key was touched: %+v", p)
	}
}
