// Package fault breaks things on purpose, by script: HTTP requests and SQL statements that fail,
// that take effect although the answer is lost, that are slow or cut short, and the death of the
// process at the n-th operation. It is for tests only and knows nothing of earshot.
package fault

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Verdict is what becomes of one operation.
type Verdict int

// The verdicts.
const (
	Pass     Verdict = iota
	Lose             // it fails and never reaches the server
	Land             // it takes effect; the answer is lost
	Busy             // 503 SlowDown (HTTP only)
	Deny             // 403 AccessDenied (HTTP only)
	Slow             // it takes a while and succeeds (HTTP only)
	Truncate         // it takes effect; the answer's body breaks off (HTTP only)
)

// ErrCrashed is what everything returns after the death of the process. It wraps
// context.Canceled, so that nobody tries again.
var ErrCrashed = fmt.Errorf("the process is dead: %w", context.Canceled)

// ErrLost is the error of an operation that was broken on purpose.
var ErrLost = errors.New("connection reset (on purpose)")

// Script decides about operations as they come. It is safe for concurrent use.
type Script struct {
	mu      sync.Mutex
	n       int
	crashed bool
	decide  func(n int, name string) (v Verdict, crash bool)
	log     []string
	stepped func(name string) (v Verdict, crash bool)
}

// Count lets everything pass and counts.
func Count() *Script {
	return &Script{decide: func(int, string) (Verdict, bool) { return Pass, false }}
}

// CrashAt kills the process at the n-th operation (from 1): with landed, just after that operation
// took effect, else just before.
func CrashAt(n int, landed bool) *Script {
	return &Script{decide: func(i int, _ string) (Verdict, bool) {
		switch {
		case i < n:
			return Pass, false
		case landed:
			return Land, true
		}
		return Lose, true
	}}
}

// With lets a function decide.
func With(decide func(n int, name string) Verdict) *Script {
	return &Script{decide: func(n int, name string) (Verdict, bool) { return decide(n, name), false }}
}

// Stepped lets a function decide that may wait before it does, so that a scheduler chooses who goes
// next. It is called without the script's lock.
func Stepped(decide func(name string) (v Verdict, crash bool)) *Script {
	return &Script{stepped: decide}
}

// wait asks a stepped script's function, and notes the death of the process.
func (s *Script) wait(name string) (Verdict, error) {
	if s.Crashed() {
		return Lose, ErrCrashed
	}
	v, crash := s.stepped(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed { // while it waited
		return Lose, ErrCrashed
	}
	s.n++
	if crash {
		s.crashed = true
		return v, ErrCrashed
	}
	return v, ErrLost
}

// next numbers an operation and decides about it.
func (s *Script) next(name string) (Verdict, error) {
	if s.stepped != nil {
		return s.wait(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return Lose, ErrCrashed
	}
	s.n++
	s.log = append(s.log, name)
	v, crash := s.decide(s.n, name)
	if crash {
		s.crashed = true
		return v, ErrCrashed
	}
	return v, ErrLost
}

// Operations is how many operations there were.
func (s *Script) Operations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// Crashed reports whether the death of the process has come.
func (s *Script) Crashed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crashed
}

// Name is what the n-th operation was, for messages.
func (s *Script) Name(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < 1 || n > len(s.log) {
		return "?"
	}
	return s.log[n-1]
}
