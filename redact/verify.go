package redact

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"earshot"
)

// ErrUnproved means that the output is not, or cannot be shown to be, the input with exactly the
// reported sound taken out. The caller must throw the output away and keep the input for a person
// to look at: it is a bug of ours or a fault of the machine.
var ErrUnproved = errors.New("redaction not proved")

// Verify proves by an independent re-parse of both files that dst is src with r.Erased taken out
// and nothing else but the allow-listed metadata kept, that r.Erased covers what was asked, and
// that the digests are right. Round the edges of each erased span it decodes both files with a
// decoder that is not ours, where there is one that is right, and fills in r.Heard, if that is not
// nil. Any doubt is [ErrUnproved]; errors of the readers come as they are.
func Verify(src io.ReaderAt, srcSize int64, dst io.ReaderAt, dstSize int64, r Report) error {
	if r.Heard == nil {
		r.Heard = new(Hearing)
	}
	*r.Heard = Hearing{}
	for _, c := range codecs() {
		if c.Coding() != r.Coding {
			continue
		}
		if srcSize != r.BeforeBytes || dstSize != r.AfterBytes {
			return unproved("sizes %d and %d differ from the report's %d and %d", srcSize, dstSize, r.BeforeBytes, r.AfterBytes)
		}
		if !r.Erased.Covers(r.Asked.Clip(r.Length)) {
			return unproved("the erased spans do not cover the spans asked for")
		}
		if err := c.verify(src, srcSize, dst, dstSize, r); err != nil {
			return fmt.Errorf("verifying %s: %w", r.Coding, err)
		}
		return verifyDigests(src, srcSize, dst, dstSize, r)
	}
	return unproved("unknown coding %q", r.Coding)
}

func unproved(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnproved}, args...)...)
}

func verifyDigests(src io.ReaderAt, srcSize int64, dst io.ReaderAt, dstSize int64, r Report) error {
	before, err := digestOf(src, srcSize)
	if err != nil {
		return fmt.Errorf("reading the input: %w", err)
	}
	after, err := digestOf(dst, dstSize)
	if err != nil {
		return fmt.Errorf("reading the output: %w", err)
	}
	if before != r.Before || after != r.After {
		return unproved("the digests differ from the report's")
	}
	return nil
}

func digestOf(src io.ReaderAt, size int64) (earshot.Digest, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(src, 0, size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return earshot.Digest(sum.Sum(nil)), err
}
