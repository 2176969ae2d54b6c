package retention_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"earshot"
	"earshot/internal/fault"
	"earshot/storage/storagetest"
)

// large stores recordings for more than two batches: most go together, some are to be redacted, one by one, which cuts a
// batch short.
func large(t *testing.T) (w *world, deletes, redacts int) {
	w = newWorld(t, storagetest.Embedded(t), true, false)
	deletes, redacts = 2050, 150
	w.old(deletes)
	for i := range redacts {
		w.record("s1", fmt.Sprintf("wake%03d", i), 1, 300)
	}
	return w, deletes, redacts
}

// TestBatchesGoSideBySide applies a run of several batches, the first of which does not get on before another is announced.
func TestBatchesGoSideBySide(t *testing.T) {
	w, deletes, redacts := large(t)
	var p *process
	var run atomic.Pointer[earshot.RunID]
	var first sync.Once
	announced := 0
	p, err := w.start(fault.Stepped(func(what string) (fault.Verdict, bool) {
		if id := run.Load(); id != nil && strings.HasPrefix(what, "POST ") && strings.Contains(what, "delete") {
			first.Do(func() { announced = p.awaitAnnounced(*id, 1000) })
		}
		return fault.Pass, false
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil || planned.Deletes != deletes || planned.Redacts != redacts {
		t.Fatalf("%+v, %v", planned, err)
	}
	run.Store(&planned.Run.ID)
	done, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err != nil || done.Run.State != earshot.RunDone || done.Deleted != deletes || done.Redacted != redacts || done.Unfinished+done.Skipped+done.Failed > 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	n := 0
	for key := range w.snapshot() {
		if strings.Contains(key, "old") {
			n++
		}
	}
	if r := w.verified(); n > 0 || r.Open != 0 || int(r.Intents) != deletes+redacts {
		t.Errorf("%d are left; the log has %d intents, %d open", n, r.Intents, r.Open)
	}
	if announced <= 1000 {
		t.Errorf("%d were announced at a time: one batch goes after the other", announced)
	}
}

// awaitAnnounced waits until more than so many actions are announced and have no outcome, and returns how many are; what one
// batch has at most is never enough, so that it gives up after a while.
func (p *process) awaitAnnounced(run earshot.RunID, most int) (n int) {
	for until := time.Now().Add(20 * time.Second); n <= most && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		counts, err := p.db.Progress(context.Background(), run)
		if err != nil {
			p.w.tb.Error(err)
		}
		n = counts[earshot.ActionIntended]
	}
	return n
}

// TestBatchesThatAreInterruptedGoOn ends a run while two batches are under way.
func TestBatchesThatAreInterruptedGoOn(t *testing.T) {
	if testing.Short() {
		t.Skip("the other one shows races too")
	}
	w, deletes, redacts := large(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acting atomic.Bool
	p, err := w.start(fault.With(func(_ int, what string) fault.Verdict {
		if acting.Load() && strings.HasPrefix(what, "POST ") && strings.Contains(what, "delete") {
			cancel()
		}
		return fault.Pass
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	acting.Store(true)
	if done, err := p.runner.Apply(ctx, planned.Run.ID); err == nil || ctx.Err() == nil || done.Run.State != earshot.RunApplying {
		t.Errorf("%+v, %v: an interrupted run says that it is done", done, err)
	}
	if open, err := p.db.Unfinished(t.Context(), 100); len(open) != 0 || err != nil {
		t.Errorf("%d actions are left half done, %v", len(open), err)
	}
	done, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err != nil || done.Run.State != earshot.RunDone || done.Deleted != deletes || done.Redacted != redacts {
		t.Errorf("%+v, %v", done, err)
	}
	if r := w.verified(); r.Open != 0 {
		t.Errorf("%d intents are open", r.Open)
	}
}
