package retention_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"earshot"
	"earshot/internal/fault"
	"earshot/storage/storagetest"
)

func TestAHoldOnSingleRecordingsCoversThemOnly(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	a := w.record("s1", "a", 100, 300)
	w.record("s1", "b", 100, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Keys: []string{a}}); err == nil {
		t.Error("a hold on a key of no bucket was placed")
	}
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := p.runner.Protect(t.Context(), earshot.Hold{Matter: "m", Reason: "r", Bucket: w.name, Keys: []string{a}})
	if err != nil || got.Covers != 1 || got.Waited != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, done := p.run(t); done.Deleted != 1 || !w.there(a) || !w.there("transcripts/a.json") {
		t.Errorf("%+v", done)
	}
}

// TestAHoldIsMirroredAndWhatOthersSetIsLeftAlone looks at the store's own legal holds.
func TestAHoldIsMirroredAndWhatOthersSetIsLeftAlone(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, true)
	ctx := t.Context()
	key := w.record("s1", "a", 100, 300)
	theirs := w.put("clips/s1/theirs.wav", clip(10), w.ago(100))
	if err := w.plain.SetLegalHold(ctx, theirs, true); err != nil {
		t.Fatal(err)
	}
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(ctx); err != nil {
		t.Fatal(err)
	}
	held := func(key string) (n int) {
		versions, err := w.plain.Versions(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			lock, err := w.plain.Lock(ctx, v.ID)
			if err != nil {
				t.Fatal(err)
			}
			if lock.LegalHold {
				n++
			}
		}
		return n
	}
	got, err := p.runner.Protect(ctx, earshot.Hold{Matter: "m", Subject: "s1", Bucket: w.name})
	if err != nil || held(key) != 2 || held("transcripts/a.json") != 1 || got.Mirrored.Set != 5 {
		t.Fatalf("%+v, %v; %d versions are under the store's hold", got, err, held(key))
	}
	q := w.mustStart()
	defer q.stop()
	if again, err := q.runner.MirrorHolds(ctx); err != nil || again.Set != 0 || again.Standing != 5 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := p.db.LiftHold(ctx, got.ID, "another", w.now); err != nil {
		t.Fatal(err)
	}
	if lifted, err := p.runner.MirrorHolds(ctx); err != nil || lifted.Lifted != 5 || held(key) != 0 || held(theirs.Key) != 1 {
		t.Errorf("%+v, %v: %d and %d are under the store's hold", lifted, err, held(key), held(theirs.Key))
	}
}

// TestAHoldWaitsForWhatIsUnderWay places one while a worker is in the middle of a deletion.
func TestAHoldWaitsForWhatIsUnderWay(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	key := w.record("s1", "a", 100, 300)
	var once sync.Once
	reached, goOn := make(chan struct{}), make(chan struct{})
	script := fault.With(func(_ int, what string) fault.Verdict {
		if len(what) > 6 && what[:6] == "DELETE" {
			once.Do(func() { close(reached); <-goOn })
		}
		return fault.Pass
	})
	p, err := w.start(script)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := p.runner.Apply(context.Background(), planned.Run.ID); err != nil {
			t.Error(err)
		}
	})
	<-reached
	q := w.mustStart()
	defer q.stop()
	done := make(chan int)
	group.Go(func() {
		got, err := q.runner.Protect(context.Background(), earshot.Hold{Matter: "m", Subject: "s1"})
		if err != nil {
			t.Error(err)
		}
		done <- got.Waited
	})
	select {
	case <-done:
		t.Error("the hold was confirmed while its recording was being deleted")
		close(goOn)
	case <-time.After(700 * time.Millisecond):
		close(goOn)
		if n := <-done; n != 1 {
			t.Errorf("it waited for %d actions", n)
		}
	}
	group.Wait()
	if w.there(key) {
		t.Error("what had begun was not brought to an end")
	}
}

func TestAHoldThatCannotProtectAnythingIsRefused(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Subject: "s1", From: w.now, To: w.now.AddDate(0, -1, 0)}); err == nil {
		t.Error("a range of dates that ends before it begins was taken for a hold")
	}
}
