package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"earshot"
)

// TestARunThatNobodyWorksOn: apply says what it leaves when it is stopped, and status that nobody goes on.
func TestARunThatNobodyWorksOn(t *testing.T) {
	i := newInstalled(t)
	ctx, db := t.Context(), i.inst.db
	out, _ := i.earshot(0, "planner", "plan")
	run := i.run(out)
	if run.State == earshot.RunSealed {
		i.earshot(0, "approver", "approve", string(run.ID), run.Digest.String())
	}
	want := fmt.Sprintf("%d action(s) are left: earshot apply %s goes on with it", run.Actions, run.ID)

	stopped, cancel := context.WithCancel(ctx)
	cancel()
	err := i.app.apply(stopped, i.inst, run.ID)
	if !errors.Is(err, context.Canceled) && !errors.Is(err, errPartly) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canceled") {
		t.Errorf("apply that is stopped: %v, want %q", err, want)
	}
	run, err = db.Run(ctx, run.ID)
	if err != nil {
		t.Fatal(err)
	}
	run.State = earshot.RunApplying
	if err := db.Move(ctx, run, nil, earshot.RunApproved); err != nil { // as apply does before it is killed
		t.Fatal(err)
	}
	stalled := func(now time.Time) []stalledRun {
		t.Helper()
		s, err := i.inst.standing(ctx, now, 100*365*24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		printStanding(&text, s)
		named := len(s.Stalled) > 0
		if said := strings.Contains(text.String(), "earshot apply "+string(run.ID)); said != named {
			t.Errorf("status says so: %t, for %v: %s", said, s.Stalled, text.String())
		}
		if err := s.err(); named && (!errors.Is(err, errPartly) || !strings.Contains(err.Error(), "1 run(s) that nobody works on")) {
			t.Errorf("status ends with %v", err)
		}
		return s.Stalled
	}
	later := time.Now().Add(2 * stalledAfter)
	if got := stalled(time.Now()); got != nil {
		t.Errorf("at once: %v", got)
	}
	if got := stalled(later); len(got) != 1 || got[0].Run != run.ID || got[0].Left != run.Actions {
		t.Errorf("later: %v, want %d actions of run %s", got, run.Actions, run.ID)
	}
	release, err := db.Exclusive("apply")
	if err != nil {
		t.Fatal(err)
	}
	if got := stalled(later); got != nil {
		t.Errorf("while somebody works on it: %v", got)
	}
	release()
	all := QuietConfig{Hours: "00:00-23:59", Zone: "UTC"}
	if err := all.check(); err != nil {
		t.Fatal(err)
	}
	i.inst.cfg.Store.Pace.Quiet = []QuietConfig{all}
	if got := stalled(later); got != nil {
		t.Errorf("in quiet hours: %v", got)
	}
	i.inst.cfg.Store.Pace.Quiet = nil
	i.earshot(0, "planner", "apply", string(run.ID))
	if got := stalled(later); got != nil {
		t.Errorf("in the end: %v", got)
	}
}
