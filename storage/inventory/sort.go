package inventory

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
)

// How rows are sorted: so many bytes of them in memory, and so many runs merged at once.
const (
	sortMemory = 24 << 20
	mergeMost  = 64
	runBuffer  = 64 << 10
)

// rowCost is about what a row costs in memory besides its texts.
const rowCost = 80

// sorter brings rows into the order of their keys, the newest version of a key first, with bounded
// memory: what does not fit goes to nameless files.
type sorter struct {
	dir    string
	limit  int
	held   []row
	bytes  int
	runs   []*run
	sealed bool
}

// run is a sorted stretch of rows in a file that has no name.
type run struct {
	file *os.File
	size int64
}

func newSorter(dir string, limit int) *sorter { return &sorter{dir: dir, limit: limit} }

// order is by key; the current version comes first, then the others from the newest on.
func order(a, b row) int {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c
	}
	if a.latest != b.latest {
		if a.latest {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(b.stored, a.stored); c != 0 {
		return c
	}
	return strings.Compare(a.etag, b.etag) // so that the order of the files does not matter
}

func (s *sorter) add(r row) error {
	s.held = append(s.held, r)
	if s.bytes += len(r.key) + len(r.etag) + rowCost; s.bytes < s.limit {
		return nil
	}
	return s.spill()
}

// spill writes what is held as one run.
func (s *sorter) spill() error {
	if len(s.held) == 0 {
		return nil
	}
	slices.SortFunc(s.held, order)
	err := s.write(slices.Values(s.held))
	clear(s.held)
	s.held, s.bytes = s.held[:0], 0
	if err == nil && len(s.runs) >= mergeMost {
		err = s.compact()
	}
	return err
}

// compact merges all runs into one. Those are closed in any case.
func (s *sorter) compact() error {
	old := s.runs
	s.runs = nil
	defer closeRuns(old)
	var broke error
	err := s.write(func(yield func(row) bool) {
		for r, err := range merge(old) {
			if broke = err; err != nil || !yield(r) {
				return
			}
		}
	})
	return errors.Join(broke, err)
}

func (s *sorter) write(rows iter.Seq[row]) error {
	f, err := nameless(s.dir)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, runBuffer)
	var buf []byte
	for r := range rows {
		buf = encode(buf[:0], r)
		if _, err := w.Write(buf); err != nil {
			f.Close()
			return fmt.Errorf("writing to the spool: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return fmt.Errorf("writing to the spool: %w", err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		f.Close()
		return fmt.Errorf("writing to the spool: %w", err)
	}
	s.runs = append(s.runs, &run{f, size})
	return nil
}

// nameless makes a file that goes with the process.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "earshot-inventory-")
	if err != nil {
		return nil, fmt.Errorf("making a spool file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("making a spool file: %w", err)
	}
	return f, nil
}

// seal ends the adding: from now on rows can be read, as often as one likes.
func (s *sorter) seal() error {
	err := s.spill()
	s.held, s.sealed = nil, true
	return err
}

// sorted streams all rows in order.
func (s *sorter) sorted() iter.Seq2[row, error] {
	if !s.sealed {
		panic("inventory: read before it was sealed")
	}
	return merge(s.runs)
}

func (s *sorter) close() { closeRuns(s.runs) }

func closeRuns(runs []*run) {
	for _, r := range runs {
		r.file.Close()
	}
}

// source is a run under way in a merge.
type source struct {
	r    *bufio.Reader
	next row
}

// sources is a heap, the least next row on top.
type sources []*source

func (s sources) Len() int           { return len(s) }
func (s sources) Less(i, j int) bool { return order(s[i].next, s[j].next) < 0 }
func (s sources) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sources) Push(x any)        { *s = append(*s, x.(*source)) }
func (s *sources) Pop() any {
	old := *s
	x := old[len(old)-1]
	*s = old[:len(old)-1]
	return x
}

// merge streams the rows of several runs in order.
func merge(runs []*run) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		var h sources
		for _, r := range runs {
			s := &source{r: bufio.NewReaderSize(io.NewSectionReader(r.file, 0, r.size), runBuffer)}
			var err error
			if s.next, err = decode(s.r); err != nil {
				yield(row{}, fmt.Errorf("reading the spool: %w", err))
				return
			}
			h = append(h, s)
		}
		heap.Init(&h)
		for len(h) > 0 {
			if !yield(h[0].next, nil) {
				return
			}
			var err error
			switch h[0].next, err = decode(h[0].r); {
			case errors.Is(err, io.EOF):
				heap.Pop(&h)
			case err != nil:
				yield(row{}, fmt.Errorf("reading the spool: %w", err))
				return
			default:
				heap.Fix(&h, 0)
			}
		}
	}
}

// encode writes a row as our own spool has it.
func encode(b []byte, r row) []byte {
	b = binary.AppendUvarint(b, uint64(len(r.key)))
	b = append(b, r.key...)
	b = binary.AppendUvarint(b, uint64(len(r.etag)))
	b = append(b, r.etag...)
	b = binary.AppendVarint(b, r.size)
	b = binary.AppendVarint(b, r.stored)
	flags := byte(0)
	if r.latest {
		flags |= 1
	}
	if r.marker {
		flags |= 2
	}
	return append(b, flags)
}

// decode reads a row; io.EOF where there is none left.
func decode(r *bufio.Reader) (out row, err error) {
	if _, err := r.Peek(1); err != nil {
		return out, err
	}
	for _, to := range []*string{&out.key, &out.etag} {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > maxLine {
			return out, errors.Join(io.ErrUnexpectedEOF, err)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return out, io.ErrUnexpectedEOF
		}
		*to = string(text)
	}
	for _, to := range []*int64{&out.size, &out.stored} {
		if *to, err = binary.ReadVarint(r); err != nil {
			return out, io.ErrUnexpectedEOF
		}
	}
	flags, err := r.ReadByte()
	if err != nil {
		return out, io.ErrUnexpectedEOF
	}
	out.latest, out.marker = flags&1 != 0, flags&2 != 0
	return out, nil
}
