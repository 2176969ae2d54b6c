package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"earshot"
	"earshot/storage"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/minio/minio-go/v7"
)

// testSweep: a look at many keys shows of each exactly what a look at it alone does, whether they lie
// close together or not, and many are destroyed as surely as one.
func testSweep(t *testing.T, b *storage.Bucket) {
	ctx := t.Context()
	var all, wanted []string
	for i := range 90 {
		key := fmt.Sprintf("clips/s%d/%04d.wav", i%3, i)
		put(t, b, key, key)
		if all = append(all, key); i%10 == 0 {
			put(t, b, key, "newer "+key)
		}
		// Keys that sort round the others, where a store that walks folders may go astray.
		if i%15 == 0 {
			put(t, b, fmt.Sprintf("clips/s%d-x/%04d.wav", i%3, i), "beside")
			put(t, b, fmt.Sprintf("clips/s%d/%04d.wav.txt", i%3, i), "longer")
		}
	}
	wanted = append(slices.Clone(all), "clips/s1/none.wav", "clips/", "a", "z")
	for name, keys := range map[string][]string{"many": wanted, "few": wanted[:5], "spread": {all[0], all[45], all[89], "zz"}, "none": nil} {
		s, err := b.Sweep(ctx, keys, 4)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, key := range keys {
			want, err := b.Versions(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, s.Versions(key), cmpopts.EquateApproxTime(time.Second)); diff != "" {
				t.Errorf("%s: %s (-alone +together):\n%s", name, key, diff)
			}
		}
	}
	before, err := b.Sweep(ctx, wanted, 4)
	if err != nil {
		t.Fatal(err)
	}
	var ids []earshot.RecordingID
	for _, key := range all[:75] {
		for _, v := range before.Versions(key) {
			ids = append(ids, v.ID)
		}
	}
	asked := 0
	ids = append(ids, ids[0]) // twice is once
	for i, err := range b.DestroyMany(ctx, ids, func(context.Context) error { asked++; return nil }) {
		if err != nil {
			t.Errorf("%v: %v", ids[i], err)
		}
	}
	if asked == 0 || asked > 20 {
		t.Errorf("%d requests were asked about, want a few", asked)
	}
	after, err := b.SweepAgain(ctx, wanted, 4, before)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range all {
		if left := len(after.Versions(key)); (left == 0) != (i < 75) {
			t.Errorf("%s has %d versions", key, left)
		}
		if p, err := b.Present(ctx, key); err != nil || p.Gone() != (i < 75) {
			t.Errorf("%s: %+v, %v", key, p, err)
		}
	}
	no := errors.New("not ours any more")
	rest := after.Versions(all[80])
	for _, err := range b.DestroyMany(ctx, []earshot.RecordingID{rest[0].ID}, func(context.Context) error { return no }) {
		if !errors.Is(err, no) {
			t.Errorf("destroyed though it was forbidden: %v", err)
		}
	}
	if p, err := b.Present(ctx, all[80]); err != nil || p.Gone() {
		t.Errorf("it went though it was forbidden: %+v, %v", p, err)
	}
	foreign := b.DestroyMany(ctx, []earshot.RecordingID{{Bucket: "another", Key: all[80], Version: rest[0].ID.Version}}, func(context.Context) error { return nil })
	if foreign[0] == nil {
		t.Error("a version of another bucket was said to be destroyed")
	}
}

// testManyUploads: unfinished uploads of many keys are found as those of one are.
func testManyUploads(t *testing.T, o storage.Options, b *storage.Bucket) {
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprintf("clips/%02d.wav", i))
	}
	c := foreign(t, o)
	for _, key := range []string{keys[7], keys[7], keys[31], "clips/31.wav.part"} {
		if _, err := c.NewMultipartUpload(t.Context(), b.Name(), key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Uploads(t.Context(), keys, 4)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || len(got[keys[7]]) != 2 || len(got[keys[31]]) != 1 {
		t.Errorf("got %v", got)
	}
}
