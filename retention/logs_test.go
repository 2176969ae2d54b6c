package retention_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/events"
	"earshot/internal/fault"
	"earshot/retention"
	"earshot/storage/storagetest"
)

const logPolicy = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: doorbell, owner: a@example.org}
spec:
  scope: {bucket: BUCKET, prefix: eventlogs/}
  rows:
    - {name: month, of: [motion], after: 30d, then: delete}
    - {name: exact-time, after: 7d, coarsen: hour}
    - {name: phone, drop: [model], hash: [network]}
  otherwise: keep
`

// logWorld is a world with event logs beside its recordings.
func logWorld(tb testing.TB, versioned, locked bool) *world {
	w := newWorld(tb, storagetest.Embedded(tb), versioned, locked)
	w.more = []string{strings.ReplaceAll(logPolicy, "BUCKET", w.name)}
	w.eventLogs = []retention.LogLayout{
		{Class: "motion", Key: "eventlogs/motion/{any}.jsonl", Shape: events.Shape{Format: events.JSONLines, Time: "at", Subject: "who", Device: "device"}},
		{Class: "app", Key: "eventlogs/app/{any}.csv.gz", Shape: events.Shape{Format: events.CSV, Time: "at", Subject: "who"}},
	}
	return w
}

func (w *world) motion(who string, age float64) string {
	at := w.now.Add(-time.Duration(age * 24 * float64(time.Hour)))
	return fmt.Sprintf(`{"at":%q,"who":%q,"device":"cam-1","x":1}`+"\n", at.Format(time.RFC3339), who)
}

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.Bytes()
}

func (p *process) run(t *testing.T) (retention.Planned, retention.Applied) {
	t.Helper()
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if planned.Run.State == earshot.RunDone {
		return planned, retention.Applied{}
	}
	done, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err != nil || done.Failed > 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	return planned, done
}

func TestEventLogsAreTreatedAsRecordingsAre(t *testing.T) {
	for name, versioned := range map[string]bool{"versioned": true, "unversioned": false} {
		t.Run(name, func(t *testing.T) {
			w := logWorld(t, versioned, false)
			young, old := w.motion("s-2", 3), w.motion("s-1", 40)
			w.put("eventlogs/motion/a.jsonl", []byte(old), nil) // an older version
			w.put("eventlogs/motion/a.jsonl", []byte(old+young), nil)
			w.put("eventlogs/motion/young.jsonl", []byte(young), nil)
			w.put("eventlogs/motion/gone.jsonl", []byte(old+old), nil)
			w.put("eventlogs/app/b.csv.gz", zipped("at,who,model,network\n"+w.now.Add(-time.Hour).Format(time.RFC3339)+",s-1,Pixel 8,home\n"), nil)
			w.put("eventlogs/other.txt", []byte("left alone"), nil)
			p := w.mustStart()
			defer p.stop()
			planned, done := p.run(t)
			if planned.Redacts != 2 || planned.Deletes != 1 || done.Redacted != 2 || done.Deleted != 1 {
				t.Fatalf("planned %+v, done %+v", planned, done)
			}
			if got := string(w.read("eventlogs/motion/a.jsonl")); got != young {
				t.Errorf("rows left: %s", got)
			}
			snap := w.snapshot()
			if len(snap["eventlogs/motion/a.jsonl"]) != 1 || len(snap["eventlogs/motion/gone.jsonl"]) != 0 || len(snap["eventlogs/other.txt"]) != 1 {
				t.Errorf("the store has %v", snap)
			}
			z, err := gzip.NewReader(bytes.NewReader(w.read("eventlogs/app/b.csv.gz")))
			if err != nil {
				t.Fatal(err)
			}
			var app bytes.Buffer
			if _, err := app.ReadFrom(z); err != nil || strings.Contains(app.String(), "Pixel") || strings.Contains(app.String(), "home") || !strings.Contains(app.String(), ",h1-") {
				t.Errorf("the app's log: %s, %v", app.String(), err)
			}
			if r := w.verified(); r.Intents != 3 || r.Outcomes != 3 {
				t.Errorf("%d intents, %d outcomes", r.Intents, r.Outcomes)
			}
			if planned, _ := p.run(t); planned.Run.Actions != 0 {
				t.Errorf("a second plan has %d actions", planned.Run.Actions)
			}
			row, err := p.db.Recording(t.Context(), w.name, "eventlogs/motion/young.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			at := w.now.Add(-3 * 24 * time.Hour).Truncate(time.Hour).Add(time.Hour)
			if want := at.Add(7 * 24 * time.Hour); row.DueAt.Unix() != want.Unix() {
				t.Errorf("the next row is due at %s, want %s", row.DueAt, want)
			}
			w.now = w.now.Add(5 * 24 * time.Hour)
			if _, done := p.run(t); done.Redacted != 2 {
				t.Errorf("five days later: %+v", done)
			}
			if got := string(w.read("eventlogs/motion/young.jsonl")); !strings.Contains(got, ":00:00Z") {
				t.Errorf("five days later the time is exact: %s", got)
			}
		})
	}
}

func TestErasureAndHoldsReachTheRows(t *testing.T) {
	w := logWorld(t, true, false)
	a, b, c := w.motion("s-1", 3), w.motion("s-2", 3), w.motion("s-3", 40)
	w.put("eventlogs/motion/a.jsonl", []byte(a+b+c), nil)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Subject: "s-3"}); err != nil {
		t.Fatal(err)
	}
	if planned, _ := p.run(t); planned.Run.Actions != 0 {
		t.Fatalf("held rows are due: %+v", planned)
	}
	if _, err := p.runner.FileRequest(t.Context(), earshot.RequestErasure, "s-1", time.Hour); err != nil {
		t.Fatal(err)
	}
	planned, err := p.plan(t.Context())
	if err != nil || planned.Redacts != 1 {
		t.Fatalf("%+v, %v", planned, err)
	}
	hold, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "n", Subject: "s-1", PlacedBy: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil || done.Skipped != 1 {
		t.Fatalf("a hold came between plan and apply: %+v, %v", done, err)
	}
	if _, err := p.db.LiftHold(t.Context(), hold.ID, "somebody", w.now); err != nil {
		t.Fatal(err)
	}
	if _, done := p.run(t); done.Redacted != 1 || string(w.read("eventlogs/motion/a.jsonl")) != b+c {
		t.Fatalf("%+v\n%s", done, w.read("eventlogs/motion/a.jsonl"))
	}
	// What arrives late is erased too, after the request was closed.
	if _, err := p.runner.CloseRequests(t.Context(), "s-1"); err != nil {
		t.Fatal(err)
	}
	w.put("eventlogs/motion/late.jsonl", []byte(a+b), nil)
	if _, done := p.run(t); done.Redacted != 1 || string(w.read("eventlogs/motion/late.jsonl")) != b {
		t.Errorf("late: %+v\n%s", done, w.read("eventlogs/motion/late.jsonl"))
	}
	if r := w.verified(); r.Open != 0 {
		t.Errorf("%d open", r.Open)
	}
}

func TestALogThatCannotBeReadIsKept(t *testing.T) {
	w := logWorld(t, true, false)
	w.put("eventlogs/motion/a.jsonl", []byte(w.motion("s-1", 40)+"{broken\n"), nil)
	p := w.mustStart()
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil || planned.Run.ForReview != 1 || planned.Run.Actions != 0 {
		t.Fatalf("%+v, %v", planned, err)
	}
	row, err := p.db.Recording(t.Context(), w.name, "eventlogs/motion/a.jsonl")
	if err != nil || !strings.Contains(row.Reason, "line 2") || strings.Contains(row.Reason, "broken") {
		t.Errorf("the reason is %q, %v", row.Reason, err)
	}
}

func TestALogUnderObjectLockIsKept(t *testing.T) {
	w := logWorld(t, true, true)
	id := w.put("eventlogs/motion/a.jsonl", []byte(w.motion("s-1", 40)+w.motion("s-1", 1)), nil)
	if err := w.plain.SetLegalHold(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	p := w.mustStart()
	defer p.stop()
	if planned, _ := p.run(t); planned.Run.Actions != 0 || planned.Run.Held != 1 {
		t.Errorf("%+v", planned)
	}
}

// TestALogSurvivesACrashAtEveryStep dies at each operation of a run over one event log.
func TestALogSurvivesACrashAtEveryStep(t *testing.T) {
	start := func() *world {
		w := logWorld(t, true, false)
		w.put("eventlogs/motion/a.jsonl", []byte(w.motion("s-1", 40)+w.motion("s-2", 1)), nil)
		return w
	}
	do := func(w *world, script *fault.Script) error {
		p, err := w.start(script)
		if err != nil {
			return err
		}
		defer p.stop()
		if _, err := p.runner.Settle(t.Context()); err != nil {
			return err
		}
		planned, err := p.plan(t.Context())
		if err != nil || planned.Run.State == earshot.RunDone {
			return err
		}
		_, err = p.runner.Apply(t.Context(), planned.Run.ID)
		return err
	}
	clean := start()
	count := fault.Count()
	if err := do(clean, count); err != nil {
		t.Fatal(err)
	}
	want := string(clean.read("eventlogs/motion/a.jsonl"))
	if strings.Contains(want, "s-1") {
		t.Fatal("nothing was deleted")
	}
	step := 6
	if testing.Short() {
		step = 40
	}
	for landed := range 2 {
		for i := 1 + landed*step/2; i <= count.Operations(); i += step {
			w := start()
			w.o.Retries = 1
			script := fault.CrashAt(i, landed == 1)
			_ = do(w, script)
			w.o.Retries = 0
			if err := do(w, nil); err != nil {
				t.Fatalf("after a crash at %q: %v", script.Name(i), err)
			}
			got := string(w.read("eventlogs/motion/a.jsonl"))
			if strings.Contains(got, "s-1") || !strings.Contains(got, "s-2") || len(w.snapshot()["eventlogs/motion/a.jsonl"]) != 1 {
				t.Errorf("after a crash at %q: %s", script.Name(i), got)
			}
			if r := w.verified(); r.Open != 0 || r.Intents != r.Outcomes {
				t.Errorf("after a crash at %q: %d intents, %d outcomes, %d open", script.Name(i), r.Intents, r.Outcomes, r.Open)
			}
		}
	}
}

func TestAnAnswerHoldsThePersonsEvents(t *testing.T) {
	w := logWorld(t, true, false)
	mine := w.motion("s-1", 3) + w.motion("s-1", 2)
	w.put("eventlogs/motion/a.jsonl", []byte(w.motion("s-2", 3)+mine), nil)
	w.put("eventlogs/motion/b.jsonl", []byte(w.motion("s-2", 3)), nil)
	p := w.mustStart()
	defer p.stop()
	p.run(t)
	var buf bytes.Buffer
	got, err := p.runner.Access(t.Context(), "s-1", &buf)
	if err != nil || got.Events != 2 || len(got.Missing) > 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	z, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open("events/00001-motion.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil || string(text) != mine {
		t.Errorf("the answer has %s, %v", text, err)
	}
}

// TestMorePeopleThanOneEditNamesAreErasedInTurns erases more people at once than an edit can name.
func TestMorePeopleThanOneEditNamesAreErasedInTurns(t *testing.T) {
	w := logWorld(t, true, false)
	var all strings.Builder
	for i := range events.MaxSubjects + 5 {
		all.WriteString(w.motion(fmt.Sprintf("s-%d", i), 1))
	}
	all.WriteString(w.motion("stays", 1))
	w.put("eventlogs/motion/a.jsonl", []byte(all.String()), nil)
	p := w.mustStart()
	defer p.stop()
	for i := range events.MaxSubjects + 5 {
		who := earshot.SubjectID(fmt.Sprintf("s-%d", i))
		if err := p.db.FileErasure(t.Context(), earshot.Request{ID: string(who), Kind: earshot.RequestErasure, Subject: who, MadeAt: w.now}, string(who)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, done := p.run(t); done.Redacted != 1 {
			t.Fatalf("%+v", done)
		}
	}
	if got := string(w.read("eventlogs/motion/a.jsonl")); got != w.motion("stays", 1) {
		t.Errorf("%d bytes are left", len(got))
	}
}

// TestRowsAreCountedInTheLogAndForHolds: the log says how many rows went and changed, and no more; a hold
// tells how many it keeps.
func TestRowsAreCountedInTheLogAndForHolds(t *testing.T) {
	w := logWorld(t, true, false)
	old, warm := w.motion("s-1", 40), w.motion("s-1", 10)
	w.put("eventlogs/motion/a.jsonl", []byte(old+old+warm+w.motion("s-3", 40)+w.motion("s-3", 1)), nil)
	w.put("eventlogs/motion/gone.jsonl", []byte(old+old+old), nil)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	placed := map[earshot.SubjectID]string{}
	for _, s := range []earshot.SubjectID{"s-3", "s-4"} {
		h, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Subject: s})
		if err != nil {
			t.Fatal(err)
		}
		placed[s] = h.ID
	}
	effect := func(s earshot.SubjectID) retention.HoldEffect {
		t.Helper()
		all, err := p.runner.HoldEffects(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(e retention.HoldEffect) bool { return e.ID == placed[s] })
		return all[i]
	}
	if e := effect("s-3"); e.Rows != 0 || e.Unseen != 2 {
		t.Errorf("before anybody looked: %d rows, %d logs unseen", e.Rows, e.Unseen)
	}
	if _, done := p.run(t); done.Redacted != 1 || done.Deleted != 1 {
		t.Fatalf("%+v", done)
	}
	if a, b := effect("s-3"), effect("s-4"); a.Rows != 1 || a.Unseen != 0 || b.Rows != 0 {
		t.Errorf("the holds keep %d and %d rows, want 1 and 0; %d unseen", a.Rows, b.Rows, a.Unseen)
	}
	got := map[[2]int64]int{}
	for _, e := range w.entries(audit.KindOutcome) {
		got[[2]int64{e.Outcome.RowsGone, e.Outcome.RowsChanged}]++
	}
	if got[[2]int64{2, 1}] != 1 || got[[2]int64{3, 0}] != 1 || len(got) != 2 {
		t.Errorf("rows gone and changed by the log: %v", got)
	}
}
