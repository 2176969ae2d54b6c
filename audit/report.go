package audit

import (
	"fmt"
)

// VerifyOptions of VerifyAll.
type VerifyOptions struct {
	// LastSeen is a checkpoint that the verifier kept from an earlier visit, as signed; nil if
	// there is none. The log must contain its tree.
	LastSeen []byte
	// Progress, if not nil, is called now and then with the entries checked so far and their total.
	Progress func(done, total int64)
	// Visit, if not nil, is called for every entry in order; its error ends the check.
	Visit func(index int64, body []byte) error
	// MayBeUnlocked: that objects could be deleted is a note of [Examine], and no finding.
	MayBeUnlocked bool

	heads []pastHead // other versions of the checkpoint
}

// Report is what VerifyAll found.
type Report struct {
	Checkpoint Checkpoint `json:"checkpoint"`
	Signed     []byte     `json:"signed"` // keep this as LastSeen for the next time
	Entries    int64      `json:"entries"`
	// Genesis is what the first entry says of the shard before this one; nil where this is the first.
	Genesis *ShardNote `json:"genesis,omitempty"`
	// Next is what the last entry says of the shard after this one, where the log goes on; nil where this
	// is the last.
	Next *ShardNote `json:"next,omitempty"`
	// Notes are weaknesses that do not touch what the log says.
	Notes []string `json:"notes,omitempty"`
	// NewKeys lists keys of the log that entries, signed by the former key, speak of and that the policy
	// does not name yet.
	NewKeys  []string `json:"new_vkeys,omitempty"`
	Quorum   string   `json:"quorum"`  // what was asked of witnesses, in words
	Objects  int      `json:"objects"` // tiles, bundles and checkpoints compared byte for byte
	Intents  int64    `json:"intents"`
	Outcomes int64    `json:"outcomes"`
	Open     int64    `json:"open"` // intents without an outcome yet: a run is going on, or was cut off
	// Uncosigned: the only finding is that the quorum of witnesses has not signed the newest tree. They may
	// be out of reach; nothing else was looked at.
	Uncosigned bool `json:"uncosigned,omitempty"`
	// Unlocked: among the findings is that objects of the log can be deleted by whoever runs the bucket, which
	// says nothing against what they hold.
	Unlocked bool `json:"unlocked,omitempty"`
	// Findings are the faults, empty for a log that verifies.
	Findings []string `json:"findings"`

	mends  []object // tiles that hold other bytes than the entries give, with those
	beyond int      // how many of the findings are objects that no signed tree covers
}

// maxFindings bounds the report on a log that is wholly broken.
const maxFindings = 50

func (r *Report) find(format string, args ...any) {
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// findBeyond notes an object that no signed tree covers.
func (r *Report) findBeyond(format string, args ...any) {
	if len(r.Findings) < maxFindings {
		r.beyond++
	}
	r.find(format, args...)
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 }
