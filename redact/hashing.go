package redact

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"earshot"
)

// hashingReader reads a file from start to end and hashes every byte on its way.
type hashingReader struct {
	src      io.ReaderAt
	at, size int64
	sum      hash.Hash
}

func newHashingReader(src io.ReaderAt, size int64) *hashingReader {
	return &hashingReader{src: src, size: size, sum: sha256.New()}
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
	h.sum.Write(p)
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

func (h *hashingReader) digest() earshot.Digest { return earshot.Digest(h.sum.Sum(nil)) }

// hashingWriter hashes and counts what it passes on.
type hashingWriter struct {
	dst     io.Writer
	written int64
	sum     hash.Hash
}

func newHashingWriter(dst io.Writer) *hashingWriter {
	return &hashingWriter{dst: dst, sum: sha256.New()}
}

func (h *hashingWriter) Write(p []byte) (int, error) {
	n, err := h.dst.Write(p)
	h.sum.Write(p[:n])
	h.written += int64(n)
	return n, err
}

func (h *hashingWriter) digest() earshot.Digest { return earshot.Digest(h.sum.Sum(nil)) }
