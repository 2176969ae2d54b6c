package redact

import (
	"errors"
	"fmt"
	"io"
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
		in, out := newSummedReader(src, srcSize), newSummedReader(dst, dstSize)
		if err := c.verify(in, srcSize, out, dstSize, r); err != nil {
			return fmt.Errorf("verifying %s: %w", r.Coding, err)
		}
		before, err := in.digest()
		if err != nil {
			return fmt.Errorf("reading the input: %w", err)
		}
		after, err := out.digest()
		if err != nil {
			return fmt.Errorf("reading the output: %w", err)
		}
		if before != r.Before || after != r.After {
			return unproved("the digests differ from the report's")
		}
		return nil
	}
	return unproved("unknown coding %q", r.Coding)
}

func unproved(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnproved}, args...)...)
}
