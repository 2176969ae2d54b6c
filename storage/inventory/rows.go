package inventory

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// row is one version of one object as a report has it.
type row struct {
	key, etag string
	size      int64 // -1: not told
	stored    int64 // microseconds since 1970; 0: not told
	latest    bool
	marker    bool // a delete marker
}

// maxKey is the most bytes that a key of S3 has.
const maxKey = 1024

func (r *row) check(bucket, source string) error {
	switch {
	case bucket != source:
		return errors.New("it is of another bucket")
	case r.key == "" || len(r.key) > maxKey:
		return errors.New("its key is empty, or longer than any")
	case !utf8.ValidString(r.etag) || strings.ContainsRune(r.etag, 0):
		return errors.New("its ETag is no text")
	}
	return nil
}

// maxLine bounds one line of CSV: a key of 1,024 bytes is 3,072 when all of them are encoded.
const maxLine = 64 << 10

// readCSV reads a gzipped CSV file, row by row.
func readCSV(r io.Reader, m Manifest, do func(row) error) error {
	at, err := placesOf(m.Columns)
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("it is not gzipped: %w", err)
	}
	lines := csv.NewReader(&bounded{r: bufio.NewReaderSize(z, 64<<10)})
	lines.FieldsPerRecord = len(m.Columns)
	lines.ReuseRecord = true
	for n := 1; ; n++ {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", n, withoutText(err))
		}
		rec, err := csvRow(fields, at, m.Source)
		if err == nil {
			err = do(rec)
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", n, err)
		}
	}
}

// withoutText keeps what the CSV reader says of a row's form, and what broke below it.
func withoutText(err error) error {
	var form *csv.ParseError
	if errors.As(err, &form) {
		return form.Err
	}
	return err
}

func csvRow(fields []string, at places, source string) (row, error) {
	get := func(i int) string {
		if i < 0 {
			return ""
		}
		return fields[i]
	}
	rec := row{size: -1, latest: true, etag: strings.Trim(get(at.etag), `"`)}
	key, err := url.QueryUnescape(get(at.key))
	if err != nil {
		return rec, errors.New("its key is not URL-encoded")
	}
	rec.key = strings.Clone(key)
	rec.etag = strings.Clone(rec.etag)
	for _, f := range []struct {
		text string
		to   *bool
	}{{get(at.latest), &rec.latest}, {get(at.marker), &rec.marker}} {
		if f.text == "" {
			continue
		}
		if *f.to, err = strconv.ParseBool(strings.ToLower(f.text)); err != nil {
			return rec, errors.New("IsLatest or IsDeleteMarker is neither true nor false")
		}
	}
	if text := get(at.size); text != "" {
		if rec.size, err = strconv.ParseInt(text, 10, 64); err != nil || rec.size < 0 {
			return rec, errors.New("its size is no number")
		}
	}
	if text := get(at.stored); text != "" {
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return rec, errors.New("its LastModifiedDate is no date")
		}
		rec.stored = t.UnixMicro()
	}
	return rec, rec.check(get(at.bucket), source)
}

// bounded fails where a row is longer than any can be, so that a file without line ends, or with line ends
// within quotes, does not fill the memory. It gives what stands before, so that the error comes with its row.
type bounded struct {
	r      *bufio.Reader
	line   int
	quoted bool // a quote within quotes is written twice, and ends and begins them
}

func (b *bounded) Read(p []byte) (int, error) {
	if len(p) > maxLine/2 {
		p = p[:maxLine/2]
	}
	n, err := b.r.Read(p)
	for i, c := range p[:n] {
		b.line++
		switch {
		case c == '"':
			b.quoted = !b.quoted
		case c == '\n' && b.quoted:
			return i, errors.New("a line ends within quotes, as in no inventory")
		case c == '\n':
			b.line = 0
		}
		if b.line > maxLine {
			return i, errors.New("the line is longer than any")
		}
	}
	return n, err
}

// parquetRows is how many rows are read at a time.
const parquetRows = 256

// readParquet reads a Parquet file, row by row.
func readParquet(r io.ReaderAt, size int64, m Manifest, do func(row) error) (err error) {
	defer func() {
		// The library means to return errors for files that are not well-formed, and panics for some.
		if p := recover(); p != nil {
			err = errors.New("it is no well-formed Parquet file")
		}
	}()
	if err := footerFits(r, size); err != nil {
		return err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return fmt.Errorf("it is no Parquet file: %w", err)
	}
	if err := codecsKnown(f.Metadata()); err != nil {
		return err
	}
	var names []string
	for _, path := range f.Schema().Columns() {
		names = append(names, plain(strings.Join(path, ".")))
	}
	at, err := placesOf(names)
	if err != nil {
		return err
	}
	unit, err := timeUnit(f.Root(), at, names)
	if err != nil {
		return err
	}
	n := 0
	for _, group := range f.RowGroups() {
		if n, err = readGroup(group, at, unit, n, m.Source, do); err != nil {
			return err
		}
	}
	return nil
}

// footerFits holds the footer's length against the file's before the library allocates it. A file ends
// with the footer, its length in four bytes, and PAR1.
func footerFits(r io.ReaderAt, size int64) error {
	var end [8]byte
	if size < int64(len(end)+4) {
		return errors.New("it is too short for a Parquet file")
	}
	if _, err := r.ReadAt(end[:], size-int64(len(end))); err != nil {
		return fmt.Errorf("reading the spool: %w", err)
	}
	if int64(binary.LittleEndian.Uint32(end[:4])) > size-int64(len(end)+4) {
		return errors.New("its footer is longer than the file")
	}
	return nil
}

// codecsKnown refuses compressions that no inventory has: S3 writes Snappy. The library's LZ4 does not
// come to an end on some damaged input.
func codecsKnown(meta *format.FileMetaData) error {
	for _, group := range meta.RowGroups {
		for _, column := range group.Columns {
			switch column.MetaData.Codec {
			case format.Uncompressed, format.Snappy, format.Gzip, format.Zstd:
			default:
				return fmt.Errorf("it is compressed as no inventory is (%s)", column.MetaData.Codec)
			}
		}
	}
	return nil
}

// timeUnit is what a LastModifiedDate counts: S3 writes milliseconds.
func timeUnit(root *parquet.Column, at places, names []string) (time.Duration, error) {
	if at.stored < 0 {
		return 0, nil
	}
	for _, c := range root.Columns() {
		if plain(c.Name()) != names[at.stored] || !c.Leaf() {
			continue
		}
		if c.Type().Kind() != parquet.Int64 {
			return 0, errors.New("its LastModifiedDate is not a number of 64 bits")
		}
		if l := c.Type().LogicalType(); l != nil {
			if stamp, ok := l.Value.(*format.TimestampType); ok && stamp.Unit.Value != nil {
				return stamp.Unit.Value.Duration(), nil
			}
		}
		if old := c.Type().ConvertedType(); old != nil && *old == deprecated.TimestampMicros {
			return time.Microsecond, nil
		}
	}
	return time.Millisecond, nil
}

func readGroup(group parquet.RowGroup, at places, unit time.Duration, n int, source string, do func(row) error) (int, error) {
	rows := group.Rows()
	defer rows.Close()
	buf := make([]parquet.Row, parquetRows)
	for {
		got, err := rows.ReadRows(buf)
		for _, values := range buf[:got] {
			n++
			rec, rowErr := parquetRow(values, at, unit, source)
			if rowErr == nil {
				rowErr = do(rec)
			}
			if rowErr != nil {
				return n, fmt.Errorf("row %d: %w", n, rowErr)
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("behind row %d: %w", n, err)
		}
		if got == 0 {
			return n, fmt.Errorf("behind row %d: %w", n, io.ErrNoProgress)
		}
	}
}

func parquetRow(values parquet.Row, at places, unit time.Duration, source string) (row, error) {
	rec := row{size: -1, latest: true}
	bucket := ""
	for _, v := range values {
		if v.IsNull() {
			continue
		}
		want, is := parquet.ByteArray, v.Kind()
		switch v.Column() {
		case at.bucket:
			bucket = text(v)
		case at.key:
			rec.key = text(v)
		case at.etag:
			rec.etag = strings.Trim(text(v), `"`)
		case at.latest:
			if want = parquet.Boolean; is == want {
				rec.latest = v.Boolean()
			}
		case at.marker:
			if want = parquet.Boolean; is == want {
				rec.marker = v.Boolean()
			}
		case at.size:
			if want = parquet.Int64; is == want {
				rec.size = v.Int64()
			}
		case at.stored:
			want = parquet.Int64
			rec.stored = micros(v.Int64(), unit)
		default:
			continue
		}
		if is != want {
			return rec, errors.New("a column is of another kind than it should be")
		}
	}
	if rec.size < -1 {
		return rec, errors.New("its size is no number")
	}
	return rec, rec.check(bucket, source)
}

func text(v parquet.Value) string {
	if v.Kind() != parquet.ByteArray {
		return ""
	}
	return string(v.ByteArray())
}

func micros(n int64, unit time.Duration) int64 {
	switch unit {
	case time.Millisecond:
		return n * 1000
	case time.Nanosecond:
		return n / 1000
	}
	return n
}
