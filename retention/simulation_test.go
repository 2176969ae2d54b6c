package retention_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"earshot"
	"earshot/audit"

	"github.com/google/go-cmp/cmp"
)

// TestSimulation goes through many seeds; a failing one says how to see it again.
func TestSimulation(t *testing.T) {
	w := newSimWorld(t)
	if n, err := strconv.ParseUint(os.Getenv("EARSHOT_SEED"), 10, 64); err == nil {
		w.run(t, n, true)
		return
	}
	from, to := simSeeds(t)
	began, steps, crashed := time.Now(), 0, 0
	enough := os.Getenv("EARSHOT_SEEDS_UNTIL")
	for seed := from; seed < to; seed++ {
		if _, err := os.Stat(enough); enough != "" && err == nil {
			to = seed // there is that file: no time for more
			break
		}
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			s := w.run(t, seed, false)
			steps += s.steps
			crashed += s.crashed
			if t.Failed() {
				t.Logf("see it again: EARSHOT_SEED=%d go test -run TestSimulation -v ./retention", seed)
			}
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("seeds %d to %d, %d steps, %d deaths in %s", from, to-1, steps, crashed, time.Since(began).Round(time.Millisecond))
}

// simSeeds are the seeds to go through: EARSHOT_SEEDS is how many, or FROM-TO, where TO is not one of them.
func simSeeds(t *testing.T) (from, to uint64) {
	asked := os.Getenv("EARSHOT_SEEDS")
	switch {
	case asked == "" && testing.Short():
		return 0, 30
	case asked == "":
		return 0, 100 // make simulate goes through many
	}
	first, last, ok := strings.Cut(asked, "-")
	if !ok {
		first, last = "0", asked
	}
	from, err := strconv.ParseUint(first, 10, 64)
	to, err2 := strconv.ParseUint(last, 10, 64)
	if err != nil || err2 != nil || from >= to {
		t.Fatalf("EARSHOT_SEEDS=%s: how many, or FROM-TO", asked)
	}
	return from, to
}

// TestSimulationIsTheSameAgain: a seed gives the same steps each time, or its number would be worth
// nothing.
func TestSimulationIsTheSameAgain(t *testing.T) {
	w := newSimWorld(t)
	seeds := uint64(10)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		var first []string
		for try := range 2 {
			t.Run(fmt.Sprintf("%d/%d", seed, try), func(t *testing.T) {
				s := w.run(t, seed, false)
				if first == nil {
					first = s.trace
				} else if diff := cmp.Diff(first, s.trace); diff != "" {
					t.Errorf("seed %d took other steps the second time (-first +second):\n%s", seed, diff)
				}
			})
		}
	}
}

// TestTheSimulationNotices breaks things that the laws are about; it must notice each.
func TestTheSimulationNotices(t *testing.T) {
	w := newSimWorld(t)
	for law, c := range map[string]struct {
		before func(s *sim)
		want   string
	}{
		// The store says that it took the checkpoint, and did not: the intents were never published.
		"anActWithoutAPublishedIntent": {func(s *sim) {
			n := 0
			s.store.lies = func(bucket, key string) bool {
				if bucket == "log" && key == "checkpoint" {
					n++
				}
				return bucket == "log" && key == "checkpoint" && n > 1 // the plan is in the first
			}
		}, "intents published for"},
		"aTouchUnderAHold": {func(s *sim) { s.held["s2"] = true }, "touched under a hold"},
		"aTouchOfWhatIsNotDue": {func(s *sim) {
			s.store.lay("voice", simKey("s4", "kept"), clip(100), map[string][]string{"X-Amz-Meta-Captured-At": {simStart.AddDate(-1, 0, 0).Format(time.RFC3339)}})
		}, "is not due"},
	} {
		t.Run(law, func(t *testing.T) {
			s := w.prepare(t, 1, false)
			synctest.Test(t, func(t *testing.T) {
				s.begin(t)
				c.before(s)
				s.faults, s.crashes = 0, 0
				s.spawn("leader", s.leader)
				s.schedule(0, nil)
			})
			if !slices.ContainsFunc(s.wrong, func(what string) bool { return strings.Contains(what, c.want) }) {
				t.Errorf("it went unnoticed: %q", s.wrong)
			}
		})
	}
}

// prepare makes a seed's own folder and catalog.
func (w *simWorld) prepare(t *testing.T, seed uint64, loud bool) *sim {
	cryptotest.SetGlobalRandom(t, seed)
	s := &sim{t: t, w: w, rng: rand.New(rand.NewPCG(seed, 17)), loud: loud, touched: map[string]bool{}, held: map[string]bool{}}
	s.dir = filepath.Join(w.dir, strconv.FormatUint(seed, 10))
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	if err := os.WriteFile(filepath.Join(s.dir, "catalog.db"), w.catalog, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// begin begins a seed within its bubble.
func (s *sim) begin(t *testing.T) {
	s.t, s.turn = t, make(chan struct{}, 1)
	time.Sleep(time.Until(simStart))
	s.store = s.w.store.clone(time.Now)
	s.store.touch, s.store.wrote = s.onTouch, s.onWrite
	s.faults = []float64{0, 0.01, 0.03, 0.1}[s.rng.IntN(4)]
	s.crashes = s.rng.IntN(4)
}

// run makes a seed, and holds the end against the laws.
func (w *simWorld) run(t *testing.T, seed uint64, loud bool) *sim {
	s := w.prepare(t, seed, loud)
	synctest.Test(t, func(t *testing.T) {
		s.begin(t)
		deaths := s.crashes
		at, what := 1+s.rng.IntN(400), s.rng.IntN(3)
		s.spawn("leader", s.leader)
		s.spawn("helper", s.helper)
		s.schedule(at, func() { s.meanwhile(what) })
		s.crashed = deaths - s.crashes
		s.finish()
		s.laws()
	})
	s.t = t
	return s
}

// fresh is what somebody else stores over a recording that is due.
func fresh() []byte { return clip(4000) }

// meanwhile is what somebody else does at a random step.
func (s *sim) meanwhile(what int) {
	switch what {
	case 0:
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		s.others = true
		s.store.lay("voice", simKey("s2", "old2"), fresh(), map[string][]string{"X-Amz-Meta-Captured-At": {time.Now().UTC().Format(time.RFC3339)}, "Content-Type": {"audio/wav"}})
		s.store.lay("voice", "events/old2.json", event(50, 250), nil) // the new one is to be kept
		s.others = false
	case 1:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.spawn("person", func(p *process) error {
			if _, err := p.runner.Protect(context.Background(), earshot.Hold{Matter: "m", Subject: "s3"}); err != nil {
				return err
			}
			s.store.mu.Lock()
			defer s.store.mu.Unlock()
			s.held["s3"] = true
			return nil
		})
	}
}

// finish lets a process without faults bring everything to its end.
func (s *sim) finish() {
	time.Sleep(5 * time.Minute) // no lease stands any more
	for range 6 {
		p, err := s.open(nil)
		if err != nil {
			s.t.Fatalf("opening without faults: %v", err)
		}
		err = s.leader(p)
		left, dueErr := 0, error(nil)
		if err == nil {
			pl, planErr := p.runner.Plan(context.Background())
			left, dueErr = pl.Run.Actions, planErr
		}
		p.db.Close()
		if err == nil && dueErr == nil && left == 0 {
			return
		}
		if s.loud {
			s.t.Logf("finishing: %v, %v, %d left", err, dueErr, left)
		}
		time.Sleep(5 * time.Minute)
	}
	s.t.Error("without faults it does not come to an end")
}

// laws are what must be true in the end.
func (s *sim) laws() {
	t := s.t
	for _, what := range s.wrong {
		t.Error(what)
	}
	before := s.w.store.buckets["voice"]
	now := s.store.buckets["voice"]
	done, either := 0, 0
	for _, r := range simRecordings {
		key := simKey(r.subject, r.id)
		vs := now[key]
		survives := func() bool {
			return slices.EqualFunc(vs, before[key], func(a, b simVersion) bool { return a.id == b.id && a.etag == b.etag })
		}
		switch {
		case r.want == earshot.Keep || s.held[r.subject] && !s.touched[r.id]:
			if !survives() {
				t.Errorf("%s is to be kept, and was changed", r.id)
			}
		case len(vs) > 0 && bytes.Equal(vs[0].body, fresh()):
			if len(vs) > 3 {
				t.Errorf("%s, which somebody replaced, has %d versions", r.id, len(vs))
			}
			if s.touched[r.id] { // it was deleted before it was replaced; or while it was, and that was stopped
				done++
				either = 1
			}
		case r.want == earshot.Delete:
			if len(vs) > 0 && !s.held[r.subject] {
				t.Errorf("%s is due, and has %d versions", r.id, len(vs))
			}
			if len(vs) == 0 && len(now["transcripts/"+r.id+".json"]) > 0 {
				t.Errorf("%s is gone, and its transcript is there", r.id)
			}
			done++
		case r.want == earshot.Redact:
			if len(vs) != 1 || bytes.Equal(vs[0].body, before[key][0].body) {
				t.Errorf("%s is to be redacted, and has %d versions, or its old bytes", r.id, len(vs))
			}
			done++
		}
	}
	s.lawsOfTheLog(done, either)
}

// lawsOfTheLog: it verifies, every intent has one outcome, and what was done was done once; of those that
// somebody else was at meanwhile, either may be true.
func (s *sim) lawsOfTheLog(want, either int) {
	t := s.t
	b, err := s.w.connect(t, s.store, nil).Bucket(context.Background(), "log")
	if err != nil {
		t.Fatal(err)
	}
	did := 0
	r, err := audit.VerifyAll(context.Background(), b.Folder("", nil), audit.TrustKey(s.w.keys.Verifier), audit.VerifyOptions{Visit: func(_ int64, body []byte) error {
		if e, err := audit.Parse(body); err == nil && e.Outcome != nil && e.Outcome.Result == "ok" {
			did++
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Open != 0 || r.Intents != r.Outcomes {
		t.Errorf("the log: %d intents, %d outcomes, %d open, findings %v", r.Intents, r.Outcomes, r.Open, r.Findings)
	}
	if s.held["s3"] && s.touched["old3"] {
		either++
	}
	if did > want || did < want-either {
		t.Errorf("%d outcomes say that something was done, for %d recordings", did, want)
	}
}
