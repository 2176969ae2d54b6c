package policies

import (
	"strings"
	"time"

	"earshot"
)

// Cases is what a policy is expected to say, as NAME.test.yaml beside it holds it.
type Cases struct {
	Cases []Case
	Rows  []RowCase // on the rows of event logs
}

// Case is one set of facts, a moment, and what is expected of the decision.
type Case struct {
	Name   string
	Now    time.Time
	Facts  earshot.Facts
	Expect Expectation
}

// Expectation is what a case wants. Empty fields are not compared, but for Missing: where nil is
// written as [] nothing may be missing.
type Expectation struct {
	Disposition earshot.Disposition
	Rule        string
	Spans       string // as earshot.Spans prints them, all fills together
	Fill        string
	Since       time.Time
	Until       time.Time
	Forever     bool // Until must be zero
	Missing     []string
	Companions  map[string]string
	Reason      string // part of any reason's text
}

// casesFile is the file as written. The comments are its manual.
type casesFile struct {
	Cases []caseText    `yaml:"cases"`
	Rows  []rowCaseText `yaml:"rows"`
}

type caseText struct {
	Name   string     `yaml:"name"`
	Now    string     `yaml:"now"` // 2026-01-31 or 2026-01-31T12:00:00Z
	Facts  factsText  `yaml:"facts"`
	Expect expectText `yaml:"expect"`
}

type factsText struct {
	Bucket   string            `yaml:"bucket"` // default voice
	Key      string            `yaml:"key"`    // default clips/case.wav
	Size     int               `yaml:"size"`
	Coding   string            `yaml:"coding"` // default wav
	Device   string            `yaml:"device"`
	Locale   string            `yaml:"locale"`
	Source   string            `yaml:"source"`
	Class    string            `yaml:"class"`  // of a companion
	Orphan   *bool             `yaml:"orphan"` // of a companion: its recording is gone
	Labels   map[string]string `yaml:"labels"`
	Captured string            `yaml:"captured"`
	Stored   string            `yaml:"stored"` // default: captured, else now
	Length   string            `yaml:"length"`
	Head     *bool             `yaml:"head"` // the object's metadata has been read; default true
	// Listenings: absent means that nobody has listened yet.
	Wake   *listeningText `yaml:"wake"`
	Child  *listeningText `yaml:"child"`
	Speech *listeningText `yaml:"speech"`
	// Deaf gives a reason for each kind that cannot be listened for.
	Deaf    map[string]string `yaml:"deaf"`
	Subject *subjectText      `yaml:"subject"`
	// What the law in the code sees.
	Hold        bool     `yaml:"hold"`
	LegalHold   bool     `yaml:"legalHold"` // of the store
	RetainUntil string   `yaml:"retainUntil"`
	Erasure     bool     `yaml:"erasureRequest"`
	Fault       string   `yaml:"fault"`
	Erased      []string `yaml:"erased"`
}

type listeningText struct {
	Found       *bool    `yaml:"found"` // false: someone listened, and there was nothing
	Start       string   `yaml:"start"`
	End         string   `yaml:"end"`
	Spans       []string `yaml:"spans"` // several findings
	Word        string   `yaml:"word"`
	Score       *float64 `yaml:"score"`
	Probability *float64 `yaml:"probability"`
	// Pooled is the probability of a child over the recording's session; default: probability, as of a
	// recording that has its session for itself.
	Pooled     *float64 `yaml:"pooled"`
	CommandEnd string   `yaml:"commandEnd"`
}

type subjectText struct {
	ID            string            `yaml:"id"`
	DeclaredAge   *int              `yaml:"declaredAge"`
	DeclaredMinor *bool             `yaml:"declaredMinor"`
	LastActive    string            `yaml:"lastActive"`
	AutoDelete    string            `yaml:"autoDelete"`
	DontSave      bool              `yaml:"dontSave"`
	NoHumanReview bool              `yaml:"noHumanReview"`
	Consents      []string          `yaml:"consents"`  // purposes in force
	Withdrawn     map[string]string `yaml:"withdrawn"` // dates by purpose
}

type expectText struct {
	Disposition string            `yaml:"disposition"`
	Rule        string            `yaml:"rule"`
	Spans       string            `yaml:"spans"`
	Fill        string            `yaml:"fill"`
	Since       string            `yaml:"since"`
	Until       string            `yaml:"until"` // or never
	Missing     []string          `yaml:"missing"`
	Companions  map[string]string `yaml:"companions"`
	Reason      string            `yaml:"reason"`
}

// ParseCases reads a file of cases. The error is [Errors]: all that is wrong.
func ParseCases(name string, src []byte) (*Cases, error) {
	f := &faults{file: name}
	body := parseYAML(f, src)
	if body == nil {
		return nil, f.err()
	}
	var file casesFile
	r := caseReader{decoder{faults: f, places: map[string]place{}, doubt: map[string]bool{}}}
	r.into(body, &file)
	out := &Cases{}
	for i := range file.Cases {
		out.Cases = append(out.Cases, r.one(elem("cases", i), &file.Cases[i]))
	}
	for i := range file.Rows {
		out.Rows = append(out.Rows, r.row(elem("rows", i), file.Rows[i]))
	}
	if len(file.Cases)+len(file.Rows) == 0 {
		f.add(place{1, 1}, "there are no cases")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// caseReader turns cases as written into facts.
type caseReader struct{ decoder }

func (r *caseReader) wrong(path, format string, args ...any) {
	doc := Document{places: r.places}
	r.add(doc.at(path), format, args...)
}

func (r *caseReader) one(path string, w *caseText) Case {
	c := Case{Name: w.Name, Now: r.date(path+".now", w.Now)}
	if w.Name == "" {
		r.wrong(path, "the case has no name")
	}
	if w.Now == "" {
		r.wrong(path, "case %q says no `now`", w.Name)
	}
	c.Facts = r.facts(path+".facts", &w.Facts, c.Now)
	e := &w.Expect
	at := path + ".expect"
	if c.Expect.Disposition.UnmarshalText([]byte(e.Disposition)) != nil {
		r.wrong(at, "case %q expects the disposition %q: want keep, review, redact or delete", w.Name, e.Disposition)
	}
	c.Expect.Rule, c.Expect.Fill, c.Expect.Reason = e.Rule, e.Fill, e.Reason
	c.Expect.Missing, c.Expect.Companions = e.Missing, e.Companions
	c.Expect.Spans = r.spans(at+".spans", strings.Split(e.Spans, ",")).String()
	c.Expect.Since = r.date(at+".since", e.Since)
	if c.Expect.Forever = e.Until == "never"; !c.Expect.Forever {
		c.Expect.Until = r.date(at+".until", e.Until)
	}
	return c
}

func (r *caseReader) facts(path string, w *factsText, now time.Time) earshot.Facts {
	f := earshot.Facts{Orphan: w.Orphan, HeadKnown: w.Head == nil || *w.Head, Fault: w.Fault, Length: r.length(path+".length", w.Length)}
	f.Recording = earshot.Recording{
		ID:   earshot.RecordingID{Bucket: or(w.Bucket, "voice"), Key: or(w.Key, "clips/case.wav")},
		ETag: "case", Size: int64(w.Size), Coding: earshot.Coding(or(w.Coding, string(earshot.CodingWAV))),
		Class: w.Class, Device: w.Device, Locale: w.Locale, Source: w.Source, Labels: w.Labels,
		CapturedAt: r.date(path+".captured", w.Captured), StoredAt: r.date(path+".stored", w.Stored),
	}
	if f.Recording.StoredAt.IsZero() {
		if f.Recording.StoredAt = f.Recording.CapturedAt; f.Recording.StoredAt.IsZero() {
			f.Recording.StoredAt = now
		}
	}
	f.Heard = map[earshot.Kind]earshot.Listening{}
	r.listening(path+".wake", w.Wake, earshot.KindWake, &f)
	r.listening(path+".child", w.Child, earshot.KindChild, &f)
	r.listening(path+".speech", w.Speech, earshot.KindSpeech, &f)
	kinds := []string{string(earshot.KindWake), string(earshot.KindChild), string(earshot.KindSpeech)}
	for kind, why := range w.Deaf {
		if index(kinds, kind) < 0 {
			r.wrong(path+".deaf."+kind, "unknown kind %q%s", kind, meant(kind, kinds))
		}
		if f.Deaf == nil {
			f.Deaf = map[earshot.Kind]string{}
		}
		f.Deaf[earshot.Kind(kind)] = why
	}
	r.pooled(path+".child", w, &f)
	r.subject(path+".subject", w.Subject, &f)
	if w.Hold {
		f.Holds = []earshot.Hold{{ID: "hold-case", Matter: "case", PlacedAt: now}}
	}
	f.Lock = earshot.Lock{LegalHold: w.LegalHold, RetainUntil: r.date(path+".retainUntil", w.RetainUntil)}
	if w.Erasure {
		f.Requests = []earshot.Request{{ID: "request-case", Kind: earshot.RequestErasure, Subject: f.Recording.Subject, MadeAt: now}}
	}
	f.Erased = r.spans(path+".erased", w.Erased)
	return f
}

func (r *caseReader) listening(path string, w *listeningText, kind earshot.Kind, f *earshot.Facts) {
	if w == nil {
		return
	}
	l := earshot.Listening{Kind: kind, Detector: "case", CommandEnd: r.length(path+".commandEnd", w.CommandEnd)}
	score := 1.0
	if w.Score != nil {
		score, l.Score = *w.Score, *w.Score
	}
	if w.Probability != nil {
		score, l.Score = *w.Probability, *w.Probability
	}
	spans := r.spans(path+".spans", w.Spans)
	if w.Start != "" || w.End != "" {
		spans = append(spans, earshot.Span{Start: r.length(path+".start", w.Start), End: r.length(path+".end", w.End)})
	}
	for _, s := range spans {
		if !s.Valid() {
			r.wrong(path, "the end must come after the start")
		}
		l.Findings = append(l.Findings, earshot.Finding{Kind: kind, Span: s, Score: score, Word: w.Word})
	}
	if w.Found != nil && *w.Found != (len(l.Findings) > 0) {
		if *w.Found {
			r.wrong(path, "what was found needs `start` and `end`")
		} else {
			r.wrong(path, "`found: false` goes with no spans")
		}
	}
	f.Heard[kind] = l
}

// pooled gives the figure of the session. With a reason why the recording itself cannot be listened to it
// stands alone.
func (r *caseReader) pooled(path string, w *factsText, f *earshot.Facts) {
	for kind, l := range map[string]*listeningText{"wake": w.Wake, "speech": w.Speech} {
		if l != nil && l.Pooled != nil {
			r.wrong(path, "`pooled` is a figure of `child`, not of `%s`", kind)
		}
	}
	if w.Child == nil {
		f.Pooled = &earshot.Pooled{Why: "no recording of its session could be judged"}
		return
	}
	f.Pooled = &earshot.Pooled{Probability: f.Heard[earshot.KindChild].Score, Of: 1}
	if w.Child.Pooled == nil {
		return
	}
	f.Pooled = &earshot.Pooled{Probability: *w.Child.Pooled, Of: 2}
	if _, deaf := f.Deaf[earshot.KindChild]; deaf && w.Child.Probability == nil {
		delete(f.Heard, earshot.KindChild)
	}
}

func (r *caseReader) subject(path string, w *subjectText, f *earshot.Facts) {
	if w == nil {
		return
	}
	s := &earshot.Subject{
		ID: earshot.SubjectID(or(w.ID, "s-case")), DeclaredAge: w.DeclaredAge, DeclaredMinor: w.DeclaredMinor,
		LastActive: r.date(path+".lastActive", w.LastActive), AutoDelete: r.length(path+".autoDelete", w.AutoDelete),
		DontSave: w.DontSave, NoHumanReview: w.NoHumanReview,
	}
	for _, purpose := range w.Consents {
		s.Consents = append(s.Consents, earshot.Consent{Subject: s.ID, Purpose: purpose})
	}
	for purpose, date := range w.Withdrawn {
		at := r.date(path+".withdrawn."+purpose, date)
		s.Consents = append(s.Consents, earshot.Consent{Subject: s.ID, Purpose: purpose, WithdrawnAt: at})
	}
	f.Subject, f.Recording.Subject = s, s.ID
}

func (r *caseReader) date(path, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	r.wrong(path, "date %q: want 2026-01-31 or 2026-01-31T12:00:00Z", text)
	return time.Time{}
}

func (r *caseReader) length(path, text string) time.Duration {
	if text == "" || text == "0" || text == "0s" || text == "0ms" {
		return 0
	}
	d, err := ParseLength(text)
	if err != nil {
		r.wrong(path, "%s", err)
	}
	return d
}

func (r *caseReader) spans(path string, texts []string) earshot.Spans {
	var out earshot.Spans
	for _, text := range texts {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		s, err := earshot.ParseSpan(text)
		if err != nil {
			r.wrong(path, "%s", err)
		}
		out = append(out, s)
	}
	return out
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
