package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/policies"
	"earshot/storage/catalog"
)

// Applied is what came of applying a run.
type Applied struct {
	Run        earshot.Run `json:"run"`
	Deleted    int         `json:"deleted"`
	Redacted   int         `json:"redacted"`
	Skipped    int         `json:"skipped"`
	Failed     int         `json:"failed"`
	Unfinished int         `json:"unfinished"` // intents without outcome: the store did not answer
	Planned    int         `json:"planned"`    // not begun
	BytesFreed int64       `json:"bytes_freed"`
}

// applyBatch is how many intents are published at a time at the most; it bounds what a crash leaves to
// settle. Settling takes settleBatch at a time.
const (
	applyBatch  = 1000
	settleBatch = 64
)

// Apply carries out an approved run, or goes on with one that was cut off. When ctx ends, no
// further action is begun, those under way are brought to an end, and the rest of the run stays
// planned. Actions that no longer fit are skipped with the reason; one that fails does not stop
// the others. On a shared catalog several processes may apply a run at once.
func (r *Runner) Apply(ctx context.Context, id earshot.RunID) (Applied, error) {
	release, err := r.alone(ctx)
	if err != nil {
		return Applied{}, err
	}
	defer release()
	if r, err = r.renewed(); err != nil {
		return Applied{}, err
	}
	// One recording that cannot be settled does not stop the others.
	_, settleErr := r.settle(ctx)
	if settleErr != nil && !errors.Is(settleErr, ErrPartly) {
		return Applied{}, settleErr
	}
	run, err := r.begin(ctx, id)
	if err != nil {
		return Applied{Run: run}, errors.Join(err, settleErr)
	}
	var out Applied
	if run.State != earshot.RunDone {
		r.wake(ctx, run)
		out, err = r.applyAll(ctx, run)
	}
	var sumErr error
	if out.Run.State != earshot.RunDone { // else it was summed up to be closed
		out, sumErr = r.summary(context.WithoutCancel(ctx), run)
	}
	return out, errors.Join(err, sumErr, settleErr)
}

// wake tells others of a run. One that carries out what people have asked for comes before other work: their
// recordings are the first of a plan, see [catalog.DB.Due].
func (r *Runner) wake(ctx context.Context, run earshot.Run) {
	first, err := r.o.Catalog.Actions(ctx, run.ID, earshot.ActionPlanned, 0, 1)
	r.o.Wake(ctx, run, err == nil && len(first) > 0 && first[0].Decision.Rule == policies.RuleErasure)
}

// alone makes sure that no other process of this machine acts, where a catalog is not shared: then
// nobody else's lease can stand. On a shared catalog leases alone tell who acts.
func (r *Runner) alone(ctx context.Context) (release func(), err error) {
	if r.o.Catalog.Shared() {
		return func() {}, nil
	}
	if release, err = r.o.Catalog.Exclusive("apply"); err != nil {
		return nil, err
	}
	if err := r.o.Catalog.EndLeases(ctx); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// begin checks that the run may be applied now.
func (r *Runner) begin(ctx context.Context, id earshot.RunID) (earshot.Run, error) {
	run, err := r.o.Catalog.Run(ctx, id)
	if err != nil {
		return run, err
	}
	switch {
	case run.State == earshot.RunDone:
		return run, nil
	case run.State == earshot.RunSealed:
		return run, fmt.Errorf("%w: run %s needs %d approval(s), since %s: earshot approve %s %s", ErrNotApproved, id,
			run.ApprovalsNeeded, run.WhyApproval, id, run.Digest.Short())
	case run.State != earshot.RunApproved && run.State != earshot.RunApplying:
		return run, fmt.Errorf("%w: run %s is %s", ErrStaleRun, id, run.State)
	}
	if run, err = r.fit(ctx, run); err != nil {
		return run, err
	}
	if run.State == earshot.RunApproved {
		run.State = earshot.RunApplying
		return run, r.o.Catalog.Move(ctx, run, nil, earshot.RunApproved)
	}
	return run, nil
}

// applyAll returns what finish does, where it comes to that.
func (r *Runner) applyAll(ctx context.Context, run earshot.Run) (Applied, error) {
	unfinished, err := r.work(ctx, run, run.Actions)
	if err == nil && r.o.Catalog.Shared() {
		err = r.await(ctx, run)
	}
	if err != nil {
		return Applied{}, err
	}
	if unfinished > 0 {
		return Applied{}, fmt.Errorf("%w: %d action(s) of run %s wait for the store; run earshot apply %s again", ErrPartly, unfinished, run.ID, run.ID)
	}
	return r.finish(ctx, run)
}

// giveBack takes an action whose intent is out, and that was not begun, back to planned. The next
// attempt has an intent of its own.
func (r *Runner) giveBack(ctx context.Context, a earshot.Action) error {
	leaf, err := r.outcomeLeaf(a, audit.Outcome{Result: "abandoned", Code: "interrupted", Settled: "apply"})
	if err != nil {
		return err
	}
	a.State, a.IntendedAt, a.Attempt = earshot.ActionPlanned, time.Time{}, a.Attempt+1
	return r.o.Catalog.Settle(ctx, r.now().UnixMicro(), catalog.Transition{Action: a, Leaf: leaf})
}

// errGate: an intent is not in the published log. This must not happen; nothing is done.
var errGate = errors.New("an intent is not in the published log; nothing was done")

// carryOut acts upon one intended action and settles it. An error means that it could not be
// brought to an end: the intent stands, and settling goes on from what is true then.
//
// recovering: something may have been done already. by says who brings it to an end: apply or recovery.
func (r *Runner) carryOut(ctx context.Context, a earshot.Action, published int64, recovering bool, by string) error {
	return r.carryOn(ctx, a, published, recovering, by, verdict{})
}

// carryOn goes on with what has been begun: what went so far counts in the outcome.
func (r *Runner) carryOn(ctx context.Context, a earshot.Action, published int64, recovering bool, by string, soFar verdict) error {
	index, ok, err := r.o.Catalog.Head().Index(ctx, intentID(a))
	if err != nil {
		return err
	}
	if !ok || index >= published {
		return errGate
	}
	if err := ours(ctx); err != nil {
		return err
	}
	v, err := r.perform(ctx, a, recovering)
	if err != nil {
		return err
	}
	v.outcome.Settled = by
	if soFar.begun {
		v.outcome.VersionsBefore = max(v.outcome.VersionsBefore, soFar.outcome.VersionsBefore)
		v.outcome.CopiesGone += soFar.outcome.CopiesGone
		v.freed += soFar.freed
	}
	settled, err := r.settled(a, v)
	if err != nil {
		return err
	}
	return r.o.Catalog.Settle(ctx, r.now().UnixMicro(), settled)
}

// finish closes a run of which nothing is left to do, and sums it up; zero where it did not close it.
func (r *Runner) finish(ctx context.Context, run earshot.Run) (Applied, error) {
	left, err := r.o.Catalog.Actions(ctx, run.ID, earshot.ActionPlanned, 0, 1)
	if err != nil || len(left) > 0 {
		return Applied{}, err
	}
	sum, err := r.summary(ctx, run)
	if err != nil {
		return Applied{}, err
	}
	run.State, run.FinishedAt = earshot.RunDone, r.now()
	leaf, err := r.finishedLeaf(run, sum.Deleted+sum.Redacted, sum.Skipped, sum.Failed)
	if err != nil {
		return Applied{}, err
	}
	if err := r.o.Catalog.Move(ctx, run, []earshot.Leaf{leaf}, earshot.RunApplying); err != nil {
		if now, readErr := r.o.Catalog.Run(ctx, run.ID); readErr == nil && now.State == earshot.RunDone {
			return Applied{}, nil // another process was there first
		}
		return Applied{}, err
	}
	if _, err = r.o.Log.Publish(ctx); err != nil {
		return Applied{}, err
	}
	sum.Run, err = r.o.Catalog.Run(ctx, run.ID)
	return sum, err
}

// summary counts a run's actions by what became of them.
func (r *Runner) summary(ctx context.Context, run earshot.Run) (Applied, error) {
	now, err := r.o.Catalog.Run(ctx, run.ID)
	if err != nil {
		return Applied{Run: run}, err
	}
	out := Applied{Run: now}
	for from := 0; ; {
		page, err := r.o.Catalog.Actions(ctx, run.ID, "", from, 1000)
		if err != nil {
			return out, err
		}
		for _, a := range page {
			from = a.Seq + 1
			out.BytesFreed += a.BytesFreed
			switch a.State {
			case earshot.ActionDone:
				if a.Decision.Disposition == earshot.Delete {
					out.Deleted++
				} else {
					out.Redacted++
				}
			case earshot.ActionSkipped:
				out.Skipped++
			case earshot.ActionFailed:
				out.Failed++
			case earshot.ActionIntended:
				out.Unfinished++
			case earshot.ActionPlanned:
				out.Planned++
			}
		}
		if len(page) < 1000 {
			return out, nil
		}
	}
}
