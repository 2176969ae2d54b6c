package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

// TestInitLeavesNoTables: where the log's bucket is another's nothing is made in the database, so that init can be
// called again. On that installation, whose catalog is shared, leases tell whether somebody works on a run.
func TestInitLeavesNoTables(t *testing.T) {
	pg := newServer(t)
	ctx := t.Context()
	catalogURL, err1 := pg.Schema(ctx, "catalog")
	keysURL, err2 := pg.Schema(ctx, "subject_keys")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	server := storagetest.Embedded(t)
	siteOn(t, server, initOptions{logBucket: "taken-log"}, scalePolicy) // others use this server too
	store, err := storage.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.MakeBucket(ctx, "other-log", true, true); err != nil {
		t.Fatal(err)
	}
	a := &app{in: strings.NewReader(""), out: discard{}, err: discard{}, as: "planner"}
	dir := filepath.Join(t.TempDir(), "second")
	o := initOptions{deaf: true, endpoint: server.Endpoint, bucket: "voice", origin: "example.org/second", logBucket: "taken-log", catalog: catalogURL, subjectKeys: keysURL, packs: []string{"voice-assistant"}}
	if err := a.initialise(ctx, dir, o); !errors.Is(err, audit.ErrExists) || !strings.Contains(err.Error(), "--log-bucket") {
		t.Fatalf("on the bucket of another log: %v", err)
	}
	o.logBucket = "other-log"
	if err := a.initialise(ctx, dir, o); err != nil {
		t.Fatalf("on a bucket of its own: %v", err)
	}
	i, err := a.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	leasesTell(t, i)
}

func leasesTell(t *testing.T, i *installation) {
	t.Helper()
	ctx, begun := t.Context(), time.Now().UTC().Truncate(time.Second)
	run := earshot.Run{ID: "run-l", CreatedAt: begun, State: earshot.RunApplying, Actions: 5}
	var actions []earshot.Action
	for n := range run.Actions {
		actions = append(actions, earshot.Action{Run: run.ID, Seq: n, Recording: earshot.Recording{ID: earshot.RecordingID{Bucket: "voice", Key: fmt.Sprintf("c/%d", n)}}})
	}
	if err := errors.Join(i.db.Draft(ctx, run), i.db.Add(ctx, run.ID, actions), i.db.Move(ctx, run, nil, earshot.RunDraft)); err != nil {
		t.Fatal(err)
	}
	at := begun.Add(time.Hour)
	l := catalog.Lease{Owner: "w", Now: at, Until: at.Add(time.Minute)}
	taken, err := i.db.Reserve(ctx, run.ID, l, 0, 1)
	if err != nil || len(taken) != 1 {
		t.Fatalf("reserved %d, %v", len(taken), err)
	}
	taken[0].State, taken[0].IntendedAt = earshot.ActionIntended, at
	if _, err := i.db.Claim(ctx, l, []catalog.Transition{{Action: taken[0], Leaf: earshot.Leaf{ID: strings.Repeat("e", 32), Body: []byte("{}")}}}); err != nil {
		t.Fatal(err)
	}
	// Prolonged again and again, as where a large recording is being rewritten.
	l.Until = at.Add(20 * time.Minute)
	if err := i.db.Renew(ctx, l, catalog.Reserved{}); err != nil {
		t.Fatal(err)
	}
	open, err := i.db.Unfinished(ctx, 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		now   time.Time
		stall bool
	}{
		"whileItMoves":   {at.Add(time.Minute), false},
		"whileALeaseIs":  {at.Add(15 * time.Minute), false},
		"whenItHasEnded": {at.Add(21 * time.Minute), true},
	} {
		got, err := i.stalled(ctx, c.now, open)
		if err != nil || (len(got) == 1) != c.stall {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if len(got) == 1 && (got[0].Left != run.Actions || !got[0].Since.Equal(at)) {
			t.Errorf("%s: %+v, want %d actions left since %v", name, got[0], run.Actions, at)
		}
	}
}
