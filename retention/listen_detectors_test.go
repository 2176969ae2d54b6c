package retention_test

import (
	"testing"
	"time"

	"earshot"
)

// A word that was heard while another detector was down counts, and the detector is asked again when the recording
// is looked at again; what it does not doubt then is kept.
func TestADetectorThatWasDownIsAskedAgain(t *testing.T) {
	e := &someEar{version: "1", partly: "down", facts: []earshot.Listening{wakeAt(300*time.Millisecond, 600*time.Millisecond), {Kind: earshot.KindChild, Score: 0.1}, {Kind: earshot.KindSpeech}}}
	_, p := listening(t, e, false)
	for i, want := range []int{1, 2, 2} {
		if i > 0 {
			e.partly = ""
			if err := p.db.PutSubject(t.Context(), earshot.Subject{ID: "s1"}); err != nil { // due afresh
				t.Fatal(err)
			}
		}
		if got, err := p.plan(t.Context()); err != nil || got.Redacts != 1 {
			t.Fatalf("plan %d: %+v, %v", i+1, got, err)
		}
		if e.asked != want {
			t.Errorf("after plan %d it was heard %d times, want %d", i+1, e.asked, want)
		}
	}
}

func TestWhatWasPlannedWhileADetectorIsDownIsApplied(t *testing.T) {
	e := &someEar{version: "1", partly: "down", facts: []earshot.Listening{wakeAt(300*time.Millisecond, 600*time.Millisecond), {Kind: earshot.KindChild, Score: 0.1}, {Kind: earshot.KindSpeech}}}
	_, p := listening(t, e, false)
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if applied, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil || applied.Redacted != 1 {
		t.Errorf("%+v, %v", applied, err)
	}
}
