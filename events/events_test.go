package events_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/events"

	"github.com/google/go-cmp/cmp"
)

const day = 24 * time.Hour

var (
	now   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	key   = []byte("sixteen bytes and more")
	jsonl = events.Shape{Format: events.JSONLines, Time: "at", Subject: "who", Device: "device.id"}
	table = events.Shape{Format: events.CSV, Time: "at", Subject: "who", Device: "device"}
)

func ago(d time.Duration) string { return now.Add(-d).Format(time.RFC3339) }

func rewrite(t *testing.T, src string, e events.Edit) (string, events.Report) {
	t.Helper()
	if e.AsOf.IsZero() {
		e.AsOf = now
	}
	e.Key = key
	var out bytes.Buffer
	report, err := events.Rewrite(&out, strings.NewReader(src), e)
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Verify(strings.NewReader(src), bytes.NewReader(out.Bytes()), e); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var again bytes.Buffer
	second, err := events.Rewrite(&again, bytes.NewReader(out.Bytes()), e)
	if err != nil {
		t.Fatal(err)
	}
	if second.Touched() || again.String() != out.String() {
		t.Errorf("a second rewrite changed something: %+v\n%s", second, again.String())
	}
	survey, err := events.Survey(strings.NewReader(src), e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, survey); diff != "" {
		t.Errorf("the survey says otherwise: %s", diff)
	}
	return out.String(), report
}

func TestRows(t *testing.T) {
	old, young := ago(40*day), ago(2*day)
	month := earshot.RowRule{Name: "month", After: 30 * day, Delete: true}
	for name, c := range map[string]struct {
		shape     events.Shape
		edit      earshot.RowEdit
		src, want string
		touched   string // deleted, erased, changed, held
	}{
		"nothingToDoIsByteExact": {jsonl, earshot.RowEdit{Rules: []earshot.RowRule{month}},
			" { \"at\" : \"" + young + "\" , \"x\":1e3}\r\n\n{\"at\":\"" + young + "\"}", " { \"at\" : \"" + young + "\" , \"x\":1e3}\r\n\n{\"at\":\"" + young + "\"}", "0 0 0 0"},
		"oldRowsGo": {jsonl, earshot.RowEdit{Rules: []earshot.RowRule{month}},
			`{"at":"` + old + `"}` + "\n" + `{"at":"` + young + `"}` + "\n", `{"at":"` + young + `"}` + "\n", "1 0 0 0"},
		"aPersonsRowsGo": {jsonl, earshot.RowEdit{Erase: []earshot.SubjectID{"s-1"}},
			`{"who":"s-1"}` + "\n" + `{"who":"s-2"}` + "\n" + `{"wh\u006f":"s\u002d1"}` + "\n" + `{"who":null}` + "\n", `{"who":"s-2"}` + "\n" + `{"who":null}` + "\n", "0 2 0 0"},
		"aNumberNamesAPersonToo": {jsonl, earshot.RowEdit{Erase: []earshot.SubjectID{"17"}}, `{"who":17}` + "\n{}\n", "{}\n", "0 1 0 0"},
		"aHeldRowStays": {jsonl, earshot.RowEdit{Rules: []earshot.RowRule{month}, Erase: []earshot.SubjectID{"s-1"}, Held: []earshot.RowMatch{{Subject: "s-1"}}},
			`{"who":"s-1","at":"` + old + `"}` + "\n", `{"who":"s-1","at":"` + old + `"}` + "\n", "0 0 0 1"},
		"aHoldOnADevice": {jsonl, earshot.RowEdit{Rules: []earshot.RowRule{month}, Held: []earshot.RowMatch{{Device: "d1"}}},
			`{"device":{"id":"d1"},"at":"` + old + `"}` + "\n" + `{"device":{"id":"d2"},"at":"` + old + `"}` + "\n", `{"device":{"id":"d1"},"at":"` + old + `"}` + "\n", "1 0 0 1"},
		"aHoldOnATime": {jsonl, earshot.RowEdit{Rules: []earshot.RowRule{month}, Held: []earshot.RowMatch{{From: now.Add(-50 * day), To: now.Add(-35 * day)}}},
			`{"at":"` + old + `"}` + "\n" + `{"at":"` + ago(60*day) + `"}` + "\n", `{"at":"` + old + `"}` + "\n", "1 0 0 1"},
		"timesGetCoarse": {jsonl, earshot.RowEdit{Rules: []earshot.RowRule{{Name: "hour", After: 7 * day, Coarsen: earshot.ToHour}}},
			`{"at":"2026-11-01T10:17:32.5+01:00","x":"é"}` + "\n" + `{"at":"` + young + `"}` + "\n", `{"at":"2026-11-01T10:00:00+01:00","x":"é"}` + "\n" + `{"at":"` + young + `"}` + "\n", "0 0 1 0"},
		"columnsAreDropped": {jsonl, earshot.RowEdit{Rules: []earshot.RowRule{{Name: "drop", Drop: []string{"a", "b", "net.ssid"}}}},
			`{"a":1,"b":2,"c":3,"net":{"ssid":"home"}}` + "\n" + `{ "c" : 3 , "a":1 , "b":{"x":[1,"}"]} }` + "\n" + `{"b":1}` + "\n" + `{"net":{"up":true,"ssid":"x","n":1},"a":null}` + "\n",
			`{"c":3,"net":{}}` + "\n" + `{ "c" : 3 }` + "\n" + `{}` + "\n" + `{"net":{"up":true,"n":1}}` + "\n", "0 0 4 0"},
		"csvOldRowsGo": {table, earshot.RowEdit{Rules: []earshot.RowRule{month}},
			"at,who,note\r\n" + old + ",s-1,\"a\r\nb\"\r\n" + young + ",s-2,\"say \"\"hi\"\"\"\r\n", "at,who,note\r\n" + young + ",s-2,\"say \"\"hi\"\"\"\r\n", "1 0 0 0"},
		"csvAPersonsRowsGo": {table, earshot.RowEdit{Erase: []earshot.SubjectID{"s-1", `x"y`}}, "who,x\ns-1,1\n\"s-1\",2\n\"x\"\"y\",3\ns-2,4", "who,x\ns-2,4", "0 3 0 0"},
		"csvColumnsAreEmptied": {events.Shape{Format: events.CSV, Comma: ';'}, earshot.RowEdit{Rules: []earshot.RowRule{{Name: "drop", Drop: []string{"model"}}}},
			"\xef\xbb\xbfmodel;x\nPixel;1\n;2\n", "\xef\xbb\xbfmodel;x\n;1\n;2\n", "0 0 1 0"},
		"unixTimes": {events.Shape{Format: events.JSONLines, Time: "t", TimeLayout: "unix"}, earshot.RowEdit{Rules: []earshot.RowRule{{Name: "c", Coarsen: earshot.ToDay}}},
			`{"t":1790000000.25}` + "\n" + `{"t":"1790000000"}` + "\n", `{"t":1789948800}` + "\n" + `{"t":"1789948800"}` + "\n", "0 0 2 0"},
		"milliseconds": {events.Shape{Format: events.JSONLines, Time: "t", TimeLayout: "unixms"}, earshot.RowEdit{Rules: []earshot.RowRule{{Name: "c", Coarsen: earshot.ToMinute}}},
			`{"t":1790000012345}` + "\n", `{"t":1789999980000}` + "\n", "0 0 1 0"},
	} {
		t.Run(name, func(t *testing.T) {
			got, r := rewrite(t, c.src, events.Edit{Shape: c.shape, RowEdit: c.edit})
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if touched := fmt.Sprint(r.Deleted, r.Erased, r.Changed, r.Held); touched != c.touched {
				t.Errorf("deleted, erased, changed, held: %s, want %s", touched, c.touched)
			}
		})
	}
}

func TestPseudonymsAreTheSameForTheSameValueAndTellNothing(t *testing.T) {
	e := events.Edit{Shape: jsonl, RowEdit: earshot.RowEdit{Rules: []earshot.RowRule{{Name: "h", Hash: []string{"net", "model"}}}}}
	got, _ := rewrite(t, `{"net":"home","model":"home"}`+"\n"+`{"net":"home"}`+"\n"+`{"net":"h1-0123456789abcdef0123456789abcdef-00000000"}`+"\n", e)
	if strings.Contains(got, "home") || strings.Contains(got, "00000000") {
		t.Errorf("values are still there: %s", got)
	}
	lines := strings.Split(got, "\n")
	first := strings.Split(lines[0], `"`)
	if !strings.Contains(lines[1], first[3]) || first[3] == first[7] {
		t.Errorf("pseudonyms are not by column and value: %s", got)
	}
	var other bytes.Buffer
	e.AsOf, e.Key = now, []byte("another key of some length")
	if _, err := events.Rewrite(&other, strings.NewReader(`{"net":"home"}`), e); err != nil || strings.Contains(lines[1], other.String()[8:40]) {
		t.Errorf("another key gives the same: %s, %v", other.String(), err)
	}
}

func TestNextIsWhenTheNextRowComesDue(t *testing.T) {
	rules := []earshot.RowRule{
		{Name: "hour", After: 7 * day, Coarsen: earshot.ToHour},
		{Name: "model", After: 10 * day, Drop: []string{"model"}},
		{Name: "gone", After: 30 * day, Delete: true},
	}
	for at, want := range map[string]time.Duration{
		"2026-11-20T10:17:00Z": 7 * day,  // then its time is cut down
		"2026-11-20T10:00:00Z": 30 * day, // its time is coarse enough, it has no model
	} {
		_, r := rewrite(t, `{"at":"`+at+`"}`, events.Edit{Shape: jsonl, RowEdit: earshot.RowEdit{Rules: rules}})
		end := time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC) // a coarse time counts from its end
		if !r.Next.Equal(end.Add(want)) {
			t.Errorf("%s: next %s, want %s", at, r.Next, end.Add(want))
		}
	}
}

func TestMalformedRowsStopTheWorkAndAreNotQuoted(t *testing.T) {
	rules := []earshot.RowRule{{Name: "month", After: 30 * day, Delete: true}}
	good := `{"at":"` + ago(day) + `","who":"s-1"}` + "\n"
	for name, c := range map[string]struct {
		shape        events.Shape
		src          string
		line, offset int64
	}{
		"notJSON":        {jsonl, good + `{"at":"secret`, 2, int64(len(good))},
		"trailing":       {jsonl, good + `{} {}`, 2, int64(len(good))},
		"anArray":        {jsonl, `["secret"]`, 1, 0},
		"noTime":         {jsonl, good + good + `{"who":"secret"}`, 3, int64(2 * len(good))},
		"aTimeTwice":     {jsonl, `{"at":"` + ago(day) + `","\u0061t":"` + ago(90*day) + `"}`, 1, 0},
		"beforeOurTime":  {jsonl, `{"at":"1970-01-01T00:00:00Z"}`, 1, 0},
		"theFuture":      {jsonl, `{"at":"2036-01-01T00:00:00Z"}`, 1, 0},
		"whoIsAnObject":  {jsonl, `{"at":"` + ago(day) + `","who":{"id":"secret"}}`, 1, 0},
		"deep":           {jsonl, `{"a":` + strings.Repeat("[", 100), 1, 0},
		"long":           {jsonl, `{"a":"` + strings.Repeat("secret", 1<<18) + `"}`, 1, 0},
		"fields":         {table, "at,who\n" + ago(day) + ",s-1,secret\n", 2, 7},
		"bareQuote":      {table, "at,who\n" + ago(day) + ",sec\"ret\"\n", 2, 7},
		"openQuote":      {table, "at,who\n" + ago(day) + ",\"secret\n", 2, 7},
		"noColumn":       {table, "when,who\n1,secret\n", 1, 0},
		"noHeader":       {table, "", 1, 0},
		"columnTwice":    {table, "at,who,at\n", 1, 0},
		"brokenGzip":     {jsonl, "\x1f\x8b\x08secret", 0, 0},
		"headerOnlyGzip": {jsonl, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := events.Edit{Shape: c.shape, RowEdit: earshot.RowEdit{AsOf: now, Rules: rules, Erase: []earshot.SubjectID{"s-9"}}}
			_, err := events.Rewrite(io.Discard, strings.NewReader(c.src), e)
			var at *events.RowError
			if !errors.As(err, &at) {
				t.Fatalf("error %v, want a RowError", err)
			}
			if at.Line != c.line || at.Offset != c.offset {
				t.Errorf("line %d, offset %d: want %d, %d (%v)", at.Line, at.Offset, c.line, c.offset, err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the row: %v", err)
			}
		})
	}
}

func TestGzipStaysGzip(t *testing.T) {
	var src bytes.Buffer
	for _, part := range []string{`{"at":"` + ago(40*day) + `"}` + "\n", `{"at":"` + ago(day) + `"}` + "\n"} { // two members
		w := gzip.NewWriter(&src)
		w.Name = "of-somebody.jsonl"
		_, _ = w.Write([]byte(part))
		_ = w.Close()
	}
	e := events.Edit{Shape: jsonl, RowEdit: earshot.RowEdit{AsOf: now, Rules: []earshot.RowRule{{Name: "month", After: 30 * day, Delete: true}}}}
	var out bytes.Buffer
	r, err := events.Rewrite(&out, bytes.NewReader(src.Bytes()), e)
	if err != nil || !r.Gzip || r.Deleted != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zr)
	if err != nil || string(plain) != `{"at":"`+ago(day)+`"}`+"\n" || zr.Name != "" {
		t.Errorf("%q, name %q, %v", plain, zr.Name, err)
	}
	if err := events.Verify(bytes.NewReader(src.Bytes()), bytes.NewReader(out.Bytes()), e); err != nil {
		t.Error(err)
	}
}

func TestVerifyNoticesWhatRewriteGotWrong(t *testing.T) {
	e := events.Edit{Shape: jsonl, Key: key, RowEdit: earshot.RowEdit{AsOf: now, Rules: []earshot.RowRule{
		{Name: "month", After: 30 * day, Delete: true}, {Name: "drop", Drop: []string{"model"}}, {Name: "hour", Coarsen: earshot.ToHour},
	}}}
	old, young, other := `{"at":"2026-09-01T10:00:00Z"}`+"\n", `{"at":"2026-11-20T10:00:00Z","x":1}`+"\n", `{"at":"2026-11-20T10:11:12Z","model":"m","y":2}`+"\n"
	src, right := old+young+other, young+`{"at":"2026-11-20T10:00:00Z","y":2}`+"\n"
	check := func(out string) error { return events.Verify(strings.NewReader(src), strings.NewReader(out), e) }
	if err := check(right); err != nil {
		t.Fatal(err)
	}
	for name, out := range map[string]string{
		"left": old + right, "missing": young, "added": right + young, "space": strings.Replace(right, `,"x"`, `, "x"`, 1),
		"model": strings.Replace(right, `"y"`, `"model":"m","y"`, 1), "minute": strings.Replace(right, `10:00:00Z","y"`, `10:11:00Z","y"`, 1),
		"other": strings.Replace(right, `"y":2`, `"y":3`, 1), "order": `{"at":"2026-11-20T10:00:00Z","y":2}` + "\n" + young, "empty": "",
	} {
		if err := check(out); !errors.Is(err, events.ErrUnproved) {
			t.Errorf("%s: %v, want ErrUnproved", name, err)
		}
	}
}

func TestExtract(t *testing.T) {
	var out bytes.Buffer
	n, err := events.Extract(&out, strings.NewReader("who,x\ns-1,1\ns-2,2\ns-1,3"), events.Shape{Format: events.CSV, Subject: "who"}, "s-1")
	if err != nil || n != 2 || out.String() != "who,x\ns-1,1\ns-1,3\n" {
		t.Errorf("%d rows, %q, %v", n, out.String(), err)
	}
}

func TestEditsThatCannotBeMeant(t *testing.T) {
	for name, e := range map[string]events.Edit{
		"noFormat":     {},
		"noTimes":      {Shape: events.Shape{Format: events.CSV}, RowEdit: earshot.RowEdit{AsOf: now, Rules: []earshot.RowRule{{After: day, Delete: true}}}},
		"dropsTheTime": {Shape: jsonl, RowEdit: earshot.RowEdit{Rules: []earshot.RowRule{{Drop: []string{"at"}}}}},
		"dropsAbove":   {Shape: jsonl, RowEdit: earshot.RowEdit{Rules: []earshot.RowRule{{Drop: []string{"device"}}}}},
		"noKey":        {Shape: jsonl, RowEdit: earshot.RowEdit{Rules: []earshot.RowRule{{Hash: []string{"x"}}}}},
		"noSubjects":   {Shape: events.Shape{Format: events.CSV}, RowEdit: earshot.RowEdit{Erase: []earshot.SubjectID{"x"}}},
		"holdOnWhat":   {Shape: events.Shape{Format: events.CSV}, RowEdit: earshot.RowEdit{Held: []earshot.RowMatch{{Device: "x"}}}},
		"week":         {Shape: jsonl, RowEdit: earshot.RowEdit{Rules: []earshot.RowRule{{Coarsen: "week"}}}},
	} {
		if _, err := events.Survey(strings.NewReader(""), e); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
