package schedule_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/policies"
	"earshot/retention"
	"earshot/retention/schedule"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

const text = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: NAME}
spec:
  scope: {bucket: BUCKET}
  schedule: "SPEC"
  limits: {maxCount: MAX, approvals: 1}
  rules: [{name: period, keep: {for: 90d, from: captured}, then: delete}]
  otherwise: keep
`

func policy(tb testing.TB, name, bucket, spec, limit string) *policies.Policy {
	tb.Helper()
	doc, err := policies.Parse("p.yaml", []byte(strings.NewReplacer("NAME", name, "BUCKET", bucket, "SPEC", spec, "MAX", limit).Replace(text)))
	if err != nil {
		tb.Fatal(err)
	}
	p, err := policies.Compile(doc)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestNextFollowsTheZonesClock(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, c := range map[string]struct{ spec, after, want string }{
		"utcUnlessSaid":             {"15 3 * * *", "2026-01-01T04:00:00Z", "2026-01-02T03:15:00Z"},
		"winterInBerlin":            {"CRON_TZ=Europe/Berlin 15 3 * * *", "2026-01-01T04:00:00Z", "2026-01-02T02:15:00Z"},
		"summerInBerlin":            {"CRON_TZ=Europe/Berlin 15 3 * * *", "2026-07-01T04:00:00Z", "2026-07-02T01:15:00Z"},
		"aSkippedHourIsSkipped":     {"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},
		"aRepeatedHourRunsOnce":     {"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		"theLastDayOfALongFebruary": {"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
	} {
		if got := policy(t, "p", "b", c.spec, "9").Next(at(c.after)); !got.Equal(at(c.want)) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// site is a bucket with one recording that is long due.
type site struct {
	db     *catalog.DB
	runner *retention.Runner
	bucket *storage.Bucket
	ps     []*policies.Policy
	mu     sync.Mutex
	now    time.Time
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// ran lets a scheduled run be over that began at a time.
func (s *site) ran(t *testing.T, policy string, at time.Time) {
	t.Helper()
	if ours, err := s.db.TakeTick(t.Context(), policy, catalog.Lease{Owner: "w", Now: at, Until: at}, time.Time{}); err != nil || !ours {
		t.Fatal(ours, err)
	}
	if err := s.db.Ran(t.Context(), policy, "w", at); err != nil {
		t.Fatal(err)
	}
}

func newSite(t *testing.T, limit string, specs ...string) *site {
	t.Helper()
	return newSiteIn(t, false, limit, specs...)
}

// newSiteIn: together is a catalog that several processes work on.
func newSiteIn(t *testing.T, together bool, limit string, specs ...string) *site {
	t.Helper()
	ctx := t.Context()
	o := storagetest.Embedded(t)
	s := &site{bucket: storagetest.Bucket(t, o, true, false), now: time.Now().UTC()}
	for i, spec := range specs {
		s.ps = append(s.ps, policy(t, "p"+string(rune('a'+i)), s.bucket.Name(), spec, limit))
	}
	if _, err := s.bucket.Put(ctx, "old.wav", []byte("sound"), "audio/wav", map[string]string{"captured-at": "2020-01-01T00:00:00Z"}, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keys, err := audit.CreateKeys(filepath.Join(dir, "keys"), "example.org/log")
	if err != nil {
		t.Fatal(err)
	}
	if s.db, err = catalog.Create(ctx, catalog.Options{Path: filepath.Join(dir, "catalog.db"), Together: together}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	log, err := audit.Create(ctx, audit.Options{Tiles: storagetest.Bucket(t, o, true, false).Folder("", nil), Head: s.db.Head(), Signer: keys.Signer, Verifier: keys.Verifier})
	if err != nil {
		t.Fatal(err)
	}
	store, err := storage.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	s.runner, err = retention.New(retention.Options{Store: store, Catalog: s.db, Log: log, Tagger: keys.Tagger, Policies: s.ps,
		By: earshot.Principal{Kind: earshot.Service, Name: "scheduler"}, Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve runs the schedule until each policy has a result, or the limit is over.
func (s *site) serve(t *testing.T, limit time.Duration) []schedule.Status {
	t.Helper()
	sched, err := schedule.New(schedule.Options{Runner: s.runner, Catalog: s.db, Policies: s.ps, Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- sched.Run(ctx) }()
	ready := func() bool {
		for _, st := range sched.Status(t.Context()) {
			if st.Result == "" {
				return false
			}
		}
		return true
	}
	for ctx.Err() == nil && !ready() {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the schedule ended with %v", err)
	}
	return sched.Status(t.Context())
}

func TestAMissedRunIsMadeUpForOnce(t *testing.T) {
	s := newSite(t, "9", "0 3 * * *")
	missed := s.now.AddDate(0, 0, -5) // five runs were missed
	s.ran(t, "pa", missed)
	st := s.serve(t, 20*time.Second)
	if !strings.Contains(st[0].Result, "1 deleted") || !st[0].Next.After(s.now) {
		t.Errorf("got %+v, want the one recording deleted and the next run in the future", st[0])
	}
	if p, err := s.bucket.Present(t.Context(), "old.wav"); err != nil || !p.Gone() {
		t.Errorf("the recording is left: %+v, %v", p, err)
	}
	if runs, err := s.db.Runs(t.Context(), 10); err != nil || len(runs) != 1 {
		t.Errorf("five missed runs made %d, %v", len(runs), err)
	}
}

func TestAPolicyThatNeverRanWaitsForItsTime(t *testing.T) {
	s := newSite(t, "9", "0 3 * * *")
	if st := s.serve(t, 300*time.Millisecond); st[0].Result != "" || !st[0].Next.After(s.now) {
		t.Errorf("got %+v, want it to wait", st[0])
	}
}

// TestAPlanThatWaitsForApprovalOutlivesTheRunsOfOtherPolicies: two policies run one after the other,
// and both plans are beyond their limits.
func TestAPlanThatWaitsForApprovalOutlivesTheRunsOfOtherPolicies(t *testing.T) {
	s := newSite(t, "1", "0 3 * * *", "5 3 * * *")
	for _, key := range []string{"old2.wav", "old3.wav"} {
		if _, err := s.bucket.Put(t.Context(), key, []byte("sound"), "audio/wav", map[string]string{"captured-at": "2020-01-01T00:00:00Z"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pa", "pb"} {
		s.ran(t, name, s.now.AddDate(0, 0, -2))
	}
	for _, st := range s.serve(t, 20*time.Second) {
		if !strings.Contains(st.Result, "waits for approval") {
			t.Errorf("got %+v, want it to wait for approval", st)
		}
	}
	waiting, err := s.db.RunsIn(t.Context(), earshot.RunSealed)
	if err != nil || len(waiting) != 2 {
		t.Fatalf("%d plans wait, %v, want both", len(waiting), err)
	}
	// The first is approved and applied; the second finds its recordings gone and touches nothing.
	for _, run := range waiting {
		if _, err := s.runner.Approve(t.Context(), run.ID, run.Digest, earshot.Principal{Kind: earshot.Person, Name: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	for i, run := range waiting {
		done, err := s.runner.Apply(t.Context(), run.ID)
		if want := []int{3, 0}[i]; err != nil || done.Deleted != want || done.Failed > 0 {
			t.Errorf("run %d: %+v, %v, want %d deleted", i, done, err, want)
		}
	}
}

// TestWhatOthersPlannedIsNotApplied: a person has planned, and wants to look at it; or somebody else's program has.
func TestWhatOthersPlannedIsNotApplied(t *testing.T) {
	for name, by := range map[string]earshot.Principal{
		"a person": {Kind: earshot.Person, Name: "ann"}, "another service": {Kind: earshot.Service, Name: "nightly"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "9", "0 3 * * *")
			if _, err := s.runner.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			planned, err := s.runner.Plan(t.Context())
			if err != nil || planned.Run.State != earshot.RunApproved {
				t.Fatalf("%+v, %v", planned.Run, err)
			}
			run := planned.Run
			run.Planner = by
			if err := s.db.Move(t.Context(), run, nil, earshot.RunApproved); err != nil {
				t.Fatal(err)
			}
			s.ran(t, "pa", s.now.AddDate(0, 0, -2))
			if st := s.serve(t, 20*time.Second); st[0].Result == "" {
				t.Error("the scheduled run was not made")
			}
			if now, err := s.db.Run(t.Context(), run.ID); err != nil || now.State != earshot.RunApproved {
				t.Errorf("the plan of %s is %s, %v; want it to wait", name, now.State, err)
			}
		})
	}
}

// TestNothingIsGoneOnWithInQuietHours: a process that is started in quiet hours leaves a run alone that was cut off
// when they began, and goes on with it when they are over.
func TestNothingIsGoneOnWithInQuietHours(t *testing.T) {
	s := newSiteIn(t, true, "9", "0 3 1 1 *")
	if _, err := s.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	planned, err := s.runner.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := planned.Run
	run.State = earshot.RunApplying
	if err := s.db.Move(t.Context(), run, nil, earshot.RunApproved); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		quiet time.Duration
		most  time.Duration
		want  earshot.RunState
	}{{time.Hour, time.Second, earshot.RunApplying}, {0, 20 * time.Second, earshot.RunDone}} {
		sched, err := schedule.New(schedule.Options{Runner: s.runner, Catalog: s.db, Policies: s.ps, Now: s.clock, Quiet: func(now time.Time) time.Time {
			if c.quiet == 0 {
				return time.Time{}
			}
			return now.Add(c.quiet)
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), c.most)
		ended := make(chan error, 1)
		go func() { ended <- sched.Run(ctx) }()
		state := func() earshot.RunState {
			got, err := s.db.Run(t.Context(), run.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got.State
		}
		for ctx.Err() == nil && (c.quiet > 0 || state() != c.want) {
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
		<-ended
		if got := state(); got != c.want {
			t.Errorf("quiet for %s: the run is %s, want %s", c.quiet, got, c.want)
		}
	}
}

// TestARunWaitsForAnotherThatIsUnderWay: what another process is at (the plan of another policy, an application by
// hand) does not put a run off until its next time.
func TestARunWaitsForAnotherThatIsUnderWay(t *testing.T) {
	for _, what := range []string{"plan", "apply"} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t, "9", "0 3 * * *")
			s.ran(t, "pa", s.now.AddDate(0, 0, -2))
			release, err := s.db.Exclusive(what)
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(2*time.Second, release)
			if st := s.serve(t, 30*time.Second); !strings.Contains(st[0].Result, "1 deleted") {
				t.Errorf("got %+v, want the one recording deleted", st[0])
			}
		})
	}
}
