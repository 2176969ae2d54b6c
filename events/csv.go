package events

import (
	"bytes"
	"encoding/json"
)

// table reads rows of CSV. A field within quotes may hold commas, doubled quotes and line breaks; one
// without may hold no quote.
type table struct {
	comma  byte
	fields []cell // of the row last read
	width  int    // of the header
}

// split finds the fields of a row without its line ending.
func (t *table) split(row []byte) bool {
	t.fields = t.fields[:0]
	for at := 0; ; {
		end, ok := t.field(row, at)
		if !ok {
			return false
		}
		t.fields = append(t.fields, cell{there: true, text: true, null: end == at || end == at+2 && row[at] == '"', start: at, end: end})
		if end == len(row) {
			return true
		}
		at = end + 1 // the comma
	}
}

func (t *table) field(row []byte, at int) (end int, ok bool) {
	if at == len(row) || row[at] != '"' {
		end = bytes.IndexByte(row[at:], t.comma)
		if end < 0 {
			end = len(row) - at
		}
		end += at
		return end, bytes.IndexByte(row[at:end], '"') < 0
	}
	for i := at + 1; i < len(row); i++ {
		if row[i] != '"' {
			continue
		}
		if i+1 == len(row) || row[i+1] == t.comma {
			return i + 1, true
		}
		if row[i+1] != '"' {
			return 0, false
		}
		i++
	}
	return 0, false
}

// header reads the header: which field is which of our columns. It is "" where it is right.
func (t *table) header(row []byte, cols *columns, needed []string) string {
	if !t.split(row) {
		return whatNotCSV
	}
	t.width = len(t.fields)
	cols.index = make([]int, t.width)
	seen := make([]bool, len(cols.names))
	for i, f := range t.fields {
		cols.index[i] = -1
		name, _ := content(row, f, CSV, nil)
		for j, want := range cols.names {
			if want != string(name) {
				continue
			}
			if seen[j] {
				return whatTwice
			}
			cols.index[i], seen[j] = j, true
		}
	}
	for _, name := range needed {
		for j, have := range cols.names {
			if have == name && !seen[j] {
				return whatHeader
			}
		}
	}
	return ""
}

// scan finds our columns in a row. It is "" where the row is right.
func (t *table) scan(row []byte, cols *columns, cells []cell) string {
	switch {
	case !t.split(row):
		return whatNotCSV
	case len(t.fields) != t.width:
		return whatFields
	}
	clear(cells)
	for i, f := range t.fields {
		if j := cols.index[i]; j >= 0 {
			cells[j] = f
		}
	}
	return ""
}

// jsonText writes a text as JSON has it.
func jsonText(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // text always marshals
	}
	return text
}
