package policies

import (
	"time"

	"earshot"
)

// law is what stands in the code and no rule can change, from the strongest.
type law int8

const (
	lawHold     law = iota // a legal hold of the operator
	lawLock                // the store's own legal hold or retention date
	lawErasure             // an open erasure request
	lawRestrict            // an open request for restriction
	lawFault               // a doubt about the recording
	lawCount
)

// What Decision.Rule holds where no rule of the policy decided. No rule can have these names.
const (
	RuleHold      = "hold"
	RuleLock      = "object-lock"
	RuleErasure   = "erasure-request"
	RuleRestrict  = "restriction"
	RuleFault     = "fault"
	RuleOtherwise = "otherwise"
)

var lawNames = [...]string{RuleHold, RuleLock, RuleErasure, RuleRestrict, RuleFault}

func (l law) name() string { return lawNames[l] }

// disposition is what the law demands.
func (l law) disposition() earshot.Disposition {
	switch l {
	case lawErasure:
		return earshot.Delete
	case lawFault:
		return earshot.Review
	}
	return earshot.Keep
}

// lawTexts are for people.
var lawTexts = [...]string{
	"a legal hold stands: nothing is redacted or deleted",
	"the store's object lock or legal hold stands: nothing can be redacted or deleted",
	"the subject has asked for erasure",
	"the subject has asked for restriction: it is stored, and nothing else is done with it",
	"",
}

// because names the source of the law.
var lawBecause = [...]string{
	"law before rules: a hold or lock beats an erasure request (GDPR art. 17(3)(e)), which beats the rules",
	"law before rules: a hold or lock beats an erasure request (GDPR art. 17(3)(e)), which beats the rules",
	"law before rules: GDPR art. 17, CCPA 1798.105",
	"law before rules: GDPR art. 18: restricted data is stored only, and erased when the subject asks for that",
	"",
}

// noRecording is the fault of facts that name no recording at all: nothing may follow from them.
const noRecording = "the facts name no recording"

// fault is the doubt about the recording, "" for none.
func (s *sight) fault() string {
	if s.f.Fault == "" && s.f.Recording.ID.Key == "" {
		return noRecording
	}
	return s.f.Fault
}

// lawAt gives the law that applies at t.
func (s *sight) lawAt(t time.Time) (law, bool) {
	switch {
	case s.held():
		return lawHold, true
	case s.locked(t):
		return lawLock, true
	case s.erasure():
		return lawErasure, true
	case s.restricted():
		return lawRestrict, true
	case s.fault() != "":
		return lawFault, true
	}
	return 0, false
}

// held reports whether the operator holds the recording, for as long as these facts stand.
func (s *sight) held() bool { return len(s.f.Holds) > 0 }

// lockedForEver reports whether the store locks the recording without a date: by its own legal hold,
// or until after the year 9000.
func (s *sight) lockedForEver() bool {
	return s.f.Lock.LegalHold || s.f.Lock.RetainUntil.Year() >= 9000
}

// locked reports whether the store locks the recording at t. A retention date before 2000 is over,
// and was at every moment that matters.
func (s *sight) locked(t time.Time) bool {
	until := s.f.Lock.RetainUntil
	return s.lockedForEver() || believable(until) && t.Before(until)
}

// erasure reports whether the subject has an open erasure request, restricted one for restriction.
func (s *sight) erasure() bool    { return s.asked(earshot.RequestErasure) }
func (s *sight) restricted() bool { return s.asked(earshot.RequestRestriction) }

func (s *sight) asked(kind earshot.RequestKind) bool {
	for i := range s.f.Requests {
		if r := &s.f.Requests[i]; r.Kind == kind && r.ClosedAt.IsZero() {
			return true
		}
	}
	return false
}

// lockEnds is the boundary that a retention date makes in the timeline.
func (s *sight) lockEnds() (time.Time, bool) {
	until := s.f.Lock.RetainUntil
	if s.lockedForEver() || !believable(until) {
		return time.Time{}, false
	}
	return until.UTC(), true
}
