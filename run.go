package earshot

import (
	"fmt"
	"time"
)

// RunID names a run. It sorts by time: run-20060102T150405Z-xxxxxxxx.
type RunID string

// RunState is how far a run has come.
type RunState string

// The states of a run. A run moves forward only; Abandoned is the end of a run whose plan was
// given up before anything was applied.
const (
	RunDraft     RunState = "draft"     // actions are being added
	RunSealed    RunState = "sealed"    // the digest stands; needs approval
	RunApproved  RunState = "approved"  // may be applied
	RunApplying  RunState = "applying"  // apply has begun
	RunDone      RunState = "done"      // every action is settled
	RunAbandoned RunState = "abandoned" // superseded or refused
)

// Run is one plan and what became of it.
type Run struct {
	ID           RunID  `json:"id"`
	For          string `json:"for,omitempty"` // the policies that were asked for; empty: all
	Policy       string `json:"policy"`        // names of the policies decided by, comma-separated
	PolicyDigest Digest `json:"policy_digest"`
	// Session is how far recordings of one session may be apart, where the policies judge sessions; nanoseconds in JSON.
	Session time.Duration `json:"session,omitempty"`
	AsOf    time.Time     `json:"as_of"` // the one moment that every decision of the run was made for
	State   RunState      `json:"state"`
	Planner Principal     `json:"planner"`
	Digest  Digest        `json:"digest,omitzero"` // over the sealed actions
	// Considered counts the recordings in scope; Kept those that nothing is due for; ForReview
	// those that a person must look at.
	Considered int `json:"considered"`
	Kept       int `json:"kept"`
	Held       int `json:"held"`
	ForReview  int `json:"for_review"`
	Actions    int `json:"actions"`
	// ApprovalsNeeded is 0 where the policy's limits allow the run without a second person.
	ApprovalsNeeded int       `json:"approvals_needed"`
	WhyApproval     string    `json:"why_approval,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
	FinishedAt      time.Time `json:"finished_at,omitzero"`
}

// Approval is one person's consent to one digest.
type Approval struct {
	Run    RunID     `json:"run"`
	Digest Digest    `json:"digest"`
	By     Principal `json:"by"`
	At     time.Time `json:"at"`
}

// ActionState is how far one action has come.
type ActionState string

// The states of an action.
const (
	ActionPlanned  ActionState = "planned"
	ActionIntended ActionState = "intended" // its intent entry is written; the act may have begun
	ActionDone     ActionState = "done"
	ActionSkipped  ActionState = "skipped" // a precondition no longer held; nothing was touched
	ActionFailed   ActionState = "failed"  // tried, and the recording is still there
)

// Action is what a run will do, or did, to one recording. What it carries is all that apply
// needs to know: the recording's exact version and everything that goes with it.
type Action struct {
	Run        RunID       `json:"run"`
	Seq        int         `json:"seq"` // from 0, in order of key
	Recording  Recording   `json:"recording"`
	Companions []Companion `json:"companions,omitempty"`
	Decision   Decision    `json:"decision"`
	State      ActionState `json:"state"`
	// Attempt counts the intents that were given up before anything was touched, as when a run is
	// interrupted: the next intent is another entry.
	Attempt    int       `json:"attempt,omitempty"`
	Why        string    `json:"why,omitempty"` // for skipped and failed: the reason, without personal data
	BytesFreed int64     `json:"bytes_freed,omitempty"`
	IntendedAt time.Time `json:"intended_at,omitzero"`
	SettledAt  time.Time `json:"settled_at,omitzero"`
}

// ID names the action for ever: the run and its place in it.
func (a Action) ID() string { return fmt.Sprintf("%s/%d", a.Run, a.Seq) }
