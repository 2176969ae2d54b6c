package retention

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"earshot"
	"earshot/policies"
	"earshot/storage"
	"earshot/storage/catalog"
)

// A policy whose scope names a class of companion speaks of those companions as things of their own:
// voiceprints that must not outlive a consent, transcripts whose recording is gone. They are listed and
// decided as recordings are, and besides go with their recording.

// classLayout is a class of companions with rules of its own.
type classLayout struct {
	class string
	key   *regexp.Regexp
	below string
}

// own notes which classes policies speak of.
func (l *layout) own(ps []*policies.Policy) error {
	for _, p := range ps {
		class := p.Scope().Class
		if class == "" {
			continue
		}
		found := false
		for _, c := range l.companions {
			if c.Class != class {
				continue
			}
			found = true
			key, _, err := compileKey(c.Key)
			if err != nil {
				return fmt.Errorf("layout of companions %q: %w", class, err)
			}
			below, _, _ := strings.Cut(c.Key, "{")
			l.classes = append(l.classes, classLayout{class, key, below})
		}
		if !found {
			return fmt.Errorf("policy %s speaks of the class %q, which the layout does not know: add it to layout.companions", p.Name(), class)
		}
	}
	return nil
}

// class tells which class with rules of its own a key is of, and its parts.
func (l *layout) class(key string) (string, map[string]string) {
	for _, c := range l.classes {
		if !strings.HasPrefix(key, c.below) {
			continue
		}
		if m := c.key.FindStringSubmatch(key); m != nil {
			parts := map[string]string{}
			for i, name := range c.key.SubexpNames() {
				if name != "" {
					parts[name] = m[i]
				}
			}
			return c.class, parts
		}
	}
	return "", nil
}

// beside reports whether a key is no recording's, and is looked after all the same.
func (l *layout) beside(key string) bool {
	if l.log(key) != nil {
		return true
	}
	class, _ := l.class(key)
	return class != ""
}

// describeClass fills in what the key tells of a companion with rules of its own.
func (l *layout) describeClass(r *earshot.Recording) bool {
	class, parts := l.class(r.ID.Key)
	if class == "" {
		return false
	}
	r.Class, r.Coding = class, earshot.CodingOpaque
	if r.Subject == "" {
		r.Subject = earshot.SubjectID(parts["subject"])
	}
	if r.Device == "" {
		r.Device = parts["device"]
	}
	return true
}

// owners gives the recordings that a companion was made from; more than one where {id} is not unique.
func (r *Runner) owners(ctx context.Context, rec earshot.Recording) ([]earshot.Recording, error) {
	_, parts := r.layout.class(rec.ID.Key)
	rows, err := r.o.Catalog.Owners(ctx, rec.ID.Bucket, parts["id"])
	if err != nil {
		return nil, err
	}
	var out []earshot.Recording
	for _, row := range rows {
		owner := row.Recording
		r.layout.describe(&owner)
		out = append(out, owner)
	}
	return out, nil
}

// assembleClass adds what a companion has from its recording: whose it is, when it was captured, and
// every hold that covers the recording. It is an orphan if the recordings were listed after it came, and
// none of them is its own.
func (r *Runner) assembleClass(ctx context.Context, rec *earshot.Recording, f *earshot.Facts, p people) error {
	owners, err := r.owners(ctx, *rec)
	if err != nil {
		return err
	}
	f.Holds = r.held(*rec, p.holds)
	for _, o := range owners {
		if rec.Subject == "" && len(owners) == 1 {
			rec.Subject = o.Subject
		}
		if rec.CapturedAt.IsZero() && len(owners) == 1 {
			rec.CapturedAt, rec.CapturedWithin = o.CapturedAt, o.CapturedWithin
		}
		if len(f.Holds) == 0 {
			f.Holds = r.held(o, p.holds)
		}
	}
	listed, err := r.listed(ctx, rec.ID.Bucket)
	if err != nil {
		return err
	}
	if orphan := len(owners) == 0; !orphan || listed.After(rec.StoredAt) {
		f.Orphan = &orphan
	}
	return nil
}

// listed is when the last listing of all recordings of a bucket began; zero where no policy speaks of
// all of them, so that nobody can tell what is an orphan.
func (r *Runner) listed(ctx context.Context, bucket string) (time.Time, error) {
	scopes, err := r.rules.scopes(nil)
	if err != nil {
		return time.Time{}, err
	}
	below, _, _ := strings.Cut(r.layout.template, "{")
	for _, s := range scopes {
		if s.Bucket == bucket && strings.HasPrefix(below, s.Prefix) {
			return r.o.Catalog.Listed(ctx, s.Bucket, s.Prefix)
		}
	}
	return time.Time{}, nil
}

// heldNow reports whether holds keep an object, at the last moment before something is done to it.
func (r *Runner) heldNow(ctx context.Context, a earshot.Action, holds []earshot.Hold) (bool, error) {
	if l := r.layout.log(a.Recording.ID.Key); l != nil && a.Decision.Rows != nil {
		return logHeld(a, l, holds), nil
	}
	held := len(r.held(a.Recording, holds)) > 0
	if held || a.Recording.Class == "" || len(holds) == 0 {
		return held, nil
	}
	owners, err := r.owners(ctx, a.Recording)
	for _, o := range owners {
		held = held || len(r.held(o, holds)) > 0
	}
	return held, err
}

// goneMark names up to when recordings that went have been looked at for orphans.
const goneMark = "recordings gone until"

// touchOrphans makes the companions due whose recordings have gone since the last plan.
func (r *Runner) touchOrphans(ctx context.Context) error {
	if len(r.layout.classes) == 0 {
		return nil
	}
	text, err := r.o.Catalog.Mark(ctx, goneMark)
	if err != nil {
		return err
	}
	since := time.Time{}
	if text != "" {
		if since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			since = time.Time{} // look at all of them
		}
	}
	last, err := r.o.Catalog.TouchBesides(ctx, since, func(_, key string) []string {
		var out []string
		for _, c := range r.layout.companionKeys(key) {
			if class, _ := r.layout.class(c.key); class != "" {
				out = append(out, c.key)
			}
		}
		return out
	})
	if err != nil || last.Equal(since) {
		return err
	}
	return r.o.Catalog.SetMark(ctx, goneMark, last.Format(time.RFC3339Nano))
}

// withoutOwned leaves out the companions that come with their recordings.
func (r *Runner) withoutOwned(ctx context.Context, rows []catalog.Row) ([]catalog.Row, error) {
	var out []catalog.Row
	for _, row := range rows {
		if row.Recording.Class != "" {
			owners, err := r.owners(ctx, row.Recording)
			if err != nil {
				return nil, err
			}
			if len(owners) > 0 {
				continue
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// ruleWithOwner is what is said of a companion that goes with its recording in the same run.
const ruleWithOwner = "with-recording"

// withOwner leaves a companion to its recording, where that is about to be deleted with all that was made
// from it: two actions on one object would get in each other's way.
func (r *Runner) withOwner(ctx context.Context, res *resolved, p people, at time.Time) error {
	_, parts := r.layout.class(res.known.Recording.ID.Key)
	rows, err := r.o.Catalog.Owners(ctx, res.known.Recording.ID.Bucket, parts["id"])
	if err != nil || len(rows) != 1 {
		return err
	}
	owner, err := r.resolve(ctx, rows[0].Known, p, at)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrChanged) {
		return nil
	}
	if err != nil || owner.decision.Disposition != earshot.Delete {
		return err
	}
	if r.companionRule(owner.decision, res.known.Recording.Class) == earshot.CompanionDelete {
		d := &res.decision
		d.Disposition, d.Rule = earshot.Keep, ruleWithOwner
		d.Reasons = append([]earshot.Reason{{Rule: ruleWithOwner, Text: "it goes with its recording, which is due too"}}, d.Reasons...)
	}
	return nil
}

// wentAlong notes that companions with rules of their own have gone with their recording.
func (r *Runner) wentAlong(ctx context.Context, a earshot.Action) error {
	var ids []earshot.RecordingID
	for _, c := range a.Companions {
		if class, _ := r.layout.class(c.ID.Key); class != "" && c.Fate == earshot.CompanionDelete {
			ids = append(ids, c.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return r.o.Catalog.WentWith(ctx, ids, r.now())
}
