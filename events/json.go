package events

import (
	"encoding/json"
)

// maxNesting bounds how deep a row of JSON may go.
const maxNesting = 64

// scanner walks over one row of JSON, checks it by the grammar of RFC 8259, and notes where the
// columns stand. With drop set it also notes what is to be cut out so that those columns go and the rest
// stays JSON.
type scanner struct {
	row   []byte
	at    int
	cells []cell
	met   []bool // branches
	drop  []bool // by column; nil: none
	cuts  []patch
	what  string // why the walk failed
}

// patch is a stretch of a row and what takes its place.
type patch struct {
	start, end int
	text       []byte
}

// scan walks over a row. It is "" where the row is an object in which no column is there twice.
func (s *scanner) scan(row []byte, cols *columns, drop []bool) string {
	s.row, s.at, s.drop, s.cuts, s.what = row, 0, drop, s.cuts[:0], ""
	if s.cells == nil {
		s.cells, s.met = make([]cell, len(cols.names)), make([]bool, cols.count)
	}
	clear(s.cells)
	clear(s.met)
	s.space()
	if s.at == len(row) || row[s.at] != '{' {
		return whatNotJSON
	}
	if !s.object(cols.tree, 1) {
		return s.what
	}
	if s.space(); s.at != len(row) {
		return whatNotJSON
	}
	return ""
}

func (s *scanner) fail(what string) bool {
	s.what = what
	return false
}

func (s *scanner) space() {
	for s.at < len(s.row) {
		switch s.row[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// cutting follows one object from which members are cut: a member takes the comma before it along, the
// first ones that go take the comma behind them.
type cutting struct {
	kept  bool // a member before stays
	lead  int  // where the first ones that go begin, -1 where none do
	after int  // behind the member before
}

func (s *scanner) object(b *branch, depth int) bool {
	if depth > maxNesting {
		return s.fail(whatDeep)
	}
	s.at++ // the brace
	c := cutting{lead: -1}
	s.space()
	if s.at < len(s.row) && s.row[s.at] == '}' {
		s.at++
		return true
	}
	for {
		s.space()
		if !s.member(b, depth, &c) {
			return false
		}
		s.space()
		if s.at == len(s.row) {
			return s.fail(whatNotJSON)
		}
		switch s.row[s.at] {
		case ',':
			s.at++
		case '}':
			if !c.kept && c.lead >= 0 {
				s.cuts = append(s.cuts, patch{start: c.lead, end: c.after})
			}
			s.at++
			return true
		default:
			return s.fail(whatNotJSON)
		}
	}
}

func (s *scanner) member(b *branch, depth int, c *cutting) bool {
	key := s.at
	if !s.str() {
		return s.fail(whatNotJSON)
	}
	var below *branch
	if b != nil {
		below = b.sub(s.row[key:s.at])
	}
	if below != nil {
		if s.met[below.id] {
			return s.fail(whatTwice)
		}
		s.met[below.id] = true
	}
	goes := below != nil && below.col >= 0 && s.drop != nil && s.drop[below.col]
	if !goes && !c.kept && c.lead >= 0 {
		s.cuts = append(s.cuts, patch{start: c.lead, end: key})
	}
	s.space()
	if s.at == len(s.row) || s.row[s.at] != ':' {
		return s.fail(whatNotJSON)
	}
	s.at++
	s.space()
	start := s.at
	into := below
	if goes {
		into = nil // nothing within what goes is of interest
	}
	if !s.value(into, depth) {
		return false
	}
	if below != nil && below.col >= 0 {
		s.cells[below.col] = cellOf(start, s.at, s.row[start])
	}
	switch {
	case goes && c.kept:
		s.cuts = append(s.cuts, patch{start: c.after, end: s.at})
	case goes && c.lead < 0:
		c.lead = key
	case !goes:
		c.kept = true
	}
	c.after = s.at
	return true
}

func cellOf(start, end int, first byte) cell {
	return cell{there: true, null: first == 'n', text: first == '"' || first == '-' || first >= '0' && first <= '9', start: start, end: end}
}

// sub finds the branch of a member's name, which is in quotes and may have escapes.
func (b *branch) sub(quoted []byte) *branch {
	inner := quoted[1 : len(quoted)-1]
	for _, ch := range inner {
		if ch == '\\' {
			var name string
			if json.Unmarshal(quoted, &name) != nil {
				return nil
			}
			return b.subs[name]
		}
	}
	return b.subs[string(inner)]
}

func (s *scanner) value(b *branch, depth int) bool {
	if s.at == len(s.row) {
		return s.fail(whatNotJSON)
	}
	switch ch := s.row[s.at]; {
	case ch == '{':
		return s.object(b, depth+1)
	case ch == '[':
		return s.array(depth + 1)
	case ch == '"':
		return s.str() || s.fail(whatNotJSON)
	case ch == 't':
		return s.word("true")
	case ch == 'f':
		return s.word("false")
	case ch == 'n':
		return s.word("null")
	}
	return s.number() || s.fail(whatNotJSON)
}

func (s *scanner) array(depth int) bool {
	if depth > maxNesting {
		return s.fail(whatDeep)
	}
	s.at++
	if s.space(); s.at < len(s.row) && s.row[s.at] == ']' {
		s.at++
		return true
	}
	for {
		s.space()
		if !s.value(nil, depth) {
			return false
		}
		if s.space(); s.at == len(s.row) {
			return s.fail(whatNotJSON)
		}
		s.at++
		switch s.row[s.at-1] {
		case ',':
		case ']':
			return true
		default:
			return s.fail(whatNotJSON)
		}
	}
}

func (s *scanner) word(w string) bool {
	if len(s.row)-s.at < len(w) || string(s.row[s.at:s.at+len(w)]) != w {
		return s.fail(whatNotJSON)
	}
	s.at += len(w)
	return true
}

// str walks over a string, from its quote to behind the other.
func (s *scanner) str() bool {
	if s.at == len(s.row) || s.row[s.at] != '"' {
		return false
	}
	for i := s.at + 1; i < len(s.row); i++ {
		switch ch := s.row[i]; {
		case ch == '"':
			s.at = i + 1
			return true
		case ch < 0x20:
			return false
		case ch == '\\':
			if i++; i == len(s.row) {
				return false
			}
			switch s.row[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i == len(s.row) || !isHex(s.row[i]) {
						return false
					}
				}
			default:
				return false
			}
		}
	}
	return false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func (s *scanner) number() bool {
	i := s.at
	digits := func() bool {
		from := i
		for i < len(s.row) && s.row[i] >= '0' && s.row[i] <= '9' {
			i++
		}
		return i > from
	}
	if s.row[i] == '-' {
		i++
	}
	zero := i < len(s.row) && s.row[i] == '0'
	from := i
	if !digits() || zero && i > from+1 {
		return false
	}
	if i < len(s.row) && s.row[i] == '.' {
		if i++; !digits() {
			return false
		}
	}
	if i < len(s.row) && s.row[i]|0x20 == 'e' {
		if i++; i < len(s.row) && (s.row[i] == '+' || s.row[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	s.at = i
	return true
}
