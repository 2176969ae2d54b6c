package events

import (
	"errors"
	"io"

	"earshot"
)

// Survey tells what [Rewrite] would do, and when more will be due, without writing anything.
func Survey(src io.Reader, e Edit) (Report, error) { return rewrite(nil, src, e) }

// Rewrite writes the log to dst without what the edit takes out of it, gzipped if src was. It reads no
// more than one row ahead. After an error what was written is worth nothing. A row that cannot be read
// is a [RowError].
func Rewrite(dst io.Writer, src io.Reader, e Edit) (Report, error) {
	if dst == nil {
		return Report{}, errors.New("editing an event log: there is nowhere to write to")
	}
	return rewrite(dst, src, e)
}

func rewrite(dst io.Writer, src io.Reader, e Edit) (Report, error) {
	if err := e.check(); err != nil {
		return Report{}, err
	}
	in, mark, err := newRowReader(src, e.Format == CSV)
	if err != nil {
		return Report{}, err
	}
	ed := newEditor(e)
	ed.report.Gzip = in.gz != nil
	var out *rowWriter
	if dst != nil {
		out = newRowWriter(dst, in.gz != nil)
	}
	ed.keep = func(parts ...[]byte) error {
		for _, p := range parts {
			ed.report.BytesOut += int64(len(p))
			if out != nil {
				if err := out.write(p); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := ed.all(in, mark); err != nil {
		return Report{}, err
	}
	if out != nil {
		if err := out.close(); err != nil {
			return Report{}, err
		}
	}
	ed.report.BytesIn = in.after
	return ed.report, nil
}

// editor decides row by row.
type editor struct {
	Edit
	coarsest earshot.Coarseness
	cols     columns
	timeCol  int // -1: times are not needed
	whoCol   int
	fromCol  int
	rules    []rule
	erase    map[earshot.SubjectID]bool // remembers what Erased said, too
	named    map[earshot.SubjectID]bool // in the report
	names    *pseudonyms
	scan     scanner
	table    table
	cells    []cell
	report   Report
	keep     func(parts ...[]byte) error
	scratch  []byte
	// of the row at hand
	keepers []int // places in Held of what keeps it
	drop    []bool
	hash    []bool
	coarsen earshot.Coarseness
	patches []patch
}

// rule is a rule with its columns found.
type rule struct {
	earshot.RowRule
	drop, hash []int
}

func newEditor(e Edit) *editor {
	ed := &editor{Edit: e, coarsest: coarsest(e.Rules), timeCol: -1, whoCol: -1, fromCol: -1, erase: map[earshot.SubjectID]bool{}, named: map[earshot.SubjectID]bool{}}
	nested := e.Format == JSONLines
	needsTime, needsWho, needsFrom := false, len(e.Erase) > 0 || e.Erased != nil, false
	for _, r := range e.Rules {
		needsTime = needsTime || r.After > 0 || r.Coarsen != ""
		c := rule{RowRule: r}
		for _, name := range r.Drop {
			c.drop = append(c.drop, ed.cols.add(name, nested))
		}
		for _, name := range r.Hash {
			c.hash = append(c.hash, ed.cols.add(name, nested))
		}
		ed.rules = append(ed.rules, c)
	}
	if len(e.Held) > 0 {
		ed.report.HeldBy = make([]int64, len(e.Held))
	}
	for _, h := range e.Held {
		needsTime = needsTime || !h.From.IsZero() || !h.To.IsZero()
		needsWho, needsFrom = needsWho || h.Subject != "", needsFrom || h.Device != ""
	}
	for _, n := range []struct {
		needed bool
		name   string
		to     *int
	}{{needsTime, e.Time, &ed.timeCol}, {needsWho, e.Subject, &ed.whoCol}, {needsFrom, e.Device, &ed.fromCol}} {
		if n.needed {
			*n.to = ed.cols.add(n.name, nested)
		}
	}
	for _, s := range e.Erase {
		ed.erase[s] = true
	}
	n := len(ed.cols.names)
	ed.cells, ed.drop, ed.hash = make([]cell, n), make([]bool, n), make([]bool, n)
	ed.names = newPseudonyms(e.Key)
	if ed.table.comma = e.Comma; e.Comma == 0 {
		ed.table.comma = ','
	}
	return ed
}

// all goes through the rows.
func (ed *editor) all(in *rowReader, mark []byte) error {
	if err := ed.keep(mark); err != nil {
		return err
	}
	header := ed.Format == CSV
	for {
		row, err := in.row()
		if errors.Is(err, io.EOF) {
			if header {
				return in.fault(whatNoHeader)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if header {
			text, _ := ending(row)
			if blank(row) {
				return in.fault(whatNoHeader)
			}
			if what := ed.table.header(text, &ed.cols, ed.needed()); what != "" {
				return in.fault(what)
			}
			header = false
			if err := ed.keep(row); err != nil {
				return err
			}
			continue
		}
		if blank(row) {
			if err := ed.keep(row); err != nil {
				return err
			}
			continue
		}
		if what, err := ed.row(row); err != nil {
			return err
		} else if what != "" {
			return in.fault(what)
		}
	}
}

// needed are the columns that a header must have.
func (ed *editor) needed() []string {
	var out []string
	for _, i := range []int{ed.timeCol, ed.whoCol, ed.fromCol} {
		if i >= 0 {
			out = append(out, ed.cols.names[i])
		}
	}
	return out
}

// row decides about one row and writes what is left of it. what is why it cannot be read.
func (ed *editor) row(row []byte) (what string, err error) {
	ed.report.Rows++
	text, end := ending(row)
	if ed.Format == CSV {
		what = ed.table.scan(text, &ed.cols, ed.cells)
	} else {
		what = ed.scan.scan(text, &ed.cols, nil)
		ed.cells = ed.scan.cells
	}
	if what != "" {
		return what, nil
	}
	s, what := ed.sight(text)
	if what != "" {
		return what, nil
	}
	doomed, what := ed.ask(text, s)
	if what != "" {
		return what, nil
	}
	touched := doomed != "" || ed.changes()
	switch {
	case touched && s.held:
		ed.report.Held++
		for _, i := range ed.keepers {
			ed.report.HeldBy[i]++
		}
	case doomed == fateErased:
		ed.report.Erased++
		return "", nil
	case doomed == fateDeleted:
		ed.report.Deleted++
		return "", nil
	case touched:
		ed.report.Changed++
		ed.stay(s)
		return "", ed.write(text, end, s)
	}
	ed.stay(s)
	return "", ed.keep(row)
}

// maxRemembered bounds what is remembered of subjects and pseudonyms.
const maxRemembered = 1 << 16

func (ed *editor) isErased(who earshot.SubjectID) bool {
	known, ok := ed.erase[who]
	if !ok && ed.Erased != nil {
		known = ed.Erased(who)
		if len(ed.erase) < maxRemembered {
			ed.erase[who] = known
		}
	}
	if !known || ed.named[who] {
		return known
	}
	if len(ed.report.Subjects) >= MaxSubjects {
		return false // as many as can be named: the others' turn comes next time
	}
	ed.report.Subjects, ed.named[who] = append(ed.report.Subjects, who), true
	return true
}

const (
	fateErased  = "erased"
	fateDeleted = "deleted"
)

// ask goes through the rules: whether the row goes, and else what of it changes. It notes when the next
// rule comes due that would touch the row.
func (ed *editor) ask(text []byte, s sighted) (doomed, what string) {
	clear(ed.drop)
	clear(ed.hash)
	ed.coarsen = ""
	if s.erased {
		return fateErased, ""
	}
	for i := range ed.rules {
		r := &ed.rules[i]
		switch {
		case ed.pending(r, s):
			continue
		case r.Delete:
			return fateDeleted, ""
		}
		for _, c := range r.drop {
			ed.drop[c] = ed.drop[c] || ed.filled(c)
		}
		for _, c := range r.hash {
			if ed.hash[c], what = ed.open(text, c); what != "" {
				return "", what
			}
		}
		if r.Coarsen.Unit() > ed.coarsen.Unit() && !cut(s.at, r.Coarsen).Equal(s.at) {
			ed.coarsen = r.Coarsen
		}
	}
	ed.foresee(text, s)
	return "", ""
}

func (ed *editor) pending(r *rule, s sighted) bool {
	return r.After > 0 && s.count.Add(r.After).After(ed.AsOf)
}

// foresee notes when the first of the rules that are not due yet will touch the row as it is to be.
func (ed *editor) foresee(text []byte, s sighted) {
	if s.held {
		return
	}
	for i := range ed.rules {
		r := &ed.rules[i]
		due := s.count.Add(r.After)
		soonest := ed.report.Next.IsZero() || due.Before(ed.report.Next)
		if soonest && ed.pending(r, s) && ed.wouldTouch(text, r, s) {
			ed.report.Next = due
		}
	}
}

// filled reports whether a column is there to be dropped; in CSV an empty one is not.
func (ed *editor) filled(c int) bool {
	return ed.cells[c].there && !(ed.Format == CSV && ed.cells[c].null)
}

// open reports whether a column's value is there and no pseudonym yet.
func (ed *editor) open(text []byte, c int) (bool, string) {
	cell := ed.cells[c]
	if !cell.there || cell.null {
		return false, ""
	}
	word, ok := content(text, cell, ed.Format, ed.scratch)
	if !ok {
		return false, whatNoText
	}
	return !ed.names.ours(word), ""
}

// wouldTouch reports whether a rule that is not due yet would change the row as it is to be now.
func (ed *editor) wouldTouch(text []byte, r *rule, s sighted) bool {
	if at := cut(s.at, ed.coarsen); r.Delete || r.Coarsen != "" && !cut(at, r.Coarsen).Equal(at) {
		return true
	}
	for _, c := range r.drop {
		if ed.filled(c) && !ed.drop[c] {
			return true
		}
	}
	for _, c := range r.hash {
		if open, what := ed.open(text, c); (open || what != "") && !ed.drop[c] && !ed.hash[c] {
			return true
		}
	}
	return false
}
