package events

import (
	"time"

	"earshot"
)

// sighted is what is known of a row.
type sighted struct {
	at     time.Time // zero: not needed
	count  time.Time // from when its age counts
	who    earshot.SubjectID
	erased bool
	held   bool
}

func (ed *editor) stay(s sighted) {
	ed.report.Kept++
	if s.at.IsZero() {
		return
	}
	if ed.report.Oldest.IsZero() || s.at.Before(ed.report.Oldest) {
		ed.report.Oldest = s.at
	}
	if s.at.After(ed.report.Newest) {
		ed.report.Newest = s.at
	}
}

// sight reads when, whose and where from.
func (ed *editor) sight(text []byte) (s sighted, what string) {
	if ed.timeCol >= 0 {
		word, ok := content(text, ed.cells[ed.timeCol], ed.Format, ed.scratch)
		if ok {
			s.at, ok = ed.parseTime(word)
		}
		switch {
		case !ok:
			return s, whatNoTime
		case !believable(s.at, ed.AsOf):
			return s, whatAbsurd
		}
		s.count = counted(s.at, ed.coarsest)
	}
	var from []byte
	for _, c := range []struct {
		col int
		to  func(word []byte)
	}{{ed.whoCol, func(w []byte) { s.who = earshot.SubjectID(w) }}, {ed.fromCol, func(w []byte) { from = w }}} {
		if c.col < 0 || !ed.cells[c.col].there || ed.cells[c.col].null {
			continue
		}
		word, ok := content(text, ed.cells[c.col], ed.Format, nil)
		if !ok {
			return s, whatNoText
		}
		c.to(word)
	}
	s.erased = s.who != "" && ed.isErased(s.who)
	ed.keepers = ed.keepers[:0]
	for i, h := range ed.Held {
		if (h.Subject == "" || h.Subject == s.who) && (h.Device == "" || h.Device == string(from)) &&
			(h.From.IsZero() || !cutEnd(s.at, ed.coarsest).Before(h.From)) && (h.To.IsZero() || s.at.Before(h.To)) {
			s.held, ed.keepers = true, append(ed.keepers, i)
		}
	}
	return s, ""
}

// cutEnd is the latest that an event may have happened whose time may have been cut down.
func cutEnd(t time.Time, c earshot.Coarseness) time.Time { return t.Add(c.Unit()) }
