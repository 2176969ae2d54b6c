package retention_test

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/storage/storagetest"
	"earshot/voice/ear"
)

// someEar says what it is told to say, and counts.
type someEar struct {
	version string
	words   string
	facts   []earshot.Listening
	why     string
	partly  string // it is heard, but not by all detectors
	asked   int
}

func (e *someEar) Version() string { return e.version + e.words }
func (e *someEar) Words() string   { return e.words }

func (e *someEar) Listen(context.Context, io.ReaderAt, int64, time.Time) ([]earshot.Listening, string, bool, error) {
	e.asked++
	return e.facts, e.why + e.partly, e.why == "", nil
}

const listenPolicy = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: household, owner: a@example.org}
spec:
  scope: {bucket: BUCKET, prefix: clips/}
  rules:
    - {name: before-wake, when: wake.found, then: redact, spans: [before-wake-word]}
    - {name: child, when: child.probability > 0.9, then: delete}
  otherwise: keep
`

// listening makes a world with one recording that nobody wrote anything about.
func listening(t *testing.T, e *someEar, event bool) (*world, *process) {
	t.Helper()
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.policy = strings.ReplaceAll(listenPolicy, "BUCKET", w.name)
	w.ear = e
	w.record("s1", "a", 1, 300)
	if !event {
		if _, err := w.plain.Put(t.Context(), "events/a.json", []byte(`{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"TAP"}}}}`), "application/json", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	p := w.mustStart()
	t.Cleanup(p.stop)
	return w, p
}

func wakeAt(from, to time.Duration) earshot.Listening {
	return earshot.Listening{Kind: earshot.KindWake, Detector: "x", Score: 1, Findings: []earshot.Finding{{Kind: earshot.KindWake, Span: earshot.Span{Start: from, End: to}, Score: 0.9, Word: "alexa"}}}
}

func looseWake(from, to time.Duration) earshot.Listening {
	l := wakeAt(from, to)
	l.Loose = true
	return l
}

func TestARecordingIsHeardOncePerVersion(t *testing.T) {
	e := &someEar{version: "1", facts: []earshot.Listening{{Kind: earshot.KindWake}, {Kind: earshot.KindChild, Score: 0.1}, {Kind: earshot.KindSpeech}}}
	_, p := listening(t, e, false)
	for i, want := range []int{1, 1, 2} {
		if i == 2 {
			e.version = "2"
			if err := p.db.PutSubject(t.Context(), earshot.Subject{ID: "s1"}); err != nil { // due afresh
				t.Fatal(err)
			}
		}
		if _, err := p.plan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e.asked != want {
			t.Errorf("after plan %d it was heard %d times, want %d", i+1, e.asked, want)
		}
	}
}

// TestAnEnrolledWordCountsAtOnce: a process that runs takes it up, and what was decided without it is decided
// anew, though it is not due.
func TestAnEnrolledWordCountsAtOnce(t *testing.T) {
	silent := []earshot.Listening{{Kind: earshot.KindWake}, {Kind: earshot.KindChild, Score: 0.1}, {Kind: earshot.KindSpeech}}
	before := &someEar{version: "1", facts: silent}
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.policy = strings.ReplaceAll(listenPolicy, "BUCKET", w.name)
	var now retention.Ear = before
	w.ear, w.renew = before, func() (retention.Ear, error) { return now, nil }
	w.put("clips/s1/a.wav", clip(8000), map[string]string{"captured-at": w.now.Format(time.RFC3339)})
	p := w.mustStart()
	defer p.stop()
	for range 2 {
		if planned, err := p.plan(t.Context()); err != nil || planned.Redacts != 0 {
			t.Fatal(planned, err)
		}
	}
	if before.asked != 1 {
		t.Errorf("it was heard %d times, want once", before.asked)
	}
	after := &someEar{version: "1", words: "+mine", facts: append([]earshot.Listening{wakeAt(300*time.Millisecond, 600*time.Millisecond)}, silent[1:]...)}
	now = after
	planned, err := p.plan(t.Context())
	if err != nil || planned.Redacts != 1 || after.asked != 1 {
		t.Fatalf("with the word %d redactions are planned and it was heard %d times (%v), want once each", planned.Redacts, after.asked, err)
	}
	applied, err := p.runner.Apply(t.Context(), planned.Run.ID)
	if err != nil || applied.Redacted != 1 || after.asked != 1 {
		t.Fatal(applied, after.asked, err)
	}
}

// asksMeanwhile is an ear during whose listening something happens.
type asksMeanwhile struct {
	someEar
	meanwhile func()
}

func (e *asksMeanwhile) Listen(ctx context.Context, src io.ReaderAt, size int64, at time.Time) ([]earshot.Listening, string, bool, error) {
	e.meanwhile()
	return e.someEar.Listen(ctx, src, size, at)
}

// TestARequestDuringAPlanIsNotLost files an erasure request while the recording is listened to, once when the catalog does
// not know yet whose it is and once when it does: the next plan must delete it.
func TestARequestDuringAPlanIsNotLost(t *testing.T) {
	for name, known := range map[string]bool{"unknown": false, "known": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.policy = strings.ReplaceAll(listenPolicy, "BUCKET", w.name)
			e := &asksMeanwhile{someEar: someEar{version: "1", facts: []earshot.Listening{{Kind: earshot.KindWake}, {Kind: earshot.KindChild, Score: 0.1}, {Kind: earshot.KindSpeech}}}}
			w.ear = e
			w.put("clips/s1/a.wav", clip(8000), map[string]string{"captured-at": w.now.Format(time.RFC3339)})
			p := w.mustStart()
			defer p.stop()
			e.meanwhile = func() {}
			if known {
				if _, err := p.plan(t.Context()); err != nil {
					t.Fatal(err)
				}
				e.version = "2" // it is listened to again
				if err := p.db.PutSubject(t.Context(), earshot.Subject{ID: "s1"}); err != nil {
					t.Fatal(err)
				}
			}
			e.meanwhile = func() {
				if _, err := p.runner.FileRequest(t.Context(), earshot.RequestErasure, "s1", time.Hour); err != nil {
					t.Error(err)
				}
			}
			before := e.asked
			if got, err := p.plan(t.Context()); err != nil || got.Deletes != 0 || e.asked != before+1 {
				t.Fatalf("%+v, %v, heard %d times: this test has to be built anew", got, err, e.asked-before)
			}
			if got, err := p.plan(t.Context()); err != nil || got.Deletes != 1 {
				t.Errorf("the request was lost: %d deletions, %v", got.Deletes, err)
			}
		})
	}
}

func TestWhatCannotBeHeardIsKeptAndNotTriedAgain(t *testing.T) {
	e := &someEar{version: "1", why: "MPEG-2.5: not listened to"}
	_, p := listening(t, e, false)
	for range 2 {
		got, err := p.plan(t.Context())
		if err != nil || got.Run.Actions != 0 {
			t.Fatalf("%d actions, %v", got.Run.Actions, err)
		}
		if err := p.db.PutSubject(t.Context(), earshot.Subject{ID: "s1"}); err != nil {
			t.Fatal(err)
		}
	}
	if e.asked != 1 {
		t.Errorf("it was tried %d times", e.asked)
	}
}

func TestWhatIsWrittenAndWhatIsHeardAreBothErased(t *testing.T) {
	for name, c := range map[string]struct {
		heard    earshot.Listening
		disagree string
		end      time.Duration // of what is erased
	}{
		"aWindowRoundIt": {looseWake(0, 2700*time.Millisecond), "", 300 * time.Millisecond},
		"overlapping":    {wakeAt(250*time.Millisecond, 400*time.Millisecond), "", 250 * time.Millisecond},
		"heardNowhere":   {earshot.Listening{Kind: earshot.KindWake}, "where none is heard", 300 * time.Millisecond},
		"heardElsewhere": {wakeAt(10*time.Millisecond, 60*time.Millisecond), "where none is heard", 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			e := &someEar{version: "1", facts: []earshot.Listening{c.heard, {Kind: earshot.KindChild, Score: 0.1}}}
			w, p := listening(t, e, true)
			got, err := p.plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			row, err := p.db.Recording(t.Context(), w.name, "clips/s1/a.wav")
			if err != nil {
				t.Fatal(err)
			}
			l := row.Heard[earshot.KindWake]
			if (c.disagree == "") != (l.Disagreement == "") || !strings.Contains(l.Disagreement, c.disagree) {
				t.Errorf("disagreement %q, want %q (%+v)", l.Disagreement, c.disagree, l)
			}
			actions, err := p.db.Actions(t.Context(), got.Run.ID, "", 0, 10)
			if err != nil || len(actions) != 1 || len(actions[0].Decision.Redactions) == 0 {
				t.Fatalf("%+v, %v", actions, err)
			}
			spans := actions[0].Decision.Redactions[0].Spans
			if end := spans[len(spans)-1].End; end != c.end {
				t.Errorf("erased up to %s, want %s", end, c.end)
			}
		})
	}
}

// A recording that was begun by a tap, or of which the device says that it detected a word without saying
// where, is no accident though no wake word is heard in it.
func TestSilenceIsNoAccidentWhereTheDeviceSaysOtherwise(t *testing.T) {
	const accidents = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: household, owner: a@example.org}
spec:
  scope: {bucket: BUCKET, prefix: clips/}
  rules:
    - {name: child, when: child.probability > 0.9, then: delete}
    - {name: accident, when: wake.listened && !wake.found, then: delete}
  otherwise: keep
`
	recognize := func(initiator string) string {
		return `{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":` + initiator + `}}}`
	}
	for name, c := range map[string]struct {
		event   string
		heard   earshot.Listening
		actions int64
		deaf    bool
	}{
		"noEvent":          {"", earshot.Listening{Kind: earshot.KindWake}, 1, false},
		"tap":              {recognize(`{"type":"TAP"}`), earshot.Listening{Kind: earshot.KindWake}, 0, true},
		"noPreroll":        {recognize(`{"type":"WAKEWORD","payload":{"wakeWord":"ALEXA"}}`), earshot.Listening{Kind: earshot.KindWake}, 0, true},
		"hermes":           {`{"modelId":"alexa","siteId":"kitchen"}`, earshot.Listening{Kind: earshot.KindWake}, 0, true},
		"unreadable":       {`{"event":`, earshot.Listening{Kind: earshot.KindWake}, 0, true},
		"tapButHeard":      {recognize(`{"type":"TAP"}`), wakeAt(1, 2), 0, false},
		"unreadableHeard":  {`{"event":`, wakeAt(1, 2), 0, false},
		"indicesNotHeard":  {recognize(`{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":8000,"endIndexInSamples":9000},"wakeWord":"ALEXA"}}`), earshot.Listening{Kind: earshot.KindWake}, 0, false},
		"emptyCompanion":   {`{}`, earshot.Listening{Kind: earshot.KindWake}, 1, false},
		"momentAndNothing": {`{"type":"detection","data":{"name":"alexa","timestamp":100}}`, earshot.Listening{Kind: earshot.KindWake}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			// The child's rule is asked first: what is heard then must not stand against the event.
			e := &someEar{version: "1", facts: []earshot.Listening{c.heard, {Kind: earshot.KindChild, Score: 0.1}, {Kind: earshot.KindSpeech}}}
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.policy, w.ear = strings.ReplaceAll(accidents, "BUCKET", w.name), e
			if _, err := w.plain.Put(t.Context(), "clips/s1/a.wav", silence(1), "audio/wav", nil, nil); err != nil {
				t.Fatal(err)
			}
			if c.event != "" {
				if _, err := w.plain.Put(t.Context(), "events/a.json", []byte(c.event), "application/json", nil, nil); err != nil {
					t.Fatal(err)
				}
			}
			p := w.mustStart()
			t.Cleanup(p.stop)
			got, err := p.plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			row, err := p.db.Recording(t.Context(), w.name, "clips/s1/a.wav")
			if err != nil {
				t.Fatal(err)
			}
			_, known := row.Heard[earshot.KindWake]
			// However often it is looked at again, it is heard once; and an event may still come.
			if err := p.db.PutSubject(t.Context(), earshot.Subject{ID: "s1"}); err != nil {
				t.Fatal(err)
			}
			if _, err := p.plan(t.Context()); err != nil {
				t.Fatal(err)
			}
			if e.asked != 1 {
				t.Errorf("heard %d times", e.asked)
			}
			if int64(got.Run.Actions) != c.actions || known == c.deaf {
				t.Errorf("%d actions, known %v, want %d and %v: %+v", got.Run.Actions, known, c.actions, !c.deaf, row)
			}
		})
	}
}

// silence is a WAV file.
func silence(seconds int) []byte {
	n := seconds * 32000
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data")
	return append(binary.LittleEndian.AppendUint32(b, uint32(n)), make([]byte, n)...)
}

// TestRealSoundIsHeardAndRedacted lets the built-in networks find a spoken wake word behind a second
// of noise, in every coding, and erases what comes before it.
func TestRealSoundIsHeardAndRedacted(t *testing.T) {
	dir := os.Getenv("EARSHOT_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	clips, _ := filepath.Glob(filepath.Join(dir, "wakeword", "alexa", "*.flac"))
	if len(clips) == 0 {
		t.Skip("no recordings: set EARSHOT_TESTDATA")
	}
	e, err := ear.New(ear.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.policy = strings.ReplaceAll(listenPolicy, "BUCKET", w.name)
	w.ear = e
	n := 0
	for i, coding := range []string{"wav", "mp3", "flac", "opus"} {
		file := filepath.Join(t.TempDir(), "clip."+coding)
		cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "anoisesrc=d=1:r=16000:a=0.002", "-i", clips[i*7], "-filter_complex", "[0:a][1:a]concat=n=2:v=0:a=1", "-ar", "16000", "-ac", "1", file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("no ffmpeg: %v %s", err, out)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.plain.Put(t.Context(), "clips/s9/c"+coding+"."+coding, text, "audio/"+coding, map[string]string{"captured-at": w.now.Add(-time.Hour).Format(time.RFC3339)}, nil); err != nil {
			t.Fatal(err)
		}
		n++
	}
	p := w.mustStart()
	defer p.stop()
	got, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Redacts != n {
		t.Fatalf("%d of %d recordings are to be redacted: %+v", got.Redacts, n, got)
	}
	done, err := p.runner.Apply(t.Context(), got.Run.ID)
	if err != nil || done.Redacted != n {
		t.Fatalf("%+v, %v", done, err)
	}
	actions, err := p.db.Actions(t.Context(), got.Run.ID, "", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range actions {
		row, err := p.db.Recording(t.Context(), w.name, a.Recording.ID.Key)
		if err != nil || len(row.Erased) != 1 {
			t.Fatalf("%+v, %v", row.Erased, err)
		}
		last := row.Erased[0].Spans[len(row.Erased[0].Spans)-1].End
		if last < 700*time.Millisecond || last > 1700*time.Millisecond {
			t.Errorf("%s was erased up to %s", filepath.Ext(a.Recording.ID.Key), last)
		}
	}
}
