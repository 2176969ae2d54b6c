package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"earshot"
	"earshot/policies"
)

// subjectLine is a data subject as JSON Lines have it, with periods that people can write.
type subjectLine struct {
	earshot.Subject
	AutoDelete string `json:"auto_delete,omitempty"` // 90d, 2160h
}

// What is read of data subjects at most.
const (
	longestSubject = 1 << 20 // bytes of a line
	longestID      = 512
	mostFaults     = 100 // that are named
)

// faultyLines collects what is wrong with an import, so that it is all named at once.
type faultyLines []error

func (f *faultyLines) add(line int, err error) { *f = append(*f, fmt.Errorf("line %d: %w", line, err)) }

func (f faultyLines) err() error {
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("nothing was stored: %w", errors.Join(f...))
}

// byteOrderMark is what spreadsheets write before the first line.
const byteOrderMark = "\ufeff"

// readSubjects reads all lines before anything is stored, and names every one that is wrong.
func readSubjects(r io.Reader) ([]earshot.Subject, error) {
	var out []earshot.Subject
	var faults faultyLines
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestSubject)
	n := 0
	for lines.Scan() && len(faults) < mostFaults {
		n++
		text := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte(byteOrderMark)))
		if len(text) == 0 {
			continue
		}
		s, err := readSubject(text)
		if err != nil {
			faults.add(n, err)
		}
		out = append(out, s)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		faults.add(n+1, fmt.Errorf("longer than %d bytes", longestSubject))
	} else if err != nil {
		faults.add(n+1, err)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func readSubject(text []byte) (earshot.Subject, error) {
	var s subjectLine
	if !utf8.Valid(text) { // two broken names would become one
		return s.Subject, errNotUTF8
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s.Subject, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return s.Subject, errors.New("more than one JSON object")
	}
	if s.AutoDelete != "" {
		d, err := ownPeriod(s.AutoDelete)
		if err != nil {
			return s.Subject, fmt.Errorf("auto_delete: %w", err)
		}
		s.Subject.AutoDelete = d
	}
	return s.Subject, completeSubject(&s.Subject, time.Now())
}

var errNotUTF8 = errors.New("this is not UTF-8 text")

// ownPeriod reads the period that a person chose. None at all would read as no choice.
func ownPeriod(text string) (time.Duration, error) {
	d, err := policies.ParseLength(text)
	if err == nil && d == 0 {
		err = errors.New("a period of nothing: say dontSave where nothing is to be saved")
	}
	return d, err
}

// completeSubject names whose the consents are, and refuses what cannot be meant: rules would act on it.
func completeSubject(s *earshot.Subject, now time.Time) error {
	soon := now.Add(24 * time.Hour) // clocks differ, and so do days
	switch {
	case s.ID == "":
		return errors.New("id is missing")
	case len(s.ID) > longestID || strings.ContainsFunc(string(s.ID), unicode.IsControl):
		return fmt.Errorf("id: want at most %d bytes, none of them a control character", longestID)
	case s.DeclaredAge != nil && (*s.DeclaredAge < 0 || *s.DeclaredAge > 150):
		return errors.New("declared_age: want 0 to 150")
	case s.LastActive.After(soon):
		return errors.New("last_active lies in the future")
	}
	for i := range s.Consents {
		c := &s.Consents[i]
		c.Subject = s.ID
		switch {
		case c.Purpose == "":
			return errors.New("consents: one has no purpose")
		case c.GivenAt.IsZero():
			return errors.New("consents: one has no given_at")
		case c.GivenAt.After(soon) || c.WithdrawnAt.After(soon):
			return errors.New("consents: one lies in the future")
		case !c.WithdrawnAt.IsZero() && c.WithdrawnAt.Before(c.GivenAt):
			return errors.New("consents: one was withdrawn before it was given")
		}
	}
	return nil
}

// readSubjectsCSV reads data subjects from a table with a header of the names that JSON Lines have;
// consents are written as purpose=day, several separated by spaces.
func readSubjectsCSV(r io.Reader) ([]earshot.Subject, error) {
	table := csv.NewReader(r)
	header, err := table.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("nothing was stored: there is no header")
	}
	if err != nil {
		return nil, fmt.Errorf("nothing was stored: the header: %w", err)
	}
	header[0] = strings.TrimPrefix(header[0], byteOrderMark)
	for i, name := range header {
		if strings.Contains("\n"+strings.Join(header[:i], "\n")+"\n", "\n"+name+"\n") {
			return nil, fmt.Errorf("nothing was stored: the header names %q twice", name)
		}
	}
	var out []earshot.Subject
	var faults faultyLines
	for len(faults) < mostFaults {
		row, err := table.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var bad *csv.ParseError
		if errors.As(err, &bad) { // the reader has no place of a field that it could not read
			faults.add(bad.Line, bad.Err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("nothing was stored: %w", err)
		}
		s, err := subjectOf(header, row)
		if err != nil {
			line, _ := table.FieldPos(0)
			faults.add(line, err)
		}
		out = append(out, s)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func subjectOf(header, row []string) (s earshot.Subject, err error) {
	for i, name := range header {
		text := strings.TrimSpace(row[i])
		if text == "" {
			continue
		}
		if !utf8.ValidString(text) {
			return s, errNotUTF8
		}
		if err := subjectField(&s, name, text); err != nil {
			return s, err
		}
	}
	return s, completeSubject(&s, time.Now())
}

func subjectField(s *earshot.Subject, name, text string) (err error) {
	switch name {
	case "id":
		s.ID = earshot.SubjectID(text)
	case "last_active":
		s.LastActive, err = momentOf(text)
	case "declared_age":
		var n int
		n, err = strconv.Atoi(text)
		s.DeclaredAge = &n
	case "declared_minor":
		var yes bool
		yes, err = strconv.ParseBool(text)
		s.DeclaredMinor = &yes
	case "auto_delete":
		s.AutoDelete, err = ownPeriod(text)
	case "dont_save":
		s.DontSave, err = strconv.ParseBool(text)
	case "no_human_review":
		s.NoHumanReview, err = strconv.ParseBool(text)
	case "consents":
		for word := range strings.FieldsSeq(text) {
			purpose, day, _ := strings.Cut(word, "=")
			at, dayErr := time.Parse(time.DateOnly, day)
			if dayErr != nil || purpose == "" {
				return errors.New("consents: want purpose=2026-01-31, several separated by spaces")
			}
			s.Consents = append(s.Consents, earshot.Consent{Purpose: purpose, GivenAt: at})
		}
	default:
		return fmt.Errorf("column %q: want id, last_active, declared_age, declared_minor, auto_delete, dont_save, no_human_review or consents", name)
	}
	if err != nil { // without the value, which may be personal
		return fmt.Errorf("column %s cannot be read", name)
	}
	return nil
}
