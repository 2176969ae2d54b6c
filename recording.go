package earshot

import "time"

// RecordingID names one version of one object. Version is empty in a bucket that has never been
// versioned, and "null" for the objects that such a bucket held when versioning was switched on.
type RecordingID struct {
	Bucket  string `json:"bucket,omitempty"`
	Key     string `json:"key,omitempty"`
	Version string `json:"version,omitempty"`
}

// Coding is how the sound is stored.
type Coding string

// The codings that earshot can tell apart. CodingOpaque is everything else.
const (
	CodingWAV    Coding = "wav"
	CodingMP3    Coding = "mp3"
	CodingFLAC   Coding = "flac"
	CodingOpus   Coding = "opus"
	CodingOpaque Coding = "opaque"
)

// SubjectID is the pseudonym of a data subject: the person or the household profile that a
// recording belongs to. It is never a name. Empty means that the subject is not known.
type SubjectID string

// Recording is what a listing and the object's metadata say of one stored recording.
type Recording struct {
	ID   RecordingID `json:"id,omitzero"`
	ETag string      `json:"etag,omitempty"` // as the store gave it, without quotes
	// Hidden says that it lies behind a delete marker: readers do not see it, the store still has it.
	Hidden bool `json:"hidden,omitempty"`
	// Class is set for a companion that has rules of its own, as the layout names it; it is empty for a
	// recording.
	Class    string    `json:"class,omitempty"`
	Size     int64     `json:"size"` // bytes
	StoredAt time.Time `json:"stored_at,omitzero"`
	// CapturedAt is when the device heard it. It is the zero time where nothing says so, and
	// where what was said cannot be true (before 2000, or after StoredAt by more than a day).
	CapturedAt time.Time `json:"captured_at,omitzero"`
	// CapturedWithin is how much earlier it may have been: 24 h where only the day is known, 1 h where only the hour is.
	CapturedWithin time.Duration     `json:"captured_within,omitempty"`
	Coding         Coding            `json:"coding"`
	Subject        SubjectID         `json:"subject,omitempty"`
	Device         string            `json:"device,omitempty"`
	Locale         string            `json:"locale,omitempty"` // BCP 47, such as de-DE
	Source         string            `json:"source,omitempty"` // kind of service: assistant, doorbell, ...
	Labels         map[string]string `json:"labels,omitempty"` // other user metadata and layout attributes
}

// Companion is an object derived from a recording or kept beside it: a transcript, a voiceprint,
// an event. It shares the recording's fate unless a rule says otherwise.
type Companion struct {
	Class string      `json:"class"` // as the layout names it: event, transcript, voiceprint, ...
	ID    RecordingID `json:"id"`
	ETag  string      `json:"etag"`
	Size  int64       `json:"size"`
	// Fate is what becomes of it in an action: delete, trim, keep, or review (trim, or leave the
	// whole recording to a person).
	Fate CompanionRule `json:"fate,omitempty"`
}

// Lock is what the store itself enforces on one version (S3 Object Lock).
type Lock struct {
	LegalHold   bool      `json:"legal_hold,omitempty"`
	Mode        string    `json:"mode,omitempty"` // GOVERNANCE, COMPLIANCE or empty
	RetainUntil time.Time `json:"retain_until,omitzero"`
}
