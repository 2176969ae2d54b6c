// Package schedule runs policies when their cron specs say so: scan, plan and, where a plan is
// within its limits, apply. One run at a time; a run that was missed is made up for once.
//
// It must not know how a run is made, only when. What ran when is in the catalog, so that a process
// that was down knows what it missed.
package schedule

import (
	"context"
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

// Schedule runs policies. Only one of them runs at a time, so none overlaps itself.
type Schedule struct {
	o    Options
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
	s := &Schedule{o: o, last: map[string]string{}}
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

// next is when a policy is due: after its last run or, for one that never ran, from now on. A time
// in the past is a run that was missed.
func next(j job, last, now time.Time) time.Time {
	if last.IsZero() {
		last = now
	}
	return j.next(last)
}

// Run runs policies as they come due until ctx ends; then the action under way is finished and
// ctx's error returned.
func (s *Schedule) Run(ctx context.Context) error {
	// What a crash left open does not wait for the next run.
	if _, err := s.o.Runner.Settle(ctx); err != nil {
		s.o.Logger.WarnContext(ctx, "settling what was cut off", "err", err)
	}
	due := map[string]time.Time{}
	for _, j := range s.jobs {
		last, err := s.o.Catalog.LastRun(ctx, j.name)
		if err != nil {
			return err
		}
		due[j.name] = next(j, last, s.o.Now())
	}
	for {
		wait := time.Hour
		for _, j := range s.jobs {
			wait = min(wait, due[j.name].Sub(s.o.Now()))
		}
		if wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		for _, j := range s.jobs {
			now := s.o.Now()
			if due[j.name].After(now) {
				continue
			}
			if err := s.o.Catalog.Ran(ctx, j.name, now); err != nil {
				return err
			}
			s.once(ctx, j)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			due[j.name] = j.next(s.o.Now())
		}
	}
}

// once makes one run. What fails is reported and tried again at the next time.
func (s *Schedule) once(ctx context.Context, j job) {
	policy := j.name
	result, err := j.run(ctx)
	if err != nil {
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
	if _, err := r.Settle(ctx); err != nil && !errors.Is(err, retention.ErrPartly) {
		return "", err
	}
	// Runs that were approved, or cut off, come first: planning again would give them up.
	for _, state := range []earshot.RunState{earshot.RunApplying, earshot.RunApproved} {
		runs, err := s.o.Catalog.RunsIn(ctx, state)
		if err != nil {
			return "", err
		}
		for _, run := range runs {
			if _, err := r.Apply(ctx, run.ID); err != nil && !errors.Is(err, retention.ErrStaleRun) && !errors.Is(err, retention.ErrPartly) {
				return "", err
			}
		}
	}
	if _, err := r.Scan(ctx, policy); err != nil {
		return "", err
	}
	p, err := r.Plan(ctx, policy)
	if err != nil {
		return "", err
	}
	switch p.Run.State {
	case earshot.RunSealed:
		return fmt.Sprintf("run %s waits for approval: %s", p.Run.ID, p.Run.WhyApproval), nil
	case earshot.RunApproved:
		done, err := r.Apply(ctx, p.Run.ID)
		return fmt.Sprintf("run %s: %d deleted, %d redacted, %d skipped, %d failed", p.Run.ID, done.Deleted, done.Redacted, done.Skipped, done.Failed), err
	default:
		return fmt.Sprintf("run %s: nothing is due", p.Run.ID), nil
	}
}
