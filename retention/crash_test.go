package retention_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"earshot"
	"earshot/audit"
	"earshot/internal/fault"
	"earshot/storage/storagetest"

	"github.com/google/go-cmp/cmp"
)

// crashWorld holds deletes, a redaction, companions and a hold.
func crashWorld(tb testing.TB) *world {
	w := newWorld(tb, storagetest.Embedded(tb), true, false)
	w.record("s1", "old1", 100, 300)
	w.record("s1", "talk", 5, 300)
	w.record("s3", "held", 100, 300)
	w.record("s1", "old2", 120, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.PlaceHold(context.Background(), earshot.Hold{Matter: "m", Subject: "s3"}); err != nil {
		tb.Fatal(err)
	}
	return w
}

// contents is what a bucket holds, versions numbered instead of named, so that two worlds can be
// compared. The redacted recording's metadata names its run, so its ETag is compared, not that.
func contents(w *world) map[string][]string { return w.snapshot() }

// run makes the whole run of a world in one life, as far as the script lets it.
func (w *world) run(script *fault.Script) error {
	p, err := w.start(script)
	if err != nil {
		return err
	}
	defer p.stop()
	ctx := context.Background()
	if _, err := p.runner.Settle(ctx); err != nil {
		return err
	}
	runs, err := p.db.RunsIn(ctx, earshot.RunApplying)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if _, err := p.runner.Apply(ctx, r.ID); err != nil {
			return err
		}
	}
	planned, err := p.plan(ctx)
	if err != nil || planned.Run.Actions == 0 {
		return err
	}
	done, err := p.runner.Apply(ctx, planned.Run.ID)
	if err == nil && done.Failed > 0 {
		err = fmt.Errorf("%d actions failed", done.Failed)
	}
	return err
}

// TestCrashAtEveryStep kills the process at the 1st, 2nd ... n-th operation, just before and just
// after it takes effect, starts it again and lets it finish: the end is that of a clean run.
func TestCrashAtEveryStep(t *testing.T) {
	clean := crashWorld(t)
	heldBefore := clean.snapshot()["clips/s3/held.wav"]
	count := fault.Count()
	if err := clean.run(count); err != nil {
		t.Fatal(err)
	}
	want := contents(clean)
	if r := clean.verified(); r.Intents != 3 {
		t.Fatalf("the clean run has %d intents", r.Intents)
	}
	n := count.Operations()
	t.Logf("a clean run has %d operations", n)
	step := 1
	if testing.Short() {
		step = 7
	}
	for landed := range 2 {
		for i := 1 + landed*step/2; i <= n; i += step {
			script := fault.CrashAt(i, landed == 1)
			t.Run(fmt.Sprintf("at%d/landed=%d", i, landed), func(t *testing.T) {
				t.Parallel()
				w := crashWorld(t)
				w.o.Retries = 1
				if err := w.run(script); err == nil && script.Crashed() {
					t.Logf("the crash at %q cost nothing", script.Name(i))
				}
				during(t, w)
				w.o.Retries = 0
				if err := w.run(nil); err != nil {
					t.Fatalf("after a crash at %q: %v", script.Name(i), err)
				}
				if diff := cmp.Diff(want, contents(w)); diff != "" {
					t.Errorf("after a crash at %q the bucket is not as after a clean run (-clean +got):\n%s", script.Name(i), diff)
				}
				r := w.verified()
				if r.Open != 0 || r.Intents != r.Outcomes {
					t.Errorf("after a crash at %q: %d intents, %d outcomes, %d open", script.Name(i), r.Intents, r.Outcomes, r.Open)
				}
				if got := w.snapshot()["clips/s3/held.wav"]; len(got) != len(heldBefore) {
					t.Errorf("the held recording has %d versions, not %d", len(got), len(heldBefore))
				}
				if err := w.run(nil); err != nil {
					t.Errorf("a second run: %v", err)
				}
			})
		}
	}
}

// during checks a world right after a crash: whatever is gone from the bucket was announced in the
// published log before.
func during(t *testing.T, w *world) {
	t.Helper()
	announced := 0
	_, err := audit.VerifyAll(t.Context(), w.mustTiles(), audit.TrustKey(w.keys.Verifier), audit.VerifyOptions{Visit: func(_ int64, body []byte) error {
		if e, err := audit.Parse(body); err == nil && e.Intent != nil {
			announced++
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	touched := 0
	now := w.snapshot()
	for _, id := range []string{"s1/old1", "s1/talk", "s1/old2"} {
		if len(now["clips/"+id+".wav"]) != 2 || len(now["voiceprints/"+id+".bin"]) != 1 {
			touched++
		}
	}
	if touched > announced {
		t.Errorf("%d recordings were touched and %d intents published", touched, announced)
	}
}

// TestFaultyStore answers a fifth of all requests with faults, each also as "it landed, but the
// answer was lost": the run converges all the same.
func TestFaultyStore(t *testing.T) {
	clean := crashWorld(t)
	if err := clean.run(nil); err != nil {
		t.Fatal(err)
	}
	want := contents(clean)
	verdicts := map[string]fault.Verdict{"lost": fault.Lose, "landed": fault.Land, "busy": fault.Busy, "slow": fault.Slow, "truncated": fault.Truncate}
	if testing.Short() { // the others wait for minutes before they try again
		verdicts = map[string]fault.Verdict{"lost": fault.Lose, "slow": fault.Slow}
	}
	for name, v := range verdicts {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting before another try
			w := crashWorld(t)
			broken := 0
			script := fault.With(func(n int, what string) fault.Verdict {
				if strings.HasPrefix(what, "SQL") || (n*2654435761>>7)%5 != 0 {
					return fault.Pass
				}
				broken++
				return v
			})
			var err error
			for range 20 {
				if err = w.run(script); err == nil {
					break
				}
			}
			if err != nil {
				t.Fatalf("the run does not converge: %v", err)
			}
			t.Logf("%d of %d operations were broken", broken, script.Operations())
			if broken < 10 {
				t.Errorf("only %d requests were broken: the test says nothing", broken)
			}
			if diff := cmp.Diff(want, contents(w)); diff != "" {
				t.Errorf("the bucket (-clean +got):\n%s", diff)
			}
			if r := w.verified(); r.Open != 0 || r.Intents != r.Outcomes {
				t.Errorf("%d intents, %d outcomes, %d open", r.Intents, r.Outcomes, r.Open)
			}
		})
	}
}
