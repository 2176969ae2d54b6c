package retention

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"earshot"
	"earshot/events"
)

// toldLog is what is told of one event log that has rows of the person.
type toldLog struct {
	File    string   `json:"file"`
	Class   string   `json:"class"`
	Rows    int64    `json:"rows"`
	Becomes []string `json:"becomes"` // in words
}

// logs puts the person's rows of every event log into the zip. A log that cannot be read is named as
// missing: nobody can tell whether it speaks of the person.
func (a *answering) logs(ctx context.Context, subject earshot.SubjectID) ([]toldLog, error) {
	var out []toldLog
	scopes, err := a.r.rules.scopes(nil)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, s := range scopes {
		for i := range a.r.layout.logs {
			l := &a.r.layout.logs[i]
			if l.Shape.Subject == "" {
				continue
			}
			for row, err := range a.r.o.Catalog.Live(ctx, s.Bucket, l.below) {
				if err != nil {
					return nil, err
				}
				rec := row.Recording
				name := recordingName(rec.ID)
				if seen[name] || a.r.layout.log(rec.ID.Key) != l {
					continue
				}
				seen[name] = true
				t, err := a.log(ctx, rec, l, subject, len(out)+1)
				if err != nil {
					return nil, err
				}
				if t.Rows > 0 {
					out = append(out, t)
					a.out.Events += t.Rows
				}
			}
		}
	}
	return out, nil
}

// log puts the rows of one event log into the zip, if there are any.
func (a *answering) log(ctx context.Context, rec earshot.Recording, l *logLayout, subject earshot.SubjectID, n int) (toldLog, error) {
	t := toldLog{File: fmt.Sprintf("events/%05d-%s.%s", n, l.Class, l.Shape.Format), Class: l.Class}
	b, err := a.r.bucket(ctx, rec.ID.Bucket)
	if err != nil {
		return t, err
	}
	head, err := b.Head(ctx, rec.ID.Key, "")
	if err != nil {
		a.out.Missing = append(a.out.Missing, "event log "+l.Class+" "+path.Base(rec.ID.Key))
		return t, nil //nolint:nilerr // the answer names it as missing
	}
	rows, err := os.CreateTemp(a.r.o.Spool, "earshot-access-")
	if err != nil {
		return t, fmt.Errorf("making a spool file: %w", err)
	}
	defer rows.Close()
	if err := os.Remove(rows.Name()); err != nil {
		return t, fmt.Errorf("making a spool file: %w", err)
	}
	err = a.r.readLog(ctx, b, &head, func(src io.Reader) (err error) {
		t.Rows, err = events.Extract(rows, src, l.Shape, subject)
		return err
	})
	var unreadable *events.RowError
	if errors.As(err, &unreadable) {
		a.out.Missing = append(a.out.Missing, "event log "+l.Class+" "+path.Base(rec.ID.Key))
		t.Rows = 0
		return t, nil
	}
	if err != nil || t.Rows == 0 {
		return t, err
	}
	rules, _, _ := a.r.rules.rowRules(rec, l.Class)
	for _, r := range rules {
		t.Becomes = append(t.Becomes, rowRuleText(r)+", by rule "+r.Name)
	}
	if _, err := rows.Seek(0, io.SeekStart); err != nil {
		return t, err
	}
	return t, a.add(t.File, "your rows of an event log of class "+l.Class, rows)
}
