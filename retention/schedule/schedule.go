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
	"strings"
	"sync"
	"time"

	"earshot"
	"earshot/policies"
	"earshot/retention"
	"earshot/storage/catalog"

	"github.com/robfig/cron/v3"
)

// Parse reads a cron spec: five fields, in UTC unless CRON_TZ=ZONE comes first. A spec that never
// comes round (30 February) is an error. A time that a daylight-saving change skips is skipped that
// day; one that it repeats runs once.
func Parse(spec string) (cron.Schedule, error) {
	if zone, rest, ok := strings.Cut(spec, " "); strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		// The parser panics where nothing follows the zone.
		if !ok || strings.TrimSpace(rest) == "" {
			return nil, fmt.Errorf("schedule %q: nothing follows %s", spec, zone)
		}
	} else {
		spec = "CRON_TZ=UTC " + spec
	}
	if strings.Contains(spec, "@") {
		return nil, fmt.Errorf("schedule %q: want five fields, such as 15 3 * * *", spec)
	}
	s, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", spec, err)
	}
	if s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("schedule %q never comes round", spec)
	}
	return s, nil
}

// Options of a Schedule.
type Options struct {
	Runner   *retention.Runner
	Catalog  *catalog.DB
	Policies []*policies.Policy // those without a schedule run by hand only
	Logger   *slog.Logger       // default: silent
	Now      func() time.Time   // default time.Now
}

type job struct {
	name string
	spec string
	cron cron.Schedule
}

// Schedule runs policies. Only one of them runs at a time, so none overlaps itself.
type Schedule struct {
	o    Options
	jobs []job

	mu   sync.Mutex // guards last
	last map[string]string
}

// New checks the specs.
func New(o Options) (*Schedule, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Schedule{o: o, last: map[string]string{}}
	for _, p := range o.Policies {
		if p.Schedule() == "" {
			continue
		}
		c, err := Parse(p.Schedule())
		if err != nil {
			return nil, fmt.Errorf("policy %q: %w", p.Name(), err)
		}
		s.jobs = append(s.jobs, job{p.Name(), p.Schedule(), c})
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
		out = append(out, Status{j.name, j.spec, last, j.next(last, s.o.Now()), result})
	}
	return out
}

// next is when a job is due: after its last run or, for one that never ran, from now on. A time in
// the past is a run that was missed.
func (j job) next(last, now time.Time) time.Time {
	if last.IsZero() {
		return j.cron.Next(now).UTC()
	}
	return j.cron.Next(last).UTC()
}

// Run runs policies as they come due until ctx ends; then the action under way is finished and
// ctx's error returned.
func (s *Schedule) Run(ctx context.Context) error {
	due := map[string]time.Time{}
	for _, j := range s.jobs {
		last, err := s.o.Catalog.LastRun(ctx, j.name)
		if err != nil {
			return err
		}
		due[j.name] = j.next(last, s.o.Now())
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
			due[j.name] = j.cron.Next(s.o.Now()).UTC()
		}
	}
}

// once makes one run. What fails is reported and tried again at the next time.
func (s *Schedule) once(ctx context.Context, j job) {
	result, err := s.run(ctx, j.name)
	if err != nil {
		result = err.Error()
		s.o.Logger.ErrorContext(ctx, "scheduled run failed", "policy", j.name, "err", err)
	} else {
		s.o.Logger.InfoContext(ctx, "scheduled run", "policy", j.name, "result", result)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[j.name] = result
}

func (s *Schedule) run(ctx context.Context, policy string) (string, error) {
	r := s.o.Runner
	if _, err := r.Settle(ctx); err != nil {
		return "", err
	}
	// Runs that were approved, or cut off, come first: planning again would give them up.
	for _, state := range []earshot.RunState{earshot.RunApplying, earshot.RunApproved} {
		runs, err := s.o.Catalog.RunsIn(ctx, state)
		if err != nil {
			return "", err
		}
		for _, run := range runs {
			if _, err := r.Apply(ctx, run.ID); err != nil && !errors.Is(err, retention.ErrStaleRun) {
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
