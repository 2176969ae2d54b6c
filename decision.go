package earshot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Digest is a SHA-256.
type Digest [32]byte

// DigestOf is the SHA-256 of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short is the first 12 hexadecimal digits, for people.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// MarshalText writes hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads hexadecimal.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 2*len(d) {
		return fmt.Errorf("digest %q: want %d hexadecimal digits", text, 2*len(d))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("digest %q: %w", text, err)
	}
	return nil
}

// Disposition is what becomes of a recording.
type Disposition int

// The dispositions, from the mildest to the strictest. The order is the precedence when several
// policies speak of one recording.
const (
	Keep Disposition = iota
	Review
	Redact
	Delete
)

var dispositions = [...]string{"keep", "review", "redact", "delete"}

// String is the disposition as a policy writes it.
func (d Disposition) String() string {
	if d < 0 || int(d) >= len(dispositions) {
		return fmt.Sprintf("disposition(%d)", int(d))
	}
	return dispositions[d]
}

// MarshalText writes the disposition's name.
func (d Disposition) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a disposition's name.
func (d *Disposition) UnmarshalText(text []byte) error {
	for i, name := range dispositions {
		if name == string(text) {
			*d = Disposition(i)
			return nil
		}
	}
	return fmt.Errorf("disposition %q: want keep, review, redact or delete", text)
}

// Fill is what takes the place of erased sound.
type Fill string

// The fills. FillCut takes the span out, so that the recording becomes shorter.
const (
	FillSilence Fill = "silence"
	FillTone    Fill = "tone"
	FillCut     Fill = "cut"
)

// Reason is one line of why: which policy and rule, and what it said.
type Reason struct {
	Policy  string `json:"policy,omitempty"` // name of the policy; empty for the law in the code
	Rule    string `json:"rule,omitempty"`   // name of the rule, or hold, object-lock, erasure-request, otherwise
	Text    string `json:"text"`             // for a person; holds no personal data
	Because string `json:"because,omitempty"`
}

// Redaction is what a redact decision asks for.
type Redaction struct {
	Spans Spans `json:"spans"`
	Fill  Fill  `json:"fill"`
}

// CompanionRule says what becomes of the companions of one class when their recording is
// disposed of.
type CompanionRule string

// The companion rules. The default is CompanionDelete for a deleted recording and CompanionTrim for
// a redacted one; a companion that cannot be trimmed is deleted.
const (
	CompanionDelete CompanionRule = "delete"
	CompanionTrim   CompanionRule = "trim"
	CompanionKeep   CompanionRule = "keep"
	CompanionReview CompanionRule = "review"
)

// Decision is what a policy says of one recording from Since up to, not including, Until.
type Decision struct {
	Disposition Disposition `json:"disposition"`
	Rule        string      `json:"rule,omitempty"` // the deciding rule
	// Redactions is what to erase, one element per fill. Only for Redact.
	Redactions []Redaction `json:"redactions,omitempty"`
	// Rows is what to do to an event log. For Redact, and told with Delete where no row is left.
	Rows       *RowEdit                 `json:"rows,omitempty"`
	Companions map[string]CompanionRule `json:"companions,omitempty"` // by class; absent: the default
	Since      time.Time                `json:"since,omitzero"`       // zero: since ever
	Until      time.Time                `json:"until,omitzero"`       // zero: for ever
	Policy     Digest                   `json:"policy"`
	Reasons    []Reason                 `json:"reasons,omitempty"`
	// Missing names the facts that the decision hangs on and that are not known yet, such as
	// "wake", "child", "speech" or "head". Not empty only for Review.
	Missing []string `json:"missing,omitempty"`
}

// At reports whether the decision holds at t.
func (d Decision) At(t time.Time) bool {
	return (d.Since.IsZero() || !t.Before(d.Since)) && (d.Until.IsZero() || t.Before(d.Until))
}
