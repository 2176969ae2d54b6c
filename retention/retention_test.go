package retention_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

func TestARunDoesWhatItsPlanSays(t *testing.T) {
	for _, server := range []struct {
		name string
		open func(testing.TB) *world
	}{
		{"embedded/versioned", func(tb testing.TB) *world { return newWorld(tb, storagetest.Embedded(tb), true, false) }},
		{"embedded/unversioned", func(tb testing.TB) *world { return newWorld(tb, storagetest.Embedded(tb), false, false) }},
		{"minio/versioned", func(tb testing.TB) *world { return newWorld(tb, storagetest.MinIO(tb), true, false) }},
	} {
		t.Run(server.name, func(t *testing.T) { testRun(t, server.open(t)) })
	}
}

func testRun(t *testing.T, w *world) {
	ctx := t.Context()
	old := w.record("s1", "old", 100, 300)
	talk := w.record("s1", "talk", 5, 300)
	clean := w.record("s1", "clean", 5, 50)
	child := w.record("s2", "child", 5, 300)
	held := w.record("s3", "held", 100, 300)
	p := w.mustStart()
	defer p.stop()
	age := 9
	if err := p.db.PutSubject(ctx, earshot.Subject{ID: "s2", DeclaredAge: &age}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.PlaceHold(ctx, earshot.Hold{Matter: "m", Subject: "s3"}); err != nil {
		t.Fatal(err)
	}
	before := w.snapshot()
	planned, err := p.plan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if planned.Deletes != 2 || planned.Redacts != 1 || planned.Run.Held != 1 || planned.Run.Kept != 1 || planned.Run.State != earshot.RunApproved {
		t.Fatalf("planned %+v", planned)
	}
	if after := w.snapshot(); len(after) != len(before) {
		t.Fatal("planning changed the store")
	}
	done, err := p.runner.Apply(ctx, planned.Run.ID)
	if err != nil || done.Deleted != 2 || done.Redacted != 1 || done.Skipped+done.Failed+done.Unfinished != 0 {
		t.Fatalf("applied %+v, %v", done, err)
	}
	after := w.snapshot()
	for _, id := range []string{"old", "child"} {
		for key := range after {
			if strings.Contains(key, id) {
				t.Errorf("%s is left", key)
			}
		}
	}
	_, _ = old, child
	for _, key := range []string{held, clean, "transcripts/held.json", "events/clean.json", "voiceprints/s1/clean.bin"} {
		if strings.Join(after[key], ",") != strings.Join(before[key], ",") {
			t.Errorf("%s was touched", key)
		}
	}
	checkTalk(t, w, talk, after)
	r := w.verified()
	if r.Intents != 3 || r.Outcomes != 3 || r.Open != 0 {
		t.Errorf("the log has %d intents, %d outcomes, %d open", r.Intents, r.Outcomes, r.Open)
	}
	again, err := p.plan(ctx)
	if err != nil || again.Run.Actions != 0 {
		t.Errorf("a second run would do %d things, %v", again.Run.Actions, err)
	}
}

// checkTalk checks the redacted recording bit by bit.
func checkTalk(t *testing.T, w *world, key string, after map[string][]string) {
	t.Helper()
	if len(after[key]) != 1 {
		t.Errorf("the redacted recording has %d versions", len(after[key]))
	}
	was := samplesOf(clip(8000))
	for i, v := range samplesOf(w.read(key)) {
		switch {
		case i < 2400 && v != 0: // 300 ms at 8 kHz
			t.Fatalf("sample %d is left of what was said before the wake word", i)
		case i >= 2400 && v != was[i]:
			t.Fatalf("sample %d of the command was changed", i)
		}
	}
	text := string(w.read("transcripts/talk.json"))
	if strings.Contains(text, "secret") || !strings.Contains(text, "lights") {
		t.Errorf("transcript: %s", text)
	}
	if _, ok := after["voiceprints/s1/talk.bin"]; ok {
		t.Error("the voiceprint of the sound before redaction is left")
	}
	if len(after["events/talk.json"]) != 1 {
		t.Error("the event is gone")
	}
}

func TestApplyDoesLessWhenThingsChanged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, w *world, p *process)
		why    string
	}{
		"holdPlacedAfterPlanIsSkipped": {func(t *testing.T, w *world, p *process) {
			if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Subject: "s1"}); err != nil {
				t.Fatal(err)
			}
		}, "hold"},
		"replacedObjectIsSkipped": {func(_ *testing.T, w *world, _ *process) {
			w.put("clips/s1/old.wav", clip(300), nil)
		}, "changed"},
		"vanishedObjectIsSkipped": {func(t *testing.T, w *world, _ *process) {
			pr, err := w.plain.Present(t.Context(), "clips/s1/old.wav")
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range pr.Versions {
				w.plain.Destroy(t.Context(), []earshot.RecordingID{v.ID})
			}
		}, "gone"},
		"newCompanionIsSkipped": {func(t *testing.T, w *world, _ *process) {
			w.put("voiceprints/s1/old.bin", []byte("x"), nil)
		}, "companions"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.put("clips/s1/old.wav", clip(100), map[string]string{"captured-at": w.now.AddDate(-1, 0, 0).Format(time.RFC3339)})
			p := w.mustStart()
			defer p.stop()
			planned, err := p.plan(t.Context())
			if err != nil || planned.Deletes != 1 {
				t.Fatalf("%+v, %v", planned, err)
			}
			c.change(t, w, p)
			before := w.snapshot()
			done, err := p.runner.Apply(t.Context(), planned.Run.ID)
			if err != nil || done.Skipped != 1 || done.Deleted != 0 {
				t.Errorf("applied %+v, %v, want it skipped", done, err)
			}
			as, err := p.db.Actions(t.Context(), planned.Run.ID, "", 0, 10)
			if err != nil || as[0].Why != c.why {
				t.Errorf("got %+v, %v, want the reason %s", as, err, c.why)
			}
			for key, etags := range before {
				if strings.Join(etags, ",") != strings.Join(w.snapshot()[key], ",") {
					t.Errorf("%s was touched", key)
				}
			}
			w.verified()
		})
	}
}

func TestGuardRails(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.policy = strings.Replace(w.policy, "  rules:", "  limits: {maxShare: 5%, approvals: 1}\n  rules:", 1)
	for _, id := range []string{"a", "b"} {
		w.record("s1", id, 100, 300)
	}
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(ctx)
	if err != nil || planned.Run.State != earshot.RunSealed || planned.Run.ApprovalsNeeded != 1 {
		t.Fatalf("%+v, %v", planned, err)
	}
	id, digest := planned.Run.ID, planned.Run.Digest
	if _, err := p.runner.Apply(ctx, id); !errors.Is(err, retention.ErrNotApproved) {
		t.Errorf("applying without approval: %v", err)
	}
	person := earshot.Principal{Kind: earshot.Person, Name: "ann"}
	for name, c := range map[string]struct {
		digest earshot.Digest
		by     earshot.Principal
		want   error
	}{
		"anotherDigest": {earshot.DigestOf(nil), person, retention.ErrStaleRun},
		"thePlanner":    {digest, earshot.Principal{Kind: earshot.Person, Name: "test"}, retention.ErrNotApproved},
		"aProgram":      {digest, earshot.Principal{Kind: earshot.Service, Name: "cron"}, retention.ErrNotApproved},
	} {
		if _, err := p.runner.Approve(ctx, id, c.digest, c.by); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if run, err := p.runner.Approve(ctx, id, digest, person); err != nil || run.State != earshot.RunApproved {
		t.Fatalf("%+v, %v", run, err)
	}
	if done, err := p.runner.Apply(ctx, id); err != nil || done.Deleted != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := p.runner.Apply(ctx, id); err != nil || done.Deleted != 2 {
		t.Errorf("applying again is harmless: %+v, %v", done, err)
	}
}

func TestDatesThatCannotBeTrueAreForReview(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	for id, captured := range map[string]string{
		"missing": "", "future": w.now.AddDate(1, 0, 0).Format(time.RFC3339), "absurd": "1970-01-01T00:00:00Z", "nodate": "yesterday",
	} {
		meta := map[string]string{}
		if captured != "" {
			meta["captured-at"] = captured
		}
		w.put("clips/s1/"+id+".wav", clip(100), meta)
	}
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil || planned.Run.Actions != 0 || planned.Run.ForReview != 4 {
		t.Errorf("%+v, %v, want four for review", planned, err)
	}
}

func TestTheStoresOwnLocksWin(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, true)
	id := w.put("clips/s1/old.wav", clip(100), map[string]string{"captured-at": w.now.AddDate(-1, 0, 0).Format(time.RFC3339)})
	if err := w.plain.SetLegalHold(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil || planned.Run.Actions != 0 || planned.Run.Held != 1 {
		t.Errorf("%+v, %v, want it held", planned, err)
	}
}

func TestARunThatIsInterruptedGoesOn(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	for i := range 12 {
		w.record("s1", string(rune('a'+i)), 100, 300)
	}
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.runner.Apply(ctx, planned.Run.ID); err == nil {
		t.Error("an interrupted run says that it is done")
	}
	if open, err := p.db.Unfinished(t.Context(), 100); len(open) != 0 || err != nil {
		t.Errorf("%d actions are left half done, %v", len(open), err)
	}
	done, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err != nil || done.Deleted != 12 {
		t.Errorf("%+v, %v", done, err)
	}
	if r := w.verified(); r.Open != 0 {
		t.Errorf("%d intents are open", r.Open)
	}
}

func TestAPlanEditedInTheCatalogIsNotCarriedOut(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.record("s1", "old", 100, 300)
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	as, err := p.db.Actions(t.Context(), planned.Run.ID, "", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	a := as[0]
	a.Recording.ID.Key = "clips/s1/other.wav"
	mine := catalog.Lease{Owner: "editor", Now: time.Now(), Until: time.Now()}
	if _, err := p.db.Reserve(t.Context(), planned.Run.ID, mine, 0, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := p.db.Claim(t.Context(), mine, []catalog.Transition{{Action: withState(a, earshot.ActionPlanned), Leaf: earshot.Leaf{}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Apply(t.Context(), planned.Run.ID); !errors.Is(err, retention.ErrStaleRun) {
		t.Errorf("got %v, want ErrStaleRun", err)
	}
}

func withState(a earshot.Action, s earshot.ActionState) earshot.Action { a.State = s; return a }
