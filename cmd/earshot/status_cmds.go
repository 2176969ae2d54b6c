package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"earshot/policies"

	"github.com/spf13/cobra"
)

// standing is whether what should have happened by now has.
type standing struct {
	Tenant     string           `json:"tenant,omitempty"`
	At         time.Time        `json:"at"`
	Requests   int              `json:"requests_overdue"`
	Recordings int              `json:"recordings_overdue"`
	Unfinished int              `json:"actions_unfinished"`
	Failing    int              `json:"recordings_failing"` // tried again by themselves
	Blocked    int              `json:"recordings_blocked"` // see earshot attention list
	Waiting    int              `json:"runs_waiting_for_approval"`
	Stalled    []stalledRun     `json:"runs_stalled,omitempty"`
	Policies   []policyStanding `json:"policies"`
}

type policyStanding struct {
	Policy  string    `json:"policy"`
	LastRun time.Time `json:"last_run,omitzero"`
	Due     time.Time `json:"due,omitzero"` // the run that should have been next
	Late    bool      `json:"late"`
}

func newStatus(a *app) *cobra.Command {
	var grace string
	c := command("status", "Tell whether everything has happened that should have by now",
		`A dead man's switch for a monitor: the exit status is 3 if a policy has not run when its schedule said, if recordings
have waited for a plan for longer than two days, if one is blocked since it failed again and again, if a data subject's request is beyond its deadline, or if nothing of a
run that was begun has moved for five minutes and nobody works on it. Runs by hand count. The same figures are metrics of earshot serve (earshot_requests_overdue, earshot_recordings_overdue,
earshot_policy_last_run_timestamp_seconds).`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			late, err := policies.ParseLength(grace)
			if err != nil {
				return fmt.Errorf("%w: --grace: %w", errUsage, err)
			}
			site, err := a.site()
			if err != nil {
				return err
			}
			if site == nil || a.tenant != "" {
				return a.status(cmd.Context(), late, "")
			}
			return a.each(site, func(one *app, name string) error { return one.status(cmd.Context(), late, name) })
		})
	c.Flags().StringVar(&grace, "grace", "6h", "how long after its time a run may begin")
	return c
}

// status tells how an installation stands; tenant is its name, where there are several.
func (a *app) status(ctx context.Context, late time.Duration, tenant string) error {
	i, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	s, err := i.standing(ctx, time.Now().UTC(), late)
	if err != nil {
		return err
	}
	s.Tenant = tenant
	if err := a.emit(s, func(w io.Writer) {
		if tenant != "" {
			fmt.Fprintf(w, "tenant %s:\n", tenant)
		}
		printStanding(w, s)
	}); err != nil {
		return err
	}
	return s.err()
}

func (i *installation) standing(ctx context.Context, now time.Time, grace time.Duration) (standing, error) {
	out := standing{At: now}
	var err error
	if out.Requests, out.Recordings, err = i.db.Overdue(ctx, now, now.Add(-overdueAfter)); err != nil {
		return out, err
	}
	open, err := i.db.Unfinished(ctx, 1<<20)
	if err != nil {
		return out, err
	}
	out.Unfinished = len(open)
	if out.Stalled, err = i.stalled(ctx, now, open); err != nil {
		return out, err
	}
	if out.Failing, out.Blocked, err = i.db.Troubled(ctx); err != nil {
		return out, err
	}
	runs, err := i.db.Runs(ctx, 1000)
	if err != nil {
		return out, err
	}
	for _, run := range runs {
		if run.State == "sealed" {
			out.Waiting++
		}
	}
	for _, p := range i.policies {
		if p.Schedule() == "" {
			continue
		}
		s := policyStanding{Policy: p.Name()}
		if s.LastRun, err = i.db.LastRun(ctx, p.Name()); err != nil {
			return out, err
		}
		for _, run := range runs { // by hand
			asked := run.For == "" || strings.Contains(","+run.For+",", ","+p.Name()+",")
			if asked && run.CreatedAt.After(s.LastRun) {
				s.LastRun = run.CreatedAt
			}
		}
		since := s.LastRun
		if since.IsZero() {
			if since, err = i.db.ActiveSince(ctx, p.Digest()); err != nil {
				return out, err
			}
		}
		if !since.IsZero() {
			s.Due = p.Next(since)
			s.Late = !s.Due.IsZero() && now.After(s.Due.Add(grace))
		}
		out.Policies = append(out.Policies, s)
	}
	return out, nil
}

func (s standing) err() error {
	var wrong []string
	add := func(n int, what string) {
		if n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(s.Requests, "request(s) beyond their deadline")
	add(s.Recordings, "recording(s) overdue")
	add(s.Blocked, "recording(s) blocked (earshot attention list)")
	add(len(s.Stalled), "run(s) that nobody works on")
	late := 0
	for _, p := range s.Policies {
		if p.Late {
			late++
		}
	}
	add(late, "policy(ies) not run when due")
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errPartly, strings.Join(wrong, ", "))
}

func printStanding(w io.Writer, s standing) {
	for _, p := range s.Policies {
		last, state := "never", "in time"
		if !p.LastRun.IsZero() {
			last = p.LastRun.UTC().Format("2006-01-02 15:04")
		}
		if p.Late {
			state = "LATE: it was due on " + p.Due.Format("2006-01-02 15:04")
		} else if p.LastRun.IsZero() {
			state = "has not had its time yet"
		}
		fmt.Fprintf(w, "%-28s last run %s, %s\n", p.Policy, last, state)
	}
	for _, r := range s.Stalled {
		fmt.Fprintf(w, "run %s was begun and nobody works on it since %s; %d action(s) are left: earshot apply %s\n", r.Run, r.Since.UTC().Format("2006-01-02 15:04"), r.Left, r.Run)
	}
	if s.Failing+s.Blocked > 0 {
		fmt.Fprintf(w, "%d recording(s) failed and are tried again, %d are blocked: earshot attention list\n", s.Failing, s.Blocked)
	}
	fmt.Fprintf(w, "%d request(s) and %d recording(s) are overdue; %d action(s) unfinished; %d run(s) wait for approval\n", s.Requests, s.Recordings, s.Unfinished, s.Waiting)
}
