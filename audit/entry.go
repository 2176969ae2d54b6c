package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"earshot"

	"golang.org/x/mod/sumdb/tlog"
)

// Kind is what an entry says.
type Kind string

// The kinds of entry.
const (
	KindGenesis  Kind = "genesis"
	KindPolicy   Kind = "policy_activated"
	KindPlanned  Kind = "run_planned"
	KindApproval Kind = "approval"
	KindIntent   Kind = "intent"
	KindOutcome  Kind = "outcome"
	KindSkip     Kind = "skip"
	KindFinished Kind = "run_finished"
	KindHold     Kind = "hold_placed"
	KindLift     Kind = "hold_lifted"
	KindRequest  Kind = "request_filed"
	KindClosed   Kind = "request_closed"
	KindAccess   Kind = "access_answered"
	// What the log says of itself.
	KindGap       Kind = "cosign_gap"
	KindOrphan    Kind = "orphan_superseded"
	KindRecovered Kind = "recovered"
	KindReviewed  Kind = "recovery_reviewed"
	KindRotation  Kind = "key_rotation"
	KindClosing   Kind = "shard_closed"
	// What is said of people's keys and of those who read.
	KindKeyGone   Kind = "subject_key_destroyed"
	KindDisclosed Kind = "subject_key_disclosed"
	KindRead      Kind = "log_read"
	KindExport    Kind = "log_export"
	// What is said of the store as a whole.
	KindInventory    Kind = "inventory"
	KindReconcile    Kind = "reconcile"
	KindVerification Kind = "verification"
)

// Kinds lists all kinds of entry, those of other packages too.
func Kinds() []Kind {
	return []Kind{
		KindGenesis, KindPolicy, KindPlanned, KindApproval, KindIntent, KindOutcome, KindSkip, KindFinished, KindHold, KindLift,
		KindRequest, "request_extended", KindClosed, "subject_changed", "subject_readmitted", "subject_scrubbed", KindAccess,
		KindVerification, KindInventory, KindReconcile, KindGap, KindOrphan, KindRecovered, KindReviewed, KindRotation, KindClosing,
		KindDisclosed, KindKeyGone, KindRead, KindExport,
	}
}

// Entry is one thing that earshot says. Tags stand for names: see [Tagger].
type Entry struct {
	V            int           `json:"v"`  // 1
	ID           string        `json:"id"` // see EntryID
	Kind         Kind          `json:"kind"`
	TS           int64         `json:"ts"` // microseconds since 1970 UTC, by our own clock
	Producer     string        `json:"producer,omitempty"`
	Actor        *Actor        `json:"actor,omitempty"`
	Run          string        `json:"run,omitempty"`
	Policy       *Policy       `json:"policy,omitempty"`
	Plan         *Plan         `json:"plan,omitempty"`
	Approval     *Approval     `json:"approval,omitempty"`
	Intent       *Intent       `json:"intent,omitempty"`
	Outcome      *Outcome      `json:"outcome,omitempty"`
	Skip         *Skip         `json:"skip,omitempty"`
	Hold         *HoldNote     `json:"hold,omitempty"`
	Request      *RequestNote  `json:"request,omitempty"`
	Finished     *Finished     `json:"finished,omitempty"`
	Gap          *Gap          `json:"gap,omitempty"`
	Orphan       *Orphan       `json:"orphan,omitempty"`
	Recovered    *Recovered    `json:"recovered,omitempty"`
	Reviewed     *Reviewed     `json:"reviewed,omitempty"`
	Rotation     *Rotation     `json:"rotation,omitempty"`
	Shard        *ShardNote    `json:"shard,omitempty"`
	SubjectKey   *SubjectKey   `json:"subject_key,omitempty"`
	Read         *Read         `json:"read,omitempty"`
	Inventory    *Inventory    `json:"inventory,omitempty"`
	Reconcile    *Reconcile    `json:"reconcile,omitempty"`
	Verification *Verification `json:"verification,omitempty"`
}

// Gap says that from here on trees are published which the quorum of witnesses has not cosigned.
type Gap struct {
	Cosigned int64 `json:"cosigned"` // the size of the tree that was, last
	Since    int64 `json:"since"`    // when that was, microseconds; 0: never
}

// Orphan says that a tile of an abandoned attempt was written over: its bytes were never covered
// by a published checkpoint.
type Orphan struct {
	Tile string `json:"tile"`
	Size int64  `json:"size"` // of the tree that was being published
}

// Recovered says that the database was behind the published log, as after the restore of a backup,
// and took over what the log holds.
type Recovered struct {
	Size       int64 `json:"size"`       // of the published tree
	Adopted    int64 `json:"adopted"`    // entries that the database did not have
	Renumbered int64 `json:"renumbered"` // entries that it had given numbers which the log gave to others
	Answered   int64 `json:"answered"`   // intents of lost runs that were closed
	// What people had said and the database has lost: holds that do not protect any more, and all of
	// it together. Nothing is done until a person has reviewed it.
	HoldsLost int64 `json:"holds_lost,omitempty"`
	SaidLost  int64 `json:"said_lost,omitempty"`
	// KeysDestroyed counts keys of data subjects that the restore had brought back.
	KeysDestroyed int64 `json:"keys_destroyed_again,omitempty"`
	// PublishedBefore: so many entries had been public, and the bucket did not hold them any more (or held
	// others); a person decided to go on from what was left.
	PublishedBefore int64 `json:"published_before,omitempty"`
}

// Lost is what a database lost of what people had said: see [Recovered].
type Lost struct{ Holds, Said, KeysDestroyed int64 }

// Reviewed says that a person has looked at what a restore lost of what people had said, and has said
// it again where it still holds.
type Reviewed struct {
	Entries []string `json:"entry_ids"` // the lost ones
}

// Rotation says that the log's key is replaced: both keys sign the sentence that
// [RotationText] gives.
type Rotation struct {
	Old    string `json:"old_vkey"`
	New    string `json:"new_vkey"`
	OldSig string `json:"old_sig"` // base64
	NewSig string `json:"new_sig"`
}

// ShardNote links the trees of one log: the last entry of a closed shard names the next one, and the
// first of that, the genesis, holds the other's last checkpoint.
type ShardNote struct {
	Next     string `json:"next,omitempty"`      // origin
	NextVKey string `json:"next_vkey,omitempty"` // its public key
	Previous string `json:"previous,omitempty"`  // origin
	VKey     string `json:"previous_vkey,omitempty"`
	Prefix   string `json:"previous_prefix,omitempty"` // of its objects in the bucket
	Size     int64  `json:"previous_size"`
	Root     string `json:"previous_root,omitempty"` // hexadecimal
}

// SubjectKey says that the key behind a data subject's tags was destroyed, or handed to somebody.
type SubjectKey struct {
	Subject string `json:"subj_tag"` // under the key itself
	To      string `json:"to_tag,omitempty"`
}

// Read says that somebody read or exported the log.
type Read struct {
	Entries int64  `json:"entries"`
	Size    int64  `json:"size"` // of the tree that was read
	Format  string `json:"format,omitempty"`
	Query   string `json:"query_tag,omitempty"`
	SHA256  string `json:"sha256,omitempty"` // of what was exported
}

// Inventory is a look at everything that the store holds in a scope: the Merkle root (RFC 9162) over
// one line for every version, blinded.
type Inventory struct {
	Scope    string `json:"scope_tag"`
	Root     string `json:"root"` // hexadecimal
	Versions int64  `json:"versions"`
	Bytes    int64  `json:"bytes"`
	Previous string `json:"previous_root,omitempty"`
	// PreviousID is the id of the inventory entry before this one, of the same scope.
	PreviousID string `json:"previous_id,omitempty"`
}

// Reconcile compares an inventory with the one before and with what the log says was done since.
type Reconcile struct {
	Scope    string `json:"scope_tag"`
	From     string `json:"from_root"`
	To       string `json:"to_root"`
	Appeared int64  `json:"appeared"`
	// Explained versions are gone, and an outcome in the published log says so.
	Explained int64 `json:"explained"`
	// Vanished versions are gone, and no outcome says why.
	Vanished int64 `json:"vanished"`
	// Changed and Hidden count new versions, and delete markers, over objects that were there before, of
	// which no outcome speaks.
	Changed int64 `json:"changed,omitempty"`
	Hidden  int64 `json:"hidden,omitempty"`
	// Objects names some of those that vanished, changed or were hidden, by tags.
	Objects []string `json:"object_tags,omitempty"`
	// Lost: the list of the last inventory is not there, or is not the one that the log names.
	Lost bool `json:"inventory_lost,omitempty"`
}

// Verification says that another component than the one that acted, with other credentials, has
// looked at what an outcome claims.
type Verification struct {
	OutcomeID string `json:"outcome_id"`
	Verifier  string `json:"verifier"`
	Method    string `json:"method"` // list_versions or list_versions_and_uploads
	Result    string `json:"result"` // confirmed, contradicted or unknown
	Left      int    `json:"versions_left"`
	// Newer counts versions stored after the act, and unfinished uploads: of other objects under the same
	// names, or of the same ones put back.
	Newer int `json:"versions_newer,omitempty"`
}

// RequestNote is a data subject's request that was filed or closed.
type RequestNote struct {
	Kind    string `json:"kind"`
	Tag     string `json:"tag"`
	Subject string `json:"subj_tag"`
}

// Actor is who caused the entry.
type Actor struct {
	Kind string `json:"kind"` // person or service
	Tag  string `json:"tag"`
}

// Policy names a policy by its text.
type Policy struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// Plan says what a run is going to do.
type Plan struct {
	AsOf       int64  `json:"as_of"` // microseconds
	Digest     string `json:"digest"`
	Considered int    `json:"considered"`
	Kept       int    `json:"kept"`
	Held       int    `json:"held"`
	ForReview  int    `json:"for_review"`
	Delete     int    `json:"delete"`
	Redact     int    `json:"redact"`
	Approvals  int    `json:"approvals_needed"`
	// Inventories are the roots of the last inventories of the buckets; empty where none was taken yet, so
	// that nothing shows whether the population is complete.
	Inventories []string `json:"inventory_roots,omitempty"`
}

// Approval is one person's consent to a digest.
type Approval struct {
	Digest string `json:"digest"`
}

// Intent says what is about to be done, before it is.
type Intent struct {
	Action     string `json:"action"` // delete or redact
	Recording  string `json:"rec_tag"`
	Subject    string `json:"subj_tag,omitempty"`
	Object     string `json:"object_tag"` // bucket, key, version and ETag
	Companions int    `json:"companions"`
	// CompanionsTag is over the names of all of them, with the fate of each.
	CompanionsTag string   `json:"companions_tag,omitempty"`
	Rule          string   `json:"rule"`
	Basis         []string `json:"basis"`            // policy/rule of every reason
	Due           int64    `json:"due_at,omitempty"` // since when the decision holds, microseconds; 0: since ever
	Spans         []Span   `json:"spans,omitempty"`
	Fill          string   `json:"fill,omitempty"`
	// LogLock is "database" where the store ignores conditions on writing, so that only a lock in the
	// database keeps two publishers of this log apart.
	LogLock string `json:"log_lock,omitempty"`
}

// Span is a stretch of sound in microseconds; End -1 reaches to the end.
type Span struct {
	Start int64 `json:"start_us"`
	End   int64 `json:"end_us"`
}

// Outcome says what became of an intent, with the evidence.
type Outcome struct {
	IntentID string `json:"intent_id"`
	Result   string `json:"result"` // ok, already_absent, failed, stopped or abandoned
	Code     string `json:"code,omitempty"`
	// Evidence of a fresh look at the store.
	VersionsBefore int    `json:"versions_before"`
	VersionsAfter  int    `json:"versions_after"`
	CopiesGone     int    `json:"copies_gone"` // versions, markers and uploads destroyed, companions included
	CompanionsLeft int    `json:"companions_left"`
	After          string `json:"after_tag,omitempty"` // of the redacted bytes
	Erased         []Span `json:"erased,omitempty"`
	Settled        string `json:"settled,omitempty"` // apply, or recovery after a crash
	// Of an event log: how many rows were taken out, and how many were changed.
	RowsGone    int64 `json:"rows_gone,omitempty"`
	RowsChanged int64 `json:"rows_changed,omitempty"`
}

// Skip says that an action was not begun since a precondition no longer held.
type Skip struct {
	Recording string `json:"rec_tag"`
	Code      string `json:"code"` // hold, locked, changed, gone, not_due, facts
}

// HoldNote is a hold that was placed or lifted.
type HoldNote struct {
	Tag    string `json:"tag"`
	Matter string `json:"matter_tag"`
}

// Finished sums a run up.
type Finished struct {
	Candidates int `json:"candidates"` // recordings that were looked at
	Due        int `json:"due"`        // of which something was to be done to these
	// Inventories are the roots of the last inventories of the buckets at that time.
	Inventories []string `json:"inventory_roots,omitempty"`
	Done        int      `json:"done"`
	Skipped     int      `json:"skipped"`
	Failed      int      `json:"failed"`
}

// EntryID makes the id of an entry from what it is about, so that saying the same thing again
// gives the same id: parts are, for instance, "outcome", run and sequence number.
func EntryID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Leaf gives the entry's canonical bytes, or says which rule of the format it breaks.
func (e Entry) Leaf() (earshot.Leaf, error) {
	e.V = 1
	if len(e.ID) != 32 || e.Kind == "" || e.TS <= 0 {
		return earshot.Leaf{}, fmt.Errorf("log entry %q: id, kind and time are mandatory", e.Kind)
	}
	body, err := canonical(e)
	if err != nil {
		return earshot.Leaf{}, fmt.Errorf("log entry %q: %w", e.Kind, err)
	}
	return earshot.Leaf{ID: e.ID, Body: body}, nil
}

// Parse reads an entry. Anything that is not exactly what Leaf would write is refused: unknown,
// repeated and case-variant keys too.
func Parse(body []byte) (Entry, error) {
	if _, err := scan(body); err != nil {
		return Entry{}, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var e Entry
	if err := dec.Decode(&e); err != nil {
		return Entry{}, fmt.Errorf("log entry: %w", err)
	}
	if e.V != 1 {
		return Entry{}, fmt.Errorf("log entry of version %d: this program reads version 1", e.V)
	}
	again, err := canonical(e)
	if err != nil {
		return Entry{}, fmt.Errorf("log entry: %w", err)
	}
	if !bytes.Equal(again, body) {
		return Entry{}, fmt.Errorf("log entry: not in the form that version 1 gives it")
	}
	return e, nil
}

// Time is when the entry was made, by its maker's clock.
func (e Entry) Time() time.Time { return time.UnixMicro(e.TS).UTC() }

// Spans gives spans in the form that entries have.
func Spans(spans earshot.Spans) []Span {
	out := make([]Span, 0, len(spans))
	for _, s := range spans {
		end := int64(-1)
		if s.End != earshot.ToEnd {
			end = s.End.Microseconds()
			if s.End%time.Microsecond != 0 {
				end++
			}
		}
		out = append(out, Span{Start: s.Start.Microseconds(), End: end})
	}
	return out
}

// LeafHash is the hash of an entry in the tree (RFC 9162, section 2.1.1).
func LeafHash(body []byte) [32]byte { return tlog.RecordHash(body) }
