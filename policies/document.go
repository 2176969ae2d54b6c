package policies

import (
	"fmt"
	"strings"
	"time"
)

// Document is a policy as it is written. Positions are kept for the compiler's errors.
type Document struct {
	APIVersion string   `json:"apiVersion" jsonschema:"enum=earshot/v1"`
	Kind       string   `json:"kind" jsonschema:"enum=Policy"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`

	file string
	pos  map[string]Pos
}

// Metadata says whose the policy is.
type Metadata struct {
	Name        string `json:"name" jsonschema:"pattern=^[a-z0-9][a-z0-9-]*$"`
	Owner       string `json:"owner,omitempty"`
	Description string `json:"description,omitempty"`
}

// Spec is what the policy says.
type Spec struct {
	Scope     Scope    `json:"scope"`
	Schedule  string   `json:"schedule,omitempty"`
	Limits    LimitsOf `json:"limits,omitempty"`
	Rules     []Rule   `json:"rules,omitempty"`
	Otherwise string   `json:"otherwise" jsonschema:"enum=keep,enum=review"`
}

// Scope is the part of a bucket that the policy speaks of.
type Scope struct {
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix,omitempty"`
}

// LimitsOf is limits as they are written.
type LimitsOf struct {
	MaxShare  string `json:"maxShare,omitempty" jsonschema:"description=share of the recordings in scope such as 5%"`
	MaxCount  int    `json:"maxCount,omitempty"`
	Approvals int    `json:"approvals,omitempty"`
}

// Rule is one rule as it is written.
type Rule struct {
	Name       string            `json:"name" jsonschema:"pattern=^[a-z0-9][a-z0-9-]*$"`
	Because    string            `json:"because,omitempty"`
	When       string            `json:"when,omitempty" jsonschema:"description=a CEL expression over recording, wake, child, speech and subject"`
	Keep       *Period           `json:"keep,omitempty"`
	Then       string            `json:"then" jsonschema:"enum=keep,enum=review,enum=redact,enum=delete"`
	Spans      []string          `json:"spans,omitempty"`
	Pad        string            `json:"pad,omitempty"`
	Fill       string            `json:"fill,omitempty" jsonschema:"enum=silence,enum=tone,enum=cut"`
	Companions map[string]string `json:"companions,omitempty"`
}

// Period is how long a recording is kept, and from when.
type Period struct {
	For     string `json:"for" jsonschema:"description=a period such as 90d or 18mo or a fact such as subject.autoDelete"`
	From    string `json:"from" jsonschema:"enum=captured,enum=stored,enum=subject.lastActive,enum=consent.withdrawn"`
	Purpose string `json:"purpose,omitempty"`
}

// Limits are the guard rails of a policy: a run beyond them needs approvals.
type Limits struct {
	MaxShare  float64 // of the recordings in scope, 0 to 1; 0 is no limit
	MaxCount  int     // actions of a run; 0 is no limit
	Approvals int     // people who must approve what is beyond
}

// Pos is a place in a file, from 1.
type Pos struct{ Line, Col int }

// Error is one thing that is wrong with a document.
type Error struct {
	File      string
	Line, Col int // from 1
	Msg       string
}

func (e Error) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg) }

// Errors is everything that is wrong with a document, in order.
type Errors []Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// ParsePeriod reads a period: Go's units, and d (24 h), w (7 d), mo (30 d) and y (365 d), which may
// be strung together, as in 1y6mo. It must be positive and fit a time.Duration (292 years).
func ParsePeriod(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a period such as 90d, 18mo, 3y or 36h", text)
	units := []struct {
		name string
		len  time.Duration
	}{{"mo", 30 * 24 * time.Hour}, {"ms", time.Millisecond}, {"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	var total time.Duration
	for rest := text; rest != ""; {
		n, digits := int64(0), 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			if n = n*10 + int64(rest[digits]-'0'); n > 1<<40 {
				return 0, bad
			}
			digits++
		}
		rest = rest[digits:]
		if digits == 0 {
			return 0, bad
		}
		found := false
		for _, u := range units {
			if tail, ok := strings.CutPrefix(rest, u.name); ok {
				if n > int64((1<<63-1)-total)/int64(u.len) {
					return 0, fmt.Errorf("%q is longer than 292 years", text)
				}
				total, rest, found = total+time.Duration(n)*u.len, tail, true
				break
			}
		}
		if !found {
			return 0, bad
		}
	}
	if total <= 0 {
		return 0, bad
	}
	return total, nil
}
