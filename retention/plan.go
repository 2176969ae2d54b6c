package retention

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"golang.org/x/sync/errgroup"
)

// Planned is what came of planning.
type Planned struct {
	Run earshot.Run `json:"run"`
	// Unread counts recordings whose facts could not be had; they are left as they are and looked
	// at again by a later plan.
	Unread  int `json:"unread"`
	Deletes int `json:"deletes"`
	Redacts int `json:"redacts"`
}

// planBatch is how many due recordings are decided between two transactions.
const planBatch = 1000

// planning is one plan in the making.
type planning struct {
	r      *Runner
	run    earshot.Run
	people people
	out    Planned
	counts map[string]int // actions in the scope of each policy
	digest sealer
	later  bool // the first of two passes, see sessions.go
	unwell int  // how many of a scope could not be read for no reason of their own, and why the last of them
	last   error
	before int // actions of the scopes before
	// tallies are the counts of each scope, when the plan is closed.
	tallies map[Scope]map[string]int
	// What one batch needs, for the next one to use again: these are large.
	results    []resolved
	errs       []error
	known      []catalog.Known
	foresights []catalog.Foresight
}

// resized is n zero values, in the same place if there is room.
func resized[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// Plan decides about everything that is due in the scopes of the named policies (all, if none is
// named), for one moment, and seals what is to be done. Earlier plans that nobody has begun to
// apply are given up.
func (r *Runner) Plan(ctx context.Context, names ...string) (Planned, error) {
	release, err := r.o.Catalog.Exclusive("plan")
	if err != nil {
		return Planned{}, err
	}
	defer release()
	if r, err = r.renewed(); err != nil {
		return Planned{}, err
	}
	if err := r.Activate(ctx); err != nil {
		return Planned{}, err
	}
	scopes, err := r.rules.scopes(names)
	if err != nil {
		return Planned{}, err
	}
	if err := r.accept(ctx); err != nil {
		return Planned{}, err
	}
	slices.Sort(names)
	if err := r.abandonOld(ctx, strings.Join(names, ",")); err != nil {
		return Planned{}, err
	}
	now := r.now()
	p := &planning{r: r, digest: newSealer(), counts: map[string]int{}, tallies: map[Scope]map[string]int{}}
	p.run = earshot.Run{
		ID: newRunID(now), For: strings.Join(names, ","), Policy: r.rules.names(), PolicyDigest: r.rules.digest, Session: r.session(), AsOf: now, Planner: r.o.By, CreatedAt: now,
	}
	if p.people, err = r.people(ctx); err != nil {
		return Planned{}, err
	}
	if err := errors.Join(r.o.Catalog.Draft(ctx, p.run), r.o.Catalog.StopHearing(ctx)); err != nil {
		return Planned{}, err
	}
	if err := errors.Join(r.touchLogs(ctx, p.people), r.touchOrphans(ctx)); err != nil {
		return Planned{}, err
	}
	p.later = r.rules.pooled && r.o.Session > 0
	if err := p.eachScope(ctx, scopes); err != nil {
		return Planned{}, err
	}
	if p.later {
		p.later = false
		for _, s := range scopes {
			if err := p.sessions(ctx, s); err != nil {
				return Planned{}, fmt.Errorf("planning for bucket %q: %w", s.Bucket, err)
			}
		}
	}
	if err := p.seal(ctx, scopes); err != nil {
		return Planned{}, err
	}
	if !r.rules.pooled || r.o.Session == 0 { // nothing is kept that nobody asks for
		if err := r.o.Catalog.ForgetVoices(ctx); err != nil {
			return Planned{}, err
		}
	}
	p.out.Run = p.run
	return p.out, nil
}

// abandonOld gives up plans that the new one takes the place of: those for the same policies, or
// any if it is for all, that were never begun, and those that were begun and can never be finished.
// Plans of other policies go on waiting for their approval.
func (r *Runner) abandonOld(ctx context.Context, names string) error {
	for _, state := range []earshot.RunState{earshot.RunDraft, earshot.RunSealed, earshot.RunApproved, earshot.RunApplying} {
		runs, err := r.o.Catalog.RunsIn(ctx, state)
		if err != nil {
			return err
		}
		for _, run := range runs {
			stale := run.PolicyDigest != r.rules.digest || r.now().Sub(run.AsOf) > planLife
			replaced := state != earshot.RunApplying && (names == "" || names == run.For)
			if !stale && !replaced {
				continue
			}
			run.State, run.FinishedAt = earshot.RunAbandoned, r.now()
			if err := r.o.Catalog.Move(ctx, run, nil, state); err != nil && !errors.Is(err, catalog.ErrStale) {
				return err
			}
		}
	}
	return nil
}

// eachScope plans for one scope after the other. One that is given up does not keep the others from being planned for,
// unless recordings are decided together, of which it may have some.
func (p *planning) eachScope(ctx context.Context, scopes []Scope) error {
	var failed []error
	for _, s := range scopes {
		p.unwell, p.before = 0, p.run.Actions
		err := p.scope(ctx, s)
		if err == nil {
			continue
		}
		err = fmt.Errorf("planning for bucket %q: %w", s.Bucket, err)
		if failed = append(failed, err); p.later || ctx.Err() != nil || !errors.Is(err, errUnwell) {
			return err
		}
		p.r.o.Logger.WarnContext(ctx, "a bucket is left to a later plan", "bucket", s.Bucket, "err", err)
	}
	if len(failed) == len(scopes) {
		return errors.Join(failed...)
	}
	return nil
}

func (p *planning) scope(ctx context.Context, s Scope) error {
	var batch []catalog.Row
	seen := 0
	for row, err := range p.r.o.Catalog.Due(ctx, s.Bucket, s.Prefix, p.r.judge(), p.run.AsOf) {
		if err != nil {
			return err
		}
		if batch = append(batch, row); len(batch) == planBatch {
			if err := p.decide(ctx, batch); err != nil {
				return err
			}
			seen += len(batch)
			p.r.o.Progress("plan", seen, 0)
			batch = batch[:0]
		}
	}
	return p.decide(ctx, batch)
}

// decide resolves a batch side by side and writes what came of it, in order.
func (p *planning) decide(ctx context.Context, batch []catalog.Row) error {
	p.results, p.errs, p.known = resized(p.results, len(batch)), resized(p.errs, len(batch)), resized(p.known, len(batch))
	results, errs, known := p.results, p.errs, p.known
	for i := range batch {
		known[i] = batch[i].Known
	}
	// Anew for each batch: what was made due by a hold that was placed or lifted is decided with that.
	var err error
	if p.people, err = p.r.people(ctx); err != nil {
		return err
	}
	people, err := p.people.of(ctx, p.r, known)
	if err != nil {
		return err
	}
	all := func(int) bool { return true }
	shared := p.r.o.Ear != nil && p.r.o.Catalog.Shared()
	if err := p.resolve(ctx, batch, people, shared, results, errs, all); err != nil {
		return err
	}
	if shared {
		if err := p.hearTogether(ctx, batch, people, results, errs); err != nil {
			return err
		}
	}
	if err := p.complete(ctx, results, errs); err != nil {
		return err
	}
	waiting, err := p.unread(ctx, batch, results, errs)
	if err != nil {
		return err
	}
	foresights := p.foresights[:0]
	var again []earshot.RecordingID
	var actions []earshot.Action
	for i, res := range results {
		if errs[i] != nil {
			continue
		}
		f := p.foresight(&batch[i], res)
		if again = append(again, res.older...); destroys(res.decision) {
			actions = append(actions, p.action(res))
		}
		foresights = append(foresights, f)
	}
	p.foresights = foresights
	if err := errors.Join(p.r.o.Catalog.Foresee(ctx, foresights), p.r.o.Catalog.PutVoices(ctx, waiting), p.r.o.Catalog.Touch(ctx, again)); err != nil {
		return err
	}
	if err := p.overlooked(ctx, batch, results, errs); err != nil {
		return err
	}
	if err := p.r.o.Catalog.Add(ctx, p.run.ID, actions); err != nil {
		return err
	}
	return p.givenUp()
}

// foresight is what the catalog is to have of a recording that was decided, or is to be when its session was heard.
func (p *planning) foresight(row *catalog.Row, res resolved) catalog.Foresight {
	later := p.unpooled(res)
	voice := p.r.sounds(res, later)
	res.known.Deaf = nil // to be asked again: an event may come late
	f := catalog.Foresight{
		Was: row, Same: unlearned(row, res), Known: res.known, Digest: p.r.judge(),
		Disposition: res.decision.Disposition.String(), Rule: res.decision.Rule, Reason: why(res.decision), Due: res.decision.Until,
		Later: later, Sessions: p.r.rules.pooled && res.facts.Log == "", Voice: voice,
	}
	if destroys(res.decision) || res.decision.Rule == ruleWithOwner {
		f.Due = p.run.AsOf // until it is done
	}
	if soon := p.run.AsOf.Add(lookAgain); mayChangeUnseen(res) && (f.Due.IsZero() || f.Due.After(soon)) {
		f.Due = soon
	}
	return f
}

// overlooked makes those due again of which the catalog did not know until now whose they are: what somebody
// asked for or decided about that person while they were decided could not find them.
func (p *planning) overlooked(ctx context.Context, batch []catalog.Row, results []resolved, errs []error) error {
	var which []int
	var whose []earshot.SubjectID
	for i, res := range results {
		if whom := res.known.Recording.Subject; errs[i] == nil && res.facts.Log == "" && whom != "" && whom != batch[i].Recording.Subject {
			which, whose = append(which, i), append(whose, whom)
		}
	}
	if len(which) == 0 {
		return nil
	}
	now, err := p.r.people(ctx)
	if err != nil {
		return err
	}
	if now.known, err = p.r.about(ctx, whose); err != nil {
		return err
	}
	var again []earshot.RecordingID
	for _, i := range which {
		rec, facts := results[i].known.Recording, results[i].facts
		who := now.known[rec.Subject]
		if !reflect.DeepEqual(who.Subject, facts.Subject) || !reflect.DeepEqual(who.Requests, facts.Requests) ||
			rec.Class == "" && !reflect.DeepEqual(p.r.held(rec, now.holds), facts.Holds) {
			again = append(again, rec.ID)
		}
	}
	return p.r.o.Catalog.Touch(ctx, again)
}

// resolve resolves those of a batch that `which` names, side by side. quiet: what must be listened to is
// errToHear.
func (p *planning) resolve(ctx context.Context, batch []catalog.Row, people people, quiet bool, results []resolved, errs []error, which func(int) bool) error {
	group, inner := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(p.r.o.Workers, len(batch)) { // not one for each recording: to begin one takes longer than most decisions
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < len(batch); i = int(next.Add(1)) - 1 {
				if !which(i) {
					continue
				}
				results[i], errs[i] = p.r.conclude(inner, resolved{known: batch[i].Known, quiet: quiet, later: p.later}, people, p.run.AsOf)
				if err := inner.Err(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// unlearned reports whether nothing more is known by now than when the row was read.
func unlearned(row *catalog.Row, res resolved) bool {
	return !res.learned && reflect.DeepEqual(row.Recording, res.known.Recording)
}

// lookAgain is when a decision that may change without our being told is made again.
const lookAgain = 24 * time.Hour

// mayChangeUnseen reports whether the decision hangs on something outside: an event that may come
// late, a hold in the store that may be lifted there.
func mayChangeUnseen(r resolved) bool {
	return r.decision.Disposition == earshot.Review || r.facts.Lock.LegalHold
}

func destroys(d earshot.Decision) bool {
	return d.Disposition == earshot.Redact || d.Disposition == earshot.Delete
}

func why(d earshot.Decision) string {
	if len(d.Reasons) == 0 {
		return ""
	}
	return d.Reasons[0].Text
}

// review turns a decision into one for a person.
func (res *resolved) review(rule, text string) {
	d := &res.decision
	d.Disposition, d.Redactions, d.Companions, d.Rule = earshot.Review, nil, nil, rule
	d.Reasons = append([]earshot.Reason{{Rule: rule, Text: text}}, d.Reasons...)
}

func (p *planning) action(res resolved) earshot.Action {
	a := earshot.Action{
		Run: p.run.ID, Seq: p.run.Actions, Recording: res.known.Recording, Companions: res.companions,
		Decision: res.decision, State: earshot.ActionPlanned,
	}
	p.run.Actions++
	for _, policy := range p.r.rules.policies {
		if policy.InScope(a.Recording) {
			p.counts[policy.Name()]++
		}
	}
	if res.decision.Disposition == earshot.Delete {
		p.out.Deletes++
	} else {
		p.out.Redacts++
	}
	p.digest.add(a)
	return a
}
