package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"earshot"
	"earshot/policies"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/voice"
)

// resolved is a recording with all the facts that its decision hangs on.
type resolved struct {
	known      catalog.Known // to be written back
	facts      earshot.Facts
	decision   earshot.Decision
	companions []earshot.Companion
	head       *storage.Head // nil where nobody needed to ask
	quiet      bool          // nobody is to listen now: see errToHear
	learned    bool          // more is known than the catalog had
	// What its session tells: later leaves that open, standing takes the figure that it was decided with.
	later, standing bool
	voice           *catalog.Voice        // what it tells itself; nil where nobody needed to ask
	older           []earshot.RecordingID // recordings of its session that must be heard again
}

// people holds what decisions need to know of people, read once a batch.
type people struct {
	holds []earshot.Hold
	known map[earshot.SubjectID]catalog.Person // of whom more was asked beforehand
}

func (r *Runner) people(ctx context.Context) (people, error) {
	holds, err := r.o.Catalog.Holds(ctx, false)
	return people{holds: holds}, err
}

// of is the same with what is known of those whose recordings these seem to be.
func (p people) of(ctx context.Context, r *Runner, known []catalog.Known) (people, error) {
	var ids []earshot.SubjectID
	for _, k := range known {
		if k.Recording.Subject == "" {
			r.layout.describe(&k.Recording)
		}
		if k.Recording.Subject != "" {
			ids = append(ids, k.Recording.Subject)
		}
	}
	var err error
	p.known, err = r.about(ctx, ids)
	return p, err
}

// resolve decides about one recording, asking only for the facts that the decision turns out to
// hang on: first what the listing and the key tell, then the object's metadata, then what was
// heard, and what the store protects only where something would be destroyed.
func (r *Runner) resolve(ctx context.Context, known catalog.Known, p people, at time.Time) (resolved, error) {
	return r.conclude(ctx, resolved{known: known}, p, at)
}

// resolveSeen is resolve for one that was decided before, and whose metadata was read already if seen is
// not nil.
func (r *Runner) resolveSeen(ctx context.Context, known catalog.Known, seen *storage.Head, p people, at time.Time) (resolved, error) {
	return r.conclude(ctx, resolved{known: known, head: seen, standing: true}, p, at)
}

// conclude learns what is missing until a decision stands.
func (r *Runner) conclude(ctx context.Context, out resolved, p people, at time.Time) (resolved, error) {
	b, err := r.bucket(ctx, out.known.Recording.ID.Bucket)
	if err != nil {
		return resolved{}, err
	}
	r.layout.describe(&out.known.Recording)
	out.learned = r.forget(&out.known)
	for range 10 { // each turn learns something, and there are not that many things to learn
		if err := r.assemble(ctx, &out, p, at); err != nil {
			return out, err
		}
		out.decision = r.rules.decide(out.facts, at)
		learned, err := r.learn(ctx, b, &out, p, at)
		if err != nil || !learned {
			return out, err
		}
		out.learned = true
	}
	return out, errors.New("facts do not come to an end: this is a bug in earshot")
}

// assemble makes the facts from what is known so far.
func (r *Runner) assemble(ctx context.Context, out *resolved, p people, at time.Time) error {
	k := &out.known
	rec := k.Recording
	if l := r.layout.log(rec.ID.Key); l != nil {
		return r.assembleLog(ctx, out, l, p, at)
	}
	f := earshot.Facts{
		Recording: rec, HeadKnown: k.HeadKnown, Heard: k.Heard, Deaf: k.Deaf, Length: k.Length,
		Fault: k.Fault, Lock: out.facts.Lock, Pooled: out.facts.Pooled,
	}
	for _, e := range k.Erased {
		f.Erased = append(f.Erased, e.Spans...)
	}
	f.Erased = f.Erased.Merge()
	if rec.Class != "" {
		if err := r.assembleClass(ctx, &rec, &f, p); err != nil {
			return err
		}
		f.Recording, k.Recording = rec, rec
	}
	if rec.Subject != "" {
		who, ok := p.known[rec.Subject]
		if !ok {
			asked, err := r.about(ctx, []earshot.SubjectID{rec.Subject})
			if err != nil {
				return err
			}
			who = asked[rec.Subject]
		}
		f.Subject, f.Requests = who.Subject, who.Requests
	}
	if rec.Class == "" {
		f.Holds = r.held(rec, p.holds)
	}
	if f.Fault == "" {
		f.Fault = implausible(rec, at)
	}
	out.facts = f
	return nil
}

// implausible says what cannot be true of a recording's dates: such a date is no reason to delete.
func implausible(rec earshot.Recording, at time.Time) string {
	const day = 24 * time.Hour
	first := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case rec.StoredAt.IsZero() || rec.StoredAt.Before(first):
		return "the store gives no believable date"
	case rec.StoredAt.After(at.Add(day)):
		return "the date of storage lies in the future"
	case rec.CapturedAt.IsZero():
		return ""
	case rec.CapturedAt.Before(first):
		return "the capture date lies before the year 2000"
	case rec.CapturedAt.After(at.Add(day)):
		return "the capture date lies in the future"
	case rec.CapturedAt.After(rec.StoredAt.Add(2 * day)):
		return "the capture date lies after the date of storage"
	}
	return ""
}

// learn asks for one more thing if the decision needs it.
func (r *Runner) learn(ctx context.Context, b *storage.Bucket, out *resolved, p people, at time.Time) (bool, error) {
	d, k := out.decision, &out.known
	destroys := d.Disposition == earshot.Redact || d.Disposition == earshot.Delete
	switch {
	case !k.HeadKnown && (len(d.Missing) > 0 || k.Recording.Subject == ""), out.head == nil && destroys:
		// Whose recording it is must be known in any case: that person's requests, and holds on the
		// person or the device, must find it.
		return true, r.askHead(ctx, b, out)
	case slices.Contains(d.Missing, missRows):
		if out.head == nil {
			return true, r.askHead(ctx, b, out)
		}
		return true, r.askRows(ctx, b, out, p, at)
	case slices.Contains(d.Missing, string(earshot.KindWake)):
		return true, r.askWake(ctx, b, out, at)
	case r.o.Ear != nil && (slices.Contains(d.Missing, string(earshot.KindChild)) || slices.Contains(d.Missing, string(earshot.KindSpeech))):
		return true, r.listen(ctx, b, out, at)
	case slices.Contains(d.Missing, string(earshot.KindChild)):
		return true, deaf(k, earshot.KindChild, "no detector for children's voices is configured")
	case slices.Contains(d.Missing, string(earshot.KindSpeech)):
		return true, deaf(k, earshot.KindSpeech, "no detector for speech is configured")
	case slices.Contains(d.Missing, policies.MissingPooled) && !(out.later && r.hasSession(k.Recording)):
		return true, r.askSession(ctx, out)
	case destroys && b.Locking() && out.facts.Lock == (earshot.Lock{}):
		lock, err := b.Lock(ctx, out.head.ID)
		if err != nil || lock == (earshot.Lock{}) {
			return false, err
		}
		out.facts.Lock = lock
		return true, nil
	}
	return false, nil
}

func deaf(k *catalog.Known, kind earshot.Kind, why string) error {
	if k.Deaf == nil {
		k.Deaf = map[earshot.Kind]string{}
	}
	k.Deaf[kind] = why
	return nil
}

// askHead reads the object's own metadata. One that is no longer what was listed is
// [storage.ErrChanged]: the next scan will meet it.
func (r *Runner) askHead(ctx context.Context, b *storage.Bucket, out *resolved) error {
	k := &out.known
	head, err := b.Head(ctx, k.Recording.ID.Key, "")
	hidden := false
	if errors.Is(err, storage.ErrNotFound) && b.Versioning() != storage.Unversioned {
		head, hidden, err = headBelowMarkers(ctx, b, k.Recording.ID.Key)
	}
	if err != nil {
		return err
	}
	if head.ETag != k.Recording.ETag {
		return storage.ErrChanged
	}
	// What was known is of the version that was seen then. The same bytes may have been stored again
	// with another date, and tags change without a trace: everything is described anew.
	if old := k.Recording.ID.Version; k.HeadKnown && old != "" && old != head.ID.Version {
		k.Heard, k.Unheard, k.Erased, k.Length, k.Rows = nil, nil, nil, 0, nil
	}
	out.head = &head
	out.facts.Pooled, out.voice, out.older = nil, nil, nil
	fresh := earshot.Recording{ID: head.ID, ETag: head.ETag, Size: head.Size, StoredAt: head.StoredAt, Hidden: hidden}
	r.layout.describe(&fresh)
	k.HeadKnown, k.Fault = true, ""
	if err := r.layout.describeHead(&fresh, head.Metadata, head.Tags); err != nil {
		k.Fault = err.Error()
	}
	if len(k.Erased) == 0 && head.Metadata[metaSeal] == r.seal(fresh.ID, head.Metadata[metaErased], head.ETag) {
		k.Erased = parseErased(head.Metadata[metaErased])
	}
	k.Recording = fresh
	return nil
}

// headBelowMarkers reads the metadata of what lies hidden behind delete markers.
func headBelowMarkers(ctx context.Context, b *storage.Bucket, key string) (storage.Head, bool, error) {
	versions, err := b.Versions(ctx, key)
	if err != nil {
		return storage.Head{}, false, err
	}
	for i, v := range versions {
		if v.Marker {
			continue
		}
		head, err := b.Head(ctx, key, v.ID.Version)
		return head, i > 0, err
	}
	return storage.Head{}, false, fmt.Errorf("reading metadata: %w", storage.ErrNotFound)
}

// askWake looks for what the assistant itself wrote about the wake word: an event companion, or the
// object's metadata. What it does not say stays unknown, unless it can be heard.
func (r *Runner) askWake(ctx context.Context, b *storage.Bucket, out *resolved, at time.Time) error {
	if r.o.Ear != nil { // it verifies what was written, and hears what was not
		return r.listen(ctx, b, out, at)
	}
	k := &out.known
	_, err := r.written(ctx, b, k, at)
	switch {
	case errors.Is(err, errUnreadable):
		return deaf(k, earshot.KindWake, err.Error())
	case err != nil && !errors.Is(err, voice.ErrSilent):
		return err
	}
	if _, ok := k.Heard[earshot.KindWake]; !ok {
		return deaf(k, earshot.KindWake, "neither the event nor the metadata says where the wake word is, and no detector is configured")
	}
	return nil
}

var errUnreadable = errors.New("what the assistant wrote about the wake word cannot be read")

func (r *Runner) eventWake(ctx context.Context, b *storage.Bucket, key string) (voice.Statement, error) {
	for _, c := range r.layout.companionKeys(key) {
		if c.Class != "event" {
			continue
		}
		text, _, err := b.Folder("", nil).Get(ctx, c.key)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return voice.Statement{}, fmt.Errorf("reading an event: %w", err)
		}
		s, err := voice.ReadEvent(text)
		if err != nil && !errors.Is(err, voice.ErrSilent) {
			return s, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return s, err
	}
	return voice.Statement{}, voice.ErrSilent
}

// Explain tells what each policy in whose scope a recording lies makes of it now. It asks for facts
// as a plan would, and writes nothing.
func (r *Runner) Explain(ctx context.Context, bucket, key string) ([]policies.Explanation, error) {
	row, err := r.o.Catalog.Recording(ctx, bucket, key)
	if err != nil {
		return nil, err
	}
	p, err := r.people(ctx)
	if err != nil {
		return nil, err
	}
	res, err := r.resolve(ctx, row.Known, p, r.now())
	if err != nil {
		return nil, err
	}
	var out []policies.Explanation
	for _, policy := range r.rules.policies {
		if policy.InScope(res.facts.Recording) && res.facts.Log != "" {
			out = append(out, explainLog(policy, res))
		} else if policy.InScope(res.facts.Recording) {
			out = append(out, policy.Explain(res.facts, r.now()))
		}
	}
	return out, nil
}
