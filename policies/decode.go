package policies

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder fills structs with yaml tags from syntax, strictly: every key must be known and written
// once, every value of the right kind. It collects faults and goes on.
type decoder struct {
	*faults
	places map[string]place
	// doubt has the paths of mappings in which something could not be understood: what seems to be missing
	// there may be what was meant.
	doubt map[string]bool
}

func (d *decoder) into(n ast.Node, to any) { d.value("", n, reflect.ValueOf(to).Elem(), 0) }

// value decodes n into v, which stands at path.
func (d *decoder) value(path string, n ast.Node, v reflect.Value, depth int) {
	if depth > maxDepth {
		d.add(placeOf(n), "nested too deeply: at most %d levels", maxDepth)
		return
	}
	d.places[path] = contentPlace(n)
	switch n.(type) {
	case nil:
		d.add(place{1, 1}, "%s: a value is missing", named(path))
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.add(placeOf(n), "anchors, aliases, merge keys and tags are not part of the language")
		return
	case *ast.NullNode:
		delete(d.places, path)
		d.add(placeOf(n), "%s is empty: give it a value or leave the key out", named(path))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem(), depth)
	case reflect.Struct:
		d.fields(path, n, v, depth)
	case reflect.Map:
		d.entries(path, n, v, depth)
	case reflect.Slice:
		d.items(path, n, v, depth)
	default:
		d.scalar(path, n, v)
	}
}

// pairs gives the entries of a mapping, or says that it is none.
func (d *decoder) pairs(path string, n ast.Node) []*ast.MappingValueNode {
	var all []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		all = m.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{m}
	default:
		d.add(placeOf(n), "%s: want keys with values, got %s", named(path), kindOf(n))
		return nil
	}
	seen := map[string]place{}
	out := all[:0:0]
	for _, pair := range all {
		key, ok := keyOf(pair)
		at := placeOf(pair)
		if !ok {
			d.add(at, "%s: a key must be a plain word", named(path))
			continue
		}
		if first, twice := seen[key]; twice {
			d.add(at, "key %q is written twice, first on line %d", key, first.line)
			continue
		}
		seen[key] = at
		out = append(out, pair)
	}
	return out
}

func (d *decoder) fields(path string, n ast.Node, v reflect.Value, depth int) {
	known := map[string]int{}
	var names []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			known[name] = i
			names = append(names, name)
		}
	}
	for _, pair := range d.pairs(path, n) {
		key, _ := keyOf(pair)
		i, ok := known[key]
		if !ok {
			d.add(placeOf(pair), "unknown key %q%s", key, meant(key, names))
			d.doubt[path] = true
			continue
		}
		before := len(d.list)
		d.value(join(path, key), pair.Value, v.Field(i), depth+1)
		if len(d.list) > before && !within(v.Field(i).Kind(), pair.Value) {
			d.doubt[path] = true
		}
		if _, ok := pair.Value.(*ast.MappingNode); ok {
			d.places[join(path, key)] = placeOf(pair)
		}
	}
}

// within reports whether a fault below a value is one of its parts, and not that it is of another kind than
// what it is read into.
func within(into reflect.Kind, n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return into == reflect.Struct || into == reflect.Map || into == reflect.Pointer
	case *ast.SequenceNode:
		return into == reflect.Slice
	}
	return false
}

func (d *decoder) entries(path string, n ast.Node, v reflect.Value, depth int) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, pair := range d.pairs(path, n) {
		key, _ := keyOf(pair)
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(join(path, key), pair.Value, item, depth+1)
		v.SetMapIndex(reflect.ValueOf(key), item)
	}
}

func (d *decoder) items(path string, n ast.Node, v reflect.Value, depth int) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.add(placeOf(n), "%s: want a list, got %s", named(path), kindOf(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, item := range list.Values {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i), depth+1)
	}
}

func (d *decoder) scalar(path string, n ast.Node, v reflect.Value) {
	text, ok := textOf(n)
	if !ok {
		d.add(placeOf(n), "%s: want %s, got %s", named(path), wanted(v), kindOf(n))
		return
	}
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(text); err == nil && n.Type() == ast.BoolType {
			v.SetBool(b)
			return
		}
		err = strconv.ErrSyntax
	case reflect.Int, reflect.Int64:
		var i int64
		if i, err = strconv.ParseInt(text, 10, 64); err == nil {
			v.SetInt(i)
		}
	case reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(text, 64); err == nil {
			v.SetFloat(f)
		}
	default:
		err = strconv.ErrSyntax
	}
	if err != nil {
		d.add(placeOf(n), "%s: want %s, got %q", named(path), wanted(v), text)
	}
}

// textOf gives a scalar as it was written.
func textOf(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		if s.Value == nil {
			return "", true
		}
		return s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func keyOf(pair *ast.MappingValueNode) (string, bool) {
	if pair.Key == nil {
		return "", false
	}
	if key, ok := pair.Key.(ast.Node); ok {
		if text, ok := textOf(key); ok && text != "" {
			return text, true
		}
	}
	return "", false
}

// contentPlace is where a scalar's text begins: behind the quote, or on the line after the bar.
func contentPlace(n ast.Node) place {
	at := placeOf(n)
	switch s := n.(type) {
	case *ast.StringNode:
		if s.Token != nil && len(s.Token.Origin) > 0 {
			if q := strings.TrimLeft(s.Token.Origin, " \t\r\n"); q != "" && (q[0] == '"' || q[0] == '\'') {
				at.col++
			}
		}
	case *ast.LiteralNode:
		if s.Value != nil && s.Value.GetToken() != nil && s.Value.GetToken().Position != nil {
			origin := s.Value.GetToken().Origin
			blank := len(origin) - len(strings.TrimLeft(origin, " "))
			at = place{s.Start.Position.Line + 1, blank + 1}
		}
	}
	return at
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func named(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "text"
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode, nil:
		return "nothing"
	}
	if text, ok := textOf(n); ok {
		return strconv.Quote(text)
	}
	return "something else"
}
