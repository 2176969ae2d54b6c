package retention_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/storage/storagetest"
)

const sessionPolicy = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: household, owner: a@example.org}
spec:
  scope: {bucket: BUCKET, prefix: clips/}
  rules:
    - {name: child, when: child.pooled >= 0.8, then: delete}
  otherwise: keep
`

// percents hears in a recording of 8000 + n samples a child with the probability of n percent: of 0 too little
// to judge, of 999 nothing now.
type percents struct {
	version string
	mu      sync.Mutex // guards heard while a plan listens
	heard   int
	broken  bool
}

func (e *percents) Version() string { return e.version }
func (e *percents) Words() string   { return "" }

func (e *percents) Listen(_ context.Context, src io.ReaderAt, _ int64, _ time.Time) ([]earshot.Listening, string, bool, error) {
	var size [4]byte
	if _, err := src.ReadAt(size[:], 40); err != nil {
		return nil, "", false, err
	}
	e.mu.Lock()
	e.heard++
	e.mu.Unlock()
	out := []earshot.Listening{{Kind: earshot.KindWake}, {Kind: earshot.KindSpeech}}
	switch n := int(binary.LittleEndian.Uint32(size[:])/2) - 8000; {
	case n == 999 && e.broken:
		return nil, "", false, errors.New("the ear is ill")
	case n == 999:
		n = 5
		fallthrough
	case n > 0:
		out = append(out, earshot.Listening{Kind: earshot.KindChild, Score: float64(n) / 100})
	}
	return out, "", true, nil
}

// session is a world of recordings whose children's voices are known.
type session struct {
	*world
	ear *percents
	p   *process
}

func newSession(t *testing.T, locked bool) *session {
	t.Helper()
	s := &session{world: newWorld(t, storagetest.Embedded(t), true, locked), ear: &percents{version: "1"}}
	s.policy, s.world.ear = strings.ReplaceAll(sessionPolicy, "BUCKET", s.name), s.ear
	s.p = s.mustStart()
	t.Cleanup(func() { s.p.stop() })
	return s
}

func (s *session) say(id, device string, second, percent int) {
	s.tb.Helper()
	s.put("clips/s1/"+id+".wav", clip(8000+percent), map[string]string{
		"captured-at": s.now.Add(time.Duration(second)*time.Second - time.Hour).Format(time.RFC3339), "device": device,
	})
}

// planned plans and tells what goes.
func (s *session) planned(want string) retention.Planned {
	s.tb.Helper()
	got, err := s.p.plan(s.tb.Context())
	if err != nil {
		s.tb.Fatal(err)
	}
	actions, err := s.p.db.Actions(s.tb.Context(), got.Run.ID, "", 0, 100)
	if err != nil {
		s.tb.Fatal(err)
	}
	var ids []string
	for _, a := range actions {
		ids = append(ids, strings.TrimSuffix(strings.TrimPrefix(a.Recording.ID.Key, "clips/s1/"), ".wav"))
	}
	if g := strings.Join(ids, " "); g != want {
		s.tb.Fatalf("the plan deletes %q, want %q", g, want)
	}
	return got
}

func (s *session) applied(run retention.Planned, deleted, skipped int) {
	s.tb.Helper()
	done, err := s.p.runner.Apply(s.tb.Context(), run.Run.ID)
	if err != nil || done.Deleted != deleted || done.Skipped != skipped {
		s.tb.Fatalf("%+v, %v; want %d deleted and %d skipped", done, err, deleted, skipped)
	}
}

func (s *session) voiced(want string) {
	s.tb.Helper()
	var ids []string
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if v, err := s.p.db.Voice(s.tb.Context(), s.name, "clips/s1/"+id+".wav"); err != nil {
			s.tb.Fatal(err)
		} else if v != nil {
			ids = append(ids, id)
		}
	}
	if g := strings.Join(ids, " "); g != want {
		s.tb.Errorf("the catalog has voices of %q, want %q", g, want)
	}
}

func TestASessionIsJudgedTogether(t *testing.T) {
	for name, c := range map[string]struct {
		device string
		second int
		want   string
	}{
		"together":      {"kitchen", 90, "a b c"},
		"anotherDevice": {"hall", 90, "a c"},
		"later":         {"kitchen", 690, "a c"},
		"noDevice":      {"", 90, "a c"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession(t, false)
			s.say("a", "kitchen", 0, 95)
			s.say("b", c.device, c.second, 40)
			s.say("c", "kitchen", 100, 95)
			s.say("d", "kitchen", -3000, 0) // too little, and alone
			s.say("e", "hall", -2000, 0)
			run := s.planned(c.want)
			n := len(strings.Fields(c.want))
			if s.ear.heard != 5 {
				t.Errorf("%d were heard", s.ear.heard)
			}
			s.applied(run, n, 0)
			if strings.Contains(c.want, "b") {
				s.voiced("d e")
			} else if c.device != "" {
				s.voiced("b d e")
			}
			s.planned("")
			if s.ear.heard != 5 {
				t.Errorf("they were heard anew: %d", s.ear.heard)
			}
		})
	}
}

// What cannot be judged by itself goes with the others, in either direction.
func TestOthersSpeakForWhatIsTooShort(t *testing.T) {
	s := newSession(t, false)
	s.say("a", "kitchen", 0, 95)
	s.say("b", "kitchen", 10, 0)
	s.applied(s.planned("a b"), 2, 0)
	s.voiced("")
}

// A recording that comes later is heard, and those of its session are decided anew, once.
func TestWhatComesLaterChangesItsSession(t *testing.T) {
	s := newSession(t, false)
	s.say("a", "kitchen", 0, 40)
	s.say("b", "hall", 0, 40)
	s.planned("")
	s.say("c", "kitchen", 60, 97)
	s.say("d", "kitchen", 120, 97)
	first := s.planned("a c d")
	s.say("e", "kitchen", 30, 2) // an adult, who outweighs them
	s.planned("")
	if _, err := s.p.runner.Apply(t.Context(), first.Run.ID); !errors.Is(err, retention.ErrStaleRun) {
		t.Errorf("a plan that another one took the place of was applied: %v", err)
	}
	if s.ear.heard != 5 {
		t.Errorf("%d were heard", s.ear.heard)
	}
	for range 2 { // nothing makes another due without end
		s.planned("")
		if all, err := s.p.db.Stirred(t.Context(), s.name, "", "", 10); len(all) > 0 || err != nil {
			t.Errorf("still stirred: %+v, %v", all, err)
		}
	}
}

// Between plan and apply a session becomes another one: what was decided is looked at again.
func TestASessionThatChangesStopsItsActions(t *testing.T) {
	s := newSession(t, false)
	s.say("a", "kitchen", 0, 40)
	s.say("b", "kitchen", 30, 97)
	s.say("c", "kitchen", 60, 90)
	run := s.planned("a b c")
	s.say("b", "kitchen", 30, 98) // stored anew
	if _, err := s.p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.voiced("a c") // the figure of which is too low
	s.applied(run, 0, 3)
}

// A run deletes part by part: that the others of its session went before does not save the last one.
func TestASessionGoesAsAWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("deletes more than one batch")
	}
	s := newSession(t, true) // in which recordings are handled one by one
	var want []string
	for i := range 65 { // a batch has 64
		id, device := fmt.Sprintf("n%02d", i), "kitchen"
		if i == 64 {
			device = "hall"
		}
		s.say(id, device, 1+i, 95)
		want = append(want, id)
	}
	s.say("z", "kitchen", 0, 40)
	s.applied(s.planned(strings.Join(append(want, "z"), " ")), 66, 0)
}

// While one of a session cannot be heard, nothing goes because of the session.
func TestNothingGoesWhileOneIsToBeHeard(t *testing.T) {
	s := newSession(t, false)
	s.ear.broken = true
	s.say("a", "kitchen", 0, 95)
	s.say("b", "kitchen", 30, 999)
	s.say("c", "hall", 30, 95)
	s.planned("c")
	s.ear.broken = false
	s.now = s.now.Add(2 * time.Hour)
	s.planned("c") // b is an adult
}

// What another version of the ear heard is no figure of this one's: it is heard anew, and the session judged then.
func TestASessionIsOfOneEar(t *testing.T) {
	s := newSession(t, false)
	s.say("a", "kitchen", 0, 40)
	s.say("b", "kitchen", 30, 30)
	s.planned("")
	s.ear.version = "2"
	id := earshot.RecordingID{Bucket: s.name, Key: "clips/s1/a.wav"}
	if err := s.p.db.Touch(t.Context(), []earshot.RecordingID{id}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		heard       int
		disposition string
	}{{3, "review"}, {4, "keep"}, {4, "keep"}} {
		s.planned("")
		row, err := s.p.db.Recording(t.Context(), s.name, id.Key)
		if err != nil || row.Disposition != want.disposition || s.ear.heard != want.heard {
			t.Errorf("plan %d: %d were heard, and it is %s (%s), %v; want %+v", i, s.ear.heard, row.Disposition, row.Reason, err, want)
		}
	}
}

// A row of the catalog's sessions goes with its recording, when a person asks for it too, and with the last
// policy that asks for it.
func TestAVoiceDoesNotOutliveItsRecording(t *testing.T) {
	s := newSession(t, false)
	s.say("a", "kitchen", 0, 30)
	s.put("clips/s2/x.wav", clip(8040), map[string]string{"captured-at": s.now.Add(-time.Hour).Format(time.RFC3339), "device": "kitchen"})
	s.planned("")
	s.voiced("a")
	if _, err := s.p.runner.FileRequest(t.Context(), earshot.RequestErasure, "s1", time.Hour); err != nil {
		t.Fatal(err)
	}
	s.applied(s.planned("a"), 1, 0)
	s.voiced("")
	other := func() bool {
		v, err := s.p.db.Voice(t.Context(), s.name, "clips/s2/x.wav")
		if err != nil {
			t.Fatal(err)
		}
		return v != nil && v.Pooled != nil && (v.Stirred > 0 || fmt.Sprintf("%.2f", *v.Pooled) == "0.40")
	}
	if !other() {
		t.Error("another person's went too, or goes by the erased one's still")
	}
	s.planned("")
	if !other() {
		t.Error("the figure of an erased recording stays")
	}
	s.p.stop()
	s.policy = strings.ReplaceAll(listenPolicy, "BUCKET", s.name)
	s.p = s.mustStart()
	if _, err := s.p.runner.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if other() {
		t.Error("no policy asks for sessions, and they are noted")
	}
}
