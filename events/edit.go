package events

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"earshot"
)

// Format is how the rows of a log are written.
type Format string

// The formats.
const (
	JSONLines Format = "jsonl"
	CSV       Format = "csv"
)

// Shape is how the rows of a log are read.
type Shape struct {
	Format Format
	Comma  byte // of CSV; default ','. May be ';' or a tab.
	// Time, Subject and Device name the columns that say when, whose and where from; empty where there
	// is none. In JSON a dot goes into an object: device.id.
	Time, Subject, Device string
	// TimeLayout is how times are written: empty for RFC 3339, unix or unixms for numbers since 1970,
	// or a Go layout (UTC where it has no zone).
	TimeLayout string
}

// Check reports what is wrong with a shape.
func (s Shape) Check() error {
	switch {
	case s.Format != JSONLines && s.Format != CSV:
		return fmt.Errorf("format %q: want %s or %s", s.Format, JSONLines, CSV)
	case s.Comma != 0 && s.Format != CSV:
		return errors.New("only CSV has a comma")
	case s.Comma != 0 && s.Comma != ',' && s.Comma != ';' && s.Comma != '\t':
		return fmt.Errorf("comma %q: want a comma, a semicolon or a tab", s.Comma)
	}
	for _, c := range []string{s.Time, s.Subject, s.Device} {
		if c != "" && s.Format == JSONLines && strings.Contains("."+c+".", "..") {
			return fmt.Errorf("column %q: an empty name", c)
		}
	}
	switch s.TimeLayout {
	case "", "unix", "unixms":
		return nil
	}
	probe := time.Date(2026, 11, 24, 17, 48, 59, 0, time.UTC)
	back, err := time.Parse(s.TimeLayout, probe.Format(s.TimeLayout))
	if err != nil || !back.Equal(probe) {
		return fmt.Errorf("time layout %q: want unix, unixms, nothing (RFC 3339), or a Go layout down to the second such as 2006-01-02 15:04:05", s.TimeLayout)
	}
	return nil
}

// Edit is what is to be done to a log.
type Edit struct {
	Shape
	earshot.RowEdit
	// Erased, if not nil, tells of further subjects whose rows go. [Survey] names those it met, at most
	// [MaxSubjects]: rows of others are left to another time.
	Erased func(earshot.SubjectID) bool
	// Key makes the pseudonyms; needed where a rule hashes, at least 16 bytes.
	Key []byte
}

func (e Edit) check() error {
	if err := e.Shape.Check(); err != nil {
		return fmt.Errorf("editing an event log: %w", err)
	}
	for _, r := range e.Rules {
		switch {
		case (r.After > 0 || r.Coarsen != "") && e.Time == "":
			return fmt.Errorf("editing an event log: rule %s needs the column of times", r.Name)
		case r.After > 0 && e.AsOf.IsZero():
			return errors.New("editing an event log: ages need a moment to be counted up to")
		case r.Coarsen != "" && r.Coarsen.Unit() == 0:
			return fmt.Errorf("editing an event log: rule %s: coarsen %q: want minute, hour or day", r.Name, r.Coarsen)
		case len(r.Hash) > 0 && len(e.Key) < 16:
			return errors.New("editing an event log: pseudonyms need a key of at least 16 bytes")
		}
		for _, c := range append(append([]string(nil), r.Drop...), r.Hash...) {
			if c == "" || e.tells(c) {
				return fmt.Errorf("editing an event log: rule %s: column %q tells when, whose or where from: retention, erasure and holds need it", r.Name, c)
			}
		}
	}
	for _, h := range e.Held {
		if h.Subject != "" && e.Subject == "" || h.Device != "" && e.Device == "" || (!h.From.IsZero() || !h.To.IsZero()) && e.Time == "" {
			return errors.New("editing an event log: a hold speaks of a column that the log does not have")
		}
	}
	if len(e.Erase) > MaxSubjects {
		return fmt.Errorf("editing an event log: %d subjects are too many: at most %d at once", len(e.Erase), MaxSubjects)
	}
	if (len(e.Erase) > 0 || e.Erased != nil) && e.Subject == "" {
		return errors.New("editing an event log: erasure needs the column of subjects")
	}
	return nil
}

// tells reports whether a column is, or holds, one that says when, whose or where from.
func (s Shape) tells(column string) bool {
	for _, c := range []string{s.Time, s.Subject, s.Device} {
		if c == column || s.Format == JSONLines && strings.HasPrefix(c, column+".") {
			return true
		}
	}
	return false
}

// Report is what was done, or would be. Of each row the strictest thing that happened to it counts.
type Report struct {
	Rows      int64 `json:"rows"`      // that the log had, headers and blank lines left out
	Kept      int64 `json:"kept"`      // rows in what was written, changed or not
	Deleted   int64 `json:"deleted"`   // by age
	Erased    int64 `json:"erased"`    // by request
	Changed   int64 `json:"changed"`   // kept, with something coarsened, dropped or hashed
	Coarsened int64 `json:"coarsened"` // of those
	Cleared   int64 `json:"cleared"`   // of those: columns dropped or hashed
	Held      int64 `json:"held"`      // left alone because of a hold
	// HeldBy counts the rows of Held by what keeps them, in the order of the edit's Held; a row that several keep
	// counts for each.
	HeldBy   []int64 `json:"held_by,omitempty"`
	BytesIn  int64   `json:"bytes_in"`  // without compression
	BytesOut int64   `json:"bytes_out"` // without compression
	Gzip     bool    `json:"gzip,omitempty"`
	// Next is when the next row comes due; zero where none will.
	Next time.Time `json:"next,omitzero"`
	// Oldest and Newest are the times of the rows kept, where they were looked at.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	// Subjects are those met whose rows go by request, at most [MaxSubjects]: then look again.
	Subjects []earshot.SubjectID `json:"subjects,omitempty"`
}

// MaxSubjects is how many subjects one edit erases.
const MaxSubjects = 1000

// Touched reports whether anything is different afterwards.
func (r Report) Touched() bool { return r.Deleted+r.Erased+r.Changed > 0 }

// RowError is a row that cannot be read, or of which it cannot be told what must be told. It never says
// what stands in the row.
type RowError struct {
	Line   int64 // from 1, of the uncompressed text
	Offset int64 // of the row's first byte in the uncompressed text
	What   string
}

// Error names the place and what is wrong.
func (e *RowError) Error() string {
	return fmt.Sprintf("line %d (byte %d): %s", e.Line, e.Offset, e.What)
}

// The reasons of a RowError that come from here.
const (
	whatNoTime    = "the column of times is missing or holds no time"
	whatAbsurd    = "the time cannot be true: before 2000, or in the future"
	whatNoText    = "a column that is needed holds neither text nor a number"
	whatTwice     = "a column is there twice"
	whatNotJSON   = "this is not a JSON object"
	whatNotCSV    = "this is not CSV as RFC 4180 has it"
	whatFields    = "the row has another number of fields than the header"
	whatTooLong   = "the row is longer than 1 MiB"
	whatHeader    = "the header lacks a column that is needed"
	whatNoHeader  = "there is no header"
	whatTrailing  = "the gzip stream is broken"
	whatDeep      = "nested too deeply"
	whatDifferent = "what was written differs from what was to be written"
)
