package retention_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/internal/fault"
	"earshot/storage/storagetest"
)

// sickEar never comes to an answer.
type sickEar struct{}

func (sickEar) Version() string { return "1" }
func (sickEar) Words() string   { return "" }
func (sickEar) Listen(context.Context, io.ReaderAt, int64, time.Time) ([]earshot.Listening, string, bool, error) {
	return nil, "", false, errors.New("the ear hurts")
}

// TestUnreadableRecordingsDoNotHoldUpTheOthers plans with more recordings that cannot be read than the store
// may have on a bad day, and with some others behind them.
func TestUnreadableRecordingsDoNotHoldUpTheOthers(t *testing.T) {
	const bad, good = 210, 5
	for name, test := range map[string]struct {
		spoil           func(w *world, keys []string)
		deny            string // HEAD of these is denied
		sick            bool   // nothing can be heard
		planned         bool   // at once
		unread, waiting int
	}{
		"gone": {planned: true, spoil: func(w *world, keys []string) {
			for _, key := range keys {
				w.gone(key)
			}
		}},
		"changed": {planned: true, unread: bad, spoil: func(w *world, keys []string) {
			for _, key := range keys {
				w.put(key, clip(20), w.ago(1))
			}
		}},
		"denied": {planned: true, deny: "clips/a/", unread: bad, waiting: bad},
		"unwell": {sick: true, waiting: bad},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, storagetest.Embedded(t), true, false)
			var keys []string
			age := 500
			if test.sick {
				w.ear, age = sickEar{}, 5
			}
			for n := range bad {
				keys = append(keys, fmt.Sprintf("clips/a/bad%03d.wav", n))
				w.put(keys[n], clip(10), w.ago(age))
			}
			for n := range good {
				w.put(fmt.Sprintf("clips/b/good%03d.wav", n), clip(10), w.ago(500))
			}
			p, err := w.start(fault.With(func(_ int, what string) fault.Verdict {
				if test.deny != "" && strings.HasPrefix(what, "HEAD") && strings.Contains(what, test.deny) {
					return fault.Deny
				}
				return fault.Pass
			}))
			if err != nil {
				t.Fatal(err)
			}
			defer p.stop()
			if _, err := p.runner.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			if test.spoil != nil {
				test.spoil(w, keys)
			}
			got, err := p.runner.Plan(t.Context())
			if (err == nil) != test.planned || test.planned && (got.Run.Actions != good || got.Unread != test.unread) {
				t.Errorf("the first plan: %d actions, %d unread, %v; want %d and %d", got.Run.Actions, got.Unread, err, good, test.unread)
			}
			if waiting, blocked, err := p.db.Troubled(t.Context()); waiting != test.waiting || blocked != 0 || err != nil {
				t.Errorf("%d wait and %d are blocked, %v; want %d waiting", waiting, blocked, err, test.waiting)
			}
			got, err = p.runner.Plan(t.Context())
			if err != nil || got.Run.Actions != good || got.Unread != 0 {
				t.Errorf("the next plan: %d actions, %d unread, %v; want %d and none", got.Run.Actions, got.Unread, err, good)
			}
		})
	}
}

// TestABucketThatIsNotWellDoesNotKeepTheOthersFromBeingPlannedFor: its listing may even work.
func TestABucketThatIsNotWellDoesNotKeepTheOthersFromBeingPlannedFor(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	sick := storagetest.Bucket(t, w.o, true, false)
	for n := range 210 {
		if _, err := sick.Put(t.Context(), fmt.Sprintf("clips/a/bad%03d.wav", n), clip(10), "audio/wav", w.ago(5), nil); err != nil {
			t.Fatal(err)
		}
	}
	w.put("clips/b/good.wav", clip(10), w.ago(500))
	w.ear = sickEar{}
	// The sick one is planned for first.
	well := w.policy
	w.policy = strings.ReplaceAll(strings.ReplaceAll(well, w.name, sick.Name()), "household", "a-first")
	w.more = []string{well}
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := p.runner.Plan(t.Context())
	if err != nil || got.Run.Actions != 1 || got.Unread != 210 {
		t.Errorf("%d actions, %d unread, %v; want the other bucket's", got.Run.Actions, got.Unread, err)
	}
}
