package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/events"
)

// everything is an edit that does all there is to do.
func everything(s events.Shape) events.Edit {
	return events.Edit{Shape: s, Key: key, RowEdit: earshot.RowEdit{
		AsOf: now, Erase: []earshot.SubjectID{"s-1", "17"}, Held: []earshot.RowMatch{{Subject: "s-2"}, {Device: "d-9"}},
		Rules: []earshot.RowRule{
			{Name: "month", After: 30 * day, Delete: true}, {Name: "hour", After: day, Coarsen: earshot.ToHour}, {Name: "day", After: 9 * day, Coarsen: earshot.ToDay},
			{Name: "drop", Drop: []string{"model", "net.ssid"}}, {Name: "hash", After: 2 * day, Hash: []string{"app", "net.ip"}},
		},
	}}
}

// hold says what must be true of any rewrite.
func hold(t *testing.T, src []byte, e events.Edit) {
	var out bytes.Buffer
	r, err := events.Rewrite(&out, bytes.NewReader(src), e)
	if err != nil {
		return
	}
	if err := events.Verify(bytes.NewReader(src), bytes.NewReader(out.Bytes()), e); err != nil {
		t.Fatalf("%v\n%q\n%q", err, src, out.Bytes())
	}
	if !r.Touched() && !r.Gzip && !bytes.Equal(src, out.Bytes()) {
		t.Fatalf("untouched, and differs:\n%q\n%q", src, out.Bytes())
	}
	if r.Rows != r.Kept+r.Deleted+r.Erased {
		t.Fatalf("rows do not add up: %+v", r)
	}
	if !r.Next.IsZero() && !r.Next.After(e.AsOf) {
		t.Fatalf("the next date is past: %s", r.Next)
	}
	var again bytes.Buffer
	second, err := events.Rewrite(&again, bytes.NewReader(out.Bytes()), e)
	if err != nil || second.Touched() || !bytes.Equal(again.Bytes(), out.Bytes()) {
		t.Fatalf("a second rewrite differs: %v\n%q\n%q", err, out.Bytes(), again.Bytes())
	}
	// Nothing happens before the next date, and something on it.
	if r.Next.IsZero() || r.Held > 0 {
		return
	}
	e.AsOf = r.Next.Add(-time.Nanosecond)
	if early, err := events.Survey(bytes.NewReader(out.Bytes()), e); err != nil || early.Touched() {
		t.Fatalf("something is due before %s: %+v, %v", r.Next, early, err)
	}
	e.AsOf = r.Next
	if due, err := events.Survey(bytes.NewReader(out.Bytes()), e); err != nil || !due.Touched() {
		t.Fatalf("nothing is due on %s: %+v, %v\n%q", r.Next, due, err, out.Bytes())
	}
}

func FuzzJSONLines(f *testing.F) {
	for _, s := range []string{
		`{"at":"2026-11-23T10:17:32Z","who":"s-3","device":{"id":"d-1"},"model":"Pixel","net":{"ssid":"home","ip":"10.0.0.1"},"app":"x"}`,
		`{"net":{"ssid":"a"},"at":"2026-11-20T10:00:00+05:30"}` + "\n" + `{"at":"2026-11-20T23:59:59.999Z","app":12}`, `{"at":"2026-01-01T00:00:00Z","who":"s-2"}`,
		"\xef\xbb\xbf{}\r\n\n", `{"model":{"a":[1,-0.5e+3,true,null]},"at":"2026-11-24T00:00:00Z"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) { hold(t, src, everything(jsonl)) })
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{
		"at,who,device,model,app\n2026-11-23T10:17:32Z,s-3,d-1,Pixel,x\n2026-11-20T10:17:32Z,s-1,d-1,Pixel,x\n", "who,device,at\r\n\"s\"\"3\",\"a\r\nb\",2026-11-10T10:00:00Z\r\n",
		"\xef\xbb\xbfat,who,device\n", "at,who,device,net.ip\n2026-11-20T10:17:32Z,,,10.0.0.1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) { hold(t, src, everything(table)) })
}

// FuzzGrammar holds our reading of a row against the standard library's.
func FuzzGrammar(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, ` {"a" : [1,2,{"b":"\u00e9\n"}] , "c":-0.1e-7}`, `{"a":01}`, `{"a":"` + "\x01" + `"}`, `[]`, `{"a":1,}`, `{"a":"\ud800"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, row string) {
		if strings.ContainsAny(row, "\n") || strings.TrimSpace(row) == "" || strings.HasPrefix(row, "\xef\xbb\xbf") || strings.HasPrefix(row, "\x1f\x8b") {
			return
		}
		_, err := events.Survey(strings.NewReader(row), events.Edit{Shape: events.Shape{Format: events.JSONLines}})
		object := strings.HasPrefix(strings.TrimLeft(row, " \t\r"), "{")
		want := object && json.Valid([]byte(row))
		if (err == nil) != want && (err == nil || !strings.Contains(err.Error(), "nested")) {
			t.Fatalf("%q: %v, the standard library says %v", row, err, want)
		}
	})
}

func TestRandomLogs(t *testing.T) {
	for name, src := range map[string]string{
		"json": strings.Repeat(`{"at":"2026-11-23T10:17:32Z","who":"s-3","model":"Pixel"}`+"\n"+`{"at":"2026-10-01T10:17:32Z","who":"s-2"}`+"\n", 50),
	} {
		t.Run(name, func(t *testing.T) { hold(t, []byte(src), everything(jsonl)) })
	}
	if _, err := events.Survey(strings.NewReader("x"), everything(jsonl)); err == nil || errors.Is(err, events.ErrUnproved) {
		t.Error("no error")
	}
}
