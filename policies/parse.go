package policies

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxDocument is the longest document that is read, in bytes.
const maxDocument = 1 << 20

// Parse reads a policy document. Unknown, repeated and misspelt keys and values of the wrong kind
// are errors; all of them are reported at once, as [Errors]. name is the file's, for messages.
func Parse(name string, src []byte) (doc *Document, err error) {
	r := &reader{file: name, pos: map[string]Pos{}}
	body, errs := r.open(src)
	if errs != nil {
		return nil, errs
	}
	doc = &Document{file: name, pos: r.pos}
	r.object(body, "", map[string]func(ast.Node, string){
		"apiVersion": r.text(&doc.APIVersion), "kind": r.text(&doc.Kind),
		"metadata": func(n ast.Node, path string) {
			m := &doc.Metadata
			r.object(n, path, map[string]func(ast.Node, string){"name": r.text(&m.Name), "owner": r.text(&m.Owner), "description": r.text(&m.Description)})
		},
		"spec": func(n ast.Node, path string) { r.spec(n, path, &doc.Spec) },
	})
	if len(r.errs) > 0 {
		return nil, r.sorted()
	}
	return doc, nil
}

// reader walks the tree of a YAML document and collects what is wrong.
type reader struct {
	file string
	errs Errors
	pos  map[string]Pos
}

// open parses YAML. Anchors, aliases and merges are refused: what is written is what is meant.
func (r *reader) open(src []byte) (body ast.Node, errs error) {
	if len(src) > maxDocument {
		return nil, Errors{{r.file, 1, 1, fmt.Sprintf("document of %d bytes: the most is %d", len(src), maxDocument)}}
	}
	defer func() {
		if p := recover(); p != nil { // the YAML parser's, on bytes that are no YAML
			body, errs = nil, Errors{{r.file, 1, 1, "not a YAML document"}}
		}
	}()
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		e := Error{r.file, 1, 1, "not YAML"}
		if syntax, ok := err.(yaml.Error); ok {
			e.Msg = syntax.GetMessage()
			if t := syntax.GetToken(); t != nil && t.Position != nil {
				e.Line, e.Col = t.Position.Line, t.Position.Column
			}
		}
		return nil, Errors{e}
	}
	var docs []ast.Node
	for _, d := range file.Docs {
		if d != nil && d.Body != nil {
			docs = append(docs, d.Body)
		}
	}
	switch len(docs) {
	case 1:
		return docs[0], nil
	case 0:
		return nil, Errors{{r.file, 1, 1, "the document is empty: a policy must say something"}}
	}
	p := place(docs[1])
	return nil, Errors{{r.file, p.Line, p.Col, "a second document: one file holds one policy"}}
}

func place(n ast.Node) Pos {
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			return Pos{max(1, t.Position.Line), max(1, t.Position.Column)}
		}
	}
	return Pos{1, 1}
}

func (r *reader) fail(n ast.Node, format string, args ...any) {
	p := place(n)
	r.errs = append(r.errs, Error{r.file, p.Line, p.Col, fmt.Sprintf(format, args...)})
}

func (r *reader) sorted() Errors {
	slices.SortStableFunc(r.errs, func(a, b Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return r.errs
}

// object reads a mapping with exactly the given keys.
func (r *reader) object(n ast.Node, path string, fields map[string]func(ast.Node, string)) {
	values, ok := r.mapping(n)
	if !ok {
		return
	}
	seen := map[string]bool{}
	for _, v := range values {
		key := v.Key.String()
		set, known := fields[key]
		switch {
		case !known:
			r.fail(v.Key, "unknown key %q%s", key, suggest(key, keysOf(fields)))
		case seen[key]:
			r.fail(v.Key, "key %q occurs twice", key)
		default:
			p := strings.TrimPrefix(path+"."+key, ".")
			r.pos[p] = place(v.Value)
			r.pos[p+"#key"] = place(v.Key)
			set(v.Value, p)
		}
		seen[key] = true
	}
	r.pos[path+"#"] = place(n)
}

func (r *reader) mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	r.fail(n, "want a mapping of keys to values")
	return nil, false
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// scalar gives a value's text.
func (r *reader) scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(v.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	r.fail(n, "want a text")
	return "", false
}

func (r *reader) text(to *string) func(ast.Node, string) {
	return func(n ast.Node, _ string) {
		if v, ok := r.scalar(n); ok {
			*to = v
		}
	}
}

func (r *reader) number(to *int) func(ast.Node, string) {
	return func(n ast.Node, _ string) {
		if v, ok := r.scalar(n); ok {
			i, err := strconv.Atoi(strings.ReplaceAll(v, "_", ""))
			if err != nil || i < 0 {
				r.fail(n, "%q is not a whole number from 0 on", v)
				return
			}
			*to = i
		}
	}
}

// list calls item for each element, with its path.
func (r *reader) list(item func(n ast.Node, path string)) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			r.fail(n, "want a list")
			return
		}
		for i, v := range seq.Values {
			p := fmt.Sprintf("%s[%d]", path, i)
			r.pos[p] = place(v)
			item(v, p)
		}
	}
}

func (r *reader) spec(n ast.Node, path string, s *Spec) {
	r.object(n, path, map[string]func(ast.Node, string){
		"scope": func(n ast.Node, path string) {
			r.object(n, path, map[string]func(ast.Node, string){"bucket": r.text(&s.Scope.Bucket), "prefix": r.text(&s.Scope.Prefix)})
		},
		"schedule": r.text(&s.Schedule),
		"limits": func(n ast.Node, path string) {
			l := &s.Limits
			r.object(n, path, map[string]func(ast.Node, string){"maxShare": r.text(&l.MaxShare), "maxCount": r.number(&l.MaxCount), "approvals": r.number(&l.Approvals)})
		},
		"rules": r.list(func(n ast.Node, path string) {
			var rule Rule
			r.rule(n, path, &rule)
			s.Rules = append(s.Rules, rule)
		}),
		"otherwise": r.text(&s.Otherwise),
	})
}

func (r *reader) rule(n ast.Node, path string, rule *Rule) {
	r.object(n, path, map[string]func(ast.Node, string){
		"name": r.text(&rule.Name), "because": r.text(&rule.Because), "when": r.text(&rule.When), "then": r.text(&rule.Then),
		"pad": r.text(&rule.Pad), "fill": r.text(&rule.Fill),
		"keep": func(n ast.Node, path string) {
			rule.Keep = &Period{}
			r.object(n, path, map[string]func(ast.Node, string){"for": r.text(&rule.Keep.For), "from": r.text(&rule.Keep.From), "purpose": r.text(&rule.Keep.Purpose)})
		},
		"spans": r.list(func(n ast.Node, _ string) {
			if v, ok := r.scalar(n); ok {
				rule.Spans = append(rule.Spans, v)
			}
		}),
		"companions": func(n ast.Node, path string) {
			values, ok := r.mapping(n)
			if !ok {
				return
			}
			rule.Companions = map[string]string{}
			for _, v := range values {
				key := v.Key.String()
				if _, twice := rule.Companions[key]; twice {
					r.fail(v.Key, "key %q occurs twice", key)
				}
				text, _ := r.scalar(v.Value)
				rule.Companions[key] = text
				r.pos[path+"."+key] = place(v.Value)
			}
		},
	})
}

// suggest names the known word that a misspelt one is closest to, if one is close.
func suggest(word string, known []string) string {
	best, at := 3, ""
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < best && d < len(k) {
			best, at = d, k
		}
	}
	if at == "" {
		return "; known are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("; did you mean %q?", at)
}

// distance is the edit distance of two short words.
func distance(a, b string) int {
	if len(a) > 64 {
		a = a[:64]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
