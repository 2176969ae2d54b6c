package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"testing"
	"time"

	"earshot"
	"earshot/storage"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// foreign is a plain client, for doing to a bucket what other people's programs do.
func foreign(t *testing.T, o storage.Options) *minio.Core {
	t.Helper()
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.NewCore(u.Host, &minio.Options{Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testUploads(t *testing.T, o storage.Options, b *storage.Bucket) {
	c := foreign(t, o)
	id, err := c.NewMultipartUpload(t.Context(), b.Name(), "half.wav", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part := bytes.Repeat([]byte("p"), 5<<20)
	if _, err := c.PutObjectPart(t.Context(), b.Name(), "half.wav", id, 1, bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if p := present(t, b, "half.wav"); p.Uploads != 1 {
		t.Errorf("got %+v, want one unfinished upload", p)
	}
	if n, err := b.AbortUploads(t.Context(), "half.wav"); n != 1 || err != nil {
		t.Errorf("giving it up: got %d, %v", n, err)
	}
	if p := present(t, b, "half.wav"); !p.Gone() {
		t.Errorf("still there: %+v", p)
	}
}

func testFolder(t *testing.T, b *storage.Bucket) {
	f := b.Folder("log/", nil)
	ctx := t.Context()
	if _, _, err := f.Get(ctx, "checkpoint"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading what is not there: got %v, want fs.ErrNotExist", err)
	}
	for i, c := range []struct {
		body string
		want bool
	}{{"one", true}, {"one", true}, {"two", false}} {
		if ok, err := f.Create(ctx, "tile/0/000", []byte(c.body)); ok != c.want || err != nil {
			t.Errorf("create %d: got %v, %v, want %v", i, ok, err, c.want)
		}
	}
	tag1, ok, err := f.Swap(ctx, "checkpoint", []byte("size 1"), "")
	if !ok || err != nil {
		t.Fatalf("first swap: %v, %v", ok, err)
	}
	tag2, ok, err := f.Swap(ctx, "checkpoint", []byte("size 2"), tag1)
	if !ok || err != nil {
		t.Fatalf("second swap: %v, %v", ok, err)
	}
	if _, ok, err := f.Swap(ctx, "checkpoint", []byte("size 1 again"), tag1); ok || err != nil {
		t.Errorf("swap over a stale ETag: got %v, %v, want a refusal", ok, err)
	}
	if _, ok, err := f.Swap(ctx, "checkpoint", []byte("new"), ""); ok || err != nil {
		t.Errorf("swap of a key that should be new: got %v, %v, want a refusal", ok, err)
	}
	if data, tag, err := f.Get(ctx, "checkpoint"); string(data) != "size 2" || tag != tag2 || err != nil {
		t.Errorf("got %q %q %v", data, tag, err)
	}
	var keys []string
	for k, err := range f.Keys(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	if len(keys) != 2 || keys[0] != "checkpoint" || keys[1] != "tile/0/000" {
		t.Errorf("keys: %q", keys)
	}
}

func testMarker(t *testing.T, o storage.Options) {
	b := Bucket(t, o, true, false)
	put(t, b, "a.wav", "sound")
	if err := foreign(t, o).RemoveObject(t.Context(), b.Name(), "a.wav", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	put(t, b, "b.wav", "older")
	put(t, b, "b.wav", "newer sound")
	var listed []string
	for rec, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, fmt.Sprint(rec.ID.Key, " ", rec.Size))
	}
	if diff := cmp.Diff([]string{"a.wav 5", "b.wav 11"}, listed); diff != "" {
		t.Errorf("a listing shows what is hidden, and the newest version of each key (-want +got):\n%s", diff)
	}
	p := present(t, b, "a.wav")
	if len(p.Versions) != 2 || !p.Versions[0].Marker || p.Versions[1].Marker {
		t.Fatalf("got %+v, want a marker over one version", p.Versions)
	}
	destroyAll(t, b, "a.wav")
	if p := present(t, b, "a.wav"); !p.Gone() {
		t.Errorf("still there: %+v", p)
	}
}

func testLock(t *testing.T, o storage.Options) {
	b := Bucket(t, o, true, true)
	put(t, b, "held.wav", "sound")
	head, err := b.Head(t.Context(), "held.wav", "")
	if err != nil {
		t.Fatal(err)
	}
	if lock, err := b.Lock(t.Context(), head.ID); err != nil || lock != (earshot.Lock{}) {
		t.Errorf("a version that nothing protects: got %+v, %v", lock, err)
	}
	if err := b.SetLegalHold(t.Context(), head.ID, true); err != nil {
		t.Fatal(err)
	}
	if lock, err := b.Lock(t.Context(), head.ID); err != nil || !lock.LegalHold {
		t.Errorf("got %+v, %v, want a legal hold", lock, err)
	}
	if errs := b.Destroy(t.Context(), []earshot.RecordingID{head.ID}); !errors.Is(errs[0], storage.ErrLocked) {
		t.Errorf("destroying a held version: got %v, want ErrLocked", errs[0])
	}
	if p := present(t, b, "held.wav"); len(p.Versions) != 1 {
		t.Errorf("the held version is not there any more: %+v", p)
	}
	if err := b.SetLegalHold(t.Context(), head.ID, false); err != nil {
		t.Fatal(err)
	}
	if errs := b.Destroy(t.Context(), []earshot.RecordingID{head.ID}); errs[0] != nil {
		t.Errorf("destroying it after the hold was lifted: %v", errs[0])
	}
	testRetention(t, o, b)
	f := b.Folder("kept/", func(key string) time.Duration {
		if key == "free" {
			return 0
		}
		return time.Hour
	})
	for _, key := range []string{"free", "kept"} {
		if ok, err := f.Create(t.Context(), key, []byte("x")); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := f.Extend(t.Context(), key); err != nil {
			t.Errorf("extending the retention of %s: %v", key, err)
		}
		head, err := b.Head(t.Context(), "kept/"+key, "")
		if err != nil {
			t.Fatal(err)
		}
		if until, err := f.Locked(t.Context(), key, head.ID.Version); err != nil || until.After(time.Now()) != (key == "kept") {
			t.Errorf("%s: locked until %v, %v", key, until, err)
		}
	}
}

func testRetention(t *testing.T, o storage.Options, b *storage.Bucket) {
	t.Helper()
	put(t, b, "kept.wav", "sound")
	head, err := b.Head(t.Context(), "kept.wav", "")
	if err != nil {
		t.Fatal(err)
	}
	mode, until := minio.Governance, time.Now().Add(3*time.Second).UTC().Truncate(time.Second)
	if err := foreign(t, o).PutObjectRetention(t.Context(), b.Name(), "kept.wav", minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until, VersionID: head.ID.Version}); err != nil {
		t.Fatal(err)
	}
	if lock, err := b.Lock(t.Context(), head.ID); err != nil || lock.Mode != "GOVERNANCE" || !lock.RetainUntil.Equal(until) {
		t.Errorf("got %+v, %v, want governance until %s", lock, err, until)
	}
	if errs := b.Destroy(t.Context(), []earshot.RecordingID{head.ID}); !errors.Is(errs[0], storage.ErrLocked) {
		t.Errorf("destroying a retained version: got %v, want ErrLocked (governance is not bypassed)", errs[0])
	}
	time.Sleep(time.Until(until) + time.Second) // the store has no other clock
	if errs := b.Destroy(t.Context(), []earshot.RecordingID{head.ID}); errs[0] != nil {
		t.Errorf("destroying it after its retention: %v", errs[0])
	}
}
