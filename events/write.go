package events

import (
	"errors"
	"slices"
)

func (ed *editor) changes() bool {
	return ed.coarsen != "" || slices.Contains(ed.drop, true) || slices.Contains(ed.hash, true)
}

// write writes a row with what changes in it.
func (ed *editor) write(text, end []byte, s sighted) error {
	ed.patches = ed.patches[:0]
	if slices.Contains(ed.drop, true) {
		if ed.Format == CSV {
			for c, goes := range ed.drop {
				if goes {
					ed.patches = append(ed.patches, patch{start: ed.cells[c].start, end: ed.cells[c].end})
				}
			}
		} else {
			if what := ed.scan.scan(text, &ed.cols, ed.drop); what != "" {
				return errors.New("editing an event log: a row reads otherwise the second time: this is a bug in earshot")
			}
			ed.patches = append(ed.patches, ed.scan.cuts...)
		}
	}
	cleared := len(ed.patches) > 0
	for c, goes := range ed.hash {
		if cell := ed.cells[c]; goes && !ed.drop[c] && cell.there {
			word, _ := content(text, cell, ed.Format, ed.scratch)
			ed.patches = append(ed.patches, patch{cell.start, cell.end, ed.quoted(ed.names.of(ed.cols.names[c], word))})
			cleared = true
		}
	}
	if ed.coarsen != "" {
		ed.report.Coarsened++
		cell := ed.cells[ed.timeCol]
		when := ed.formatTime(cut(s.at, ed.coarsen))
		if text[cell.start] == '"' {
			ed.patches = append(ed.patches, patch{cell.start + 1, cell.end - 1, []byte(when)})
		} else {
			ed.patches = append(ed.patches, patch{cell.start, cell.end, []byte(when)})
		}
	}
	if cleared {
		ed.report.Cleared++
	}
	slices.SortFunc(ed.patches, func(a, b patch) int { return a.start - b.start })
	at := 0
	for _, p := range ed.patches {
		if err := ed.keep(text[at:p.start], p.text); err != nil {
			return err
		}
		at = p.end
	}
	return ed.keep(text[at:], end)
}

func (ed *editor) quoted(s string) []byte {
	if ed.Format == CSV {
		return []byte(s)
	}
	return jsonText(s)
}
