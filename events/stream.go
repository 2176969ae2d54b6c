package events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// maxRow bounds one row, and with it the memory that a log takes.
const maxRow = 1 << 20

// rowReader hands out rows one by one, each with its line ending. A row of CSV may have line breaks
// within quotes.
type rowReader struct {
	in     *bufio.Reader
	gz     *gzip.Reader
	csv    bool
	joined []byte // a row of several lines
	line   int64  // of the row handed out last, from 1
	next   int64
	offset int64 // of the row handed out last
	after  int64
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// newRowReader looks whether the stream is gzipped. The byte order mark, if there is one, is handed
// back apart.
func newRowReader(src io.Reader, csv bool) (r *rowReader, mark []byte, err error) {
	r = &rowReader{csv: csv, next: 1}
	raw := bufio.NewReaderSize(src, 64<<10)
	magic, err := raw.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		if r.gz, err = gzip.NewReader(raw); err != nil {
			return nil, nil, gzipFault(err)
		}
		r.in = bufio.NewReaderSize(r.gz, maxRow)
	} else {
		r.in = bufio.NewReaderSize(raw, maxRow)
	}
	start, err := r.in.Peek(3)
	if bytes.Equal(start, byteOrderMark) {
		_, _ = r.in.Discard(3) // was peeked at
		r.offset, r.after = 3, 3
		return r, byteOrderMark, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, gzipFault(err)
	}
	return r, nil, nil
}

// row gives the next row, valid until the next call, or io.EOF.
func (r *rowReader) row() ([]byte, error) {
	r.line, r.offset = r.next, r.after
	part, err := r.in.ReadSlice('\n')
	r.next++
	if r.csv && bytes.Count(part, quote)%2 == 1 && err == nil {
		return r.quoted(part)
	}
	r.after += int64(len(part))
	return part, r.ended(part, err)
}

var quote = []byte(`"`)

// quoted goes on with a row that ends within quotes.
func (r *rowReader) quoted(part []byte) ([]byte, error) {
	r.joined = append(r.joined[:0], part...)
	for {
		part, err := r.in.ReadSlice('\n')
		r.next++
		r.joined = append(r.joined, part...)
		open := bytes.Count(r.joined, quote)%2 == 1
		switch {
		case len(r.joined) > maxRow:
			return nil, r.fault(whatTooLong)
		case err == nil && open:
			continue
		case open && errors.Is(err, io.EOF):
			return nil, r.fault(whatNotCSV)
		}
		r.after += int64(len(r.joined))
		return r.joined, r.ended(r.joined, err)
	}
}

// ended turns the end of the stream after a row without line ending into no error.
func (r *rowReader) ended(row []byte, err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF) && len(row) > 0:
		return nil
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.Is(err, bufio.ErrBufferFull):
		return r.fault(whatTooLong)
	}
	if r.gz != nil {
		return gzipFault(err)
	}
	return err
}

func (r *rowReader) fault(what string) error { return &RowError{r.line, r.offset, what} }

// gzipFault tells a broken stream, which is the log's fault, from a source that cannot be read.
func gzipFault(err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &RowError{0, 0, whatTrailing}
	}
	return fmt.Errorf("reading an event log: %w", err)
}

// blank reports whether a row has nothing but white space.
func blank(row []byte) bool { return len(bytes.TrimLeft(row, " \t\r\n")) == 0 }

// ending splits a row into its text and its line ending.
func ending(row []byte) (text, end []byte) {
	n := len(row)
	if n > 0 && row[n-1] == '\n' {
		n--
		if n > 0 && row[n-1] == '\r' {
			n--
		}
	}
	return row[:n], row[n:]
}

// rowWriter writes what is kept, gzipped where the source was. Nothing of the source's gzip header (a
// file name, a date) goes along.
type rowWriter struct {
	out *bufio.Writer
	gz  *gzip.Writer
	n   int64
}

func newRowWriter(dst io.Writer, zipped bool) *rowWriter {
	w := &rowWriter{}
	if zipped {
		w.gz = gzip.NewWriter(dst)
		dst = w.gz
	}
	w.out = bufio.NewWriterSize(dst, 256<<10)
	return w
}

func (w *rowWriter) write(b []byte) error {
	w.n += int64(len(b))
	_, err := w.out.Write(b)
	return err
}

func (w *rowWriter) close() error {
	err := w.out.Flush()
	if w.gz != nil {
		err = errors.Join(err, w.gz.Close())
	}
	return err
}
