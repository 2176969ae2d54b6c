package retention_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/internal/fault"
	"earshot/policies"
	"earshot/retention"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

// world is a bucket, a log bucket and a catalog that outlive the processes which work on them.
type world struct {
	tb        testing.TB
	o         storage.Options
	name      string // of the bucket
	logs      string // of the log's bucket
	dir       string
	keys      *audit.Keys
	subjects  *catalog.KeyRing
	policy    string
	more      []string        // further policies
	plain     *storage.Bucket // seen without faults
	now       time.Time
	onRedact  earshot.CompanionRule // of events
	by        earshot.Principal
	copies    map[string][]string
	said      io.Writer // what earshot logs, besides the test's own log
	flat      bool      // keys tell nothing of their recordings
	template  string    // of recordings' keys, if another than the usual one
	eventLogs []retention.LogLayout
	ear       retention.Ear
	session   time.Duration
	together  bool // several processes share the catalog
	renew     func() (retention.Ear, error)
}

// process is one life of earshot in the world.
type process struct {
	w      *world
	db     *catalog.DB
	log    *audit.Log
	runner *retention.Runner
}

const worldPolicy = `
apiVersion: earshot/v1
kind: Policy
metadata: {name: household, owner: a@example.org}
spec:
  scope: {bucket: BUCKET, prefix: clips/}
  rules:
    - name: child
      when: has(subject.declaredAge) && subject.declaredAge < 13 && !("parental" in subject.consents)
      then: delete
    - name: period
      keep: {for: 90d, from: captured}
      then: delete
    - name: before-wake
      when: wake.found && wake.start > duration("100ms")
      then: redact
      spans: [before-wake-word]
  otherwise: keep
`

func (w *world) layout() retention.Layout {
	if w.template != "" {
		return retention.Layout{Recording: w.template}
	}
	if w.flat {
		return retention.Layout{Recording: "clips/{id}.{coding}"}
	}
	return retention.Layout{
		Recording: "clips/{subject}/{id}.{coding}", Copies: w.copies,
		Logs: w.eventLogs,
		Companions: []retention.CompanionLayout{
			{Class: "event", Key: "events/{id}.json", OnRedact: w.onRedact},
			{Class: "transcript", Key: "transcripts/{id}.json"},
			{Class: "voiceprint", Key: "voiceprints/{subject}/{id}.bin"},
		},
	}
}

func newWorld(tb testing.TB, o storage.Options, versioned, locked bool) *world {
	tb.Helper()
	o.KeepMetadata = []string{"captured-at", "earshot-*"}
	w := &world{by: earshot.Principal{Kind: earshot.Service, Name: "test"}, said: io.Discard, tb: tb, o: o, dir: tb.TempDir(), now: time.Now().UTC(), session: 2 * time.Minute}
	w.plain = storagetest.Bucket(tb, o, versioned, locked)
	w.name = w.plain.Name()
	w.logs = storagetest.Bucket(tb, o, true, false).Name()
	w.policy = strings.ReplaceAll(worldPolicy, "BUCKET", w.name)
	var err error
	if w.keys, err = audit.CreateKeys(filepath.Join(w.dir, "keys"), "example.org/log"); err != nil {
		tb.Fatal(err)
	}
	if w.subjects, err = catalog.OpenKeyRing(context.Background(), filepath.Join(w.dir, "keys", "subjects.db"), w.keys.KEK); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.subjects.Close() })
	db, err := catalog.Create(context.Background(), catalog.Options{Path: w.db()})
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	tiles := w.mustTiles()
	if _, err := audit.Create(context.Background(), audit.Options{Tiles: tiles, Head: db.Head(), Signer: w.keys.Signer, Verifier: w.keys.Verifier}); err != nil {
		tb.Fatal(err)
	}
	return w
}

func (w *world) db() string { return filepath.Join(w.dir, "catalog.db") }

func (w *world) store(script *fault.Script) *storage.Store {
	w.tb.Helper()
	o := w.o
	if script != nil {
		o.Transport = &fault.Transport{Next: storage.NewTransport(), Script: script}
	}
	s, err := storage.Connect(o)
	if err != nil {
		w.tb.Fatal(err)
	}
	return s
}

func (w *world) tiles(script *fault.Script) (*storage.Folder, error) {
	w.tb.Helper()
	b, err := w.store(script).Bucket(context.Background(), w.logs)
	if err != nil {
		return nil, err
	}
	return b.Folder("", nil), nil
}

func (w *world) mustTiles() *storage.Folder {
	w.tb.Helper()
	f, err := w.tiles(nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	return f
}

func (w *world) compiled() (out []*policies.Policy) {
	w.tb.Helper()
	for _, text := range append([]string{w.policy}, w.more...) {
		doc, err := policies.Parse("household.yaml", []byte(text))
		if err != nil {
			w.tb.Fatal(err)
		}
		p, err := policies.Compile(doc)
		if err != nil {
			w.tb.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func etagOf(b []byte) string { sum := md5.Sum(b); return hex.EncodeToString(sum[:]) }

// start begins a life. With a script, everything that it does may fail; err is then why it could
// not even begin.
func (w *world) start(script *fault.Script) (*process, error) {
	w.tb.Helper()
	p := &process{w: w}
	opts := catalog.Options{Path: w.db(), Together: w.together}
	if script != nil {
		opts.Wrap = func(c driver.Connector) driver.Connector { return fault.Connector(c, script) }
	}
	ctx := context.Background()
	var err error
	if p.db, err = catalog.Open(ctx, opts); err != nil {
		return nil, err
	}
	tiles, err := w.tiles(script)
	if err != nil {
		p.db.Close()
		return nil, err
	}
	p.log, err = audit.Open(ctx, audit.Options{Tiles: tiles, Head: p.db.Head(), Signer: w.keys.Signer, Verifier: w.keys.Verifier})
	if err != nil {
		p.db.Close()
		return nil, err
	}
	p.runner, err = retention.New(retention.Options{
		Store: w.store(script), Catalog: p.db, Log: p.log, Tagger: w.keys.Tagger, Policies: w.compiled(),
		Ear: w.ear, Renew: w.renew, Session: w.session, Layout: w.layout(), Logger: slog.New(slog.NewTextHandler(io.MultiWriter(testLog{w.tb}, w.said), &slog.HandlerOptions{Level: slog.LevelDebug})), By: w.by, Spool: w.dir, Workers: 4,
		Now: func() time.Time { return w.now }, SubjectKeys: w.subjects, Inventory: filepath.Join(w.dir, "inventory"),
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	return p, nil
}

func (w *world) mustStart() *process {
	w.tb.Helper()
	p, err := w.start(nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	return p
}

func (p *process) stop() { p.db.Close() }

// clip is a recording of the world: n samples at 8 kHz whose values tell their place.
func clip(n int) []byte {
	var b bytes.Buffer
	b.WriteString("RIFF")
	_ = binary.Write(&b, binary.LittleEndian, uint32(36+2*n))
	b.WriteString("WAVEfmt ")
	_ = binary.Write(&b, binary.LittleEndian, []uint32{16})
	_ = binary.Write(&b, binary.LittleEndian, []uint16{1, 1})
	_ = binary.Write(&b, binary.LittleEndian, []uint32{8000, 16000})
	_ = binary.Write(&b, binary.LittleEndian, []uint16{2, 16})
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, uint32(2*n))
	for i := range n {
		_ = binary.Write(&b, binary.LittleEndian, int16(i%1000+1))
	}
	return b.Bytes()
}

func samplesOf(wav []byte) []int16 {
	body := wav[len(wav)-(len(wav)-44):]
	out := make([]int16, len(body)/2)
	for i := range out {
		out[i] = int16(binary.LittleEndian.Uint16(body[2*i:]))
	}
	return out
}

func (w *world) put(key string, body []byte, meta map[string]string) earshot.RecordingID {
	w.tb.Helper()
	id, err := w.plain.Put(context.Background(), key, body, "application/octet-stream", meta, nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	return id
}

func event(startMS, endMS int) []byte {
	return fmt.Appendf(nil, `{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":%d,"endIndexInSamples":%d}}}}}}`, startMS*16, endMS*16)
}

const words = `{"words":[{"word":"secret","start":0.0,"end":0.2},{"word":"computer","start":0.3,"end":0.5},{"word":"lights","start":0.6,"end":0.9}],"text":"secret computer lights"}`

// record stores a recording, age days old, with companions.
func (w *world) record(subject, id string, age int, wakeMS int) string {
	w.tb.Helper()
	key := "clips/" + subject + "/" + id + ".wav"
	meta := map[string]string{"captured-at": w.now.Add(-time.Duration(age) * 24 * time.Hour).Format(time.RFC3339)}
	if w.plain.Versioning() == storage.Versioned {
		w.put(key, clip(100), meta) // an older version
	}
	w.put(key, clip(8000), meta)
	w.put("events/"+id+".json", event(wakeMS, wakeMS+200), nil)
	w.put("transcripts/"+id+".json", []byte(words), nil)
	w.put("voiceprints/"+subject+"/"+id+".bin", []byte("voice of "+id), nil)
	return key
}

// snapshot is everything in the bucket: the ETags of all versions, by key.
func (w *world) snapshot() map[string][]string {
	w.tb.Helper()
	out := map[string][]string{}
	for rec, err := range w.plain.List(context.Background(), "", "") {
		if err != nil {
			w.tb.Fatal(err)
		}
		p, err := w.plain.Present(context.Background(), rec.ID.Key)
		if err != nil {
			w.tb.Fatal(err)
		}
		for _, v := range p.Versions {
			out[rec.ID.Key] = append(out[rec.ID.Key], v.ETag)
		}
		if p.Uploads > 0 {
			out[rec.ID.Key] = append(out[rec.ID.Key], "an unfinished upload")
		}
	}
	return out
}

func (w *world) read(key string) []byte {
	w.tb.Helper()
	b, _, err := w.plain.Folder("", nil).Get(context.Background(), key)
	if err != nil {
		w.tb.Fatal(err)
	}
	return b
}

// verified checks the log and returns its report.
func (w *world) verified() *audit.Report {
	w.tb.Helper()
	r, err := audit.VerifyAll(context.Background(), w.mustTiles(), audit.TrustKey(w.keys.Verifier), audit.VerifyOptions{})
	if err != nil {
		w.tb.Fatal(err)
	}
	if !r.OK() {
		w.tb.Fatalf("the log does not verify: %v", r.Findings)
	}
	return r
}

// plan scans and plans.
func (p *process) plan(ctx context.Context) (retention.Planned, error) {
	if _, err := p.runner.Scan(ctx); err != nil {
		return retention.Planned{}, err
	}
	planned, err := p.runner.Plan(ctx)
	if err != nil {
		return planned, err
	}
	_, err = p.log.Publish(ctx)
	return planned, err
}

// newCatalog begins another catalog and log for the same bucket, in a log bucket of its own.
func (w *world) newCatalog() *process {
	w.tb.Helper()
	ctx := context.Background()
	w.logs = storagetest.Bucket(w.tb, w.o, true, false).Name()
	db, err := catalog.Create(ctx, catalog.Options{Path: w.db()})
	if err != nil {
		w.tb.Fatal(err)
	}
	_, err = audit.Create(ctx, audit.Options{Tiles: w.mustTiles(), Head: db.Head(), Signer: w.keys.Signer, Verifier: w.keys.Verifier})
	if err != nil {
		w.tb.Fatal(err)
	}
	db.Close()
	return w.mustStart()
}

// testLog shows what earshot logs in the test's own log.
type testLog struct{ tb testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.tb.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}
