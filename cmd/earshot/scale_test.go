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
  rules:
    - {name: period, keep: {for: 90d, from: captured}, then: delete}
    - {name: kitchen, when: recording.device == "kitchen", then: redact, spans: [everything]}
  otherwise: keep
`

// machines are the processes of one installation on a real PostgreSQL and a real MinIO.
type machines struct {
	t      *testing.T
	pg     *catalogtest.Postgres
	minio  *storagetest.Server
	app    *app
	bucket *storage.Bucket
	clip   []byte
	due    map[string]bool // keys
	silent map[string]bool // of those that stay, what is to be redacted
	beside map[string]bool // companions; true: their recording is due
	said   []*bytes.Buffer
	wire   *wire  // between the third worker and everything else
	spool  string // a small disk of its own; empty where none could be mounted
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
	server := storagetest.StartMinIO(t)
	clip, err := os.ReadFile("samples/clip-00.wav")
	if err != nil {
		t.Fatal(err)
	}
	catalogURL, err1 := pg.Schema(t.Context(), "catalog")
	keysURL, err2 := pg.Schema(t.Context(), "subject_keys")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	m := &machines{t: t, pg: pg, minio: server, clip: clip, due: map[string]bool{}, silent: map[string]bool{}, beside: map[string]bool{}}
	var dir string
	m.app, dir, m.bucket = siteOn(t, server.Options, initOptions{catalog: catalogURL, subjectKeys: keysURL}, scalePolicy)
	m.fill(n)
	m.apart(dir, server.Options.Endpoint, catalogURL, keysURL)
	return m
}

// fill stores n recordings, two thirds of them due, one prefix with most of them. One in forty of those
// that are not due is to be redacted, and one in ten has a transcript.
func (m *machines) fill(n int) {
	var group errgroup.Group
	group.SetLimit(16)
	put := func(key string, body []byte) {
		group.Go(func() error {
			_, err := m.bucket.Put(context.Background(), key, body, "audio/wav", nil, nil)
			return err
		})
	}
	for i := range n {
		subject, device, age, due := "big", "dev", 10, i%3 > 0
		if i%5 == 0 {
			subject = fmt.Sprintf("s%03d", i%97)
		}
		if due {
			age = 200
		}
		if !due && i%120 == 0 {
			device = "kitchen"
		}
		id := fmt.Sprintf("r%06d", i)
		key := fmt.Sprintf("clips/%s/%s/%s/%s.wav", subject, device, time.Now().UTC().AddDate(0, 0, -age).Format("2006/01/02"), id)
		m.due[key] = due
		body := []byte("sound of " + key)
		if device == "kitchen" {
			m.silent[key], body = true, m.clip
		}
		put(key, body)
		if i%10 == 0 {
			beside := "transcripts/" + id + ".json"
			m.beside[beside] = due || m.silent[key]
			put(beside, []byte(`{"text":"words"}`))
		}
	}
	if err := group.Wait(); err != nil {
		m.t.Fatal(err)
	}
}

// start begins a process of the program.
func (m *machines) start(args ...string) *exec.Cmd {
	m.t.Helper()
	return m.startWith(m.app.configPath, args...)
}

func (m *machines) startWith(config string, args ...string) *exec.Cmd {
	m.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"--config", config, "--json", "--as", "planner"}, args...)...)
	cmd.Env = append(os.Environ(), envMain+"=1")
	var said bytes.Buffer
	m.said = append(m.said, &said)
	cmd.Stdout, cmd.Stderr = &said, io.Discard
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return cmd
}

// TestManyMachines lets three workers and a process that applies share one run; any of them is killed at
// random again and again, PostgreSQL and MinIO too, the third worker is cut off from both, and the disk
// for sound under redaction is filled. In the end what was due is gone, once, the rest is there, and the
// log has one outcome for each intent.
func TestManyMachines(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	m := newMachines(t, scale())
	plan := m.start("plan")
	if err := plan.Wait(); err != nil {
		t.Fatalf("plan: %v", err)
	}
	inst := &installed{t: t, app: m.app}
	run := inst.run(m.said[len(m.said)-1].String())
	if want := count(m.due, true) + len(m.silent); run.Actions != want {
		t.Fatalf("%d actions are planned, want %d", run.Actions, want)
	}
	workers := []*exec.Cmd{m.start("worker"), m.start("worker"), m.startWith(m.wire.config, "worker")}
	defer func() {
		for _, w := range workers {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
	}()
	rng := rand.New(rand.NewPCG(3, 4))
	did := map[string]int{}
	harms := 12 + scale()/5000 // deaths of the leader, until which it goes on
	for round, done := 0, false; !done; round++ {
		leader := m.start("apply", string(run.ID))
		over := make(chan error, 1)
		go func() { over <- leader.Wait() }()
		for alive := true; alive; {
			select {
			case err := <-over:
				alive = false
				done = err == nil
			case <-time.After(time.Duration(300+rng.IntN(700)) * time.Millisecond):
				if round > harms {
					m.mend()
					continue // enough of it: let it finish
				}
				did[m.harm(rng, workers, leader)]++
			}
		}
		if round > harms+48 {
			t.Fatal("the run does not come to its end")
		}
	}
	t.Logf("what was done: %v", did)
	m.mend()
	m.check(run)
}

// harm does one of the things that go wrong.
func (m *machines) harm(rng *rand.Rand, workers []*exec.Cmd, leader *exec.Cmd) string {
	again := func(i int) *exec.Cmd {
		_ = workers[i].Process.Kill()
		_ = workers[i].Wait()
		if i == 2 {
			return m.startWith(m.wire.config, "worker")
		}
		return m.start("worker")
	}
	switch victim := rng.IntN(10); {
	case victim < 3:
		workers[victim] = again(victim)
		return "workers killed"
	case victim < 5:
		_ = leader.Process.Kill()
		return "leader killed"
	case victim == 5:
		m.minio.Kill()
		if err := m.minio.Start(); err != nil {
			m.t.Fatal(err)
		}
		return "MinIO restarted"
	case victim == 6:
		m.wire.cut(true)
		return "wire cut"
	case victim == 7:
		m.wire.cut(false)
		return "wire mended"
	case victim == 8 && m.spool != "":
		filler := filepath.Join(m.spool, "filler")
		if os.Remove(filler) == nil {
			return "disk freed"
		}
		_ = os.WriteFile(filler, make([]byte, spoolSize), 0o600) // as much as fits
		return "disk filled"
	default:
		m.pg.Kill()
		if err := m.pg.Start(); err != nil {
			m.t.Fatal(err)
		}
		return "PostgreSQL restarted"
	}
}

// mend takes back what does not mend itself.
func (m *machines) mend() {
	m.wire.cut(false)
	if m.spool != "" {
		_ = os.Remove(filepath.Join(m.spool, "filler"))
	}
}

func count(m map[string]bool, want bool) (n int) {
	for _, v := range m {
		if v == want {
			n++
		}
	}
	return n
}

// isSilent makes sure that nothing is left of the sound.
func (m *machines) isSilent(key string) {
	body, _, err := m.bucket.Folder("", nil).Get(m.t.Context(), key)
	if err != nil {
		m.t.Errorf("a redacted recording: %v", err)
		return
	}
	if len(body) < 44 || bytes.ContainsFunc(body[len(body)-1000:], func(r rune) bool { return r != 0 }) {
		m.t.Error("a recording that was to be redacted still has its sound")
	}
}

// check looks at store and log.
func (m *machines) check(run earshot.Run) {
	m.t.Helper()
	ctx := m.t.Context()
	left := map[string][]storage.Version{}
	for v, err := range m.bucket.All(ctx, "") {
		if err != nil {
			m.t.Fatal(err)
		}
		left[v.ID.Key] = append(left[v.ID.Key], v)
	}
	expect := func(key string, gone bool) {
		if versions := left[key]; gone && len(versions) > 0 || !gone && (len(versions) != 1 || versions[0].Marker) {
			m.t.Errorf("%s (gone: %v) has %d versions", key, gone, len(versions))
		}
		delete(left, key)
	}
	for key, due := range m.due {
		if m.silent[key] {
			m.isSilent(key)
		}
		expect(key, due)
	}
	for key, due := range m.beside {
		expect(key, due)
	}
	if len(left) > 0 {
		m.t.Errorf("%d keys are there that nobody stored", len(left))
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
