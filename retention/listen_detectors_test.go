package retention_test

import (
	"slices"
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

// Where a detector was down, what is written of the wake word is not all that there is to know of it.
func TestADetectorThatWasDownIsAskedAgainBesideWhatIsWritten(t *testing.T) {
	others := []earshot.Listening{{Kind: earshot.KindChild, Score: 0.1}, {Kind: earshot.KindSpeech}}
	e := &someEar{version: "1", partly: "down", facts: others}
	w, p := listening(t, e, true)
	for i, want := range []time.Duration{300 * time.Millisecond, 250 * time.Millisecond} {
		got, err := p.plan(t.Context())
		if err != nil || got.Redacts != 1 {
			t.Fatalf("plan %d: %+v, %v", i+1, got, err)
		}
		actions, err := p.db.Actions(t.Context(), got.Run.ID, "", 0, 10)
		if err != nil || len(actions) != 1 {
			t.Fatalf("%+v, %v", actions, err)
		}
		if end := actions[0].Decision.Redactions[0].Spans[0].End; end != want {
			row, _ := p.db.Recording(t.Context(), w.name, "clips/s1/a.wav")
			t.Errorf("plan %d erases up to %s, want %s: %+v", i+1, end, want, row.Heard[earshot.KindWake])
		}
		e.partly, e.facts = "", append([]earshot.Listening{wakeAt(250*time.Millisecond, 400*time.Millisecond)}, others...)
		if err := p.db.PutSubject(t.Context(), earshot.Subject{ID: "s1"}); err != nil { // due afresh
			t.Fatal(err)
		}
	}
}

// What an assistant wrote as a moment gives way to the place of that word which is heard round it; that of another
// word, which the ear takes for likely, is no place of it, and both are known then.
func TestAMomentGivesWayToThePlaceOfItsWord(t *testing.T) {
	window, place := earshot.Span{End: 880 * time.Millisecond}, earshot.Span{Start: 100 * time.Millisecond, End: 300 * time.Millisecond}
	for written, want := range map[string]earshot.Spans{
		"hey_nabu": {window, place}, "alexa": {place}, "hey_alexa_v0.1": {place}, "": {place},
	} {
		e := &someEar{version: "1", facts: []earshot.Listening{wakeAt(place.Start, place.End), {Kind: earshot.KindChild, Score: 0.1}}}
		w, p := listening(t, e, false)
		if _, err := w.plain.Put(t.Context(), "events/a.json", []byte(`{"type":"detection","data":{"name":"`+written+`","timestamp":600}}`), "application/json", nil, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := p.plan(t.Context()); err != nil {
			t.Fatal(err)
		}
		row, err := p.db.Recording(t.Context(), w.name, "clips/s1/a.wav")
		if err != nil {
			t.Fatal(err)
		}
		l := row.Heard[earshot.KindWake]
		var got earshot.Spans
		for _, f := range l.Findings {
			got = append(got, f.Span)
		}
		if !slices.Equal(got, want) || l.Loose != (len(want) > 1) {
			t.Errorf("%q, of which the moment is written: %+v, want %s", written, l, want)
		}
	}
}
