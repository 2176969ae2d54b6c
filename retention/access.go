package retention

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage"
)

// Answer is what the answer to an access request holds (GDPR art. 15; Cal. Civ. Code 1798.110).
type Answer struct {
	Schema     string            `json:"schema"`
	Subject    earshot.SubjectID `json:"subject"`
	MadeAt     time.Time         `json:"made_at"`
	Recordings int               `json:"recordings"`
	Companions int               `json:"companions"`
	Events     int64             `json:"events,omitempty"` // rows of event logs
	LogEntries int               `json:"log_entries"`
	// Held counts recordings that a legal hold keeps from being deleted or redacted.
	Held  int          `json:"held"`
	Files []AnswerFile `json:"files"`
	// Missing names files that could not be read; the answer is not complete then.
	Missing []string `json:"missing,omitempty"`
}

// AnswerFile is one file of the answer.
type AnswerFile struct {
	Name   string `json:"name"`
	What   string `json:"what"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// answerSchema names the form of an answer's manifest.
const answerSchema = "earshot.access/v1"

// ErrUnscanned means: there are recordings of which nobody knows yet whose they are.
var ErrUnscanned = errors.New("not every recording has been looked at yet: run earshot scan and earshot plan first, so that nothing of the person's is left out")

// told is what is told of one recording.
type told struct {
	File       string                             `json:"file"`
	Stored     time.Time                          `json:"stored_at"`
	Captured   time.Time                          `json:"captured_at,omitzero"`
	Device     string                             `json:"device,omitempty"`
	Locale     string                             `json:"locale,omitempty"`
	Source     string                             `json:"source,omitempty"`
	Labels     map[string]string                  `json:"labels,omitempty"`
	Inferred   map[earshot.Kind]earshot.Listening `json:"inferred,omitempty"` // what detectors or the assistant said was heard
	Unknown    map[earshot.Kind]string            `json:"not_inferred,omitempty"`
	Erased     []earshot.Redaction                `json:"erased,omitempty"`
	Companions []string                           `json:"companions,omitempty"`
	Held       bool                               `json:"legal_hold,omitempty"`
	Becomes    []string                           `json:"becomes"` // in words
}

// Access writes everything that is held on a data subject into a zip file: recordings, what was made
// from them, what was inferred, what the policies will do with dates, the subject's own settings, and
// the log's entries that speak of the person. That it was done is an entry.
func (r *Runner) Access(ctx context.Context, subject earshot.SubjectID, w io.Writer) (Answer, error) {
	out := Answer{Schema: answerSchema, Subject: subject, MadeAt: r.now()}
	if n, err := r.o.Catalog.Undecided(ctx); err != nil {
		return out, err
	} else if n > 0 {
		return out, fmt.Errorf("%w (%d are left)", ErrUnscanned, n)
	}
	rows, err := r.o.Catalog.Of(ctx, subject)
	if err != nil {
		return out, err
	}
	known, err := r.o.Catalog.Subject(ctx, subject)
	if err != nil {
		return out, err
	}
	requests, err := r.o.Catalog.OpenRequests(ctx, subject)
	if err != nil {
		return out, err
	}
	a := &answering{r: r, zip: zip.NewWriter(w), out: &out}
	defer a.close()
	people, err := r.people(ctx)
	if err != nil {
		return out, err
	}
	var all []told
	if rows, err = r.withoutOwned(ctx, rows); err != nil {
		return out, err
	}
	for n, row := range rows {
		t, err := a.recording(ctx, n, row.Recording, people)
		if err != nil {
			return out, err
		}
		all = append(all, t)
		r.o.Progress("access", n+1, len(rows))
	}
	logs, err := a.logs(ctx, subject)
	if err != nil {
		return out, err
	}
	entries, err := r.entriesOf(ctx, subject)
	if err != nil {
		return out, err
	}
	out.Recordings, out.LogEntries = len(all), len(entries)
	for _, f := range []struct {
		name, what string
		value      any
	}{
		{"recordings.json", "what is known of each recording, what was inferred from it and what becomes of it", all},
		{"events.json", "which event logs have rows of yours, and what becomes of them", logs},
		{"profile.json", "what is known of you, and what you chose", known},
		{"requests.json", "your open requests", requests},
		{"log.json", "what the log says of you and your recordings, in its own words", entries},
	} {
		if err := a.json(f.name, f.what, f.value); err != nil {
			return out, err
		}
	}
	if err := a.add("README.txt", "what the files are", strings.NewReader(readme(out))); err != nil {
		return out, err
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return out, err
	}
	f, err := a.zip.Create("manifest.json")
	if err == nil {
		_, err = f.Write(append(text, '\n'))
	}
	if err = errors.Join(err, a.zip.Close()); err != nil {
		return out, fmt.Errorf("writing the answer: %w", err)
	}
	return out, r.sayAnswered(ctx, subject)
}

func (r *Runner) sayAnswered(ctx context.Context, subject earshot.SubjectID) error {
	tags, err := r.tagger(ctx, subject)
	if err != nil {
		return err
	}
	e := r.entry(audit.KindAccess, r.now().Format(time.RFC3339Nano))
	e.Request = &audit.RequestNote{Kind: string(earshot.RequestAccess), Tag: tags.Tag("request", e.ID, "access"), Subject: tags.Tag("subject", e.ID, string(subject))}
	return r.say(ctx, e)
}

// answering is one answer in the making.
type answering struct {
	r     *Runner
	zip   *zip.Writer
	out   *Answer
	spool *os.File
}

func (a *answering) close() {
	if a.spool != nil {
		_ = a.spool.Close()
	}
}

// recording puts a recording and its companions into the zip, and tells of it.
func (a *answering) recording(ctx context.Context, n int, rec earshot.Recording, p people) (told, error) {
	row, err := a.r.o.Catalog.Recording(ctx, rec.ID.Bucket, rec.ID.Key)
	if err != nil {
		return told{}, err
	}
	res := resolved{known: row.Known}
	a.r.layout.describe(&res.known.Recording)
	if err := a.r.assemble(ctx, &res, p, a.out.MadeAt); err != nil {
		return told{}, err
	}
	if err := a.r.supposeSession(ctx, &res); err != nil {
		return told{}, err
	}
	k := res.known
	folder := fmt.Sprintf("recordings/%05d/", n+1)
	t := told{
		File: folder + path.Base(rec.ID.Key), Stored: rec.StoredAt, Captured: k.Recording.CapturedAt, Device: k.Recording.Device,
		Locale: k.Recording.Locale, Source: k.Recording.Source, Labels: k.Recording.Labels, Inferred: k.Heard, Unknown: k.Deaf, Erased: k.Erased,
		Held: len(res.facts.Holds) > 0, Becomes: a.r.future(res.facts, a.out.MadeAt),
	}
	if t.Held {
		a.out.Held++
	}
	b, err := a.r.bucket(ctx, rec.ID.Bucket)
	if err != nil {
		return t, err
	}
	if err := a.object(ctx, b, t.File, "recording", rec.ID.Key); err != nil {
		return t, err
	}
	for _, c := range a.r.layout.companionKeys(rec.ID.Key) {
		name := folder + c.Class + "-" + path.Base(c.key)
		before := len(a.out.Files)
		if err := a.object(ctx, b, name, c.Class, c.key); err != nil {
			return t, err
		}
		if len(a.out.Files) > before {
			t.Companions = append(t.Companions, name)
			a.out.Companions++
		}
	}
	return t, nil
}

// object copies one object into the zip. One that is not there is left out if it is a companion, and
// named as missing if it is a recording.
func (a *answering) object(ctx context.Context, b *storage.Bucket, name, what, key string) error {
	head, err := b.Head(ctx, key, "")
	if errors.Is(err, storage.ErrNotFound) && b.Versioning() != storage.Unversioned {
		head, _, err = headBelowMarkers(ctx, b, key) // hidden is not gone
	}
	if errors.Is(err, storage.ErrNotFound) {
		if what == "recording" {
			a.out.Missing = append(a.out.Missing, name)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if a.spool == nil {
		if a.spool, err = os.CreateTemp(a.r.o.Spool, "earshot-access-"); err != nil {
			return fmt.Errorf("making a spool file: %w", err)
		}
		if err := os.Remove(a.spool.Name()); err != nil {
			return fmt.Errorf("making a spool file: %w", err)
		}
	}
	reset := func() error {
		_, err := a.spool.Seek(0, io.SeekStart)
		return errors.Join(err, a.spool.Truncate(0))
	}
	if err := b.Fetch(ctx, head.ID, head.ETag, a.spool, reset); err != nil {
		return err
	}
	if _, err := a.spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return a.add(name, what, a.spool)
}

func (a *answering) json(name, what string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return a.add(name, what, strings.NewReader(string(text)+"\n"))
}

func (a *answering) add(name, what string, r io.Reader) error {
	f, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.out.MadeAt})
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), r)
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	a.out.Files = append(a.out.Files, AnswerFile{Name: name, What: what, Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// future says in words what becomes of a recording.
func (r *Runner) future(f earshot.Facts, at time.Time) []string {
	var out []string
	for range maxSteps {
		d := r.rules.decide(f, at)
		text := map[earshot.Disposition]string{
			earshot.Keep: "kept", earshot.Delete: "deleted with everything made from it", earshot.Redact: "parts of it erased", earshot.Review: "looked at by a person",
		}[d.Disposition]
		when := "now"
		if at.After(r.now()) {
			when = "on " + at.Format(time.DateOnly)
		}
		line := fmt.Sprintf("%s: %s, by rule %s", when, text, d.Rule)
		if len(d.Reasons) > 0 {
			line += " (" + d.Reasons[0].Text + ")"
		}
		out = append(out, line)
		if destroys(d) || d.Until.IsZero() || !d.Until.After(at) {
			return out
		}
		at = d.Until
	}
	return out
}

// said is one entry of the log that speaks of the person.
type said struct {
	Index int64           `json:"index"`
	Time  time.Time       `json:"time"`
	Kind  audit.Kind      `json:"kind"`
	Entry json.RawMessage `json:"entry"`
}

// entriesOf finds the entries that speak of a data subject, with the outcomes of their intents. The
// whole log is verified on the way.
func (r *Runner) entriesOf(ctx context.Context, subject earshot.SubjectID) ([]said, error) {
	tags, err := r.SubjectTagger(ctx, subject)
	if errors.Is(err, ErrNoKey) {
		return nil, nil // nothing was ever said of the person, or nobody can tell any more
	}
	if err != nil {
		return nil, err
	}
	var out []said
	mine := map[string]bool{}
	report, err := r.o.Log.Verify(ctx, audit.VerifyOptions{Visit: func(index int64, body []byte) error {
		e, err := audit.Parse(body)
		if err != nil {
			return nil //nolint:nilerr // the report tells of it
		}
		tag := tags.Tag("subject", e.ID, string(subject))
		switch {
		case e.Intent != nil && e.Intent.Subject == tag:
			mine[e.ID] = true
		case e.Outcome != nil && mine[e.Outcome.IntentID]:
		case e.Request != nil && e.Request.Subject == tag, e.SubjectKey != nil && e.SubjectKey.Subject == tag:
		default:
			return nil
		}
		out = append(out, said{index, e.Time(), e.Kind, json.RawMessage(body)})
		return nil
	}})
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return nil, fmt.Errorf("%w: %s", audit.ErrUnverified, report.Findings[0])
	}
	return out, nil
}

func readme(a Answer) string {
	text := fmt.Sprintf(`This is what is held on you (%s), as of %s.

events/           %d events: motions, rings, taps and the like, as they were written down
recordings/       %d recordings, each with what was made from it (%d files: transcripts, voiceprints, events)
recordings.json   of each recording: when and where it was made, what was inferred from it, what has been erased,
                  and what will become of it, when and why
profile.json      what is known of you, your consents and what you chose
requests.json     your open requests
log.json          what the tamper-evident log says of you and your recordings (%d entries)
manifest.json     all files with their SHA-256
`, a.Subject, a.MadeAt.Format(time.RFC1123), a.Events, a.Recordings, a.Companions, a.LogEntries)
	if a.Held > 0 {
		text += fmt.Sprintf("\n%d of the recordings are under a legal hold: they can be neither changed nor deleted while it stands, also if you ask for it.\n", a.Held)
	}
	if len(a.Missing) > 0 {
		text += fmt.Sprintf("\n%d recordings could not be read and are missing from this answer: ask again.\n", len(a.Missing))
	}
	return text
}
