package retention_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"earshot"
	"earshot/internal/fault"
	"earshot/retention"
	"earshot/storage/storagetest"
)

// planAndApply makes a run in a life of its own.
func (w *world) planAndApply(script *fault.Script) (retention.Planned, retention.Applied, error) {
	w.tb.Helper()
	p, err := w.start(script)
	if err != nil {
		w.tb.Fatal(err)
	}
	defer p.stop()
	planned, err := p.plan(w.tb.Context())
	if err != nil {
		w.tb.Fatal(err)
	}
	if planned.Run.Actions == 0 {
		return planned, retention.Applied{}, nil
	}
	done, err := p.runner.Apply(w.tb.Context(), planned.Run.ID)
	return planned, done, err
}

func (w *world) versions(key string) int {
	w.tb.Helper()
	p, err := w.plain.Present(w.tb.Context(), key)
	if err != nil {
		w.tb.Fatal(err)
	}
	return len(p.Versions)
}

func TestTheSameBytesStoredAgainAreANewRecording(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.put("clips/s1/a.wav", clip(100), w.ago(400))
	p := w.mustStart()
	planned, err := p.plan(t.Context())
	p.stop()
	if err != nil || planned.Deletes != 1 {
		t.Fatalf("%+v, %v", planned, err)
	}
	time.Sleep(1100 * time.Millisecond) // dates of storage are in seconds
	w.put("clips/s1/a.wav", clip(100), w.ago(1))
	if planned, done, err := w.planAndApply(nil); planned.Run.Actions != 0 || err != nil {
		t.Errorf("a fresh recording was disposed of by the old one's date: %+v, %+v, %v", planned, done, err)
	}
	if n := w.versions("clips/s1/a.wav"); n == 0 {
		t.Error("it is gone")
	}
}

// denied refuses to delete versions of recordings while on.
func denied(on *atomic.Bool) *fault.Script {
	return fault.With(func(_ int, what string) fault.Verdict {
		if on.Load() && strings.HasPrefix(what, "DELETE ") && strings.Contains(what, "/clips/") {
			return fault.Deny
		}
		return fault.Pass
	})
}

func TestARedactionWhoseCleanUpIsRefusedStaysOpenUntilItIsDone(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	key := w.record("s1", "talk", 5, 300)
	var on atomic.Bool
	on.Store(true)
	_, done, err := w.planAndApply(denied(&on))
	if !errors.Is(err, retention.ErrPartly) || done.Unfinished != 1 || done.Failed != 0 {
		t.Errorf("%+v, %v, want it unfinished", done, err)
	}
	if r := w.verified(); r.Open != 1 {
		t.Errorf("%d intents are open, want one", r.Open)
	}
	if err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	if n := w.versions(key); n != 1 {
		t.Errorf("%d versions are left of the redacted recording", n)
	}
	if r := w.verified(); r.Open != 0 {
		t.Errorf("%d intents are open", r.Open)
	}
}

func TestAHoldInTheMiddleKeepsWhatIsLeftAndIsToldAsItIs(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	key := w.record("s1", "talk", 5, 300)
	var on atomic.Bool
	on.Store(true)
	if _, _, err := w.planAndApply(denied(&on)); !errors.Is(err, retention.ErrPartly) {
		t.Fatal(err)
	}
	p := w.mustStart()
	hold, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Subject: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Settle(t.Context()); !errors.Is(err, retention.ErrPartly) {
		t.Errorf("settling under the hold: %v, want it to stay open", err)
	}
	if n := w.versions(key); n != 3 {
		t.Errorf("%d versions under the hold, want all three", n)
	}
	p.stop()
	lifter := w.mustStart()
	defer lifter.stop()
	if _, err := lifter.db.LiftHold(t.Context(), hold.ID, "bob", w.now); err != nil {
		t.Fatal(err)
	}
	if _, err := lifter.runner.Settle(t.Context()); err != nil {
		t.Error(err)
	}
	if n := w.versions(key); n != 1 {
		t.Errorf("%d versions after the hold was lifted, want one", n)
	}
	if r := w.verified(); r.Open != 0 || r.Outcomes != 1 {
		t.Errorf("%+v", r)
	}
}

func TestCompanionsThatTwoRecordingsShareAreForAPerson(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.put("clips/a/0001.wav", clip(100), w.ago(5))
	w.put("clips/b/0001.wav", clip(200), w.ago(400))
	w.put("transcripts/0001.json", []byte(words), nil)
	if planned, done, err := w.planAndApply(nil); planned.Deletes != 0 || err != nil {
		t.Errorf("%+v, %+v, %v", planned, done, err)
	}
	if w.versions("transcripts/0001.json") != 1 || w.versions("clips/b/0001.wav") != 1 {
		t.Error("something that two recordings share was destroyed")
	}
}

func TestHoldsCoverTheDayTheyNameAndWhatLiesBeside(t *testing.T) {
	for name, h := range map[string]earshot.Hold{
		"companionsPrefix": {Matter: "m", Prefix: "transcripts/old"},
		"recordingsPrefix": {Matter: "m", Prefix: "clips/s1/o"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.record("s1", "old", 400, 300)
			p := w.mustStart()
			if _, err := p.runner.PlaceHold(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			p.stop()
			if planned, _, err := w.planAndApply(nil); planned.Run.Actions != 0 || planned.Run.Held != 1 || err != nil {
				t.Errorf("%+v, %v, want it held", planned, err)
			}
		})
	}
	day := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	h := earshot.Hold{From: day, To: day.AddDate(0, 0, 1)}
	onlyTheDay := earshot.Recording{CapturedAt: day.AddDate(0, 0, 1), CapturedWithin: 24 * time.Hour}
	if !h.Covers(onlyTheDay) {
		t.Error("a hold on a day does not cover a recording of that day")
	}
	if h.Covers(earshot.Recording{CapturedAt: day.AddDate(0, 0, 3), CapturedWithin: 24 * time.Hour}) {
		t.Error("a hold on a day covers a recording of two days later")
	}
}

func TestChangingTheLayoutDoesNotChangeASealedPlan(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.record("s1", "talk", 5, 300)
	p := w.mustStart()
	planned, err := p.plan(t.Context())
	p.stop()
	if err != nil || planned.Redacts != 1 {
		t.Fatalf("%+v, %v", planned, err)
	}
	w.onRedact = earshot.CompanionDelete
	p = w.mustStart()
	defer p.stop()
	done, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err != nil || done.Skipped != 1 {
		t.Errorf("%+v, %v, want it skipped", done, err)
	}
	if w.versions("events/talk.json") != 1 {
		t.Error("apply did more than the plan said")
	}
}

func TestAVersionThatComesInTheMiddleStays(t *testing.T) {
	for _, id := range []string{"old", "talk"} {
		t.Run(id, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			key := w.record("s1", id, map[string]int{"old": 400, "talk": 5}[id], 300)
			var once atomic.Bool
			script := fault.With(func(_ int, what string) fault.Verdict {
				if strings.HasPrefix(what, "DELETE ") && strings.Contains(what, "/clips/") && once.CompareAndSwap(false, true) {
					w.put(key, clip(4000), w.ago(1)) // a device stores another recording under the same key
				}
				return fault.Pass
			})
			if _, done, err := w.planAndApply(script); err != nil || done.Failed > 0 {
				t.Errorf("%+v, %v", done, err)
			}
			if n := len(samplesOf(w.read(key))); n != 4000 {
				t.Errorf("what was stored meanwhile has %d samples, want 4000", n)
			}
			for _, v := range w.snapshot()[key] {
				if v == etagOf(clip(8000)) || v == etagOf(clip(100)) {
					t.Error("a version with the sound is left")
				}
			}
		})
	}
}

func TestMetadataCannotSayWhatWasErased(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	meta := w.ago(5)
	meta["earshot-erased"], meta["earshot-redacted"], meta["earshot-seal"] = "0s-300ms/silence", "000000000000", strings.Repeat("0", 32)
	w.put("clips/s1/talk.wav", clip(8000), meta)
	w.put("events/talk.json", event(300, 500), nil)
	if planned, _, err := w.planAndApply(nil); planned.Redacts != 1 || err != nil {
		t.Errorf("%+v, %v, want the redaction", planned, err)
	}
}

// TestALostCatalogKnowsAgainWhatWasErased: what earshot itself sealed into the object is believed.
func TestALostCatalogKnowsAgainWhatWasErased(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.record("s1", "talk", 5, 300)
	if _, done, err := w.planAndApply(nil); done.Redacted != 1 || err != nil {
		t.Fatalf("%+v, %v", done, err)
	}
	w.dir = t.TempDir()
	p := w.newCatalog()
	defer p.stop()
	if planned, err := p.plan(t.Context()); planned.Run.Actions != 0 || err != nil {
		t.Errorf("%+v, %v, want nothing to do", planned, err)
	}
}

func TestNoPolicysLimitsAreBypassedByAskingForAnother(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	strict := strings.Replace(w.policy, "  rules:", "  limits: {maxCount: 1, approvals: 2}\n  rules:", 1)
	w.more = []string{strings.Replace(strings.Replace(w.policy, "name: household", "name: lenient", 1), "prefix: clips/", "prefix: clips/s1/", 1)}
	w.policy = strict
	w.record("s1", "a", 400, 300)
	w.record("s1", "b", 400, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	planned, err := p.runner.Plan(t.Context(), "lenient")
	if err != nil || planned.Run.State != earshot.RunSealed || planned.Run.ApprovalsNeeded != 2 {
		t.Fatalf("%+v, %v, want it to wait for two approvals", planned, err)
	}
	for _, c := range []struct {
		name string
		want earshot.RunState
	}{{"Ann", earshot.RunSealed}, {" ann", earshot.RunSealed}, {"bob", earshot.RunApproved}} {
		run, err := p.runner.Approve(t.Context(), planned.Run.ID, planned.Run.Digest, earshot.Principal{Kind: earshot.Person, Name: c.name})
		if err != nil || run.State != c.want {
			t.Errorf("after %q: %s, %v, want %s", c.name, run.State, err, c.want)
		}
	}
	if _, err := p.runner.Approve(t.Context(), planned.Run.ID, earshot.DigestOf(nil), earshot.Principal{Kind: earshot.Person, Name: "eve"}); !errors.Is(err, retention.ErrStaleRun) {
		t.Errorf("a wrong digest for an approved run: %v", err)
	}
}
