package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"earshot"
)

// TestWhatIsWrongWithAnImportIsNamedByItsLine: and nothing of it is stored, nor quoted.
func TestWhatIsWrongWithAnImportIsNamedByItsLine(t *testing.T) {
	for name, c := range map[string]struct {
		table     bool
		text, err string
	}{
		"aQuoteInTheFirstField":     {true, "id,declared_age\na\"b,3\n", `line 2: bare " in non-quoted-field`},
		"badRowsAmongOthers":        {true, "id,declared_age\na\nb,x\n\n,3\nc,4\n", "line 2: wrong number of fields; line 3: column declared_age cannot be read; line 5: id is missing"},
		"noTable":                   {true, "", "there is no header"},
		"aColumnTwice":              {true, "id,id\na,b\n", `the header names "id" twice`},
		"aPeriodOfNothing":          {true, "id,auto_delete\na,0d\n", "line 2: column auto_delete cannot be read"},
		"brokenText":                {true, "id\n\xff\n", "line 2: this is not UTF-8 text"},
		"twoObjectsInALine":         {false, `{"id":"a"} {"id":"b"}`, "line 1: more than one JSON object"},
		"noObject":                  {false, "null\n{\"id\":\"a\"}\n", "line 1: id is missing"},
		"brokenTextInJSON":          {false, "{\"id\":\"\xff\"}", "line 1: this is not UTF-8 text"},
		"aNegativeAge":              {false, `{"id":"a","declared_age":-4}`, "line 1: declared_age: want 0 to 150"},
		"aNameOfSeveralLines":       {false, `{"id":"a\nb"}`, "line 1: id: want at most 512 bytes, none of them a control character"},
		"aConsentToNothing":         {false, `{"id":"a","consents":[{"given_at":"2026-01-01T00:00:00Z"}]}`, "line 1: consents: one has no purpose"},
		"aConsentOfNoDate":          {false, `{"id":"a","consents":[{"purpose":"p"}]}`, "line 1: consents: one has no given_at"},
		"aConsentFromTheFuture":     {false, `{"id":"a","consents":[{"purpose":"p","given_at":"2999-01-01T00:00:00Z"}]}`, "line 1: consents: one lies in the future"},
		"withdrawnBeforeItWasGiven": {false, `{"id":"a","consents":[{"purpose":"p","given_at":"2026-01-02T00:00:00Z","withdrawn_at":"2026-01-01T00:00:00Z"}]}`, "line 1: consents: one was withdrawn before it was given"},
		"activeInTheFuture":         {false, `{"id":"a","last_active":"2999-01-01T00:00:00Z"}`, "line 1: last_active lies in the future"},
		"aLineWithoutAnEnd":         {false, "{\"id\":\"a\"}\n" + strings.Repeat("x", longestSubject+1), "line 2: longer than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			read := readSubjects
			if c.table {
				read = readSubjectsCSV
			}
			got, err := read(strings.NewReader(c.text))
			if want := "nothing was stored: " + c.err; err == nil || oneLine(err) != want || got != nil {
				t.Errorf("%v, error %v, want %s", got, err, want)
			}
		})
	}
}

// TestByteOrderMarksArePassedOver: spreadsheets write them.
func TestByteOrderMarksArePassedOver(t *testing.T) {
	for text, read := range map[string]func(string) ([]earshot.Subject, error){
		byteOrderMark + "{\"id\":\"a\"}\n": func(s string) ([]earshot.Subject, error) { return readSubjects(strings.NewReader(s)) },
		byteOrderMark + "id\na\n":          func(s string) ([]earshot.Subject, error) { return readSubjectsCSV(strings.NewReader(s)) },
	} {
		if got, err := read(text); err != nil || len(got) != 1 || got[0].ID != "a" {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestAPeriodOfNothingIsNoChoice(t *testing.T) {
	s := earshot.Subject{ID: "a", AutoDelete: 90 * 24 * time.Hour}
	if err := choose(&s, "autoDelete=0d"); err == nil || s.AutoDelete == 0 {
		t.Errorf("the choice of 90 days was taken back: %v, %v", s, err)
	}
}

// TestAWordThatIsSaidAgainLaterIsNotTakenForOneThatWasErased guards the demo's own check.
func TestAWordThatIsSaidAgainLaterIsNotTakenForOneThatWasErased(t *testing.T) {
	erased := []earshot.Redaction{{Spans: earshot.Spans{{Start: 0, End: time.Second}}}}
	text := func(at float64, all string) []byte {
		return fmt.Appendf(nil, `{"text":%q,"words":[{"word":"is","start":%g,"end":%g}]}`, all, at, at+0.2)
	}
	if err := wordsErased(text(1.5, "what is it"), "mum is away", erased); err != nil {
		t.Error(err)
	}
	if err := wordsErased(text(0.5, "what is it"), "mum is away", erased); err == nil {
		t.Error("a word that was erased by time is left, and nobody noticed")
	}
	if err := wordsErased(text(1.5, "mum is away what is it"), "mum is away", erased); err == nil {
		t.Error("the text is left, and nobody noticed")
	}
}
