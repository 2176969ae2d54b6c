package retention_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/storage"
	"earshot/storage/storagetest"
)

// person is what is planted of one, to be looked for afterwards.
type person struct {
	id     string
	device string
	words  []string
	sound  []int16
}

func newPerson(id string, seed uint64, words ...string) person {
	p := person{id: id, device: "device-of-" + id, words: words}
	rng := rand.New(rand.NewPCG(seed, 7))
	phase, f := 0.0, 200.0
	for i := range 16000 { // two seconds at 8 kHz of a tone that wanders, with noise
		if i%800 == 0 {
			f = 150 + 2500*rng.Float64()
		}
		phase += 2 * math.Pi * f / 8000
		p.sound = append(p.sound, int16(9000*math.Sin(phase)+500*rng.NormFloat64()))
	}
	return p
}

func (p person) wav() []byte {
	b := clip(len(p.sound))
	for i, s := range p.sound {
		binary.LittleEndian.PutUint16(b[44+2*i:], uint16(s))
	}
	return b
}

// features are hashes of what the sound is like, frame by frame: the energies of eight bands, coarsely,
// over five frames in a row. They survive what changes the bytes and not the sound.
func features(samples []int16) map[string]bool {
	const frame = 400
	var frames []string
	for at := 0; at+frame <= len(samples); at += frame {
		var bands [8]byte
		for k := range bands {
			w := 2 * math.Pi * (150 + 420*float64(k)) / 8000
			var s1, s2 float64
			for _, x := range samples[at : at+frame] {
				s1, s2 = float64(x)/32768+2*math.Cos(w)*s1-s2, s1
			}
			power := s1*s1 + s2*s2 - 2*math.Cos(w)*s1*s2
			bands[k] = byte(max(0, 40+10*math.Log10(power+1e-4)) / 6)
		}
		frames = append(frames, string(bands[:]))
	}
	out := map[string]bool{}
	for i := 0; i+5 <= len(frames); i++ {
		if run := strings.Join(frames[i:i+5], ""); strings.Count(run, run[:8]) < 5 { // silence says nothing
			out[run] = true
		}
	}
	return out
}

// traces looks for a person in some bytes and tells what it found.
func (p person) traces(text []byte) (found []string) {
	if z, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
		if plain, err := io.ReadAll(z); err == nil {
			found = append(found, p.traces(plain)...)
		}
	}
	for _, word := range append([]string{p.id, p.device}, p.words...) {
		if bytes.Contains(bytes.ToLower(text), []byte(strings.ToLower(word))) {
			found = append(found, word)
		}
	}
	raw := p.wav()[44:]
	for at := 0; at+32 <= len(raw); at += 320 {
		if bytes.Contains(text, raw[at:at+32]) {
			found = append(found, fmt.Sprintf("sound of %d ms on", at/16))
			break
		}
	}
	if bytes.HasPrefix(text, []byte("RIFF")) && len(text) > 44 {
		theirs := features(p.sound)
		for f := range features(samplesOf(text)) {
			if theirs[f] {
				found = append(found, "a likeness of the sound")
				break
			}
		}
	}
	return found
}

// search looks for a person in every version of every object of both buckets, in every file that earshot
// keeps, and in what it said.
func (w *world) search(p person, said []byte) (found []string) {
	w.tb.Helper()
	ctx := context.Background()
	note := func(where string, text []byte) {
		for _, f := range p.traces(text) {
			found = append(found, where+": "+f)
		}
	}
	logs, err := w.store(nil).Bucket(ctx, w.logs)
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, b := range []*storage.Bucket{w.plain, logs} {
		for v, err := range b.All(ctx, "") {
			if err != nil {
				w.tb.Fatal(err)
			}
			note("key in "+b.Name(), []byte(v.ID.Key))
			if v.Marker {
				continue
			}
			var body bytes.Buffer
			if err := b.Fetch(ctx, v.ID, v.ETag, &body, func() error { body.Reset(); return nil }); err != nil {
				w.tb.Fatal(err)
			}
			note(b.Name()+"/"+v.ID.Key, body.Bytes())
		}
	}
	err = filepath.Walk(w.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		note(filepath.Base(path), text)
		return err
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	note("what was said", said)
	return found
}

// plant stores all kinds of data of a person.
func (w *world) plant(p person, id string) {
	w.tb.Helper()
	meta := map[string]string{"captured-at": w.now.Add(-48 * time.Hour).Format(time.RFC3339), "device": p.device}
	key := "clips/" + p.id + "/" + id + ".wav"
	w.put(key, p.wav()[:10044], meta) // an older version
	w.put(key, p.wav(), meta)
	w.put("events/"+id+".json", event(300, 500), nil)
	w.put("transcripts/"+id+".json", []byte(`{"text":"`+strings.Join(p.words, " ")+`"}`), nil)
	w.put("voiceprints/"+p.id+"/"+id+".bin", []byte("voice of "+p.id), nil)
}

// TestNothingIsLeftOfAnErasedPerson plants two people, erases one, and looks for both everywhere.
func TestNothingIsLeftOfAnErasedPerson(t *testing.T) {
	w := logWorld(t, true, false)
	gone, stays := newPerson("s-quixote-7731", 1, "windmill", "rocinante"), newPerson("s-emma-0042", 2, "highbury", "knightley")
	var said bytes.Buffer
	w.said = &said
	for _, p := range []person{gone, stays} {
		w.plant(p, "clip-of-"+p.id)
		w.plant(p, "other-of-"+p.id)
		w.put("eventlogs/motion/"+p.id[2:3]+".jsonl", []byte(w.motion(gone.id, 3)+w.motion(stays.id, 3)), nil)
	}
	p := w.mustStart()
	age := 40
	for _, who := range []person{gone, stays} {
		s := earshot.Subject{ID: earshot.SubjectID(who.id), DeclaredAge: &age, Consents: []earshot.Consent{{Subject: earshot.SubjectID(who.id), Purpose: "voiceprint", GivenAt: w.now, Proof: "contract"}}}
		if err := p.db.PutSubject(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	p.run(t)
	if _, err := p.runner.Reconcile(t.Context(), w.name, w.inventory()); err != nil {
		t.Fatal(err)
	}
	for _, who := range []person{gone, stays} {
		if n := len(w.search(who, said.Bytes())); n < 10 {
			t.Fatalf("only %d traces of %s before: the search finds nothing", n, who.id)
		}
	}
	subject := earshot.SubjectID(gone.id)
	if _, err := p.runner.Ask(t.Context(), retention.Asked{Kind: earshot.RequestErasure, Subject: subject, Identity: "file 12 of " + gone.id}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.CloseRequests(t.Context(), subject); err == nil {
		t.Fatal("the request was closed before anything was erased")
	}
	if _, done := p.run(t); done.Deleted != 2 || done.Redacted != 2 {
		t.Fatalf("%+v", done)
	}
	closed, err := p.runner.CloseRequests(t.Context(), subject)
	if err != nil || !closed.Scrubbed || closed.Refused != "" || len(closed.Closed) != 1 {
		t.Fatalf("%+v, %v", closed, err)
	}
	if _, err := p.runner.ForgetKey(t.Context(), subject); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if found := w.search(gone, said.Bytes()); len(found) > 0 {
		t.Errorf("%d traces are left:\n%s", len(found), strings.Join(found, "\n"))
	}
	if found := w.search(stays, nil); len(found) < 10 {
		t.Errorf("the other person has lost data: %v", found)
	}
	w.verified()
	// What arrives late is caught though nothing names the person any more.
	w.plant(gone, "late-of-"+gone.id)
	p = w.mustStart()
	if _, done := p.run(t); done.Deleted != 1 {
		t.Errorf("late: %+v", done)
	}
	if again, err := p.runner.CloseRequests(t.Context(), subject); err != nil || !again.Scrubbed {
		t.Errorf("closing again: %+v, %v", again, err)
	}
	if _, err := p.runner.ForgetKey(t.Context(), subject); err != nil {
		t.Error(err)
	}
	p.stop()
	if found := w.search(gone, said.Bytes()); len(found) > 0 {
		t.Errorf("after late recordings %d traces are left:\n%s", len(found), strings.Join(found, "\n"))
	}
	p = w.mustStart()
	defer p.stop()
	if r, err := p.runner.Reconcile(t.Context(), w.name, w.inventory()); err != nil || r.Vanished > 0 {
		t.Errorf("the store and the log disagree: %+v, %v", r, err)
	}
	if was, err := p.runner.Readmit(t.Context(), subject); err != nil || !was {
		t.Errorf("readmitting: %v, %v", was, err)
	}
	w.plant(gone, "anew-of-"+gone.id)
	if planned, _ := p.run(t); planned.Deletes != 0 {
		t.Errorf("who came back is still erased: %+v", planned)
	}
}

// TestAHoldAgainstErasureIsSaid holds part of what a person wants erased.
func TestAHoldAgainstErasureIsSaid(t *testing.T) {
	w := logWorld(t, true, false)
	w.record("s1", "a", 5, 300)
	w.record("s1", "b", 5, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Prefix: "clips/s1/b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Ask(t.Context(), retention.Asked{Kind: earshot.RequestErasure, Subject: "s1", Law: "ccpa"}); err != nil {
		t.Fatal(err)
	}
	due, err := p.runner.Deadlines(t.Context())
	if err != nil || len(due) != 1 || due[0].Days != 45 || due[0].Overdue {
		t.Fatalf("%+v, %v", due, err)
	}
	p.run(t)
	closed, err := p.runner.CloseRequests(t.Context(), "s1")
	if err != nil || closed.Held != 1 || closed.Scrubbed || !strings.Contains(closed.Closed[0].Refused, "17(3)(e)") || len(closed.Holds) != 1 {
		t.Fatalf("%+v, %v", closed, err)
	}
	// The hold ends, and so does the reason to refuse.
	if _, err := p.db.LiftHold(t.Context(), closed.Holds[0], "another", w.now); err != nil {
		t.Fatal(err)
	}
	if _, done := p.run(t); done.Deleted != 1 {
		t.Fatalf("%+v", done)
	}
	if closed, err := p.runner.CloseRequests(t.Context(), "s1"); err != nil || !closed.Scrubbed {
		t.Errorf("%+v, %v", closed, err)
	}
}

func TestRestrictionStoresAndDoesNothingElse(t *testing.T) {
	w := logWorld(t, true, false)
	w.record("s1", "a", 400, 300)
	w.put("eventlogs/motion/a.jsonl", []byte(w.motion("s1", 40)+w.motion("s2", 40)), nil)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Ask(t.Context(), retention.Asked{Kind: earshot.RequestRestriction, Subject: "s1"}); err != nil {
		t.Fatal(err)
	}
	if _, done := p.run(t); done.Deleted != 0 || done.Redacted != 1 || string(w.read("eventlogs/motion/a.jsonl")) != w.motion("s1", 40) {
		t.Fatalf("%+v", done)
	}
	if _, err := p.runner.Ask(t.Context(), retention.Asked{Kind: earshot.RequestErasure, Subject: "s1"}); err != nil {
		t.Fatal(err)
	}
	if _, done := p.run(t); done.Deleted != 2 {
		t.Errorf("erasure was asked for: %+v", done)
	}
}

func TestARequestIsExtendedOnce(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	p := w.mustStart()
	defer p.stop()
	q, err := p.runner.Ask(t.Context(), retention.Asked{Kind: earshot.RequestAccess, Subject: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	longer, err := p.runner.Extend(t.Context(), q.ID, "many recordings")
	if err != nil || longer.DueAt.Sub(q.DueAt) != 60*24*time.Hour {
		t.Errorf("%+v, %v", longer, err)
	}
	if _, err := p.runner.Extend(t.Context(), q.ID, "still"); err == nil {
		t.Error("it was extended twice")
	}
	w.now = w.now.AddDate(0, 4, 0)
	due, err := p.runner.Deadlines(t.Context())
	if err != nil || len(due) != 1 || !due[0].Overdue {
		t.Errorf("%+v, %v", due, err)
	}
}

func TestNobodyPromisesMoreTimeThanTheLawGives(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	p := w.mustStart()
	defer p.stop()
	for within, ok := range map[time.Duration]bool{-time.Hour: false, 0: true, time.Hour: true, retention.DeadlineGDPR: true, retention.DeadlineGDPR + 1: false} {
		subject := earshot.SubjectID(within.String())
		if _, err := p.runner.Ask(t.Context(), retention.Asked{Kind: earshot.RequestErasure, Subject: subject, Within: within}); (err == nil) != ok {
			t.Errorf("within %s: %v", within, err)
		}
	}
}

// TestWhatBecameDueAMomentAgoIsNotOverdue: a change of what is known of a person makes recordings due at
// once, and that is no alarm before they have waited.
func TestWhatBecameDueAMomentAgoIsNotOverdue(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.record("s1", "young", 3, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.run(t)
	p.run(t)
	if _, err := p.runner.PutSubject(t.Context(), earshot.Subject{ID: "s1", DontSave: true}, "test"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if _, n, err := p.db.Overdue(t.Context(), now, now.Add(-48*time.Hour)); err != nil || n != 0 {
		t.Errorf("right after: %d overdue, %v", n, err)
	}
	now = now.Add(49 * time.Hour)
	if _, n, err := p.db.Overdue(t.Context(), now, now.Add(-48*time.Hour)); err != nil || n == 0 {
		t.Errorf("two days later: %d overdue, %v", n, err)
	}
}
