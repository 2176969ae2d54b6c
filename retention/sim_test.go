package retention_test

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/internal/fault"
	"earshot/policies"
	"earshot/retention"
	"earshot/storage"
	"earshot/storage/catalog"
)

// The simulation runs the real Runner, catalog and log against a store in memory, two processes side by
// side, in time that is not real. One operation (a request to the store, a write to the database) goes
// at a time; a seed chooses which, and what becomes of it: lost, landed with the answer lost, 503, slow,
// cut short, or the death of the process. Somebody else changes a recording or places a hold meanwhile.
//
//	make simulate                                                 # 10,000 seeds, on all cores
//	EARSHOT_SEED=n go test -run TestSimulation -v ./retention     # one of them, step by step

// simStart is when the simulation begins; the bubble's clock begins in 2000.
var simStart = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const simPolicy = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: household, owner: a@example.org}
spec:
  scope: {bucket: voice, prefix: clips/}
  rules:
    - name: period
      keep: {for: 90d, from: captured}
      then: delete
    - name: before-wake
      when: wake.found && wake.start > duration("100ms")
      then: redact
      spans: [before-wake-word]
  otherwise: keep
`

// simWorld is what all seeds begin with.
type simWorld struct {
	store   *simStore
	catalog []byte
	keys    *audit.Keys
	rules   []*policies.Policy
	dir     string
}

// simRecordings are what is in the bucket: how old, where the wake word is, what is to become of it.
var simRecordings = []struct {
	subject, id string
	age, wake   int
	want        earshot.Disposition
}{
	{"s1", "old1", 100, 300, earshot.Delete}, {"s1", "talk", 5, 300, earshot.Redact}, {"s2", "old2", 120, 300, earshot.Delete},
	{"s3", "old3", 100, 300, earshot.Delete}, {"s4", "kept", 5, 50, earshot.Keep},
}

func simKey(subject, id string) string { return "clips/" + subject + "/" + id + ".wav" }

func newSimWorld(t *testing.T) *simWorld {
	w := &simWorld{dir: simDir(t)}
	var err error
	if w.keys, err = audit.CreateKeys(filepath.Join(w.dir, "keys"), "example.org/log"); err != nil {
		t.Fatal(err)
	}
	doc, err := policies.Parse("household.yaml", []byte(simPolicy))
	if err != nil {
		t.Fatal(err)
	}
	p, err := policies.Compile(doc)
	if err != nil {
		t.Fatal(err)
	}
	w.rules = []*policies.Policy{p}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(simStart.Add(-time.Hour)))
		w.store = &simStore{buckets: map[string]map[string][]simVersion{"voice": {}, "log": {}}, now: time.Now}
		for _, r := range simRecordings {
			meta := map[string][]string{"X-Amz-Meta-Captured-At": {simStart.AddDate(0, 0, -r.age).Format(time.RFC3339)}, "Content-Type": {"audio/wav"}}
			w.store.lay("voice", simKey(r.subject, r.id), clip(100), meta)
			w.store.lay("voice", simKey(r.subject, r.id), clip(8000), meta)
			w.store.lay("voice", "events/"+r.id+".json", event(r.wake, r.wake+200), nil)
			w.store.lay("voice", "transcripts/"+r.id+".json", []byte(words), nil)
		}
		path := filepath.Join(w.dir, "template.db")
		db, err := catalog.Create(t.Context(), catalog.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Create(t.Context(), w.log(t, w.store, nil, db)); err != nil {
			t.Fatal(err)
		}
		db.Close()
		if w.catalog, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	})
	return w
}

// simDir is a folder in memory where there is one.
func simDir(t *testing.T) string {
	if dir, err := os.MkdirTemp("/dev/shm", "earshot-sim-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

func (w *simWorld) connect(t *testing.T, store *simStore, script *fault.Script) *storage.Store {
	o := storage.Options{Endpoint: "http://sim", AccessKey: "a", SecretKey: "b", Transport: store, Retries: 1, KeepMetadata: []string{"captured-at", "earshot-*"}}
	if script != nil {
		o.Transport = &fault.Transport{Next: store, Script: script}
	}
	s, err := storage.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *simWorld) log(t *testing.T, store *simStore, script *fault.Script, db *catalog.DB) audit.Options {
	b, err := w.connect(t, store, script).Bucket(context.Background(), "log")
	if err != nil {
		return audit.Options{}
	}
	return audit.Options{Tiles: b.Folder("", nil), Head: db.Head(), Signer: w.keys.Signer, Verifier: w.keys.Verifier}
}

// sim is one seed under way.
type sim struct {
	t     *testing.T
	w     *simWorld
	store *simStore
	dir   string
	rng   *rand.Rand // of the scheduler alone
	trace []string
	loud  bool
	turn  chan struct{} // to write to the database

	mu      sync.Mutex // guards what follows
	pending []*simOp
	living  int // processes that have not ended
	faults  float64
	crashes int
	steps   int
	crashed int // deaths there were

	// What the store saw, guarded by its own lock.
	touched   map[string]bool // by id
	announced int             // intents in the published log
	counted   int64           // entries of it that were counted
	held      map[string]bool // subjects whose hold is in force
	others    bool            // somebody else is at it, not earshot
	wrong     []string
}

// onTouch looks at what is about to be destroyed or laid over.
func (s *sim) onTouch(bucket, key string) {
	if bucket != "voice" || s.others {
		return
	}
	for _, r := range simRecordings {
		if !strings.Contains(key, "/"+r.id+".") {
			continue
		}
		if r.want == earshot.Keep {
			s.wrong = append(s.wrong, r.id+" was touched, and is not due")
		}
		if s.held[r.subject] {
			s.wrong = append(s.wrong, r.id+" was touched under a hold")
		}
		if s.touched[r.id] = true; len(s.touched) > s.announced {
			s.wrong = append(s.wrong, fmt.Sprintf("%s was touched with %d intents published for %d recordings", r.id, s.announced, len(s.touched)))
		}
	}
}

// onWrite counts the intents in the log that is published by writing the checkpoint.
func (s *sim) onWrite(bucket, key string, body []byte) {
	if bucket != "log" || key != "checkpoint" {
		return
	}
	lines := strings.Split(string(body), "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		s.wrong = append(s.wrong, "a checkpoint without a size")
		return
	}
	for s.counted < size {
		at := s.counted / 256
		name := fmt.Sprintf("tile/entries/%03d", at)
		if n := size - at*256; n < 256 {
			name += fmt.Sprintf(".p/%d", n)
		}
		vs := s.store.buckets["log"][name]
		if len(vs) == 0 {
			s.wrong = append(s.wrong, "a checkpoint was written before its entries")
			return
		}
		for b, i := vs[0].body, at*256; len(b) >= 2; i++ {
			n := int(binary.BigEndian.Uint16(b))
			if i >= s.counted {
				if e, err := audit.Parse(b[2 : 2+n]); err == nil && e.Intent != nil {
					s.announced++
				}
			}
			b = b[2+n:]
		}
		s.counted = min(size, (at+1)*256)
	}
}

// open begins a life of a process. A nil script is one without faults.
func (s *sim) open(script *fault.Script) (p *process, err error) {
	ctx := context.Background()
	o := catalog.Options{Path: filepath.Join(s.dir, "catalog.db"), Together: true}
	if script != nil {
		o.Wrap = func(c driver.Connector) driver.Connector { return &turns{fault.Connector(c, script), s.turn} }
	}
	p = &process{}
	if p.db, err = catalog.Open(ctx, o); err != nil {
		return nil, err
	}
	lo := s.w.log(s.t, s.store, script, p.db)
	if lo.Tiles == nil {
		p.db.Close()
		return nil, errors.New("the log's bucket does not answer")
	}
	if p.log, err = audit.Open(ctx, lo); err != nil {
		p.db.Close()
		return nil, err
	}
	p.runner, err = retention.New(retention.Options{
		Store: s.w.connect(s.t, s.store, script), Catalog: p.db, Log: p.log, Tagger: s.w.keys.Tagger, Policies: s.w.rules,
		By: earshot.Principal{Kind: earshot.Service, Name: "sim"}, Spool: s.dir, Workers: 1, Lists: 1, Logger: slog.New(slog.NewTextHandler(s.say(), nil)),
		Layout: retention.Layout{Recording: "clips/{subject}/{id}.{coding}", Companions: []retention.CompanionLayout{
			{Class: "event", Key: "events/{id}.json"}, {Class: "transcript", Key: "transcripts/{id}.json"},
		}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return p, nil
}

func (s *sim) say() io.Writer {
	if s.loud {
		return testLog{s.t}
	}
	return io.Discard
}

// spawn runs a process of the simulation, life after life, until one comes to a good end.
func (s *sim) spawn(name string, life func(p *process) error) {
	s.living++
	go func() {
		defer func() {
			s.mu.Lock()
			s.living--
			s.mu.Unlock()
		}()
		for range 12 {
			script := fault.Stepped(func(what string) (fault.Verdict, bool) { return s.step(name, what) })
			p, err := s.open(script)
			if err == nil {
				err = life(p)
				p.db.Close()
			}
			if err == nil {
				return
			}
			if s.loud {
				s.t.Logf("%s: a life ends: %v", name, err)
			}
			time.Sleep(time.Second)
		}
	}()
}

// leader settles, goes on with what is under way, plans and applies.
func (s *sim) leader(p *process) error {
	ctx := context.Background()
	if _, err := p.runner.Settle(ctx); err != nil {
		return err
	}
	runs, err := p.db.RunsIn(ctx, earshot.RunApplying)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if _, err := p.runner.Apply(ctx, r.ID); err != nil && !errors.Is(err, retention.ErrStaleRun) {
			return err
		}
	}
	planned, err := p.plan(ctx)
	if err != nil || planned.Run.Actions == 0 {
		return err
	}
	_, err = p.runner.Apply(ctx, planned.Run.ID)
	return err
}

// helper takes part in whatever run is being applied, for a while.
func (s *sim) helper(p *process) error {
	ctx := context.Background()
	for range 20 {
		runs, err := p.db.RunsIn(ctx, earshot.RunApplying)
		if err != nil {
			return err
		}
		for _, r := range runs {
			if _, err := p.runner.Assist(ctx, r.ID, 2); err != nil && !errors.Is(err, retention.ErrStaleRun) {
				return err
			}
		}
		time.Sleep(time.Second)
	}
	return nil
}
