package retention

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage/catalog"
)

// Deadlines by law, from the day that a request is made.
const (
	DeadlineGDPR = 30 * 24 * time.Hour // art. 12(3): one month, and two more where it must be extended
	DeadlineCCPA = 45 * 24 * time.Hour // 1798.130(a)(2): 45 days, and 45 more
	extendGDPR   = 60 * 24 * time.Hour
	extendCCPA   = 45 * 24 * time.Hour
)

// Asked is what is written down of a request when it is filed.
type Asked struct {
	Kind    earshot.RequestKind
	Subject earshot.SubjectID
	Law     string // gdpr (default) or ccpa
	// Identity says where it is kept how the person was identified; no document itself.
	Identity string
	Within   time.Duration // 0: as the law has it
}

// Ask files a request, with an entry. An open one of the same kind stands: asking twice is harmless.
// Who asks for erasure is known by a pseudonym from then on, so that what arrives late goes too.
func (r *Runner) Ask(ctx context.Context, a Asked) (earshot.Request, error) {
	if a.Subject == "" {
		return earshot.Request{}, errors.New("a request needs the subject whose it is")
	}
	switch a.Law {
	case "":
		a.Law = "gdpr"
	case "gdpr", "ccpa":
	default:
		return earshot.Request{}, fmt.Errorf("law %q: want gdpr or ccpa", a.Law)
	}
	longest := map[string]time.Duration{"gdpr": DeadlineGDPR, "ccpa": DeadlineCCPA}[a.Law]
	switch {
	case a.Within == 0:
		a.Within = longest
	case a.Within < 0 || a.Within > longest:
		return earshot.Request{}, fmt.Errorf("%d days: want 1 to %d, which is what %s allows (earshot subject extend gives more, for a reason)", a.Within/(24*time.Hour), longest/(24*time.Hour), a.Law)
	}
	open, err := r.o.Catalog.OpenRequests(ctx, a.Subject)
	if err != nil {
		return earshot.Request{}, err
	}
	for _, q := range open {
		if q.Kind == a.Kind {
			return q, nil
		}
	}
	q := earshot.Request{
		ID: "request-" + randomID(), Kind: a.Kind, Subject: a.Subject, MadeAt: r.now(), DueAt: r.now().Add(a.Within), Law: a.Law, Identity: a.Identity,
	}
	return q, r.putRequest(ctx, audit.KindRequest, q)
}

// Extend gives an open request the time that its law allows for hard cases, once, for a reason that the
// person must be told.
func (r *Runner) Extend(ctx context.Context, id, because string) (earshot.Request, error) {
	q, err := r.o.Catalog.Request(ctx, id)
	switch {
	case err != nil:
		return q, err
	case because == "":
		return q, errors.New("extending a request needs a reason: the person must be told (GDPR art. 12(3))")
	case !q.ClosedAt.IsZero():
		return q, fmt.Errorf("request %s is closed", id)
	case q.Extended != "":
		return q, fmt.Errorf("request %s was extended already, to %s", id, q.DueAt.Format(time.DateOnly))
	}
	more := extendGDPR
	if q.Law == "ccpa" {
		more = extendCCPA
	}
	q.DueAt, q.Extended = q.DueAt.Add(more), because
	return q, r.putRequest(ctx, kindExtended, q)
}

// Kinds of entry about people, besides audit's own.
const (
	kindExtended audit.Kind = "request_extended"
	kindReadmit  audit.Kind = "subject_readmitted"
	kindScrubbed audit.Kind = "subject_scrubbed"
)

// Closing is how a subject's requests ended.
type Closing struct {
	Closed []earshot.Request `json:"closed"`
	// Left counts recordings that are still to be erased, Held those that a hold or a lock keeps.
	Left int `json:"left"`
	Held int `json:"held"`
	// HeldRows counts event logs of which a hold keeps rows, Unreadable those that cannot be read.
	HeldRows   int      `json:"held_rows"`
	Unreadable int      `json:"unreadable"`
	Holds      []string `json:"holds,omitempty"` // that keep something
	// Refused says in words what was refused, for the answer to the person; empty: nothing.
	Refused string `json:"refused,omitempty"`
	// Scrubbed says that nothing in the catalog names the person any more.
	Scrubbed bool `json:"scrubbed"`
}

// ErrNotErased means: recordings are still there that nothing keeps. Plan and apply, then close.
var ErrNotErased = errors.New("not everything is erased yet")

// CloseRequests closes a subject's open requests. One for erasure cannot be closed while something is
// left that nothing keeps; what a hold keeps is refused, in part, and said so. Where nothing is left the
// person is taken out of the catalog, and only the pseudonym stays. Doing it again is harmless.
func (r *Runner) CloseRequests(ctx context.Context, subject earshot.SubjectID) (Closing, error) {
	out := Closing{}
	open, err := r.o.Catalog.OpenRequests(ctx, subject)
	if err != nil {
		return out, err
	}
	erased, err := r.o.Catalog.ErasedAt(ctx, r.tombstone(subject))
	if err != nil {
		return out, err
	}
	if !erased.IsZero() {
		if err := r.remains(ctx, subject, &out); err != nil {
			return out, err
		}
		if out.Left > 0 {
			return out, fmt.Errorf("%w: %d recording(s) or event log(s) are left; run earshot plan and apply first", ErrNotErased, out.Left)
		}
	}
	for _, q := range open {
		q.ClosedAt = r.now()
		if q.Kind == earshot.RequestErasure {
			q.Refused = out.Refused
		}
		if err := r.putRequest(ctx, audit.KindClosed, q); err != nil {
			return out, err
		}
		out.Closed = append(out.Closed, q)
	}
	if erased.IsZero() || out.Refused != "" {
		return out, nil
	}
	out.Scrubbed = true
	return out, r.scrub(ctx, subject)
}

// remains counts what is left of a person.
func (r *Runner) remains(ctx context.Context, subject earshot.SubjectID, out *Closing) error {
	if n, err := r.o.Catalog.Undecided(ctx); err != nil {
		return err
	} else if n > 0 {
		return fmt.Errorf("%w (%d are left)", ErrUnscanned, n)
	}
	rows, err := r.o.Catalog.Of(ctx, subject)
	if err != nil {
		return err
	}
	if rows, err = r.withoutOwned(ctx, rows); err != nil { // what is made of a recording goes or stays with it
		return err
	}
	p, err := r.people(ctx)
	if err != nil {
		return err
	}
	note := func(holds []earshot.Hold) {
		for _, h := range holds {
			if !slices.Contains(out.Holds, h.ID) {
				out.Holds = append(out.Holds, h.ID)
			}
		}
	}
	for _, row := range rows {
		holds := r.held(row.Recording, p.holds)
		if note(holds); len(holds) > 0 || row.Rule == catalog.RuleLock {
			out.Held++
		} else {
			out.Left++
		}
	}
	if err := r.remainingRows(ctx, subject, p, out, note); err != nil {
		return err
	}
	if out.Held+out.HeldRows > 0 {
		out.Refused = fmt.Sprintf("%d recording(s) and rows of %d event log(s) cannot be erased, since they are needed for legal claims (GDPR art. 17(3)(e)). They are erased when that need ends.", out.Held, out.HeldRows)
	}
	if out.Unreadable > 0 {
		out.Refused += fmt.Sprintf(" %d event log(s) cannot be read, so that nobody can tell whether they speak of you.", out.Unreadable)
	}
	return nil
}

// remainingRows looks at what is known of event logs.
func (r *Runner) remainingRows(ctx context.Context, subject earshot.SubjectID, p people, out *Closing, note func([]earshot.Hold)) error {
	return r.eachLog(ctx, func(rec earshot.Recording, known *earshot.RowFacts, l *logLayout) error {
		if l.Shape.Subject == "" {
			return nil
		}
		whole, _ := heldRows(rec, l, p.holds)
		var own []earshot.Hold
		for _, h := range p.holds {
			if _, rows := heldRows(rec, l, []earshot.Hold{h}); len(rows) > 0 && (h.Subject == "" || h.Subject == subject) {
				own = append(own, h)
			}
		}
		switch {
		case len(whole) > 0:
			out.HeldRows++
			note(whole)
		case known == nil || slices.Contains(known.Edit.Erase, subject):
			out.Left++
		case known.Fault != "":
			out.Unreadable++
		case len(own) > 0 && known.Held > 0:
			out.HeldRows++
			note(own)
		}
		return nil
	})
}

// eachLog hands on every event log that the catalog has.
func (r *Runner) eachLog(ctx context.Context, do func(rec earshot.Recording, known *earshot.RowFacts, l *logLayout) error) error {
	if len(r.layout.logs) == 0 {
		return nil
	}
	for _, bucket := range r.Buckets() {
		for i := range r.layout.logs {
			l := &r.layout.logs[i]
			for row, err := range r.o.Catalog.Live(ctx, bucket, l.below) {
				if err != nil {
					return err
				}
				if r.layout.log(row.Recording.ID.Key) != l {
					continue
				}
				if err := do(row.Recording, row.Rows, l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// scrub takes an erased person out of what earshot itself keeps. The inventories are taken anew first,
// since they list keys, and since what vanished must be explained while the catalog still can.
func (r *Runner) scrub(ctx context.Context, subject earshot.SubjectID) error {
	if r.o.Inventory != "" {
		for _, bucket := range r.Buckets() {
			_, had, err := LastInventory(r.o.Inventory, bucket)
			k, keptErr := r.keeper(ctx, bucket)
			if err = errors.Join(err, keptErr); err == nil && (had || k.Where != "") {
				err = r.renewFor(ctx, bucket, subject)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("taking an inventory without the person: %w", err)
			}
		}
	}
	tag := r.tombstone(subject)
	n, err := r.o.Catalog.Scrub(ctx, catalog.Scrubbing{
		Subject: subject, Tag: tag,
		Key: func(_, key string) bool {
			parts, ok := r.layout.parts(key)
			return ok && parts["subject"] == string(subject)
		},
		Action: func(a earshot.Action) (earshot.Action, bool) { return r.anonymous(a, subject) },
	})
	if err != nil {
		return err
	}
	if err := r.o.Catalog.Compact(ctx); err != nil || n == 0 {
		return err
	}
	e := r.entry(kindScrubbed, r.now().Format(time.RFC3339Nano))
	return r.say(ctx, e)
}

// anonymous gives an action without whose it was. The key is replaced by a tag of it, so that who knows
// the key and has the tag key still finds the action.
func (r *Runner) anonymous(a earshot.Action, subject earshot.SubjectID) (earshot.Action, bool) {
	if e := a.Decision.Rows; e != nil && a.Recording.Subject != subject {
		if !slices.Contains(e.Erase, subject) {
			return a, false
		}
		c := *e
		c.Erase = slices.DeleteFunc(slices.Clone(e.Erase), func(s earshot.SubjectID) bool { return s == subject })
		a.Decision.Rows = &c
		return a, true
	}
	if a.Recording.Subject != subject {
		return a, false
	}
	hide := func(id earshot.RecordingID) earshot.RecordingID {
		return earshot.RecordingID{Bucket: id.Bucket, Key: "erased/" + r.o.Tagger.Tag("erased", "", recordingName(id))}
	}
	was := a.Recording
	a.Recording = earshot.Recording{ID: hide(was.ID), Size: was.Size, StoredAt: was.StoredAt, Coding: was.Coding}
	companions := slices.Clone(a.Companions)
	for i := range companions {
		companions[i].ID, companions[i].ETag = hide(companions[i].ID), ""
	}
	a.Companions = companions
	return a, true
}

// Readmit ends that what arrives of a person who was erased is erased too: the person has come back.
func (r *Runner) Readmit(ctx context.Context, subject earshot.SubjectID) (bool, error) {
	e := r.entry(kindReadmit, r.now().Format(time.RFC3339Nano))
	tags, err := r.tagger(ctx, subject)
	if err != nil {
		return false, err
	}
	e.SubjectKey = &audit.SubjectKey{Subject: tags.Tag("subject", e.ID, string(subject))}
	leaf, err := e.Leaf()
	if err != nil {
		return false, err
	}
	was, err := r.o.Catalog.Readmit(ctx, r.tombstone(subject), subject, leaf)
	if err != nil || !was {
		return was, err
	}
	_, err = r.o.Log.Publish(ctx)
	return was, err
}

// Deadline is an open request and how it stands.
type Deadline struct {
	earshot.Request
	Overdue bool `json:"overdue"`
	Days    int  `json:"days"` // until it is due; negative where it is overdue
}

// Deadlines lists the open requests, the most urgent first.
func (r *Runner) Deadlines(ctx context.Context) ([]Deadline, error) {
	open, err := r.o.Catalog.AllRequests(ctx, false)
	if err != nil {
		return nil, err
	}
	var out []Deadline
	for _, q := range open {
		left := q.DueAt.Sub(r.now())
		d := Deadline{Request: q, Overdue: left < 0, Days: int(left / (24 * time.Hour))}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Deadline) int { return a.DueAt.Compare(b.DueAt) })
	return out, nil
}
