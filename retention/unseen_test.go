package retention_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/internal/fault"
	"earshot/storage/storagetest"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// later lets days go by for the next life.
func (w *world) later(days int) { w.now = w.now.AddDate(0, 0, days) }

// actions plans in a life of its own and returns how many things would be done.
func (w *world) actions() int {
	w.tb.Helper()
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(w.tb.Context())
	if err != nil {
		w.tb.Fatal(err)
	}
	return planned.Run.Actions
}

func (w *world) ago(days int) map[string]string {
	return map[string]string{"captured-at": w.now.AddDate(0, 0, -days).Format(time.RFC3339)}
}

func TestAnEventThatComesLateIsFound(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.put("clips/s1/talk.wav", clip(8000), w.ago(5))
	if n := w.actions(); n != 0 {
		t.Fatalf("%d actions without knowing where the wake word is", n)
	}
	w.put("events/talk.json", event(300, 500), nil)
	w.later(2)
	if n := w.actions(); n != 1 {
		t.Errorf("%d actions after the event came, want the redaction", n)
	}
}

func TestAHoldLiftedInTheStoreIsNoticed(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, true)
	id := w.put("clips/s1/old.wav", clip(100), w.ago(400))
	if err := w.plain.SetLegalHold(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	if n := w.actions(); n != 0 {
		t.Fatalf("%d actions on what the store holds", n)
	}
	if err := w.plain.SetLegalHold(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	w.later(2)
	if n := w.actions(); n != 1 {
		t.Errorf("%d actions after the hold was lifted, want the deletion", n)
	}
}

func TestARetentionThatIsOverNoLongerProtects(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, true)
	id := w.put("clips/s1/old.wav", clip(100), w.ago(400))
	u, err := url.Parse(w.o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(w.o.AccessKey, w.o.SecretKey, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	mode, until := minio.Governance, time.Now().Add(2*time.Second)
	if err := c.PutObjectRetention(t.Context(), w.name, id.Key, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until, VersionID: id.Version}); err != nil {
		t.Fatal(err)
	}
	if n := w.actions(); n != 0 {
		t.Fatalf("%d actions on what the store keeps", n)
	}
	time.Sleep(time.Until(until) + time.Second) // the store has no other clock
	w.now = time.Now().UTC()
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil || planned.Deletes != 1 {
		t.Fatalf("%+v, %v, want the deletion", planned, err)
	}
	if done, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil || done.Deleted != 1 {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestAnErasureRequestFindsARecordingWhoseSubjectOnlyItsMetadataNames: the recording was listed,
// decided and kept long before the request came.
func TestAnErasureRequestFindsARecordingWhoseSubjectOnlyItsMetadataNames(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.flat = true
	w.policy = strings.Replace(w.policy, "    - name: child", "    - name: keep-all\n      keep: {for: 3650d, from: stored}\n      then: delete\n    - name: child", 1)
	w.put("clips/a.wav", clip(100), map[string]string{"subject": "s9", "captured-at": w.now.Format(time.RFC3339)})
	if n := w.actions(); n != 0 {
		t.Fatalf("%d actions on what is to be kept", n)
	}
	p := w.mustStart()
	if err := p.db.PutRequest(t.Context(), earshot.Request{ID: "q1", Kind: earshot.RequestErasure, Subject: "s9", MadeAt: w.now}); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if n := w.actions(); n != 1 {
		t.Errorf("%d actions after the request, want the deletion", n)
	}
}

// TestOneRecordingThatCannotBeReadDoesNotStopTheOthers breaks every request for one key for good.
func TestOneRecordingThatCannotBeReadDoesNotStopTheOthers(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	for _, id := range []string{"a", "bad", "c"} {
		w.put("clips/s1/"+id+".wav", clip(100), w.ago(400))
	}
	broken := false
	w.o.Retries = 1
	script := fault.With(func(_ int, what string) fault.Verdict {
		if broken && strings.Contains(what, "bad.wav") {
			return fault.Lose
		}
		return fault.Pass
	})
	p, err := w.start(script)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil || planned.Deletes != 3 {
		t.Fatalf("%+v, %v", planned, err)
	}
	broken = true
	done, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err == nil || done.Deleted != 2 {
		t.Errorf("%+v, %v, want two deleted and an error for the third", done, err)
	}
	if err != nil && strings.Contains(err.Error(), "bad") {
		t.Errorf("the error names the recording: %v", err)
	}
	broken = false
	if done, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil || done.Deleted != 3 {
		t.Errorf("when it can be read again: %+v, %v", done, err)
	}
	w.verified()
}

// hide puts a delete marker over the object, as an app's "delete" does in a bucket that keeps
// versions.
func (w *world) hide(key string) {
	w.tb.Helper()
	u, err := url.Parse(w.o.Endpoint)
	if err != nil {
		w.tb.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(w.o.AccessKey, w.o.SecretKey, ""), Region: "us-east-1"})
	if err != nil {
		w.tb.Fatal(err)
	}
	if err := c.RemoveObject(w.tb.Context(), w.name, key, minio.RemoveObjectOptions{}); err != nil {
		w.tb.Fatal(err)
	}
}

// TestWhatSomebodyOnlyHidIsDestroyed: a delete marker hides a recording from readers; what is due
// must go all the same, and what is to be redacted must not come to light again.
func TestWhatSomebodyOnlyHidIsDestroyed(t *testing.T) {
	for _, when := range []string{"before the scan", "between plan and apply"} {
		t.Run(when, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.put("clips/s1/old.wav", clip(100), w.ago(400))
			w.put("clips/s1/talk.wav", clip(8000), w.ago(5))
			w.put("events/talk.json", event(300, 500), nil)
			w.hide("clips/s1/talk.wav")
			if when == "before the scan" {
				w.hide("clips/s1/old.wav")
			}
			p := w.mustStart()
			defer p.stop()
			planned, err := p.plan(t.Context())
			if err != nil || planned.Deletes != 1 || planned.Redacts != 0 {
				t.Fatalf("%+v, %v, want the deletion alone", planned, err)
			}
			if when != "before the scan" {
				w.hide("clips/s1/old.wav")
			}
			if done, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil || done.Deleted != 1 {
				t.Fatalf("%+v, %v", done, err)
			}
			if left, err := w.plain.Present(t.Context(), "clips/s1/old.wav"); err != nil || !left.Gone() {
				t.Errorf("left: %+v, %v", left, err)
			}
			if left, err := w.plain.Present(t.Context(), "clips/s1/talk.wav"); err != nil || len(left.Versions) != 2 {
				t.Errorf("what is for review was touched: %+v, %v", left, err)
			}
			w.verified()
		})
	}
}
