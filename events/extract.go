package events

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"earshot"
)

// Extract writes the rows of one subject as they are, with the header in CSV, and returns how many there
// were.
func Extract(dst io.Writer, src io.Reader, s Shape, who earshot.SubjectID) (rows int64, err error) {
	e := Edit{Shape: s, RowEdit: earshot.RowEdit{Erase: []earshot.SubjectID{who}}}
	if err := e.check(); err != nil {
		return 0, err
	}
	in, _, err := newRowReader(src, s.Format == CSV)
	if err != nil {
		return 0, err
	}
	ed := newEditor(e)
	ed.keep = func(...[]byte) error { return nil }
	header := s.Format == CSV
	for {
		row, err := in.row()
		switch {
		case errors.Is(err, io.EOF):
			return rows, nil
		case err != nil:
			return rows, err
		case !header && blank(row):
			continue
		}
		if header {
			text, _ := ending(row)
			if what := ed.table.header(text, &ed.cols, ed.needed()); what != "" {
				return rows, in.fault(what)
			}
		} else {
			before := ed.report.Erased
			if what, err := ed.row(row); err != nil {
				return rows, err
			} else if what != "" {
				return rows, in.fault(what)
			}
			if ed.report.Erased == before {
				continue
			}
			rows++
		}
		header = false
		if !bytes.HasSuffix(row, []byte("\n")) {
			row = append(slices.Clone(row), '\n')
		}
		if _, err := dst.Write(row); err != nil {
			return rows, err
		}
	}
}
