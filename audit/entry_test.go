package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"earshot/audit"
)

func TestParseRefusesWhatReadersCouldTakeForDifferentThings(t *testing.T) {
	good := string(leafOf(t, entry(t, audit.KindOutcome, 1)).Body)
	if _, err := audit.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"duplicateKey":   strings.Replace(good, `"kind":`, `"kind":"skip","kind":`, 1),
		"caseVariant":    strings.Replace(good, `"kind":`, `"Kind":`, 1),
		"unknownKey":     strings.Replace(good, `"v":1`, `"v":1,"x":2`, 1),
		"space":          strings.Replace(good, `,"kind"`, `, "kind"`, 1),
		"otherVersion":   strings.Replace(good, `"v":1`, `"v":2`, 1),
		"float":          strings.Replace(good, `"v":1`, `"v":1.0`, 1),
		"escape":         strings.Replace(good, `"ok"`, `"\u006fk"`, 1),
		"trailing":       good + " ",
		"outOfOrder":     `{"v":1,"id":"x"}`,
		"hugeInteger":    strings.Replace(good, `"v":1`, `"v":9007199254740993`, 1),
		"nestedTooDeep":  strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40),
		"empty":          "",
		"notAnObject":    "[]",
		"unfinishedText": `{"id":"`,
	} {
		if e, err := audit.Parse([]byte(text)); err == nil {
			t.Errorf("%s was read as %+v", name, e)
		}
	}
}

// TestEntriesAreWrittenInOrderOfKey: with all that an entry can say at once, as with little.
func TestEntriesAreWrittenInOrderOfKey(t *testing.T) {
	all, little := audit.Entry{}, entry(t, audit.KindOutcome, 1)
	fill(reflect.ValueOf(&all).Elem())
	all.ID = little.ID
	for _, e := range []audit.Entry{all, little} {
		e.V = 1
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		var tree any
		if err := dec.Decode(&tree); err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want) // which writes maps in order of key
		enc.SetEscapeHTML(false)
		if err := enc.Encode(tree); err != nil {
			t.Fatal(err)
		}
		if got := string(leafOf(t, e).Body) + "\n"; got != want.String() {
			t.Errorf("got  %swant %s", got, want.String())
		}
	}
	for _, text := range []string{`a"b`, `a\b`, "a\nb", "ü", "\u2028", "\xff", "\x7f"} {
		e := little
		e.Producer = text
		if _, err := e.Leaf(); err == nil {
			t.Errorf("%q was written", text)
		}
	}
}

// fill gives a value to all that a struct has.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i))
		}
	case reflect.String:
		v.SetString("<&>{[,]}:")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(7)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":"0123456789abcdef0123456789abcdef","kind":"genesis","ts":1,"v":1}`))
	f.Add([]byte(`{"id":"0","kind":"outcome","outcome":{"intent_id":"x"},"ts":1,"v":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := audit.Parse(body)
		if err != nil {
			return
		}
		if len(e.ID) != 32 || e.TS <= 0 {
			return // Leaf would refuse it; Parse only reads
		}
		l, err := e.Leaf()
		if err != nil || string(l.Body) != string(body) {
			t.Errorf("read %q and would write %q (%v)", body, l.Body, err)
		}
	})
}

func TestKeysAreSecretAndNeverOverwritten(t *testing.T) {
	dir := t.TempDir()
	if _, err := audit.CreateKeys(dir, "example.org/log"); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.CreateKeys(dir, "example.org/log"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("making keys twice: got %v, want fs.ErrExist", err)
	}
	if _, err := audit.OpenKeys(dir); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(dir+"/log.key", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenKeys(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: got %v", err)
	}
}

func TestTagsOfOneNameDifferInEveryEntry(t *testing.T) {
	tagger, err := audit.NewTagger(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, id := range []string{"a", "b"} {
		for _, label := range []string{"recording", "subject"} {
			seen[tagger.Tag(label, id, "clips/1")] = true
		}
	}
	if len(seen) != 4 || !seen[tagger.Tag("recording", "a", "clips/1")] {
		t.Errorf("tags: %v", seen)
	}
	if _, err := audit.NewTagger(make([]byte, 16)); err == nil {
		t.Error("a short key was taken")
	}
}

// TestTheFormatNamesAllKinds, and no others.
func TestTheFormatNamesAllKinds(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, ok := strings.Cut(string(text), "| `kind` | ")
	row, _, _ = strings.Cut(row, " |")
	if !ok {
		t.Fatal("FORMAT.md has no row of kinds")
	}
	var want, got []string
	for _, k := range audit.Kinds() {
		want = append(want, string(k))
	}
	for _, k := range strings.Fields(row) {
		got = append(got, strings.Trim(k, "`"))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("FORMAT.md has %v\nwant %v", got, want)
	}
}
