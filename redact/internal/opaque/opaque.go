// Package opaque holds the one error by which a parser says that it will not guess.
package opaque

import (
	"errors"
	"fmt"
)

// Err is what errors.Is finds in every [Error].
var Err = errors.New("cannot be redacted safely")

// Error says where and why a stream is refused. It holds no bytes of the stream.
type Error struct {
	Offset int64  // byte offset in the file at which the doubt arose
	Reason string // one line, lower case
}

// At makes an Error with a formatted reason.
func At(offset int64, format string, args ...any) error {
	return &Error{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	return fmt.Sprintf("cannot be redacted safely: at byte %d: %s", e.Offset, e.Reason)
}

// Is makes errors.Is(err, Err) true.
func (e *Error) Is(target error) bool { return target == Err }
