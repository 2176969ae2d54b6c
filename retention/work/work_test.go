package work_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/policies"
	"earshot/retention"
	"earshot/retention/work"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/catalog/catalogtest"
	"earshot/storage/storagetest"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

func TestMain(m *testing.M) { storagetest.Main(m, catalogtest.StopPostgres) }

const policy = `apiVersion: earshot/v1
kind: Policy
metadata: {name: all, owner: a@example.org}
spec:
  scope: {bucket: BUCKET}
  rules: [{name: period, keep: {for: 90d, from: captured}, then: delete}]
  otherwise: keep
`

// site is an installation on PostgreSQL with recordings that are long due.
type site struct {
	t      *testing.T
	url    string
	o      storage.Options
	layout retention.Layout // of the next machine, besides the usual metadata
	bucket *storage.Bucket
	tiles  *storage.Folder
	keys   *audit.Keys
	policy string
	ear    retention.Ear              // of the next machine
	hear   func(context.Context, int) // how the next machine asks others to listen
}

func newSite(t *testing.T, n int) *site {
	t.Helper()
	s := &site{t: t, url: catalogtest.URL(t), o: storagetest.Embedded(t), policy: policy}
	s.bucket = storagetest.Bucket(t, s.o, true, false)
	s.tiles = storagetest.Bucket(t, s.o, true, false).Folder("", nil)
	for i := range n {
		if _, err := s.bucket.Put(t.Context(), fmt.Sprintf("r%04d.wav", i), []byte("sound"), "audio/wav", map[string]string{"captured-at": "2020-01-01T00:00:00Z", "device": "d"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.keys, err = audit.CreateKeys(filepath.Join(t.TempDir(), "keys"), "example.org/log"); err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Create(t.Context(), catalog.Options{Path: s.url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := audit.Create(t.Context(), audit.Options{Tiles: s.tiles, Head: db.Head(), Signer: s.keys.Signer, Verifier: s.keys.Verifier}); err != nil {
		t.Fatal(err)
	}
	return s
}

// machine is one process's runner, with its own connection.
func (s *site) machine(wake func(context.Context, earshot.Run, bool)) (*retention.Runner, *catalog.DB) {
	s.t.Helper()
	db, err := catalog.Open(s.t.Context(), catalog.Options{Path: s.url})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { db.Close() })
	log, err := audit.Open(s.t.Context(), audit.Options{Tiles: s.tiles, Head: db.Head(), Signer: s.keys.Signer, Verifier: s.keys.Verifier})
	if err != nil {
		s.t.Fatal(err)
	}
	store, err := storage.Connect(s.o)
	if err != nil {
		s.t.Fatal(err)
	}
	doc, err := policies.Parse("all.yaml", []byte(strings.ReplaceAll(s.policy, "BUCKET", s.bucket.Name())))
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := policies.Compile(doc)
	if err != nil {
		s.t.Fatal(err)
	}
	s.layout.Metadata = retention.DefaultMetadata()
	r, err := retention.New(retention.Options{Store: store, Catalog: db, Log: log, Tagger: s.keys.Tagger, Policies: []*policies.Policy{p},
		Layout: s.layout, By: earshot.Principal{Kind: earshot.Service, Name: "test"}, Spool: s.t.TempDir(), Wake: wake,
		Ear: s.ear, Session: time.Minute, WakeHearing: s.hear})
	if err != nil {
		s.t.Fatal(err)
	}
	return r, db
}

func (s *site) queue(r *retention.Runner) *work.Queue {
	s.t.Helper()
	q, err := work.Open(s.t.Context(), work.Options{URL: s.url, Runner: r})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(q.Close)
	return q
}

// TestASecondMachineHelps lets another process do a part of a run before the first one begins, and
// takes it for what it is when the run is over.
func TestASecondMachineHelps(t *testing.T) {
	s := newSite(t, 90)
	helper, _ := s.machine(nil)
	helped := 0
	first, db := s.machine(func(ctx context.Context, run earshot.Run, _ bool) {
		if _, err := helper.Assist(ctx, run.ID, 60); err != nil {
			t.Error(err)
		}
		_, db := s.machine(nil)
		counts, err := db.Progress(ctx, run.ID)
		if err != nil {
			t.Error(err)
		}
		helped = counts[earshot.ActionDone]
	})
	if _, err := first.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	planned, err := first.Plan(t.Context())
	if err != nil || planned.Run.Actions != 90 {
		t.Fatalf("%d actions, %v", planned.Run.Actions, err)
	}
	done, err := first.Apply(t.Context(), planned.Run.ID)
	if err != nil || done.Deleted != 90 || done.Run.State != earshot.RunDone {
		t.Fatalf("%+v, %v", done, err)
	}
	if helped < 60 || helped == 90 {
		t.Errorf("the helper did %d of 90", helped)
	}
	if _, err := helper.Assist(t.Context(), planned.Run.ID, 10); !errors.Is(err, retention.ErrStaleRun) {
		t.Errorf("a run that is over was helped with: %v", err)
	}
	if open, err := db.Unfinished(t.Context(), 10); len(open) > 0 || err != nil {
		t.Errorf("%d actions are open, %v", len(open), err)
	}
}

// TestMachinesBeginAtTheSameMoment opens the queue of a fresh database on several machines at once.
func TestMachinesBeginAtTheSameMoment(t *testing.T) {
	s := newSite(t, 0)
	r, _ := s.machine(nil)
	var group errgroup.Group
	for range 6 {
		group.Go(func() error {
			q, err := work.Open(t.Context(), work.Options{URL: s.url, Runner: r})
			if err == nil {
				q.Close()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestJobsAreUniqueAndCanBePaused wakes workers twice for one run that nobody applies: its jobs are
// there once, wait while the queue is paused, and go away when a worker finds nothing to do.
func TestJobsAreUniqueAndCanBePaused(t *testing.T) {
	s := newSite(t, 0)
	r, db := s.machine(nil)
	q := s.queue(r)
	run := earshot.Run{ID: "run-x", Actions: 1200, CreatedAt: time.Now()}
	if err := db.Draft(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		q.WakeRun(t.Context(), run, false)
	}
	status := func() work.Status {
		t.Helper()
		got, err := q.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := status(); got.Waiting != 3 {
		t.Fatalf("%+v, want 3 jobs of 500 actions", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- q.Run(ctx, 5*time.Second) }()
	deadline := time.Now().Add(20 * time.Second)
	for status().Waiting > 0 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	if got := status(); got.Waiting+got.Failing > 0 {
		t.Errorf("jobs of a run that nobody applies stay: %+v", got)
	}
	if err := q.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !status().Paused {
		t.Error("it is not paused")
	}
	if err := q.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status().Paused {
		t.Error("it is still paused")
	}
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// TestADeadWorkersJobIsTakenByAnother: workers that were killed two hours ago hold up no jobs that come after theirs.
func TestADeadWorkersJobIsTakenByAnother(t *testing.T) {
	s := newSite(t, 0)
	r, _ := s.machine(nil)
	q := s.queue(r)
	scope := retention.Scope{Bucket: s.bucket.Name()}
	q.WakeScan(t.Context(), scope)
	conn, err := pgx.Connect(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	if _, err := conn.Exec(t.Context(), "update river_job set state = 'running', attempt = 1, attempted_at = now() - interval '2 hours', attempted_by = array['dead']"); err != nil {
		t.Fatal(err)
	}
	s.work(q, func(got work.Status) bool { return got.Waiting+got.Running+got.Failing == 0 })
}

// TestAWorkerOfAnotherLayoutDoesNotList: it would take what it knows no key of for gone.
func TestAWorkerOfAnotherLayoutDoesNotList(t *testing.T) {
	s := newSite(t, 5)
	first, db := s.machine(nil)
	s.layout.Recording = "{device}/{id}.wav"
	other, _ := s.machine(nil)
	scope := retention.Scope{Bucket: s.bucket.Name()}
	if err := db.BeginScan(t.Context(), scope.Bucket, scope.Prefix, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.queue(first).WakeScan(t.Context(), scope)
	s.work(s.queue(other), func(got work.Status) bool { return got.Waiting+got.Running+got.Failing == 0 })
	if n, err := db.Ranges(t.Context(), scope.Bucket, scope.Prefix); n != 1 || err != nil {
		t.Errorf("%d stretches are left, %v: it was listed by a worker that takes its keys for something else", n, err)
	}
}

// TestWorkersRestInQuietHours: jobs wait until quiet hours are over.
func TestWorkersRestInQuietHours(t *testing.T) {
	s := newSite(t, 0)
	r, _ := s.machine(nil)
	var loud atomic.Bool
	q, err := work.Open(t.Context(), work.Options{URL: s.url, Runner: r, Quiet: func(now time.Time) time.Time {
		if loud.Load() {
			return time.Time{}
		}
		return now.Add(time.Hour)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	q.WakeScan(t.Context(), retention.Scope{Bucket: s.bucket.Name()})
	began := time.Now()
	s.work(q, func(got work.Status) bool {
		if !loud.Load() {
			if got.Waiting != 4 || got.Running != 0 {
				t.Errorf("in quiet hours: %+v", got)
			}
			loud.Store(time.Since(began) > 2500*time.Millisecond)
			return false
		}
		return got.Waiting+got.Running == 0
	})
}

// work works a queue until it is as it should be.
func (s *site) work(q *work.Queue, until func(work.Status) bool) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	over := make(chan error, 1)
	go func() { over <- q.Run(ctx, 5*time.Second) }()
	var got work.Status
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var err error
		if got, err = q.Status(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		if until(got) {
			break
		}
		if time.Now().After(deadline) {
			s.t.Errorf("after a minute: %+v", got)
			break
		}
	}
	stop()
	if err := <-over; err != nil {
		s.t.Error(err)
	}
}
