package retention_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"earshot/audit"
	"earshot/internal/fault"
	"earshot/retention"
	"earshot/storage/storagetest"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// old stores n recordings that are due, without companions.
func (w *world) old(n int) (keys []string) {
	w.tb.Helper()
	for i := range n {
		key := fmt.Sprintf("clips/s%d/old%03d.wav", i%3, i)
		w.put(key, clip(50), map[string]string{"captured-at": w.now.AddDate(-1, 0, 0).Format(time.RFC3339)})
		keys = append(keys, key)
	}
	return keys
}

func TestManyGoTogetherWithFewRequests(t *testing.T) {
	for name, c := range map[string]struct {
		versioned bool
		waits     time.Duration // between plan and apply
		each      int64         // requests for a recording
	}{
		"versioned": {true, 0, 1}, "unversioned": {false, 0, 1},
		// Tags may have changed: the metadata of each is read again.
		"versioned, an hour later": {true, time.Hour, 2}, "unversioned, an hour later": {false, time.Hour, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), c.versioned, false)
			w.old(90)
			w.record("s1", "withCompanions", 400, 300)
			w.record("s1", "young", 1, -1)
			var requests, deletes atomic.Int64
			counting := fault.With(func(_ int, what string) fault.Verdict {
				if strings.Contains(what, "/"+w.name) {
					requests.Add(1)
				}
				if strings.HasPrefix(what, "DELETE ") {
					deletes.Add(1)
				}
				return fault.Pass
			})
			p, err := w.start(counting)
			if err != nil {
				t.Fatal(err)
			}
			defer p.stop()
			planned, err := p.plan(t.Context())
			if err != nil || planned.Deletes != 91 {
				t.Fatalf("%+v, %v", planned, err)
			}
			before := requests.Load()
			w.now = w.now.Add(c.waits)
			done, err := p.runner.Apply(t.Context(), planned.Run.ID)
			if err != nil || done.Deleted != 91 {
				t.Fatalf("%+v, %v", done, err)
			}
			if n := requests.Load() - before; n > 91*c.each || deletes.Load() > 0 {
				t.Errorf("%d requests, %d of them for one version each, to delete 91 recordings", n, deletes.Load())
			}
			for key := range w.snapshot() {
				if strings.Contains(key, "old") || strings.Contains(key, "withCompanions") {
					t.Errorf("%s is still there", key)
				}
			}
			if r := w.verified(); r.Intents < 91 || r.Open != 0 {
				t.Errorf("the log has %d intents, %d open", r.Intents, r.Open)
			}
			for _, e := range w.entries(audit.KindOutcome) {
				if o := e.Outcome; o.Result != "ok" || o.VersionsAfter != 0 || o.CopiesGone < o.VersionsBefore {
					t.Errorf("an outcome says %+v", o)
				}
			}
		})
	}
}

func TestCompanionsThatARuleKeepsAreCounted(t *testing.T) {
	for name, n := range map[string]int{"together": 4, "alone": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.policy = strings.Replace(w.policy, "keep: {for: 90d, from: captured}\n      then: delete", "keep: {for: 90d, from: captured}\n      then: delete\n      companions: {transcript: keep}", 1)
			for i := range n {
				w.record("s1", fmt.Sprintf("old%d", i), 400, 300)
			}
			if err := w.run(nil); err != nil {
				t.Fatal(err)
			}
			es := w.entries(audit.KindOutcome)
			if len(es) != n {
				t.Fatalf("%d outcomes, want %d", len(es), n)
			}
			for _, e := range es {
				if e.Outcome.CompanionsLeft != 1 || e.Outcome.VersionsAfter != 0 {
					t.Errorf("%+v, want one companion left", e.Outcome)
				}
			}
			if left := w.snapshot(); len(left) != n || len(left["transcripts/old0.json"]) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestAnUnfinishedUploadAmongManyGoesToo(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	keys := w.old(40)
	c, err := minio.NewCore(strings.TrimPrefix(w.o.Endpoint, "http://"), &minio.Options{Creds: credentials.NewStaticV4(w.o.AccessKey, w.o.SecretKey, ""), Region: w.o.Region})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{keys[5], "transcripts/old007.json"} { // a companion that was never finished
		if _, err := c.NewMultipartUpload(t.Context(), w.name, key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range append(keys, "transcripts/old007.json") {
		if p, err := w.plain.Present(t.Context(), key); err != nil || !p.Gone() {
			t.Errorf("%s: %+v, %v", key, p, err)
		}
	}
	if r := w.verified(); r.Open != 0 {
		t.Errorf("%d intents are open", r.Open)
	}
}

// TestWhatFailsDoesNotHoldUpTheOthers: one of many is refused by the store, again and again.
func TestWhatFailsDoesNotHoldUpTheOthers(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	keys := w.old(30)
	refusing := fault.With(func(_ int, what string) fault.Verdict {
		if strings.HasPrefix(what, "POST ") && strings.Contains(what, "delete") ||
			strings.HasPrefix(what, "DELETE ") && strings.Contains(what, keys[4]) {
			return fault.Deny
		}
		return fault.Pass
	})
	try := func() retention.Applied {
		t.Helper()
		_, done, err := w.planAndApply(refusing)
		if err != nil && !errors.Is(err, retention.ErrPartly) {
			t.Fatal(err)
		}
		return done
	}
	if done := try(); done.Deleted != 29 || done.Failed != 1 {
		t.Fatalf("%+v, want 29 deleted and one failed", done)
	}
	if done := try(); done.Failed != 0 {
		t.Errorf("it was tried again at once: %+v", done)
	}
	tries := 1
	for range 8 {
		w.now = w.now.Add(73 * time.Hour)
		tries += try().Failed
	}
	if tries != 5 {
		t.Errorf("it was tried %d times, want 5", tries)
	}
	p := w.mustStart()
	list, err := p.db.Attention(t.Context(), "", "", 10)
	if err != nil || len(list) != 1 || !list[0].Blocked || list[0].Code != "denied" || list[0].ID.Key != keys[4] {
		t.Errorf("on the list: %+v, %v", list, err)
	}
	if failing, blocked, err := p.db.Troubled(t.Context()); failing != 0 || blocked != 1 || err != nil {
		t.Errorf("%d, %d, %v", failing, blocked, err)
	}
	if n, err := p.db.Retry(t.Context(), w.name, keys[4]); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	p.stop()
	if err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	if pr, err := w.plain.Present(t.Context(), keys[4]); err != nil || !pr.Gone() {
		t.Errorf("after the retry: %+v, %v", pr, err)
	}
	p = w.mustStart()
	defer p.stop()
	if list, err := p.db.Attention(t.Context(), "", "", 10); err != nil || len(list) != 0 {
		t.Errorf("still on the list: %+v, %v", list, err)
	}
}

// TestWhatComesBetweenLookAndActIsLeftAlone stores over a recording, and beside another, after the
// batch was looked at.
func TestWhatComesBetweenLookAndActIsLeftAlone(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	keys := w.old(30)
	var once atomic.Bool
	p, err := w.start(fault.With(func(_ int, what string) fault.Verdict {
		if strings.HasPrefix(what, "POST ") && strings.Contains(what, "delete") && once.CompareAndSwap(false, true) {
			w.put(keys[3], clip(60), nil)
		}
		return fault.Pass
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err != nil || done.Deleted != 30 || !once.Load() {
		t.Fatalf("%+v, %v", done, err)
	}
	pr, err := w.plain.Present(t.Context(), keys[3])
	if err != nil || len(pr.Versions) != 1 || pr.Versions[0].Size != int64(len(clip(60))) {
		t.Errorf("what came later: %+v, %v", pr, err)
	}
	codes := map[string]int{}
	for _, e := range w.entries(audit.KindOutcome) {
		codes[e.Outcome.Code]++
		if o := e.Outcome; o.VersionsBefore != 1 || o.CopiesGone != 1 { // though its end was found by another look
			t.Errorf("an outcome says %+v, and one version went", o)
		}
	}
	if codes["newer_version"] != 1 || codes[""] != 29 {
		t.Errorf("outcomes: %v", codes)
	}
	row, err := p.db.Recording(t.Context(), w.name, keys[3])
	if err != nil || !row.GoneAt.IsZero() {
		t.Errorf("the catalog takes the newer one for gone: %+v, %v", row, err)
	}
}
