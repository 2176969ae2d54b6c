package events

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// How the verifier reads a row: with the standard library, and by names as the edit speaks of them.

// few reads no more of a row than the columns that the edit speaks of.
func (v *verifier) few(row []byte) (map[string]any, error) {
	if v.Format == CSV {
		return v.values(row)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(row, &all); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, column := range v.columns() {
		first, _, _ := strings.Cut(column, ".")
		raw, there := all[first]
		if _, done := out[first]; done || !there {
			continue
		}
		value, err := valueOf(raw)
		if err != nil {
			return nil, err
		}
		out[first] = value
	}
	return out, nil
}

// valueOf reads one value.
func valueOf(raw json.RawMessage) (any, error) {
	switch c := raw[0]; {
	case c == '"' && bytes.IndexByte(raw, '\\') < 0:
		return strings.ToValidUTF8(string(raw[1:len(raw)-1]), "\ufffd"), nil
	case c == '-' || c >= '0' && c <= '9':
		return json.Number(raw), nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	err := dec.Decode(&value)
	return value, err
}

// columns are those that the edit speaks of.
func (v *verifier) columns() []string {
	if v.speaks == nil {
		v.speaks = []string{v.Time, v.Subject, v.Device}
		for _, r := range v.Rules {
			v.speaks = append(append(v.speaks, r.Drop...), r.Hash...)
		}
		v.speaks = slices.DeleteFunc(v.speaks, func(c string) bool { return c == "" })
	}
	return v.speaks
}

func (v *verifier) fields(row []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(row))
	if r.Comma = rune(v.Comma); v.Comma == 0 {
		r.Comma = ','
	}
	return r.Read()
}

// values reads a row as names with values.
func (v *verifier) values(row []byte) (map[string]any, error) {
	out := map[string]any{}
	if v.Format == CSV {
		fields, err := v.fields(row)
		if err != nil {
			return nil, err
		}
		if len(fields) != len(v.header) {
			return nil, errors.New(whatFields)
		}
		for i, f := range fields {
			out[v.header[i]] = f
		}
		return out, nil
	}
	dec := json.NewDecoder(bytes.NewReader(row))
	dec.UseNumber()
	return out, dec.Decode(&out)
}

// holder finds the object that a column is in, and its name there.
func (v *verifier) holder(in map[string]any, column string) (map[string]any, string) {
	if v.Format == CSV {
		return in, column
	}
	for {
		first, rest, nested := strings.Cut(column, ".")
		if !nested {
			return in, column
		}
		below, ok := in[first].(map[string]any)
		if !ok {
			return nil, ""
		}
		in, column = below, rest
	}
}

func (v *verifier) text(in map[string]any, column string) (text string, there bool) {
	at, name := v.holder(in, column)
	switch value := at[name].(type) {
	case string:
		return value, value != "" || v.Format != CSV
	case json.Number:
		return value.String(), true
	}
	return "", false
}
