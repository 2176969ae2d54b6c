package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/policies"
	"earshot/storage/catalog"
)

// A policy that takes the place of another of the same name is in force when it has been accepted: by
// itself if it deletes and redacts no more at once than the limits of both allow, by a second person
// otherwise. So nobody widens a policy, or its limits, alone. The marks below keep what was accepted.

func inForce(name string) string                { return "policy in force: " + name }
func approvedMark(digest earshot.Digest) string { return "policy approved: " + digest.String() }
func proposedMark(digest earshot.Digest) string { return "policy proposed: " + digest.String() }

// accept accepts the policies that changed, or is [ErrNotApproved].
func (r *Runner) accept(ctx context.Context) error {
	for _, p := range r.rules.policies {
		text, err := r.o.Catalog.Mark(ctx, inForce(p.Name()))
		if err != nil {
			return err
		}
		if text != "" {
			if err := r.acceptChange(ctx, p, text); err != nil {
				return err
			}
		}
		doc, err := json.Marshal(p.Document())
		if err != nil {
			return err
		}
		if string(doc) == text {
			continue
		}
		if err := r.o.Catalog.SetMark(ctx, inForce(p.Name()), string(doc)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) acceptChange(ctx context.Context, p *policies.Policy, text string) error {
	var doc policies.Document
	before := (*policies.Policy)(nil)
	err := json.Unmarshal([]byte(text), &doc)
	if err == nil {
		before, err = policies.Compile(&doc)
	}
	if err == nil && before.Digest() == p.Digest() {
		return nil
	}
	by, markErr := r.o.Catalog.Mark(ctx, approvedMark(p.Digest()))
	if markErr != nil || by != "" {
		return markErr
	}
	if err != nil { // written by another version of earshot: nobody can tell what was
		return r.propose(ctx, p, "what it takes the place of cannot be read any more")
	}
	if unlimited(before) && unlimited(p) { // nothing is too wide: no need to go through all recordings
		return nil
	}
	wider, of, err := r.widens(ctx, before, p)
	if err != nil {
		return err
	}
	over := beyond(wider, of, before.Limits())
	if over == "" {
		over = beyond(wider, of, p.Limits())
	}
	if over == "" {
		return nil
	}
	return r.propose(ctx, p, over)
}

func unlimited(p *policies.Policy) bool {
	l := p.Limits()
	return l.MaxCount == 0 && l.MaxShare == 0
}

// propose refuses a policy until somebody else than whoever brought it first approves it.
func (r *Runner) propose(ctx context.Context, p *policies.Policy, why string) error {
	mark := proposedMark(p.Digest())
	by, err := r.o.Catalog.Mark(ctx, mark)
	if err == nil && by == "" {
		err = r.o.Catalog.SetMark(ctx, mark, r.o.By.Name)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: policy %s is wider than the one it takes the place of: %s at once; look at earshot policy diff, then somebody else: earshot policy approve %s %s",
		ErrNotApproved, p.Name(), why, p.Name(), p.Digest().Short())
}

// widens counts what one policy would delete or redact now that another of the same name would not, or
// would delete that the other only redacts.
func (r *Runner) widens(ctx context.Context, before, after *policies.Policy) (n, of int, err error) {
	others := []*policies.Policy{before}
	for _, p := range r.rules.policies {
		if p.Name() != after.Name() {
			others = append(others, p)
		}
	}
	old, at := newRuleset(others), r.now()
	err = r.eachLiveIn(ctx, []Scope{after.Scope()}, at, func(f earshot.Facts) {
		if !after.InScope(f.Recording) && f.Log == "" {
			return
		}
		of++
		a, b := old.decide(f, at), r.rules.decide(f, at)
		if destroys(b) && b.Disposition > a.Disposition {
			n++
		}
	})
	return n, of, err
}

// eachLiveIn hands on the facts that the catalog has of everything in some scopes.
func (r *Runner) eachLiveIn(ctx context.Context, scopes []Scope, at time.Time, do func(earshot.Facts)) error {
	return r.eachIn(ctx, scopes, at, func(_ catalog.Row, f earshot.Facts) error {
		do(f)
		return nil
	})
}

// ApprovePolicy accepts a policy that widens what is deleted, by exactly this digest. It takes a person
// who is not the one that brought it.
func (r *Runner) ApprovePolicy(ctx context.Context, name, digest string) (earshot.Digest, error) {
	for _, p := range r.rules.policies {
		if p.Name() != name {
			continue
		}
		d := p.Digest()
		if len(digest) < 12 || !strings.HasPrefix(d.String(), strings.ToLower(digest)) {
			return d, fmt.Errorf("%w: policy %s has the digest %s, not the one given", ErrStaleRun, name, d.Short())
		}
		by, err := r.o.Catalog.Mark(ctx, proposedMark(d))
		switch {
		case err != nil:
			return d, err
		case by == "":
			return d, fmt.Errorf("policy %s waits for no approval: earshot plan says whether it needs one", name)
		case r.o.By.Kind != earshot.Person:
			return d, fmt.Errorf("%w: only a person can approve a policy", ErrNotApproved)
		case samePerson(by, r.o.By.Name):
			return d, fmt.Errorf("%w: %s brought this policy; someone else must approve it", ErrNotApproved, by)
		}
		e := r.entry(audit.KindApproval, "policy", d.String(), r.o.Tagger.Tag("approver", d.String(), r.o.By.Name)) // a plain hash of a name can be guessed
		e.Policy = &audit.Policy{Name: name, SHA256: d.String()}
		e.Approval = &audit.Approval{Digest: d.String()}
		if err := r.say(ctx, e); err != nil {
			return d, err
		}
		return d, r.o.Catalog.SetMark(ctx, approvedMark(d), r.o.By.Name)
	}
	return earshot.Digest{}, fmt.Errorf("no policy is named %q: there are %s", name, r.rules.names())
}
