package work_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"earshot"
)

// slowEar takes its time and counts what it was given.
type slowEar struct {
	t     *testing.T
	heard atomic.Int64
	fails string // what cannot be read
}

func (e *slowEar) Version() string { return "1" }
func (e *slowEar) Words() string   { return "" }

func (e *slowEar) Listen(_ context.Context, src io.ReaderAt, size int64, _ time.Time) ([]earshot.Listening, string, bool, error) {
	e.heard.Add(1)
	time.Sleep(30 * time.Millisecond)
	text := make([]byte, size)
	if _, err := src.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, "", false, err
	}
	if e.fails != "" && string(text) == e.fails {
		return nil, "", false, errors.New("the ear hurts")
	}
	return []earshot.Listening{{Kind: earshot.KindWake}, {Kind: earshot.KindChild, Score: 0.99}, {Kind: earshot.KindSpeech}}, "", true, nil
}

const listenPolicy = `apiVersion: earshot/v1
kind: Policy
metadata: {name: all, owner: a@example.org}
spec:
  scope: {bucket: BUCKET}
  rules: [{name: child, when: child.FIGURE > 0.9, then: delete}]
  otherwise: keep
`

// TestMachinesListenTogether plans on one machine what must be listened to, while another works the queue:
// each recording is heard once, by both machines some, and the plan knows of all. One that cannot be
// listened to is told of by the plan and kept.
func TestMachinesListenTogether(t *testing.T) {
	for _, figure := range []string{"probability", "pooled"} {
		t.Run(figure, func(t *testing.T) { machinesListen(t, figure) })
	}
}

func machinesListen(t *testing.T, figure string) {
	t.Helper()
	s := newSite(t, 60)
	if _, err := s.bucket.Put(t.Context(), "r9999.wav", []byte("noise"), "audio/wav", nil, nil); err != nil {
		t.Fatal(err)
	}
	s.policy = strings.ReplaceAll(listenPolicy, "FIGURE", figure)
	there, here := &slowEar{t: t, fails: "noise"}, &slowEar{t: t, fails: "noise"}
	s.ear = there
	helper, _ := s.machine(nil)
	q := s.queue(helper)
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- q.Run(ctx, 5*time.Second) }()
	s.ear, s.hear = here, q.WakeHearing
	first, db := s.machine(nil)
	if _, err := first.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	planned, err := first.Plan(t.Context())
	if err != nil || planned.Deletes != 60 || planned.Unread != 1 {
		t.Errorf("%d deletions, %d unread, %v; want 60 and 1", planned.Deletes, planned.Unread, err)
	}
	a, b := there.heard.Load(), here.heard.Load()
	// The one that fails is tried by the plan again.
	if a == 0 || b == 0 || a+b != 62 {
		t.Errorf("one machine heard %d, the other %d, want 62 together and some on each", a, b)
	}
	if n, err := db.ToHear(t.Context()); n != 0 || err != nil {
		t.Errorf("%d are waited for after the plan, %v", n, err)
	}
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// stuckEar listens until it is told to stop.
type stuckEar struct{ begun chan struct{} }

func (e stuckEar) Version() string { return "1" }
func (e stuckEar) Words() string   { return "" }

func (e stuckEar) Listen(ctx context.Context, _ io.ReaderAt, _ int64, _ time.Time) ([]earshot.Listening, string, bool, error) {
	select {
	case e.begun <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return nil, "", false, ctx.Err()
}

// TestAListenerThatIsCutOffGivesBackWhatItHad: when its turn is over, or it is asked to stop, others need not wait for
// its leases to end.
func TestAListenerThatIsCutOffGivesBackWhatItHad(t *testing.T) {
	s := newSite(t, 20)
	s.policy = strings.ReplaceAll(listenPolicy, "FIGURE", "probability")
	stuck := stuckEar{begun: make(chan struct{}, 1)}
	s.ear = stuck
	helper, _ := s.machine(nil)
	s.ear, s.hear = &slowEar{t: t}, func(ctx context.Context, _ int) {
		within, end := context.WithCancel(ctx)
		go func() {
			<-stuck.begun
			end()
		}()
		if _, err := helper.Hear(within); !errors.Is(err, context.Canceled) {
			t.Errorf("the helper ended with %v", err)
		}
	}
	first, _ := s.machine(nil)
	if _, err := first.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second) // leases are longer
	defer cancel()
	if planned, err := first.Plan(ctx); err != nil || planned.Deletes != 20 {
		t.Errorf("%d deletions, %v; want 20", planned.Deletes, err)
	}
}
