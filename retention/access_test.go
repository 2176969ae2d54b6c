package retention_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/storage/storagetest"
)

// TestAnAnswerHoldsAllOfOnePersonAndNothingOfOthers reads the zip as the person would.
func TestAnAnswerHoldsAllOfOnePersonAndNothingOfOthers(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.record("s1", "old", 400, 300)
	talk := w.record("s1", "talk", 5, 300)
	w.record("s1", "held", 400, 300)
	w.record("s2", "other", 5, 300)
	hidden := "clips/s1/hidden.wav"
	w.put(hidden, clip(50), w.ago(2))
	w.hide(hidden)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Access(t.Context(), "s1", io.Discard); !errors.Is(err, retention.ErrUnscanned) {
		t.Fatalf("before anybody looked whose they are: %v, want ErrUnscanned", err)
	}
	if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Prefix: "clips/s1/held"}); err != nil {
		t.Fatal(err)
	}
	planned, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	got, err := p.runner.Access(t.Context(), "s1", &buf)
	if err != nil {
		t.Fatal(err)
	}
	if got.Recordings != 3 || got.Companions != 5 || got.Held != 1 || len(got.Missing) > 0 || got.LogEntries < 4 {
		t.Errorf("%+v", got)
	}
	z, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(f.Name, "s2") || strings.Contains(f.Name, "other") || bytes.Contains(files[f.Name], []byte("voice of other")) {
			t.Errorf("%s is another person's", f.Name)
		}
	}
	var manifest retention.Answer
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest.Files) != len(files)-1 {
		t.Errorf("%d files in the manifest, %d in the zip", len(manifest.Files), len(files))
	}
	for _, f := range manifest.Files {
		sum := sha256.Sum256(files[f.Name])
		if hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(files[f.Name])) != f.Bytes {
			t.Errorf("%s is not what the manifest says", f.Name)
		}
	}
	found := 0
	for name, body := range files {
		if strings.HasSuffix(name, "talk.wav") && bytes.Equal(body, w.read(talk)) || strings.HasSuffix(name, "hidden.wav") && bytes.Equal(body, clip(50)) {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 recordings are in the zip as they are in the store", found)
	}
	text := string(files["recordings.json"])
	for _, want := range []string{`"inferred"`, "on 20", "deleted with everything made from it", `"legal_hold": true`, `"erased"`} {
		if !strings.Contains(text, want) {
			t.Errorf("recordings.json lacks %s", want)
		}
	}
	if es := w.entries(audit.KindAccess); len(es) != 1 {
		t.Errorf("%d entries say that it was answered", len(es))
	}
	if none, err := p.runner.Access(t.Context(), "nobody", io.Discard); err != nil || none.Recordings+none.LogEntries != 0 {
		t.Errorf("of somebody unknown: %+v, %v", none, err)
	}
}

// TestATranscriptThatOutlivedItsClipIsFound: somebody deleted the clip and nothing else.
func TestATranscriptThatOutlivedItsClipIsFound(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	clip := w.record("s1", "gone", 5, 300)
	w.record("s1", "there", 5, 300)
	p := w.mustStart()
	defer p.stop()
	look := func() map[string]int {
		got := map[string]int{}
		if err := p.runner.Orphans(t.Context(), func(o retention.Orphan) error {
			got[o.Class]++
			if !strings.Contains(o.Key, "gone") {
				t.Errorf("%s is no orphan", o.Key)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if err := p.runner.Orphans(t.Context(), func(retention.Orphan) error { return nil }); !errors.Is(err, retention.ErrUnscanned) {
		t.Errorf("before a scan: %v, want ErrUnscanned", err)
	}
	scan := func() {
		w.now = w.now.AddDate(0, 0, 1) // the store's clock is not ours to set
		if _, err := p.runner.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	scan()
	if got := look(); len(got) > 0 {
		t.Fatalf("%v, want none", got)
	}
	left, err := w.plain.Present(t.Context(), clip)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range left.Versions {
		if errs := w.plain.Destroy(t.Context(), []earshot.RecordingID{v.ID}); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	scan()
	if got := look(); got["transcript"] != 1 || got["voiceprint"] != 1 || got["event"] != 1 {
		t.Errorf("%v, want a transcript, a voiceprint and an event", got)
	}
}
