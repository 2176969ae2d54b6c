package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing wrong with a document, and where. Line and Col count from 1; both are 0 where
// the fault is no one place's.
type Error struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
	Msg  string `json:"msg"`
}

// Error gives file:line:col: message.
func (e Error) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg) }

// Errors is everything wrong with a document, in order of position. It is never empty when returned
// as an error.
type Errors []Error

// Error gives one line for each fault.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes each fault visible to errors.As.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}

// place is where a value stands in a file.
type place struct{ line, col int }

// faults collects what is wrong with one file.
type faults struct {
	file string
	list Errors
}

func (f *faults) add(at place, format string, args ...any) {
	const most = 100
	if len(f.list) < most {
		f.list = append(f.list, Error{f.file, at.line, at.col, fmt.Sprintf(format, args...)})
	}
}

// err is nil where nothing is wrong.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return f.list
}

// meant suggests which of the known words was meant: `, did you mean "x"?`, or what there is.
func meant(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := edits(strings.ToLower(word), strings.ToLower(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(", did you mean %q?", best)
	case len(known) > 0:
		return ", want " + oneOf(known)
	}
	return ""
}

// oneOf lists words: a, b or c.
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// edits is the number of letters to insert, delete or replace (Levenshtein), words over 64 bytes
// being as far from everything as can be.
func edits(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(diagonal+cost, above+1, row[j]+1)
			diagonal = above
		}
	}
	return row[len(b)]
}
