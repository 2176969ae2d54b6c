package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/policies"
)

// tally counts the recordings of a scope, each scope once.
func (p *planning) tally(ctx context.Context, s Scope) (map[string]int, error) {
	s.Class = ""
	if t := p.tallies[s]; t != nil {
		return t, nil
	}
	t, err := p.r.o.Catalog.Tally(ctx, s.Bucket, s.Prefix)
	if err == nil {
		p.tallies[s] = t
	}
	return t, err
}

// seal closes the draft: counts, limits, digest, entry.
func (p *planning) seal(ctx context.Context, scopes []Scope) error {
	for _, s := range scopes {
		tally, err := p.tally(ctx, s)
		if err != nil {
			return err
		}
		p.run.Considered += tally["total"]
		p.run.Kept += tally["keep"]
		p.run.Held += tally["held"]
		p.run.ForReview += tally["review"]
	}
	if err := p.approvals(ctx); err != nil {
		return err
	}
	p.run.Digest = p.digest.sum(p.run)
	p.run.State = earshot.RunSealed
	if p.run.ApprovalsNeeded == 0 {
		p.run.State = earshot.RunApproved
	}
	if p.run.Actions == 0 {
		p.run.State, p.run.FinishedAt, p.run.ApprovalsNeeded = earshot.RunDone, p.run.CreatedAt, 0
	}
	leaf, err := p.r.plannedLeaf(p.run, p.out.Deletes, p.out.Redacts)
	if err != nil {
		return err
	}
	return p.r.o.Catalog.Move(ctx, p.run, []earshot.Leaf{leaf}, earshot.RunDraft)
}

// approvals holds the run against the limits of every policy in whose scope it does something, each
// counted over its own scope, whichever policies were asked for: beyond one of them people must
// approve, as many as that policy wants.
func (p *planning) approvals(ctx context.Context) error {
	for _, policy := range p.r.rules.policies {
		n, l := p.counts[policy.Name()], policy.Limits()
		if n == 0 {
			continue
		}
		tally, err := p.tally(ctx, policy.Scope())
		if err != nil {
			return err
		}
		if over := beyond(n, tally["total"], l); over != "" && max(1, l.Approvals) > p.run.ApprovalsNeeded {
			p.run.ApprovalsNeeded, p.run.WhyApproval = max(1, l.Approvals), "policy "+policy.Name()+": "+over
		}
	}
	return nil
}

// beyond says which limit n actions on so many recordings exceed. A policy without limits has none.
func beyond(n, of int, l policies.Limits) string {
	switch share := float64(n) / float64(max(1, of)); {
	case l.MaxCount > 0 && n > l.MaxCount:
		return fmt.Sprintf("%d actions are more than the limit of %d", n, l.MaxCount)
	case l.MaxShare > 0 && share > l.MaxShare:
		return fmt.Sprintf("%.1f %% of %d recordings is more than the limit of %.1f %%", 100*share, of, 100*l.MaxShare)
	}
	return ""
}

// sealer computes the digest of a plan: over everything that apply will read, and nothing else.
type sealer struct{ parts []byte }

func newSealer() sealer { return sealer{} }

func (s *sealer) add(a earshot.Action) {
	a.Run, a.State = "", ""
	text, err := json.Marshal(a)
	if err != nil {
		panic(err) // our own value types always marshal
	}
	d := earshot.DigestOf(text)
	s.parts = append(s.parts, d[:]...)
}

func (s *sealer) sum(run earshot.Run) earshot.Digest {
	head := fmt.Sprintf("earshot plan v1\n%s\n%d\n%d\n", run.PolicyDigest, run.AsOf.UnixMicro(), run.Actions)
	return earshot.DigestOf(append([]byte(head), s.parts...))
}

// recompute gives the digest of a run's actions as they are stored. Apply compares it with the
// sealed one, so that a plan edited in the database is not carried out.
func (r *Runner) recompute(ctx context.Context, run earshot.Run) (earshot.Digest, error) {
	s := newSealer()
	for from := 0; ; {
		page, err := r.o.Catalog.Actions(ctx, run.ID, "", from, 1000)
		if err != nil {
			return earshot.Digest{}, err
		}
		for _, a := range page {
			plain := earshot.Action{Seq: a.Seq, Recording: a.Recording, Companions: a.Companions, Decision: a.Decision}
			s.add(plain)
			from = a.Seq + 1
		}
		if len(page) < 1000 {
			return s.sum(run), nil
		}
	}
}

// planLife is how long a plan may wait before it is applied.
const planLife = 7 * 24 * time.Hour

// Approve writes down that a person agrees to exactly this digest. The planner cannot, nor can a
// program. It returns the run, approved if enough people have.
func (r *Runner) Approve(ctx context.Context, id earshot.RunID, digest earshot.Digest, by earshot.Principal) (earshot.Run, error) {
	run, err := r.o.Catalog.Run(ctx, id)
	if err != nil {
		return run, err
	}
	switch {
	case run.State != earshot.RunSealed && run.State != earshot.RunApproved:
		return run, fmt.Errorf("%w: run %s is %s and cannot be approved", ErrStaleRun, id, run.State)
	case digest != run.Digest:
		return run, fmt.Errorf("%w: run %s has the digest %s, not the one given; look at it again with earshot show %s", ErrStaleRun, id, run.Digest.Short(), id)
	case by.Kind != earshot.Person || by.Name == "":
		return run, fmt.Errorf("%w: only a person can approve a run", ErrNotApproved)
	case samePerson(by.Name, run.Planner.Name):
		return run, fmt.Errorf("%w: %s planned this run; someone else must approve it", ErrNotApproved, by.Name)
	}
	if run.State == earshot.RunApproved {
		return run, nil
	}
	e := r.entry(audit.KindApproval)
	e.ID = r.approvalID(id, by)
	e.Actor, e.Run = r.o.Tagger.Actor(e.ID, by), string(id)
	e.Approval = &audit.Approval{Digest: digest.String()}
	leaf, err := e.Leaf()
	if err != nil {
		return run, err
	}
	if err := r.o.Catalog.PutApproval(ctx, earshot.Approval{Run: id, Digest: digest, By: by, At: r.now()}, leaf); err != nil {
		return run, err
	}
	all, err := r.o.Catalog.Approvals(ctx, id)
	if err != nil || len(all) < run.ApprovalsNeeded {
		return run, err
	}
	run.State = earshot.RunApproved
	return run, r.o.Catalog.Move(ctx, run, nil, earshot.RunSealed)
}
