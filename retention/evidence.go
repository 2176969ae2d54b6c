package retention

import (
	"context"

	"earshot"
	"earshot/audit"
)

// Evidence names the entries of the log, by their ids, that say how an action came about, for its
// certificate. Whether the log has them is another question.
type Evidence struct {
	Plan      string
	Approvals []string
	Policies  []string // that are in force now
}

// EvidenceOf names the entries around an action.
func (r *Runner) EvidenceOf(ctx context.Context, a earshot.Action) (Evidence, error) {
	e := Evidence{Plan: audit.EntryID(string(audit.KindPlanned), string(a.Run))}
	given, err := r.o.Catalog.Approvals(ctx, a.Run)
	if err != nil {
		return e, err
	}
	for _, g := range given {
		e.Approvals = append(e.Approvals, r.approvalID(a.Run, g.By))
	}
	for _, p := range r.rules.policies {
		e.Policies = append(e.Policies, policyID(p.Digest()))
	}
	return e, nil
}

// RequestEntry is the id of the entry that says that a request was filed.
func RequestEntry(q earshot.Request) string {
	return audit.EntryID(string(audit.KindRequest), q.ID)
}

// approvalID is not a plain hash of the approver's name, which could be guessed.
func (r *Runner) approvalID(run earshot.RunID, by earshot.Principal) string {
	return audit.EntryID(string(audit.KindApproval), string(run), r.o.Tagger.Tag("approver", string(run), by.Name))
}

func policyID(d earshot.Digest) string {
	return audit.EntryID(string(audit.KindPolicy), "policy", d.String())
}
