package retention

import (
	"context"
	"fmt"
	"strconv"

	"earshot"
	"earshot/audit"
)

// entry begins a log entry about the thing that parts name; the same parts give the same id.
func (r *Runner) entry(kind audit.Kind, parts ...string) audit.Entry {
	id := audit.EntryID(append([]string{string(kind)}, parts...)...)
	return audit.Entry{
		ID: id, Kind: kind, TS: r.now().UnixMicro(), Producer: r.o.Producer,
		Actor: r.o.Tagger.Actor(id, r.o.By),
	}
}

// recordingName is what tags of a recording are made of; an auditor to whom the tag key was
// disclosed recomputes them from it.
func recordingName(id earshot.RecordingID) string { return id.Bucket + "/" + id.Key }

// tagger makes the tags of what belongs to a data subject.
func (r *Runner) tagger(ctx context.Context, subject earshot.SubjectID) (*audit.Tagger, error) {
	tags, err := r.taggers(ctx, []earshot.SubjectID{subject})
	return tags[subject], err
}

// taggers makes the tags of what belongs to each of many data subjects, who all have a key from then on.
func (r *Runner) taggers(ctx context.Context, subjects []earshot.SubjectID) (map[earshot.SubjectID]*audit.Tagger, error) {
	out := make(map[earshot.SubjectID]*audit.Tagger, len(subjects))
	var ask []earshot.SubjectID
	for _, s := range subjects {
		out[s] = r.o.Tagger
		if s != "" && r.o.SubjectKeys != nil {
			ask = append(ask, s)
		}
	}
	if len(ask) == 0 {
		return out, nil
	}
	keys, err := r.o.SubjectKeys.Keys(ctx, ask)
	if err != nil {
		return nil, err
	}
	for s, key := range keys {
		out[s] = r.o.Tagger.Of(key)
	}
	return out, nil
}

func actionParts(a earshot.Action) []string {
	return []string{string(a.Run), strconv.Itoa(a.Seq), strconv.Itoa(a.Attempt)}
}

func intentID(a earshot.Action) string {
	return audit.EntryID(append([]string{string(audit.KindIntent)}, actionParts(a)...)...)
}

func (r *Runner) intentLeaf(tags *audit.Tagger, a earshot.Action) (earshot.Leaf, error) {
	e := r.entry(audit.KindIntent, actionParts(a)...)
	e.Run = string(a.Run)
	rec := a.Recording
	in := &audit.Intent{
		Action: a.Decision.Disposition.String(), Companions: len(a.Companions), Rule: a.Decision.Rule,
		Recording: tags.Tag("recording", e.ID, recordingName(rec.ID)),
		Object:    tags.Tag("object", e.ID, recordingName(rec.ID)+"\n"+rec.ID.Version+"\n"+rec.ETag),
	}
	if len(a.Companions) > 0 {
		in.CompanionsTag = companionsTag(tags, a)
	}
	if !a.Decision.Since.IsZero() {
		in.Due = a.Decision.Since.UnixMicro()
	}
	if rec.Subject != "" {
		in.Subject = tags.Tag("subject", e.ID, string(rec.Subject))
	}
	for _, why := range a.Decision.Reasons {
		basis := why.Rule
		if why.Policy != "" {
			basis = why.Policy + "/" + why.Rule
		}
		if len(in.Basis) < 16 {
			in.Basis = append(in.Basis, basis)
		}
	}
	if in.Basis == nil {
		in.Basis = []string{}
	}
	for i, red := range a.Decision.Redactions {
		in.Spans = append(in.Spans, audit.Spans(red.Spans)...)
		if i == 0 {
			in.Fill = string(red.Fill)
		}
	}
	in.Spans = fewSpans(in.Spans)
	if r.o.Log.DatabaseLock() {
		in.LogLock = "database"
	}
	e.Intent = in
	return e.Leaf()
}

// fewSpans cuts a list of spans to what an entry of 4 kB has room for. The digest of the plan, which
// is in the log too, stands for all of them.
func fewSpans(spans []audit.Span) []audit.Span { return spans[:min(len(spans), 40)] }

func (r *Runner) skipLeaf(tags *audit.Tagger, a earshot.Action) (earshot.Leaf, error) {
	e := r.entry(audit.KindSkip, actionParts(a)...)
	e.Run = string(a.Run)
	e.Skip = &audit.Skip{Recording: tags.Tag("recording", e.ID, recordingName(a.Recording.ID)), Code: a.Why}
	return e.Leaf()
}

func (r *Runner) outcomeLeaf(a earshot.Action, o audit.Outcome) (earshot.Leaf, error) {
	e := r.entry(audit.KindOutcome, actionParts(a)...)
	e.Run = string(a.Run)
	o.IntentID = intentID(a)
	if rows := a.Decision.Rows; rows != nil && o.Result == "ok" { // nothing is stored of which another reader has not found just these
		o.RowsGone, o.RowsChanged = rows.Go, rows.Change
	}
	e.Outcome = &o
	return e.Leaf()
}

func (r *Runner) plannedLeaf(run earshot.Run, deletes, redacts int) (earshot.Leaf, error) {
	e := r.entry(audit.KindPlanned, string(run.ID))
	e.Run = string(run.ID)
	e.Policy = &audit.Policy{Name: run.Policy, SHA256: run.PolicyDigest.String()}
	e.Plan = &audit.Plan{
		AsOf: run.AsOf.UnixMicro(), Digest: run.Digest.String(), Considered: run.Considered, Kept: run.Kept, Held: run.Held,
		ForReview: run.ForReview, Delete: deletes, Redact: redacts, Approvals: run.ApprovalsNeeded, Inventories: r.inventoryRoots(),
	}
	return e.Leaf()
}

func (r *Runner) finishedLeaf(run earshot.Run, done, skipped, failed int) (earshot.Leaf, error) {
	e := r.entry(audit.KindFinished, string(run.ID))
	e.Run = string(run.ID)
	e.Finished = &audit.Finished{Candidates: run.Considered, Due: run.Actions, Inventories: r.inventoryRoots(), Done: done, Skipped: skipped, Failed: failed}
	return e.Leaf()
}

// inventoryRoots names the last inventories: what the population was that a run chose from.
func (r *Runner) inventoryRoots() []string {
	if r.o.Inventory == "" {
		return nil
	}
	var out []string
	for _, b := range r.Buckets() {
		if inv, ok, err := LastInventory(r.o.Inventory, b); err == nil && ok {
			out = append(out, inv.Root)
		}
	}
	return out
}

func (r *Runner) holdLeaf(kind audit.Kind, h earshot.Hold) (earshot.Leaf, error) {
	e := r.entry(kind, h.ID)
	e.Hold = &audit.HoldNote{Tag: r.o.Tagger.Tag("hold", e.ID, h.ID), Matter: r.o.Tagger.Tag("matter", e.ID, h.Matter)}
	leaf, err := e.Leaf()
	if err != nil {
		return leaf, fmt.Errorf("hold: %w", err)
	}
	return leaf, nil
}
