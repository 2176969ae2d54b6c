package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxEntry is the most that one entry may be long, in bytes.
const maxEntry = 4096

// canonical writes v in the one form that entries have: RFC 8785 (JCS) restricted to objects,
// arrays, printable ASCII strings without \ and ", integers within 53 bits, and booleans.
func canonical(v any) ([]byte, error) {
	var first bytes.Buffer
	enc := json.NewEncoder(&first)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	body, _ := inOrder(make([]byte, 0, first.Len()), first.Bytes())
	if len(body) > maxEntry {
		return nil, fmt.Errorf("log entry of %d bytes: the most is %d", len(body), maxEntry)
	}
	_, err := scan(body)
	return body, err
}

// inOrder appends the JSON value that text begins with, as package json writes it, to out, with the members of
// objects in order of key. It returns what is behind the value. Decoding it, and encoding it as maps, takes long.
func inOrder(out, text []byte) (_, rest []byte) {
	switch c := text[0]; c {
	case '{':
		type member struct{ key, value []byte }
		var members []member
		for text = text[1:]; text[0] != '}'; text = bytes.TrimPrefix(text, []byte(",")) {
			m := member{key: text[:quotedLen(text)]}
			m.value, text = inOrder(nil, text[len(m.key)+1:])
			members = append(members, m)
		}
		slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.key[:len(a.key)-1], b.key[:len(b.key)-1]) })
		out = append(out, c)
		for i, m := range members {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(append(out, m.key...), ':'), m.value...)
		}
		return append(out, '}'), text[1:]
	case '[':
		out = append(out, c)
		for text = text[1:]; text[0] != ']'; {
			if out, text = inOrder(out, text); text[0] == ',' {
				out, text = append(out, ','), text[1:]
			}
		}
		return append(out, ']'), text[1:]
	case '"':
		n := quotedLen(text)
		return append(out, text[:n]...), text[n:]
	}
	n := bytes.IndexAny(text, ",]}\n")
	return append(out, text[:n]...), text[n:]
}

// quotedLen is how long the string is that text begins with.
func quotedLen(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// outline is what the checks of a whole log need to know of an entry.
type outline struct {
	id, kind, intent []byte // within the entry; intent: the id of the intent that an outcome answers
}

// scan checks that body is one canonical JSON object and picks out its outline. It allocates
// nothing, since a verifier calls it for every entry there is. Duplicate keys and
// keys out of order are refused, so that no two readers can take an entry for different things.
func scan(body []byte) (outline, error) {
	s := scanner{b: body}
	var o outline
	err := s.object(func(key []byte) error {
		switch string(key) {
		case "id":
			return s.text(&o.id)
		case "kind":
			return s.text(&o.kind)
		case "outcome":
			return s.object(func(key []byte) error {
				if string(key) == "intent_id" {
					return s.text(&o.intent)
				}
				return s.value(1)
			})
		}
		return s.value(1)
	})
	if err == nil && s.i != len(body) {
		err = errors.New("bytes after the object")
	}
	if err != nil {
		return o, fmt.Errorf("entry is not in canonical form at byte %d: %w", s.i, err)
	}
	return o, nil
}

type scanner struct {
	b []byte
	i int
}

var errShape = errors.New("unexpected byte")

func (s *scanner) eat(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) object(member func(key []byte) error) error {
	if !s.eat('{') {
		return errShape
	}
	if s.eat('}') {
		return nil
	}
	var last []byte
	for first := true; ; first = false {
		key, err := s.quoted()
		if err != nil {
			return err
		}
		if !first && bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("key %q is repeated or out of order", key)
		}
		last = key
		if !s.eat(':') {
			return errShape
		}
		if err := member(key); err != nil {
			return err
		}
		if s.eat('}') {
			return nil
		}
		if !s.eat(',') {
			return errShape
		}
	}
}

func (s *scanner) quoted() ([]byte, error) {
	if !s.eat('"') {
		return nil, errShape
	}
	from := s.i
	n := bytes.IndexByte(s.b[from:], '"')
	if n < 0 {
		return nil, errShape
	}
	text := s.b[from : from+n]
	for i, c := range text {
		if c < 0x20 || c > 0x7e || c == '\\' {
			s.i += i
			return nil, errors.New("only printable ASCII without escapes is allowed in text")
		}
	}
	s.i += n + 1
	return text, nil
}

func (s *scanner) text(to *[]byte) (err error) {
	*to, err = s.quoted()
	return err
}

func (s *scanner) value(depth int) error {
	if depth > 8 {
		return errors.New("nested too deeply")
	}
	if s.i >= len(s.b) {
		return errShape
	}
	switch c := s.b[s.i]; {
	case c == '"':
		_, err := s.quoted()
		return err
	case c == '{':
		return s.object(func([]byte) error { return s.value(depth + 1) })
	case c == '[':
		s.i++
		if s.eat(']') {
			return nil
		}
		for {
			if err := s.value(depth + 1); err != nil {
				return err
			}
			if s.eat(']') {
				return nil
			}
			if !s.eat(',') {
				return errShape
			}
		}
	case c == '-' || c >= '0' && c <= '9':
		return s.integer()
	case bytes.HasPrefix(s.b[s.i:], []byte("true")):
		s.i += 4
		return nil
	case bytes.HasPrefix(s.b[s.i:], []byte("false")):
		s.i += 5
		return nil
	}
	return errShape
}

func (s *scanner) integer() error {
	negative := s.eat('-')
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	digits := s.b[from:s.i]
	switch {
	case len(digits) == 0, len(digits) > 1 && digits[0] == '0', negative && digits[0] == '0':
		return errors.New("not an integer in its shortest form")
	case len(digits) > 16, len(digits) == 16 && string(digits) > "9007199254740991":
		return errors.New("integer beyond 53 bits")
	}
	return nil
}

// strictJSON decodes one JSON value and refuses unknown keys and bytes after it.
func strictJSON(text []byte, to any) error {
	if err := plainKeys(text); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("there is more after the first value")
	}
	return nil
}

// plainKeys refuses objects in which a key comes twice, and keys that package json would take for
// another one since it ignores case: other readers see another value there.
func plainKeys(text []byte) error {
	type object struct {
		keys map[string]bool // nil in an array
		key  bool            // a key comes next
	}
	var open []object
	for dec := json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n := len(open) - 1; n >= 0 && open[n].key {
			if name, ok := token.(string); ok {
				if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || open[n].keys[name] {
					return fmt.Errorf("the key %q comes twice, or is not in lower case", name)
				}
				open[n].keys[name], open[n].key = true, false
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, object{keys: map[string]bool{}, key: true})
			continue
		case json.Delim('['):
			open = append(open, object{})
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if n := len(open) - 1; n >= 0 {
			open[n].key = open[n].keys != nil
		}
	}
}
