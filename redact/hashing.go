package redact

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"earshot"
)

// parallelSum is a SHA-256 computed beside the work that feeds it. Its owner must call stop, or
// digest, which does.
type parallelSum struct {
	sum        hash.Hash
	work, free chan []byte
	done       chan struct{}
	made       int // buffers, hashingBuffers at most
	stopped    bool
}

// hashingBuffers are on their way between the work and the sum.
const hashingBuffers = 4

func newParallelSum() *parallelSum {
	s := &parallelSum{sum: sha256.New(), work: make(chan []byte, 2), free: make(chan []byte, hashingBuffers), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for b := range s.work {
			s.sum.Write(b)
			s.free <- b
		}
	}()
	return s
}

// add copies p and hashes it in its turn.
func (s *parallelSum) add(p []byte) {
	var buf []byte
	if s.made < hashingBuffers && len(s.free) == 0 {
		s.made++
	} else {
		buf = <-s.free
	}
	s.work <- append(buf[:0], p...)
}

// stop waits until all is hashed. It may be called again.
func (s *parallelSum) stop() {
	if !s.stopped {
		s.stopped = true
		close(s.work)
	}
	<-s.done
}

func (s *parallelSum) digest() earshot.Digest {
	s.stop()
	return earshot.Digest(s.sum.Sum(nil))
}

// hashingReader reads a file from start to end and hashes every byte on its way.
type hashingReader struct {
	*parallelSum
	src io.ReaderAt
	at  int64
}

func newHashingReader(src io.ReaderAt) *hashingReader {
	return &hashingReader{parallelSum: newParallelSum(), src: src}
}

// readFull fills p from the current position.
func (h *hashingReader) readFull(p []byte) error {
	n, err := h.src.ReadAt(p, h.at)
	if n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	h.add(p)
	h.at += int64(n)
	return nil
}

// skipTo reads on to the given offset.
func (h *hashingReader) skipTo(offset int64) error {
	if h.at >= offset {
		return nil
	}
	buf := make([]byte, min(offset-h.at, 64<<10))
	for h.at < offset {
		if err := h.readFull(buf[:min(int64(len(buf)), offset-h.at)]); err != nil {
			return err
		}
	}
	return nil
}

// hashingWriter hashes and counts what it passes on.
type hashingWriter struct {
	*parallelSum
	dst     io.Writer
	written int64
}

func newHashingWriter(dst io.Writer) *hashingWriter {
	return &hashingWriter{parallelSum: newParallelSum(), dst: dst}
}

func (h *hashingWriter) Write(p []byte) (int, error) {
	n, err := h.dst.Write(p)
	h.add(p[:n])
	h.written += int64(n)
	return n, err
}

// summedReader passes on a file and hashes it on the way, as far as it is read in order: whoever
// reads it through need not read it again for its digest. Not for use by several goroutines.
type summedReader struct {
	src      io.ReaderAt
	sum      hash.Hash
	at, size int64 // hashed so far, and in all
	buf      []byte
}

func newSummedReader(src io.ReaderAt, size int64) *summedReader {
	return &summedReader{src: src, sum: sha256.New(), size: size}
}

// leap is how many bytes that nobody wanted are read for the sum's sake alone, in bytes. A reader
// that leaps further will come back.
const leap = 8 << 20

// ReadAt reads from the file.
func (r *summedReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.src.ReadAt(p, off)
	end := off + int64(n)
	if end <= r.at || off > r.at+leap {
		return n, err
	}
	if off > r.at {
		if err := r.catchUp(off); err != nil {
			return 0, err
		}
	}
	r.sum.Write(p[r.at-off : n])
	r.at = end
	return n, err
}

// catchUp hashes up to the offset to.
func (r *summedReader) catchUp(to int64) error {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	for r.at < to {
		n, err := r.src.ReadAt(r.buf[:min(int64(len(r.buf)), to-r.at)], r.at)
		r.sum.Write(r.buf[:n])
		if r.at += int64(n); r.at < to && (err != nil || n == 0) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// digest reads the rest of the file and is the digest of it all.
func (r *summedReader) digest() (earshot.Digest, error) {
	err := r.catchUp(r.size)
	return earshot.Digest(r.sum.Sum(nil)), err
}
