package earshot

import (
	"slices"
	"strings"
	"time"
)

// Kind is what a detector listens for.
type Kind string

// The kinds of listening.
const (
	KindWake   Kind = "wake"
	KindChild  Kind = "child"
	KindSpeech Kind = "speech"
)

// Finding is one thing heard, or said in metadata to have been heard.
type Finding struct {
	Kind  Kind    `json:"kind"`
	Span  Span    `json:"span"`
	Score float64 `json:"score"`          // 0 to 1
	Word  string  `json:"word,omitempty"` // for the wake word: which, in lower case
}

// Listening is the fact that someone listened, and what was heard. Without a Listening nothing is
// known: "nothing found" is a fact only if someone listened.
type Listening struct {
	Kind     Kind      `json:"kind"`
	Detector string    `json:"detector"` // name and version, such as avs-event/1
	At       time.Time `json:"at"`
	// Score is the figure for the whole recording, where the kind has one (the probability that a
	// child speaks), from 0 to 1.
	Score float64 `json:"score,omitempty"`
	// CommandEnd is where the spoken command ends, 0 where unknown.
	CommandEnd time.Duration `json:"command_end,omitempty"`
	Findings   []Finding     `json:"findings,omitempty"`
	// Loose says that the findings' spans are where the thing may be, wider than it is.
	Loose bool `json:"loose,omitempty"`
	// Disagreement says in what the sources of a listening that has several differ; empty where they agree.
	Disagreement string `json:"disagreement,omitempty"`
}

// Consent is a data subject's (or a parent's) agreement to one purpose.
type Consent struct {
	Subject     SubjectID `json:"subject"`
	Purpose     string    `json:"purpose"` // parental, voiceprint, human-review, training, ...
	GivenAt     time.Time `json:"given_at"`
	WithdrawnAt time.Time `json:"withdrawn_at,omitzero"` // zero: in force
	Proof       string    `json:"proof,omitempty"`       // reference to where the proof is kept
}

// Subject is what the operator knows of a data subject, and what that person chose.
type Subject struct {
	ID         SubjectID `json:"id"`
	LastActive time.Time `json:"last_active,omitzero"`
	// DeclaredMinor says that the account was declared to be a child's; nil where nobody said.
	DeclaredMinor *bool `json:"declared_minor,omitempty"`
	// DeclaredAge is the age in whole years as declared, nil where nobody said.
	DeclaredAge *int `json:"declared_age,omitempty"`
	// AutoDelete is the person's own retention period, 0 where none was chosen.
	AutoDelete    time.Duration `json:"auto_delete,omitempty"`
	DontSave      bool          `json:"dont_save,omitempty"`
	NoHumanReview bool          `json:"no_human_review,omitempty"`
	Consents      []Consent     `json:"consents,omitempty"`
}

// Hold is a legal hold: while it stands, nothing that it covers is redacted or deleted. The empty
// fields of a hold cover everything: a hold with only Bucket set covers the bucket.
type Hold struct {
	ID       string    `json:"id"`
	Matter   string    `json:"matter"`
	Reason   string    `json:"reason,omitempty"` // why, in words
	Bucket   string    `json:"bucket,omitempty"`
	Prefix   string    `json:"prefix,omitempty"` // of the recording's key
	Keys     []string  `json:"keys,omitempty"`   // single recordings
	Subject  SubjectID `json:"subject,omitempty"`
	Device   string    `json:"device,omitempty"`
	From     time.Time `json:"from,omitzero"` // captured or stored at or after
	To       time.Time `json:"to,omitzero"`   // captured or stored before
	PlacedAt time.Time `json:"placed_at"`
	PlacedBy string    `json:"placed_by"`
	LiftedAt time.Time `json:"lifted_at,omitzero"`
	LiftedBy string    `json:"lifted_by,omitempty"`
}

// RequestKind is what a data subject asks for.
type RequestKind string

// The kinds of request (GDPR articles 15, 17 and 18).
const (
	RequestAccess      RequestKind = "access"
	RequestErasure     RequestKind = "erasure"
	RequestRestriction RequestKind = "restriction"
)

// Request is what a data subject asked the operator to do.
type Request struct {
	ID       string      `json:"id"`
	Kind     RequestKind `json:"kind"`
	Subject  SubjectID   `json:"subject"`
	MadeAt   time.Time   `json:"made_at"`
	DueAt    time.Time   `json:"due_at"`
	ClosedAt time.Time   `json:"closed_at,omitzero"` // zero: open
	Law      string      `json:"law,omitempty"`      // gdpr or ccpa: whose deadline it is
	Identity string      `json:"identity,omitempty"` // where it is kept how the person was identified
	Extended string      `json:"extended,omitempty"` // why the deadline was put off, as the person was told
	Refused  string      `json:"refused,omitempty"`  // what was refused in part, and why, in words
}

// Pooled is what several recordings tell together of whether a child speaks.
type Pooled struct {
	Probability float64 // from 0 to 1
	Of          int     // recordings that were judged; 0: there is no figure
	Why         string  // there is none, in a few words
}

// Facts is everything that a policy may know of one recording. It holds no clock: what follows
// from the facts at a given moment is the policy's business.
type Facts struct {
	Recording Recording
	// HeadKnown says that the object's own metadata and tags have been read, so that an absent
	// label is really absent. A listing alone does not tell.
	HeadKnown bool
	// Heard holds the latest listening of each kind. A missing kind is unknown, not "nothing".
	Heard map[Kind]Listening
	// Deaf says that a listening of this kind was tried, or cannot be tried, and that nothing came
	// of it: the reason in a few words. Such a fact stays missing.
	Deaf map[Kind]string
	// Pooled is what the recordings of the same device in one session tell together of whether a child
	// speaks; nil where nobody has asked yet.
	Pooled *Pooled
	// Subject is nil where the recording has none or the operator knows nothing of it.
	Subject  *Subject
	Lock     Lock
	Holds    []Hold    // standing holds that cover the recording
	Requests []Request // open requests of the recording's subject
	// Erased is what earlier redactions have already taken out of this version.
	Erased Spans
	// Length of the sound, 0 where it is not known yet.
	Length time.Duration
	// Log is the class of event log that the object is, empty for a recording; Rows is what a look into
	// it showed, nil where nobody has looked.
	Log  string
	Rows *RowFacts
	// Orphan says of a companion with rules of its own whether its recording is gone; nil where nobody can
	// tell, and for recordings.
	Orphan *bool
	// Fault names a doubt about the recording that no rule may override (a capture date in the
	// future, say). Not empty means review.
	Fault string
}

// Covers reports whether the hold stands and covers the recording.
func (h Hold) Covers(r Recording) bool {
	when := r.CapturedAt
	if when.IsZero() {
		when = r.StoredAt
	}
	switch {
	case !h.LiftedAt.IsZero(),
		h.Bucket != "" && h.Bucket != r.ID.Bucket,
		h.Prefix != "" && !strings.HasPrefix(r.ID.Key, h.Prefix),
		len(h.Keys) > 0 && !slices.Contains(h.Keys, r.ID.Key),
		h.Subject != "" && h.Subject != r.Subject,
		h.Device != "" && h.Device != r.Device,
		!h.From.IsZero() && !when.IsZero() && when.Before(h.From),
		!h.To.IsZero() && !when.IsZero() && !when.Add(-r.CapturedWithin).Before(h.To):
		return false
	}
	return true
}
