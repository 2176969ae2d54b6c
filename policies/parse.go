package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The bounds of what is read: a policy is written by people. The YAML library takes time with the
// square of the number of keys: half a second for the worst document of this size, minutes for one
// of 1 MB.
const (
	maxSource = 64 << 10 // bytes
	maxDepth  = 32       // of nesting
)

// Parse reads one YAML document. name is the file's name for messages. The error is [Errors]: all
// that is wrong with syntax, keys and kinds of value, and then also what Compile finds wrong in the rest.
// Of a document whose keys and values are right it does not check what they mean: see [Compile].
func Parse(name string, src []byte) (*Document, error) {
	d := &Document{file: name}
	f := &faults{file: name}
	body := parseYAML(f, src)
	if body == nil {
		return nil, f.err()
	}
	dec := decoder{faults: f, places: map[string]place{}, doubt: map[string]bool{}}
	dec.into(body, d)
	d.places, d.doubt = dec.places, dec.doubt
	noEmptyWords(f, d)
	if f.err() == nil {
		return d, nil
	}
	f.others(d)
	return nil, f.err()
}

// others adds what Compile would find wrong in the rest of a document that could not be read whole, so
// that everything is said at once.
func (f *faults) others(d *Document) {
	var more Errors
	if _, err := Compile(d); !errors.As(err, &more) {
		return
	}
	for _, m := range more {
		if !slices.ContainsFunc(f.list, func(e Error) bool { return e.Line == m.Line && e.Col == m.Col }) {
			f.list = append(f.list, m)
		}
	}
}

// noEmptyWords finds keys that are written and say nothing: an empty condition must not mean always.
func noEmptyWords(f *faults, d *Document) {
	empty := func(path, value string) {
		if at, written := d.places[path]; written && strings.TrimSpace(value) == "" {
			f.add(at, "%s is empty: give it a value or leave the key out", path)
			d.doubt[path[:strings.LastIndexByte(path, '.')]] = true
		}
	}
	empty("spec.schedule", d.Spec.Schedule)
	for i, r := range d.Spec.Rules {
		empty(elem("spec.rules", i)+".when", r.When)
		empty(elem("spec.rules", i)+".pad", r.Pad)
		empty(elem("spec.rules", i)+".fill", r.Fill)
	}
	for i, r := range d.Spec.Rows {
		empty(elem("spec.rows", i)+".after", r.After)
		empty(elem("spec.rows", i)+".coarsen", r.Coarsen)
	}
}

// parseYAML gives the body of the only document in src, or nil and at least one fault.
func parseYAML(f *faults, src []byte) ast.Node {
	start := place{1, 1}
	switch {
	case len(src) > maxSource:
		f.add(start, "%d bytes are too many: at most %d", len(src), maxSource)
		return nil
	case !utf8.Valid(src):
		f.add(start, "this is not UTF-8 text")
		return nil
	}
	if at, ok := tooDeep(src); ok {
		f.add(at, "nested too deeply: at most %d levels", maxDepth)
		return nil
	}
	file, err := safely(src)
	if err != nil {
		var at *yaml.SyntaxError
		if errors.As(err, &at) && at.Token != nil && at.Token.Position != nil {
			f.add(place{at.Token.Position.Line, at.Token.Position.Column}, "%s", at.Message)
		} else {
			f.add(start, "%s", err)
		}
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc == nil || doc.Body == nil || doc.Body.Type() == ast.CommentType:
		case doc.Body.Type() == ast.DirectiveType:
		case body != nil:
			f.add(placeOf(doc.Body), "a second document: one file holds one")
			return nil
		default:
			body = doc.Body
		}
	}
	if body == nil {
		f.add(start, "the document is empty")
	}
	return body
}

// safely parses YAML. The library has been seen to panic on odd input; that is the input's fault.
func safely(src []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("this is not YAML: %v", r)
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
}

// tooDeep bounds nesting before the parser, which recurses, sees it. It counts brackets in flow
// style and dashes, question marks and colons that open a level on one line; quoted text may count
// too, which errs on the safe side.
func tooDeep(src []byte) (place, bool) {
	line, col, flow, dashes := 1, 0, 0, 0
	for i, c := range src {
		col++
		switch c {
		case '\n':
			line, col, dashes = line+1, 0, 0
		case '[', '{':
			flow++
		case ']', '}':
			flow = max(0, flow-1)
		case '-', '?', ':':
			if i+1 == len(src) || src[i+1] == ' ' || src[i+1] == '\t' || src[i+1] == '\n' || src[i+1] == '\r' {
				dashes++
			}
		}
		if flow > maxDepth || dashes > 8*maxDepth {
			return place{line, col}, true
		}
	}
	return place{}, false
}

// placeOf is where a node begins.
func placeOf(n ast.Node) place {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return place{1, 1}
	}
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 && m.Values[0].Key != nil && !m.IsFlowStyle {
			return placeOf(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		if m.Key != nil {
			return placeOf(m.Key)
		}
	}
	p := n.GetToken().Position
	return place{p.Line, p.Column}
}
