package retention_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/storagetest"
)

const voiceprintPolicy = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: voiceprints, owner: a@example.org}
spec:
  scope: {bucket: BUCKET, prefix: voiceprints/, class: voiceprint}
  rules:
    - {name: no-consent, when: '!("voiceprint" in subject.consents)', then: delete}
    - {name: inactive, keep: {for: 3y, from: subject.lastActive}, then: delete}
  otherwise: keep
`

const orphanPolicy = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: orphans, owner: a@example.org}
spec:
  scope: {bucket: BUCKET, prefix: transcripts/, class: transcript}
  rules:
    - {name: orphans, when: recording.orphan, keep: {for: 1d, from: stored}, then: delete}
  otherwise: keep
`

func (w *world) there(key string) bool { return len(w.snapshot()[key]) > 0 }

// TestVoiceprintsDoNotOutliveConsent keeps the recording and deletes what was made of the voice.
func TestVoiceprintsDoNotOutliveConsent(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.more = []string{strings.ReplaceAll(voiceprintPolicy, "BUCKET", w.name)}
	for _, s := range []string{"s1", "s2", "s3"} {
		w.record(s, "of-"+s, 5, 50)
	}
	p := w.mustStart()
	defer p.stop()
	for _, s := range []earshot.SubjectID{"s1", "s2", "s3"} {
		subject := earshot.Subject{ID: s, LastActive: w.now, Consents: []earshot.Consent{{Subject: s, Purpose: "voiceprint", GivenAt: w.now.AddDate(0, -1, 0)}}}
		if s != "s1" {
			subject.Consents[0].WithdrawnAt = w.now.Add(-time.Hour)
		}
		if _, err := p.runner.PutSubject(t.Context(), subject, "imported"); err != nil {
			t.Fatal(err)
		}
	}
	// A hold on a recording keeps what was made of it.
	if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Prefix: "clips/s3/"}); err != nil {
		t.Fatal(err)
	}
	if _, done := p.run(t); done.Deleted != 1 {
		t.Fatalf("%+v", done)
	}
	for key, want := range map[string]bool{"voiceprints/s1/of-s1.bin": true, "voiceprints/s2/of-s2.bin": false, "voiceprints/s3/of-s3.bin": true, "clips/s2/of-s2.wav": true, "transcripts/of-s2.json": true} {
		if w.there(key) != want {
			t.Errorf("%s is there: %v", key, !want)
		}
	}
	w.verified()
}

func TestOrphansGoByPolicyAndOnlyOrphans(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.more = []string{strings.ReplaceAll(orphanPolicy, "BUCKET", w.name)}
	w.record("s1", "a", 5, 50)
	clip := w.record("s1", "b", 5, 50)
	p := w.mustStart()
	defer p.stop()
	if planned, _ := p.run(t); planned.Run.Actions != 0 {
		t.Fatalf("%+v", planned)
	}
	// Somebody else deletes a recording and leaves the transcript.
	versions, err := w.plain.Versions(t.Context(), clip)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		if err := w.plain.Destroy(context.Background(), []earshot.RecordingID{v.ID})[0]; err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(2 * time.Hour)
	if planned, _ := p.run(t); planned.Run.Actions != 0 {
		t.Fatalf("it is an orphan, and its day is not over: %+v", planned)
	}
	w.now = w.now.Add(25 * time.Hour)
	if _, done := p.run(t); done.Deleted != 1 || w.there("transcripts/b.json") || !w.there("transcripts/a.json") {
		t.Errorf("%+v", done)
	}
}

// TestWithoutAListOfRecordingsNothingIsAnOrphan has only the policy on transcripts in force.
func TestWithoutAListOfRecordingsNothingIsAnOrphan(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.policy = strings.ReplaceAll(orphanPolicy, "BUCKET", w.name)
	w.record("s1", "a", 5, 50)
	p := w.mustStart()
	defer p.stop()
	w.now = w.now.Add(48 * time.Hour)
	if planned, _ := p.run(t); planned.Run.Actions != 0 || planned.Run.ForReview != 1 {
		t.Errorf("%+v", planned)
	}
}
