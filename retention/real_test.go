package retention_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/storagetest"

	"github.com/mewkiz/flac"
	"golang.org/x/sync/errgroup"
)

// realData is the folder of real recordings; the test is skipped where it is not.
func realData(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("EARSHOT_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "speakers.tsv")); err != nil {
		tb.Skip("no real recordings at ../shared/data: set EARSHOT_TESTDATA to where they are")
	}
	return dir
}

func tsv(tb testing.TB, path string) (rows []map[string]string) {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var names []string
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Split(s.Text(), "\t")
		if names == nil {
			names = fields
			continue
		}
		row := map[string]string{}
		for i, name := range names {
			row[name] = fields[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// decodeFLAC gives the samples of a mono file at 16 kHz, nil where it cannot be read.
func decodeFLAC(path string) []int16 {
	s, err := flac.ParseFile(path)
	if err != nil {
		return nil
	}
	defer s.Close()
	var out []int16
	for {
		frame, err := s.ParseNext()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			return nil
		}
		for _, v := range frame.Subframes[0].Samples {
			out = append(out, int16(v))
		}
	}
}

// realClip is one composed recording: a sentence, the wake word, a sentence.
type realClip struct {
	key, id, speaker string
	age              int // of the speaker
	days             int // since it was captured
	samples          []int16
	wake             int // first sample of the wake word
	wakeEnd          int
}

func wav16k(samples []int16) []byte {
	var b bytes.Buffer
	b.WriteString("RIFF")
	_ = binary.Write(&b, binary.LittleEndian, uint32(36+2*len(samples)))
	b.WriteString("WAVEfmt ")
	_ = binary.Write(&b, binary.LittleEndian, uint32(16))
	_ = binary.Write(&b, binary.LittleEndian, []uint16{1, 1})
	_ = binary.Write(&b, binary.LittleEndian, []uint32{16000, 32000})
	_ = binary.Write(&b, binary.LittleEndian, []uint16{2, 16})
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, uint32(2*len(samples)))
	_ = binary.Write(&b, binary.LittleEndian, samples)
	return b.Bytes()
}

// compose makes n clips out of real sentences and wake words.
func compose(tb testing.TB, dir string, n int) []realClip {
	tb.Helper()
	speakers, wakes := tsv(tb, filepath.Join(dir, "speakers.tsv")), tsv(tb, filepath.Join(dir, "wakeword.tsv"))
	var out []realClip
	for i := 0; len(out) < n && i < 3*n; i++ {
		row, word := speakers[(i*37)%len(speakers)], wakes[(i*53)%len(wakes)]
		before := decodeFLAC(filepath.Join(dir, row["file"]))
		spoken := decodeFLAC(filepath.Join(dir, word["file"]))
		command := decodeFLAC(filepath.Join(dir, speakers[(i*37+1)%len(speakers)]["file"]))
		onset, _ := strconv.Atoi(word["onset_ms"])
		offset, _ := strconv.Atoi(word["offset_ms"])
		if len(before) == 0 || len(command) == 0 || len(spoken) < offset*16 {
			continue
		}
		before = before[:min(len(before), 24000)]
		command = command[:min(len(command), 24000)]
		age, _ := strconv.Atoi(row["age"])
		c := realClip{speaker: "p" + row["speaker"], age: age, id: fmt.Sprintf("real%04d", i), days: []int{3, 30, 60, 120}[i%4]}
		c.key = "clips/" + c.speaker + "/" + c.id + ".wav"
		c.wake = len(before)
		c.wakeEnd = c.wake + (offset-onset)*16
		c.samples = append(append(append([]int16(nil), before...), spoken[onset*16:offset*16]...), command...)
		out = append(out, c)
	}
	if len(out) < n {
		tb.Fatalf("only %d clips could be composed", len(out))
	}
	return out
}

func (w *world) storeReal(c realClip) error {
	ctx := context.Background()
	meta := map[string]string{"captured-at": w.now.AddDate(0, 0, -c.days).Format(time.RFC3339)}
	event := fmt.Appendf(nil, `{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":%d,"endIndexInSamples":%d}}}}}}`, c.wake, c.wakeEnd)
	transcript := fmt.Appendf(nil, `{"words":[{"word":"overheard","start":0.05,"end":%f},{"word":"alexa","start":%f,"end":%f},{"word":"please","start":%f,"end":%f}]}`,
		float64(c.wake)/16000-0.01, float64(c.wake)/16000, float64(c.wakeEnd)/16000, float64(c.wakeEnd)/16000+0.01, float64(len(c.samples))/16000)
	for key, body := range map[string][]byte{
		"events/" + c.id + ".json": event, "transcripts/" + c.id + ".json": transcript, "voiceprints/" + c.speaker + "/" + c.id + ".bin": []byte("print of " + c.id),
	} {
		if _, err := w.plain.Put(ctx, key, body, "application/json", nil, nil); err != nil {
			return err
		}
	}
	for _, body := range [][]byte{wav16k(c.samples[:100]), wav16k(c.samples)} { // an older version too
		if _, err := w.plain.Put(ctx, c.key, body, "audio/wav", meta, nil); err != nil {
			return err
		}
	}
	return nil
}

// TestRealRecordings is the whole job on real voices: what was said before the wake word goes,
// children's recordings without consent go, old ones expire, held ones stay; and the bucket is
// compared bit by bit.
func TestRealRecordings(t *testing.T) {
	dir := realData(t)
	n := 300
	if testing.Short() {
		n = 20
	}
	clips := compose(t, dir, n)
	t.Run("embedded", func(t *testing.T) { testReal(t, newWorld(t, storagetest.Embedded(t), true, false), clips) })
	t.Run("minio", func(t *testing.T) { testReal(t, newWorld(t, storagetest.MinIO(t), true, false), clips) })
}

func testReal(t *testing.T, w *world, clips []realClip) {
	ctx := t.Context()
	var group errgroup.Group
	group.SetLimit(8)
	for _, c := range clips {
		group.Go(func() error { return w.storeReal(c) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	p := w.mustStart()
	defer p.stop()
	for _, c := range clips {
		if err := p.db.PutSubject(ctx, earshot.Subject{ID: earshot.SubjectID(c.speaker), DeclaredAge: &c.age}); err != nil {
			t.Fatal(err)
		}
	}
	heldSpeaker := clips[5].speaker
	if _, err := p.runner.PlaceHold(ctx, earshot.Hold{Matter: "m", Subject: earshot.SubjectID(heldSpeaker)}); err != nil {
		t.Fatal(err)
	}
	before := w.snapshot()
	planned, err := p.plan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done, err := p.runner.Apply(ctx, planned.Run.ID)
	if err != nil || done.Failed+done.Skipped+done.Unfinished > 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	after := w.snapshot()
	counts := map[string]int{}
	for _, c := range clips {
		counts[w.checkReal(t, c, c.speaker == heldSpeaker, before, after)]++
	}
	t.Logf("%v; %d bytes freed", counts, done.BytesFreed)
	if counts["redacted"] < len(clips)/6 || counts["child"] < len(clips)/15 || counts["expired"] < len(clips)/15 || counts["held"] == 0 {
		t.Errorf("too few of a kind to say anything: %v", counts)
	}
	r := w.verified()
	if want := int64(counts["redacted"] + counts["child"] + counts["expired"]); r.Intents != want || r.Outcomes != want || r.Open != 0 {
		t.Errorf("the log has %d intents, %d outcomes, %d open, want %d", r.Intents, r.Outcomes, r.Open, want)
	}
	if again, err := p.plan(ctx); err != nil || again.Run.Actions != 0 {
		t.Errorf("a second run would do %d things, %v", again.Run.Actions, err)
	}
}

// checkReal compares what is stored of one clip with what should be, and says what became of it.
func (w *world) checkReal(t *testing.T, c realClip, held bool, before, after map[string][]string) string {
	t.Helper()
	companions := []string{"events/" + c.id + ".json", "transcripts/" + c.id + ".json", "voiceprints/" + c.speaker + "/" + c.id + ".bin"}
	switch {
	case held:
		for _, key := range append(companions, c.key) {
			if strings.Join(before[key], ",") != strings.Join(after[key], ",") {
				t.Errorf("%s is held and was touched", key)
			}
		}
		return "held"
	case c.age < 13 || c.days > 90:
		for _, key := range append(companions, c.key) {
			if p, err := w.plain.Present(t.Context(), key); err != nil || !p.Gone() {
				t.Errorf("%s is left: %v %v", key, p, err)
			}
		}
		if c.age < 13 {
			return "child"
		}
		return "expired"
	}
	if len(after[c.key]) != 1 {
		t.Errorf("%s has %d versions", c.key, len(after[c.key]))
		return "broken"
	}
	got := samplesOf(w.read(c.key))
	if len(got) != len(c.samples) {
		t.Errorf("%s has %d samples, not %d", c.key, len(got), len(c.samples))
		return "broken"
	}
	for i, v := range got {
		if i < c.wake && v != 0 || i >= c.wake && v != c.samples[i] {
			t.Errorf("%s: sample %d is %d (it was %d, the wake word begins at %d)", c.key, i, v, c.samples[i], c.wake)
			return "broken"
		}
	}
	if text := string(w.read(companions[1])); strings.Contains(text, "overheard") || !strings.Contains(text, "please") {
		t.Errorf("%s: %s", companions[1], text)
	}
	if len(after[companions[0]]) != 1 || len(after[companions[2]]) != 0 {
		t.Errorf("%s: event %v, voiceprint %v", c.id, after[companions[0]], after[companions[2]])
	}
	return "redacted"
}
