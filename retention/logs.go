package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/events"
	"earshot/storage"
)

// LogLayout is where the event logs of one class lie, and how their rows are read.
type LogLayout struct {
	Class string
	Key   string // such as eventlogs/motion/{any}.jsonl.gz
	Shape events.Shape
}

// logLayout is one of them, compiled.
type logLayout struct {
	LogLayout
	key   *regexp.Regexp
	below string // what every key of the class begins with
}

func compileLogs(logs []LogLayout) ([]logLayout, error) {
	var out []logLayout
	for _, l := range logs {
		if l.Class == "" {
			return nil, fmt.Errorf("layout of event logs %q: the class has no name", l.Key)
		}
		key, _, err := compileKey(l.Key)
		if err == nil {
			err = l.Shape.Check()
		}
		if err != nil {
			return nil, fmt.Errorf("layout of event logs %q: %w", l.Class, err)
		}
		below, _, _ := strings.Cut(l.Key, "{")
		out = append(out, logLayout{l, key, below})
	}
	slices.SortFunc(out, func(a, b logLayout) int { return strings.Compare(a.Class, b.Class) })
	return out, nil
}

// log tells which class of event log a key is of, nil for none.
func (l *layout) log(key string) *logLayout {
	for i := range l.logs {
		if strings.HasPrefix(key, l.logs[i].below) && l.logs[i].key.MatchString(key) {
			return &l.logs[i]
		}
	}
	return nil
}

// erasures is whose rows go by request: who has an open request, and who was erased before.
type erasures struct {
	open   map[earshot.SubjectID]bool
	kept   []earshot.RowMatch // rows of those who asked for restriction, and not for erasure
	digest earshot.Digest
	gone   func(earshot.SubjectID) (bool, error)
}

// erasures reads them afresh.
func (r *Runner) erasures(ctx context.Context) (*erasures, error) {
	known, err := r.o.Catalog.Erasures(ctx)
	if err != nil {
		return nil, err
	}
	out := &erasures{open: map[earshot.SubjectID]bool{}}
	for _, s := range known.Open {
		out.open[s] = true
	}
	slices.Sort(known.Open)
	slices.Sort(known.Restricted)
	for _, s := range known.Restricted {
		if !out.open[s] {
			out.kept = append(out.kept, earshot.RowMatch{Subject: s})
		}
	}
	text, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	out.digest = earshot.DigestOf(text)
	out.gone = func(s earshot.SubjectID) (bool, error) {
		if known.Tombstones == 0 {
			return false, nil
		}
		at, err := r.o.Catalog.ErasedAt(ctx, r.tombstone(s))
		return !at.IsZero(), err
	}
	return out, nil
}

// tombstone is the pseudonym by which an erased person is known. It tells nothing to whoever has not
// the log's tag key.
func (r *Runner) tombstone(s earshot.SubjectID) string {
	return r.o.Tagger.Tag("tombstone", "", string(s))
}

// heldRows tells what holds mean for an event log: whole are those that keep all of it, rows are what
// others keep of it. A hold on a column that the log does not have keeps all of it.
func heldRows(rec earshot.Recording, l *logLayout, holds []earshot.Hold) (whole []earshot.Hold, rows []earshot.RowMatch) {
	for _, h := range holds {
		if !h.LiftedAt.IsZero() || h.Bucket != "" && h.Bucket != rec.ID.Bucket || h.Prefix != "" && !strings.HasPrefix(rec.ID.Key, h.Prefix) || len(h.Keys) > 0 && !slices.Contains(h.Keys, rec.ID.Key) {
			continue
		}
		m := earshot.RowMatch{Subject: h.Subject, Device: h.Device, From: h.From.UTC(), To: h.To.UTC()}
		dated := !h.From.IsZero() || !h.To.IsZero()
		s := l.Shape
		if m == (earshot.RowMatch{}) || m.Subject != "" && s.Subject == "" || m.Device != "" && s.Device == "" || dated && s.Time == "" {
			whole = append(whole, h)
			continue
		}
		rows = append(rows, m)
	}
	return whole, rows
}

// peopleDigest names the holds and erasures that a look into an event log went by.
func peopleDigest(l *logLayout, held []earshot.RowMatch, e *erasures) earshot.Digest {
	text, err := json.Marshal([]any{l.Shape, held, e.digest})
	if err != nil {
		panic(err) // our own value types always marshal
	}
	return earshot.DigestOf(text)
}

// assembleLog gives the facts of an event log, as far as the last look into it still counts.
func (r *Runner) assembleLog(ctx context.Context, out *resolved, l *logLayout, p people, at time.Time) error {
	f := earshot.Facts{Recording: out.known.Recording, HeadKnown: out.known.HeadKnown, Fault: out.known.Fault, Lock: out.facts.Lock, Log: l.Class}
	if f.Fault == "" {
		f.Fault = implausible(f.Recording, at)
	}
	var held []earshot.RowMatch
	f.Holds, held = heldRows(f.Recording, l, p.holds)
	gone, err := r.erasures(ctx)
	if err != nil {
		return err
	}
	if l.Shape.Subject != "" {
		held = append(held, gone.kept...)
	}
	// A look counts as long as it would show the same: nothing was due then, and nothing is yet.
	if k := out.known.Rows; k != nil && k.People == peopleDigest(l, held, gone) {
		same := k.AsOf.Equal(at) || k.Edit.Go+k.Edit.Change == 0 && !k.AsOf.After(at) && (k.Next.IsZero() || at.Before(k.Next))
		if same || k.Fault != "" {
			f.Rows = k
		}
	}
	out.facts = f
	return nil
}

// askRows looks into an event log: which rows are due, and when the next one is.
func (r *Runner) askRows(ctx context.Context, b *storage.Bucket, out *resolved, p people, at time.Time) error {
	l := r.layout.log(out.known.Recording.ID.Key)
	rules, digest, _ := r.rules.rowRules(out.known.Recording, l.Class)
	_, held := heldRows(out.known.Recording, l, p.holds)
	gone, err := r.erasures(ctx)
	if err != nil {
		return err
	}
	if l.Shape.Subject != "" {
		held = append(held, gone.kept...)
	}
	facts := &earshot.RowFacts{AsOf: at, Rules: digest, People: peopleDigest(l, held, gone)}
	edit := earshot.RowEdit{Log: l.Class, AsOf: at, Rules: rules, Held: held}
	var failed error
	e := r.edit(l, edit)
	if l.Shape.Subject != "" {
		e.Erased = func(s earshot.SubjectID) bool {
			yes, err := gone.gone(s)
			failed = errors.Join(failed, err)
			return yes || gone.open[s]
		}
	}
	var report events.Report
	err = r.readLog(ctx, b, out.head, func(src io.Reader) (err error) {
		report, err = events.Survey(src, e)
		return err
	})
	var row *events.RowError
	switch {
	case failed != nil:
		return failed
	case errors.As(err, &row):
		facts.Fault = "line " + fmt.Sprint(row.Line) + " cannot be dealt with: " + row.What
	case err != nil:
		return err
	}
	edit.Erase, edit.Go, edit.Change = report.Subjects, report.Deleted+report.Erased, report.Changed
	slices.Sort(edit.Erase)
	if edit.Go+edit.Change == 0 {
		edit.Erase = nil
	}
	facts.Edit, facts.Rows, facts.Held, facts.HeldBy, facts.Next = edit, report.Rows, report.Held, report.HeldBy, report.Next.UTC()
	if report.Next.IsZero() {
		facts.Next = time.Time{}
	}
	out.known.Rows = facts
	return nil
}

// edit completes an edit with how the log is read and the key of the pseudonyms.
func (r *Runner) edit(l *logLayout, e earshot.RowEdit) events.Edit {
	key := r.o.Tagger.Tag("column", "", "earshot rows/1") // of the log's tag key, which is kept for as long
	return events.Edit{Shape: l.Shape, RowEdit: e, Key: []byte(key)}
}

// readLog reads exactly the version and ETag that head describes, through a spool file, so that a
// broken transfer is never taken for a short log.
func (r *Runner) readLog(ctx context.Context, b *storage.Bucket, head *storage.Head, do func(io.Reader) error) error {
	f, err := os.CreateTemp(r.o.Spool, "earshot-events-")
	if err != nil {
		return fmt.Errorf("making a spool file: %w", err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("making a spool file: %w", err)
	}
	if err := b.Fetch(ctx, head.ID, head.ETag, f, func() error { return rewind(f) }); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return do(f)
}

// rows writes an event log anew without what the decision takes out of it, and has it verified by
// another reader.
func (w *redaction) rows(src *os.File) (*os.File, error) {
	l := w.r.layout.log(w.a.Recording.ID.Key)
	if l == nil || l.Class != w.a.Decision.Rows.Log {
		return nil, fmt.Errorf("the layout says no longer that this is an event log of class %s: %w", w.a.Decision.Rows.Log, events.ErrUnproved)
	}
	e := w.r.edit(l, *w.a.Decision.Rows)
	dst, err := w.spool()
	if err != nil {
		return nil, err
	}
	start := func() error {
		_, err := src.Seek(0, io.SeekStart)
		return err
	}
	if err := start(); err != nil {
		return nil, err
	}
	report, err := events.Rewrite(dst, src, e)
	if err != nil {
		return nil, err
	}
	if gone := report.Deleted + report.Erased; gone != e.Go || report.Changed != e.Change {
		return nil, fmt.Errorf("%d rows go and %d change, where the plan says %d and %d: %w", gone, report.Changed, e.Go, e.Change, events.ErrUnproved)
	}
	if err := start(); err != nil {
		return nil, err
	}
	if _, err := dst.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if err := events.Verify(src, dst, e); err != nil {
		return nil, err
	}
	if _, err := dst.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if k := w.known.Rows; k != nil && len(e.Erase) < events.MaxSubjects { // what a look into the new one would show
		left := *w.a.Decision.Rows
		left.Go, left.Change, left.Erase = 0, 0, nil
		w.left = &earshot.RowFacts{AsOf: left.AsOf, Rules: k.Rules, People: k.People, Rows: report.Kept, Held: report.Held, HeldBy: report.HeldBy, Edit: left, Next: report.Next}
	}
	w.after, err = digestOf(dst)
	return dst, err
}

// logHeld reports whether holds keep what an action is about to do to an event log: all of it, or rows
// that were not held when the action was planned.
func logHeld(a earshot.Action, l *logLayout, holds []earshot.Hold) bool {
	whole, rows := heldRows(a.Recording, l, holds)
	if len(whole) > 0 {
		return true
	}
	for _, m := range rows {
		if !slices.Contains(a.Decision.Rows.Held, m) {
			return true
		}
	}
	return false
}

// touchLogs makes the event logs due if holds or requests have changed since the last plan: a look into
// a log that went by others says nothing about them.
func (r *Runner) touchLogs(ctx context.Context, p people) error {
	if len(r.layout.logs) == 0 {
		return nil
	}
	scopes, err := r.rules.scopes(nil)
	if err != nil {
		return err
	}
	gone, err := r.erasures(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal([]any{p.holds, gone.digest})
	if err != nil {
		return err
	}
	now := earshot.DigestOf(text).String()
	before, err := r.o.Catalog.Mark(ctx, logMark)
	if err != nil || before == now {
		return err
	}
	seen := map[string]bool{}
	for _, s := range scopes {
		seen[s.Bucket] = true
	}
	for bucket := range seen {
		for _, l := range r.layout.logs {
			if err := r.o.Catalog.TouchBelow(ctx, bucket, l.below); err != nil {
				return err
			}
		}
	}
	return r.o.Catalog.SetMark(ctx, logMark, now)
}

const logMark = "event logs: holds and erasures"

// sameRows compares edits as they are written down.
func sameRows(a, b *earshot.RowEdit) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
