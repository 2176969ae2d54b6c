package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage"
	"earshot/storage/catalog/catalogtest"
	"earshot/storage/storagetest"

	"golang.org/x/sync/errgroup"
)

// scale is how many recordings TestManyMachines works on: EARSHOT_SCALE, or what fits CI.
func scale() int {
	if n, err := strconv.Atoi(os.Getenv("EARSHOT_SCALE")); err == nil && n > 0 {
		return n
	}
	return 1500
}

const scalePolicy = `apiVersion: earshot/v1
kind: Policy
metadata: {name: scale, owner: a@example.org}
spec:
  scope: {bucket: voice, prefix: clips/}
  rules: [{name: period, keep: {for: 90d, from: captured}, then: delete}]
  otherwise: keep
`

// machines are the processes of one installation on a real PostgreSQL and a real MinIO.
type machines struct {
	t      *testing.T
	pg     *catalogtest.Postgres
	app    *app
	bucket *storage.Bucket
	due    map[string]bool // keys
	said   []*bytes.Buffer
}

func newMachines(t *testing.T, n int) *machines {
	t.Helper()
	pgDir, err := os.MkdirTemp("", "earshot-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(pgDir) })
	pg, err := catalogtest.StartPostgres(pgDir)
	if errors.Is(err, catalogtest.ErrNoPostgres) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Kill)
	o := storagetest.MinIO(t)
	t.Setenv("EARSHOT_ACCESS_KEY", o.AccessKey)
	t.Setenv("EARSHOT_SECRET_KEY", o.SecretKey)
	store, err := storage.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	for name, locked := range map[string]bool{"earshot-log": true, "voice": false} {
		if err := store.MakeBucket(t.Context(), name, true, locked); err != nil {
			t.Fatal(err)
		}
	}
	m := &machines{t: t, pg: pg, due: map[string]bool{}, app: &app{in: strings.NewReader(""), out: discard{}, err: discard{}, as: "planner"}}
	catalogURL, err1 := pg.Schema(t.Context(), "catalog")
	keysURL, err2 := pg.Schema(t.Context(), "subject_keys")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "site")
	if err := m.app.initialise(t.Context(), dir, initOptions{deaf: true, endpoint: o.Endpoint, origin: "example.org/log", bucket: "voice", catalog: catalogURL, subjectKeys: keysURL}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policies", "scale.yaml"), []byte(scalePolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	if m.bucket, err = store.Bucket(t.Context(), "voice"); err != nil {
		t.Fatal(err)
	}
	m.fill(n)
	return m
}

// fill stores n recordings, two thirds of them due, one prefix with most of them.
func (m *machines) fill(n int) {
	var group errgroup.Group
	group.SetLimit(16)
	keys := make([]string, n)
	for i := range n {
		subject := "big"
		if i%5 == 0 {
			subject = fmt.Sprintf("s%03d", i%97)
		}
		age := 10
		if i%3 > 0 {
			age = 200
		}
		key := fmt.Sprintf("clips/%s/dev/%s/r%06d.wav", subject, time.Now().UTC().AddDate(0, 0, -age).Format("2006/01/02"), i)
		keys[i] = key
		group.Go(func() error {
			_, err := m.bucket.Put(context.Background(), key, []byte("sound of "+key), "audio/wav", nil, nil)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		m.t.Fatal(err)
	}
	for i, key := range keys {
		m.due[key] = i%3 > 0
	}
}

// start begins a process of the program.
func (m *machines) start(args ...string) *exec.Cmd {
	m.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"--config", m.app.configPath, "--json", "--as", "planner"}, args...)...)
	cmd.Env = append(os.Environ(), envMain+"=1")
	var said bytes.Buffer
	m.said = append(m.said, &said)
	cmd.Stdout, cmd.Stderr = &said, io.Discard
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return cmd
}

// TestManyMachines lets three workers and a process that applies share one run, kills any of them at
// random again and again, and PostgreSQL too: in the end what was due is gone, once, the rest is there,
// and the log has one outcome for each intent.
func TestManyMachines(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	m := newMachines(t, scale())
	rng := rand.New(rand.NewPCG(3, 4))
	plan := m.start("plan")
	if err := plan.Wait(); err != nil {
		t.Fatalf("plan: %v", err)
	}
	inst := &installed{t: t, app: m.app}
	run := inst.run(m.said[len(m.said)-1].String())
	if want := count(m.due, true); run.Actions != want {
		t.Fatalf("%d actions are planned, want %d", run.Actions, want)
	}
	workers := make([]*exec.Cmd, 3)
	for i := range workers {
		workers[i] = m.start("worker")
	}
	defer func() {
		for _, w := range workers {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
	}()
	kills, restarts := 0, 0
	done := false
	for round := 0; !done; round++ {
		leader := m.start("apply", string(run.ID))
		over := make(chan error, 1)
		go func() { over <- leader.Wait() }()
		for alive := true; alive; {
			select {
			case err := <-over:
				alive = false
				if err == nil {
					done = true
				}
			case <-time.After(time.Duration(300+rng.IntN(700)) * time.Millisecond):
				if round > 12 {
					continue // enough of it: let it finish
				}
				switch victim := rng.IntN(5); {
				case victim < 3:
					_ = workers[victim].Process.Kill()
					_ = workers[victim].Wait()
					workers[victim] = m.start("worker")
					kills++
				case victim == 3:
					_ = leader.Process.Kill()
					kills++
				default:
					m.pg.Kill()
					if err := m.pg.Start(); err != nil {
						t.Fatal(err)
					}
					restarts++
				}
			}
		}
		if round > 60 {
			t.Fatal("the run does not come to its end")
		}
	}
	t.Logf("%d kills, %d restarts of PostgreSQL", kills, restarts)
	m.check(run)
}

func count(m map[string]bool, want bool) (n int) {
	for _, v := range m {
		if v == want {
			n++
		}
	}
	return n
}

// check looks at store and log.
func (m *machines) check(run earshot.Run) {
	m.t.Helper()
	ctx := m.t.Context()
	left := map[string]int{}
	for rec, err := range m.bucket.List(ctx, "", "") {
		if err != nil {
			m.t.Fatal(err)
		}
		left[rec.ID.Key]++
	}
	for key, due := range m.due {
		versions, err := m.bucket.Versions(ctx, key)
		if err != nil {
			m.t.Fatal(err)
		}
		if due && len(versions) > 0 || !due && len(versions) != 1 {
			m.t.Errorf("a recording (due: %v) has %d versions", due, len(versions))
		}
	}
	if len(left) != count(m.due, false) {
		m.t.Errorf("%d recordings are left, want %d", len(left), count(m.due, false))
	}
	i, err := m.app.open(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	defer i.close()
	counts, err := i.db.Progress(ctx, run.ID)
	if err != nil || counts[earshot.ActionDone] != run.Actions {
		m.t.Errorf("of %d actions: %v, %v", run.Actions, counts, err)
	}
	report, err := i.verify(ctx, i.trust, filepath.Join(i.cfg.dir, "seen"))
	if err != nil {
		m.t.Fatal(err)
	}
	if !report.OK() || report.Open != 0 || report.Intents != report.Outcomes || report.Intents < int64(run.Actions) {
		m.t.Errorf("the log: %d intents, %d outcomes, %d open, %v", report.Intents, report.Outcomes, report.Open, report.Findings)
	}
}
