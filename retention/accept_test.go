package retention_test

import (
	"errors"
	"strings"
	"testing"

	"earshot"
	"earshot/retention"
	"earshot/storage/storagetest"
)

// as makes a process of somebody else's.
func (w *world) as(name string, do func(p *process)) {
	w.by = earshot.Principal{Kind: earshot.Person, Name: name}
	p := w.mustStart()
	defer p.stop()
	do(p)
}

func TestAPolicyThatWidensBeyondItsLimitsNeedsASecondPerson(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	limited := strings.Replace(w.policy, "  rules:", "  limits: {maxCount: 1, approvals: 1}\n  rules:", 1)
	w.policy = limited
	for _, id := range []string{"a", "b", "c"} {
		w.record("s1", id, 40, 50)
	}
	w.as("ann", func(p *process) {
		if planned, _ := p.run(t); planned.Run.Actions != 0 {
			t.Fatalf("%+v", planned)
		}
	})
	// Shorter, and with limits that would let it through.
	w.policy = strings.Replace(strings.Replace(limited, "for: 90d", "for: 30d", 1), "maxCount: 1", "maxCount: 1000", 1)
	digest := w.compiled()[0].Digest().Short()
	w.as("ann", func(p *process) {
		if _, err := p.plan(t.Context()); !errors.Is(err, retention.ErrNotApproved) || !strings.Contains(err.Error(), digest) {
			t.Fatalf("a wider policy: %v", err)
		}
		if _, err := p.runner.ApprovePolicy(t.Context(), "household", digest); !errors.Is(err, retention.ErrNotApproved) {
			t.Errorf("who brought it approved it: %v", err)
		}
	})
	w.as("bob", func(p *process) {
		if _, err := p.runner.ApprovePolicy(t.Context(), "household", "000000000000"); !errors.Is(err, retention.ErrStaleRun) {
			t.Errorf("another digest: %v", err)
		}
		if _, err := p.runner.ApprovePolicy(t.Context(), "household", digest); err != nil {
			t.Fatal(err)
		}
	})
	w.as("ann", func(p *process) {
		if planned, _ := p.run(t); planned.Deletes != 3 {
			t.Errorf("after the approval: %+v", planned)
		}
	})
	// A milder one needs nobody.
	w.policy = strings.Replace(limited, "for: 90d", "for: 900d", 1)
	w.as("ann", func(p *process) { p.run(t) })
	w.verified()
}
