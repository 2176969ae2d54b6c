package retention_test

import (
	"context"
	"testing"

	"earshot"
	"earshot/storage/storagetest"
)

// TestCopiesGoToo keeps copies of everything in a second bucket.
func TestCopiesGoToo(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	second := storagetest.Bucket(t, w.o, true, false)
	w.copies = map[string][]string{w.name: {second.Name()}}
	old, talk, young := w.record("s1", "old", 100, 300), w.record("s1", "talk", 5, 300), w.record("s1", "young", 5, 50)
	for v, err := range w.plain.All(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := second.Put(t.Context(), v.ID.Key, w.read(v.ID.Key), "application/octet-stream", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	there := func(key string) bool {
		p, err := second.Present(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return !p.Gone()
	}
	p := w.mustStart()
	defer p.stop()
	_, done := p.run(t)
	if done.Deleted != 1 || done.Redacted != 1 {
		t.Fatalf("%+v", done)
	}
	if got, err := p.runner.Confirm(t.Context(), done.Run.ID, w.store(nil), "eyes"); err != nil || got.Confirmed != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for key, want := range map[string]bool{old: false, "transcripts/old.json": false, "voiceprints/s1/old.bin": false, talk: false, "transcripts/talk.json": false, young: true, "events/talk.json": true} {
		if there(key) != want {
			t.Errorf("a copy of %s is there: %v", key, !want)
		}
	}
	// A copy that the store protects keeps the recording as well: half of it is not deleted.
	locked := storagetest.Bucket(t, w.o, true, true)
	id, err := locked.Put(t.Context(), young, []byte("x"), "application/octet-stream", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := locked.SetLegalHold(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	w.copies[w.name] = []string{locked.Name()}
	q := w.mustStart()
	defer q.stop()
	if _, err := q.runner.FileRequest(t.Context(), earshot.RequestErasure, "s1", 0); err != nil {
		t.Fatal(err)
	}
	planned, err := q.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if done, err := q.runner.Apply(t.Context(), planned.Run.ID); err != nil || done.Skipped != 1 || !w.there(young) {
		t.Errorf("%+v, %v", done, err)
	}
}
