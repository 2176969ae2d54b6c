package retention

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"earshot"
	"earshot/audit"
)

// kindSubject is the entry that says that something known of a data subject has changed.
const kindSubject audit.Kind = "subject_changed"

// PutSubject stores what is known of a data subject, with an entry that says what changed (a word such
// as imported, and no more), and makes the subject's recordings due at once. Where nothing changes
// nothing is written. The entry is published with the next that is.
func (r *Runner) PutSubject(ctx context.Context, s earshot.Subject, what string) (changed bool, err error) {
	if s.ID == "" {
		return false, errors.New("a data subject needs an id: a pseudonym, never a name")
	}
	before, err := r.o.Catalog.Subject(ctx, s.ID)
	if err != nil {
		return false, err
	}
	slices.SortFunc(s.Consents, func(a, b earshot.Consent) int { return a.GivenAt.Compare(b.GivenAt) })
	now, err := json.Marshal(s)
	if err != nil {
		return false, err
	}
	if before != nil {
		if was, err := json.Marshal(*before); err != nil || string(was) == string(now) {
			return false, err
		}
	}
	tags, err := r.tagger(ctx, s.ID)
	if err != nil {
		return false, err
	}
	e := r.entry(kindSubject, randomID(), r.now().Format(time.RFC3339Nano)) // not of the subject: an id can be guessed at
	e.Request = &audit.RequestNote{Kind: what, Tag: tags.Tag("subject state", e.ID, string(now)), Subject: tags.Tag("subject", e.ID, string(s.ID))}
	leaf, err := e.Leaf()
	if err != nil {
		return false, err
	}
	return true, r.o.Catalog.PutSubject(ctx, s, leaf)
}

// ErrUnknownSubject means: nothing is known of the data subject. Check the pseudonym.
var ErrUnknownSubject = errors.New("nothing is known of this data subject, and no recording is known to be theirs")

// Subject gives what is known of a data subject, to be changed; [ErrUnknownSubject] where nothing is and
// no recording is theirs, as after a slip of the pen.
func (r *Runner) Subject(ctx context.Context, id earshot.SubjectID) (earshot.Subject, error) {
	s, err := r.o.Catalog.Subject(ctx, id)
	if err != nil {
		return earshot.Subject{}, err
	}
	if s != nil {
		return *s, nil
	}
	rows, err := r.o.Catalog.Of(ctx, id)
	if err == nil && len(rows) == 0 {
		err = ErrUnknownSubject
	}
	return earshot.Subject{ID: id}, err
}

// Give writes down a consent to a purpose. One that is in force on the same proof stands as it is.
func Give(s *earshot.Subject, purpose string, at time.Time, proof string) {
	if slices.ContainsFunc(s.Consents, func(c earshot.Consent) bool {
		return c.Purpose == purpose && c.Proof == proof && c.WithdrawnAt.IsZero()
	}) {
		return
	}
	s.Consents = append(s.Consents, earshot.Consent{Subject: s.ID, Purpose: purpose, GivenAt: at.UTC(), Proof: proof})
}

// Withdraw ends the consents to a purpose that are in force, and returns how many there were.
func Withdraw(s *earshot.Subject, purpose string, at time.Time) int {
	n := 0
	for i := range s.Consents {
		if c := &s.Consents[i]; c.Purpose == purpose && c.WithdrawnAt.IsZero() {
			c.WithdrawnAt = at.UTC()
			n++
		}
	}
	return n
}

// Foreseen is what becomes of a subject's recordings as things are now.
type Foreseen struct {
	Subject    earshot.SubjectID `json:"subject"`
	Recordings int               `json:"recordings"`
	Deletes    int               `json:"deletes"` // due now
	Redacts    int               `json:"redacts"`
	Held       int               `json:"held"`
	ForReview  int               `json:"review"` // for a person, or on facts not asked for yet
	// Next is when the first of the others is due; zero: none is.
	Next time.Time `json:"next,omitzero"`
}

// ForesaySubject tells what becomes of a subject's recordings, from what the catalog knows.
func (r *Runner) ForesaySubject(ctx context.Context, id earshot.SubjectID) (Foreseen, error) {
	out := Foreseen{Subject: id}
	rows, err := r.o.Catalog.Of(ctx, id)
	if err != nil {
		return out, err
	}
	p, err := r.people(ctx)
	if err != nil {
		return out, err
	}
	at := r.now()
	for _, row := range rows {
		res := resolved{known: row.Known}
		r.layout.describe(&res.known.Recording)
		if err := r.assemble(ctx, &res, p, at); err != nil {
			return out, err
		}
		r.deafen(&res)
		if err := r.supposeSession(ctx, &res); err != nil {
			return out, err
		}
		out.Recordings++
		d := r.rules.decide(res.facts, at)
		switch {
		case len(res.facts.Holds) > 0:
			out.Held++
		case d.Disposition == earshot.Delete:
			out.Deletes++
		case d.Disposition == earshot.Redact:
			out.Redacts++
		case d.Disposition == earshot.Review:
			out.ForReview++
		default:
			if when, _, ok := r.rules.firstAct(res.facts, at); ok && (out.Next.IsZero() || when.Before(out.Next)) {
				out.Next = when
			}
		}
	}
	return out, nil
}
