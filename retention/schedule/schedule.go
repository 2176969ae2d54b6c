// Package schedule runs policies when their cron specs say so: scan, plan and, where a plan is
// within its limits, apply. One run at a time; a run that was missed is made up for once.
//
// It must not know how a run is made, only when. What ran when is in the catalog, so that a process
// that was down knows what it missed.
package schedule

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"earshot"
	"earshot/policies"
	"earshot/retention"
	"earshot/storage/catalog"

	"github.com/robfig/cron/v3"
)

// Options of a Schedule.
type Options struct {
	Runner   *retention.Runner
	Catalog  *catalog.DB
	Policies []*policies.Policy // those without a schedule run by hand only
	// Chores are run beside the policies, one at a time with them.
	Chores []Chore
	// Quiet, if not nil, gives the end of the hours in which no run is to be begun or gone on with; the
	// zero time outside of them.
	Quiet  func(now time.Time) time.Time
	Logger *slog.Logger     // default: silent
	Now    func() time.Time // default time.Now
}

// Chore is work that comes again and again and is no policy's run.
type Chore struct {
	Name string // no policy has it
	Spec string // cron, standard five fields; with CRON_TZ=... in front in another zone than the machine's
	Run  func(ctx context.Context) (result string, err error)
}

// job is a policy's runs or a chore.
type job struct {
	name, spec string
	next       func(time.Time) time.Time
	run        func(context.Context) (string, error)
}

// Schedule runs policies. Only one of them runs at a time in this process, and each in one process
// only, so none overlaps itself.
type Schedule struct {
	o    Options
	name string // of this process, among those that run the schedule
	jobs []job

	mu   sync.Mutex // guards last
	last map[string]string
}

// New makes a Schedule. Policies without a schedule are left out.
func New(o Options) (*Schedule, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Quiet == nil {
		o.Quiet = func(time.Time) time.Time { return time.Time{} }
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	s := &Schedule{o: o, name: hex.EncodeToString(b[:]), last: map[string]string{}}
	for _, p := range o.Policies {
		if p.Schedule() != "" {
			s.jobs = append(s.jobs, job{p.Name(), p.Schedule(), p.Next, func(ctx context.Context) (string, error) { return s.run(ctx, p.Name()) }})
		}
	}
	for _, c := range o.Chores {
		spec, err := cron.ParseStandard(c.Spec)
		if err != nil {
			return nil, fmt.Errorf("schedule of %s: %q: %w", c.Name, c.Spec, err)
		}
		s.jobs = append(s.jobs, job{c.Name, c.Spec, spec.Next, c.Run})
	}
	return s, nil
}

// Status is when a policy ran and will run.
type Status struct {
	Policy   string    `json:"policy"`
	Schedule string    `json:"schedule"`
	Last     time.Time `json:"last,omitzero"`
	Next     time.Time `json:"next"`
	Result   string    `json:"result,omitempty"` // of the last run by this process
}

// Status tells when each policy ran and will run.
func (s *Schedule) Status(ctx context.Context) []Status {
	out := []Status{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		last, err := s.o.Catalog.LastRun(ctx, j.name)
		result := s.last[j.name]
		if err != nil {
			result = "the catalog does not answer"
		}
		out = append(out, Status{j.name, j.spec, last, next(j, last, s.o.Now()), result})
	}
	return out
}

// next is when a policy is due: after its last run or, for one that never ran, after `since`. A time
// in the past is a run that was missed.
func next(j job, last, since time.Time) time.Time {
	if last.IsZero() {
		last = since
	}
	return j.next(last)
}

// How often a process looks what others did, where there may be others.
const (
	poll      = 5 * time.Second
	tendEvery = 15 * time.Second
)

// Run runs policies as they come due until ctx ends; then the action under way is finished and
// ctx's error returned. On a shared catalog several processes may run the same schedule: each run is
// made by one of them, and by another if that one dies.
func (s *Schedule) Run(ctx context.Context) error {
	var tended time.Time // what a crash left open does not wait for the next run
	since := s.o.Now()
	for {
		if end := s.o.Quiet(s.o.Now()); !end.IsZero() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(min(max(end.Sub(s.o.Now()), time.Second), time.Minute)): // clocks are set
			}
			continue
		}
		if tended.IsZero() || s.o.Catalog.Shared() && time.Since(tended) > tendEvery {
			s.tend(ctx)
			tended = time.Now()
		}
		wait := time.Hour
		if s.o.Catalog.Shared() {
			wait = poll
		}
		for _, j := range s.jobs {
			last, err := s.o.Catalog.LastRun(ctx, j.name)
			if err != nil && ctx.Err() == nil {
				s.o.Logger.ErrorContext(ctx, "the catalog does not answer", "err", err)
				wait = min(wait, poll)
				continue
			}
			due := next(j, last, since)
			if left := due.Sub(s.o.Now()); left > 0 {
				wait = min(wait, left)
				continue
			}
			taken, err := s.take(ctx, j, last)
			if err != nil && ctx.Err() == nil {
				s.o.Logger.ErrorContext(ctx, "scheduled run could not begin", "policy", j.name, "err", err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if wait = min(wait, poll); taken {
				wait = 0 // what came due meanwhile
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// How long a run belongs to the process that makes it, and how often that is prolonged.
const (
	tickFor   = time.Minute
	tickRenew = 15 * time.Second
)

// take makes one run, if it is not another process's. taken is false where it is.
func (s *Schedule) take(ctx context.Context, j job, last time.Time) (taken bool, err error) {
	firm, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if taken, err = s.o.Catalog.TakeTick(firm, j.name, s.lease(), last); err != nil || !taken {
		return false, err
	}
	loud, hush := context.WithCancel(ctx)
	defer hush()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.prolong(firm, j.name, last, hush)
	}()
	began := s.o.Now()
	go s.untilQuiet(loud, hush)
	s.once(loud, j)
	if loud.Err() != nil { // cut off: to be made up for
		err = s.o.Catalog.FreeTick(firm, j.name, s.name)
	} else {
		err = s.o.Catalog.Ran(firm, j.name, s.name, began)
	}
	stop()
	<-done
	return true, err
}

func (s *Schedule) lease() catalog.Lease {
	now := time.Now() // leases go by the machine's clock
	return catalog.Lease{Owner: s.name, Now: now, Until: now.Add(tickFor)}
}

// prolong keeps a run ours until ctx ends. lost is called where it is another process's by now: then no two of them
// go on with it.
func (s *Schedule) prolong(ctx context.Context, policy string, last time.Time, lost func()) {
	every(ctx, tickRenew, func() (over bool) {
		ours, err := s.o.Catalog.TakeTick(ctx, policy, s.lease(), last)
		switch {
		case ctx.Err() != nil:
			return true
		case err != nil:
			s.o.Logger.WarnContext(ctx, "scheduled run could not be prolonged", "policy", policy, "err", err)
		case !ours:
			s.o.Logger.WarnContext(ctx, "scheduled run is another process's by now", "policy", policy)
			lost()
			return true
		}
		return false
	})
}

// every calls do again and again, until that is over or ctx ends.
func every(ctx context.Context, interval time.Duration, do func() (over bool)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if do() {
				return
			}
		}
	}
}

// untilQuiet calls hush when quiet hours begin, unless ctx ends before.
func (s *Schedule) untilQuiet(ctx context.Context, hush func()) {
	every(ctx, time.Second, func() (over bool) {
		if over = !s.o.Quiet(s.o.Now()).IsZero(); over {
			hush()
		}
		return over
	})
}

// tend brings to an end what processes that died have left behind, until quiet hours begin.
func (s *Schedule) tend(ctx context.Context) {
	ctx, hush := context.WithCancel(ctx)
	defer hush()
	go s.untilQuiet(ctx, hush)
	if _, err := s.o.Runner.Settle(ctx); err != nil && ctx.Err() == nil {
		s.o.Logger.WarnContext(ctx, "settling what was cut off", "err", err)
	}
	if !s.o.Catalog.Shared() {
		return
	}
	runs, err := s.o.Catalog.RunsIn(ctx, earshot.RunApplying)
	if err != nil {
		s.o.Logger.WarnContext(ctx, "looking for runs that were cut off", "err", err)
	}
	for _, run := range runs {
		if _, err := s.o.Runner.Apply(ctx, run.ID); err != nil && ctx.Err() == nil {
			s.o.Logger.WarnContext(ctx, "going on with a run", "run", string(run.ID), "err", err)
		}
	}
}

// once makes one run. What fails is reported and tried again at the next time.
func (s *Schedule) once(ctx context.Context, j job) {
	policy := j.name
	result, err := j.run(ctx)
	if err != nil && ctx.Err() != nil {
		result = "stopped in the middle, to be gone on with"
	} else if err != nil {
		result = err.Error()
		s.o.Logger.ErrorContext(ctx, "scheduled run failed", "policy", policy, "err", err)
	} else {
		s.o.Logger.InfoContext(ctx, "scheduled run", "policy", policy, "result", result)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[policy] = result
}

func (s *Schedule) run(ctx context.Context, policy string) (string, error) {
	r := s.o.Runner
	if err := s.inTurn(ctx, func() error { _, err := r.Settle(ctx); return err }); err != nil && !errors.Is(err, retention.ErrPartly) {
		return "", err
	}
	// Runs that were approved, or cut off, come first: planning again would give them up.
	for _, state := range []earshot.RunState{earshot.RunApplying, earshot.RunApproved} {
		runs, err := s.o.Catalog.RunsIn(ctx, state)
		if err != nil {
			return "", err
		}
		for _, run := range runs {
			if state == earshot.RunApproved && run.Planner != r.By() { // somebody else's plan waits for whoever wants it applied
				continue
			}
			if _, err := s.apply(ctx, run.ID); err != nil && !errors.Is(err, retention.ErrStaleRun) && !errors.Is(err, retention.ErrPartly) {
				return "", err
			}
		}
	}
	_, away := r.Refresh(ctx, policy) // some of its buckets: of those the plan goes by what the catalog has
	if away != nil && !errors.Is(away, retention.ErrPartly) {
		return "", away
	}
	var p retention.Planned
	err := s.inTurn(ctx, func() (err error) { p, err = r.Plan(ctx, policy); return err })
	if err != nil {
		return "", errors.Join(away, err)
	}
	result, err := s.carryOut(ctx, p)
	return result, errors.Join(away, err)
}

// busyPoll is how often it is looked whether another process is done.
const busyPoll = time.Second

// inTurn does what one process does at a time. Where another is at it (the run of another policy, a command by hand)
// that is waited for: the next time of this run may be a day away.
func (s *Schedule) inTurn(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, catalog.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(busyPoll):
		}
	}
}

func (s *Schedule) apply(ctx context.Context, run earshot.RunID) (done retention.Applied, err error) {
	err = s.inTurn(ctx, func() (err error) { done, err = s.o.Runner.Apply(ctx, run); return err })
	return done, err
}

// carryOut applies a plan that needs nobody's approval.
func (s *Schedule) carryOut(ctx context.Context, p retention.Planned) (string, error) {
	switch p.Run.State {
	case earshot.RunSealed:
		return fmt.Sprintf("run %s waits for approval: %s", p.Run.ID, p.Run.WhyApproval), nil
	case earshot.RunApproved:
		done, err := s.apply(ctx, p.Run.ID)
		return fmt.Sprintf("run %s: %d deleted, %d redacted, %d skipped, %d failed", p.Run.ID, done.Deleted, done.Redacted, done.Skipped, done.Failed), err
	default:
		return fmt.Sprintf("run %s: nothing is due", p.Run.ID), nil
	}
}
