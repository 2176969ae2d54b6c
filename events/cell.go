package events

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// cell is where the value of one column stands in a row.
type cell struct {
	there      bool
	null       bool // JSON's null, or empty text in CSV
	text       bool // text or a number, so that it can be read
	start, end int  // of the value as written, quotes and all
}

// columns are the columns that an edit speaks of, as a tree for JSON's dotted names and as a list.
type columns struct {
	names []string
	tree  *branch
	count int   // of branches
	index []int // for CSV: which column of the row is the nth of the header, -1 for none of ours
}

type branch struct {
	id   int
	col  int // -1 where only something below is meant
	subs map[string]*branch
}

func (c *columns) add(name string, nested bool) int {
	for i, have := range c.names {
		if have == name {
			return i
		}
	}
	c.names = append(c.names, name)
	if c.tree == nil {
		c.tree = &branch{col: -1}
	}
	at := c.tree
	parts := []string{name}
	if nested {
		parts = strings.Split(name, ".")
	}
	for _, part := range parts {
		if at.subs == nil {
			at.subs = map[string]*branch{}
		}
		if at.subs[part] == nil {
			at.subs[part] = &branch{id: c.count, col: -1}
			c.count++
		}
		at = at.subs[part]
	}
	at.col = len(c.names) - 1
	return at.col
}

// content is what a cell says: text without quotes and escapes. scratch is overwritten.
func content(row []byte, c cell, format Format, scratch []byte) ([]byte, bool) {
	raw := row[c.start:c.end]
	if !c.text || c.null {
		return nil, false
	}
	if len(raw) == 0 || raw[0] != '"' {
		return raw, true
	}
	inner := raw[1 : len(raw)-1]
	if format == CSV {
		if bytes.IndexByte(inner, '"') < 0 {
			return inner, true
		}
		return append(scratch[:0], bytes.ReplaceAll(inner, []byte(`""`), quote)...), true
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, utf8.Valid(inner)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil, false
	}
	return append(scratch[:0], s...), true
}
