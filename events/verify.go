package events

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"earshot"
)

// ErrUnproved means that what was written could not be shown to be what should have been. Keep the
// source.
var ErrUnproved = errors.New("the rewritten event log could not be verified")

// Verify reads a log and what [Rewrite] made of it with the standard library's readers, and none of the
// code that made it: no row of out is one that should have gone, none is missing or added, rows that
// should have stayed as they were did, byte by byte, and in the others nothing differs but what should.
// Anything else is [ErrUnproved]. [Edit.Erased] is called from several goroutines.
func Verify(src, out io.Reader, e Edit) error {
	v := &verifier{Edit: e, coarsest: coarsest(e.Rules), names: newPseudonyms(e.Key)}
	for _, s := range []struct {
		from io.Reader
		to   *plainRows
	}{{src, &v.src}, {out, &v.out}} {
		in := bufio.NewReaderSize(s.from, 64<<10)
		if magic, _ := in.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
			gz, err := gzip.NewReader(in)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrUnproved, err)
			}
			s.to.zipped, in = true, bufio.NewReader(gz)
		}
		if start, _ := in.Peek(3); bytes.Equal(start, byteOrderMark) {
			s.to.mark = true
			_, _ = in.Discard(3) // was peeked at
		}
		s.to.in, s.to.csv = in, e.Format == CSV
	}
	if v.src.zipped != v.out.zipped || v.src.mark != v.out.mark {
		return fmt.Errorf("%w: only one of the two is gzipped, or has a byte order mark", ErrUnproved)
	}
	if err := v.all(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnproved, err)
	}
	return nil
}

// plainRows reads rows in the plainest way there is.
type plainRows struct {
	in     *bufio.Reader
	csv    bool
	zipped bool
	mark   bool
	line   int64
}

func (p *plainRows) row() ([]byte, error) {
	p.line++
	var row []byte
	for {
		part, err := p.in.ReadBytes('\n')
		row = append(row, part...)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(row) > maxRow {
			return nil, errors.New(whatTooLong)
		}
		if err == nil && p.csv && strings.Count(string(row), `"`)%2 == 1 {
			continue
		}
		if len(row) == 0 {
			return nil, io.EOF
		}
		return row, nil
	}
}

type verifier struct {
	Edit
	coarsest earshot.Coarseness
	names    *pseudonyms
	src, out plainRows
	header   []string
	speaks   []string
}

// judged is a row of the source and what should have become of it.
type judged struct {
	was   []byte
	line  int64
	same  bool           // it stays as it is
	goes  bool           // it is not written
	want  map[string]any // it becomes this
	fault string
}

func (j *judged) wrong(what string) error { return fmt.Errorf("line %d: %s", j.line, what) }

// batchRows is how many rows are judged side by side.
const batchRows = 512

func (v *verifier) all() error {
	if v.Format == CSV {
		if err := v.head(); err != nil {
			return err
		}
	}
	workers := make([]*verifier, max(1, runtime.GOMAXPROCS(0)))
	for i := range workers { // pseudonyms are made by one at a time
		workers[i] = &verifier{Edit: v.Edit, coarsest: v.coarsest, header: v.header, names: newPseudonyms(v.Key)}
	}
	for {
		batch, err := v.batch()
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			if _, err := v.out.row(); !errors.Is(err, io.EOF) {
				return errors.New("there are rows that were not there before")
			}
			return nil
		}
		var group sync.WaitGroup
		for n, w := range workers {
			group.Go(func() {
				for i := n; i < len(batch); i += len(workers) {
					w.judge(&batch[i])
				}
			})
		}
		group.Wait()
		for i := range batch {
			if err := v.compare(&batch[i]); err != nil {
				return err
			}
		}
	}
}

// head compares the headers.
func (v *verifier) head() error {
	was, err := v.src.row()
	if err != nil {
		return errors.New(whatNoHeader)
	}
	now, err := v.out.row()
	if err != nil || !bytes.Equal(was, now) {
		return errors.New("the header differs")
	}
	v.header, err = v.fields(was)
	return err
}

func (v *verifier) batch() ([]judged, error) {
	var out []judged
	for size := 0; len(out) < batchRows && size < maxRow; {
		was, err := v.src.row()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		size += len(was)
		out = append(out, judged{was: was, line: v.src.line})
	}
	return out, nil
}

// judge says what should have become of a row.
func (v *verifier) judge(j *judged) {
	if j.same = strings.TrimSpace(string(j.was)) == ""; j.same {
		return
	}
	few, err := v.few(j.was)
	if err != nil {
		j.fault = "it cannot be read"
		return
	}
	goes, changed, err := v.expect(few)
	if err != nil {
		j.fault = err.Error()
		return
	}
	if j.goes, j.same = goes, !goes && !changed; goes || !changed {
		return
	}
	if j.want, err = v.values(j.was); err == nil {
		_, _, err = v.expect(j.want)
	}
	if err != nil {
		j.fault = "it cannot be read"
	}
}

// compare holds the next row that was written against one that was judged.
func (v *verifier) compare(j *judged) error {
	switch {
	case j.fault != "":
		return j.wrong(j.fault)
	case j.goes:
		return nil
	}
	now, err := v.out.row()
	switch {
	case err != nil:
		return j.wrong("a row is missing")
	case j.same && !bytes.Equal(j.was, now):
		return j.wrong("a row that should have stayed as it was differs")
	case j.same:
		return nil
	}
	got, err := v.values(now)
	if err != nil || !reflect.DeepEqual(got, j.want) {
		return j.wrong(whatDifferent)
	}
	return nil
}

// expect says whether a row goes, and else changes values into what they should have become.
func (v *verifier) expect(values map[string]any) (goes, changed bool, err error) {
	when, hasTime := time.Time{}, false
	if text, ok := v.text(values, v.Time); ok && v.Time != "" {
		when, hasTime = v.parseTime([]byte(text))
	}
	who, _ := v.text(values, v.Subject)
	from, _ := v.text(values, v.Device)
	for _, h := range v.Held {
		if (h.Subject == "" || string(h.Subject) == who) && (h.Device == "" || h.Device == from) &&
			(h.From.IsZero() || hasTime && !when.Add(v.coarsest.Unit()).Before(h.From)) && (h.To.IsZero() || hasTime && when.Before(h.To)) {
			return false, false, nil
		}
	}
	if who != "" && (slices.Contains(v.Erase, earshot.SubjectID(who)) || v.Erased != nil && v.Erased(earshot.SubjectID(who))) {
		return true, false, nil
	}
	to := earshot.Coarseness("")
	for _, r := range v.Rules {
		if (r.After > 0 || r.Coarsen != "") && !hasTime {
			return false, false, errors.New(whatNoTime)
		}
		if r.After > 0 && cut(when, v.coarsest).Add(v.coarsest.Unit()).Add(r.After).After(v.AsOf) {
			continue
		}
		if r.Delete {
			return true, false, nil
		}
		if r.Coarsen.Unit() > to.Unit() {
			to = r.Coarsen
		}
		changed = v.clear(values, r) || changed
	}
	if to != "" && !cut(when, to).Equal(when) {
		at, name := v.holder(values, v.Time)
		if _, number := at[name].(json.Number); number {
			at[name] = json.Number(v.formatTime(cut(when, to)))
		} else {
			at[name] = v.formatTime(cut(when, to))
		}
		changed = true
	}
	return false, changed, nil
}

// clear drops and hashes columns as one rule says.
func (v *verifier) clear(values map[string]any, r earshot.RowRule) (changed bool) {
	for _, c := range r.Drop {
		at, name := v.holder(values, c)
		if value, there := at[name]; there && value != "" && v.Format == CSV {
			at[name], changed = "", true
		} else if there && v.Format != CSV {
			delete(at, name)
			changed = true
		}
	}
	for _, c := range r.Hash {
		if text, ok := v.text(values, c); ok && !v.names.ours([]byte(text)) {
			at, name := v.holder(values, c)
			at[name], changed = v.names.of(c, []byte(text)), true
		}
	}
	return changed
}
