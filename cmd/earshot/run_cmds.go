package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/storage/catalog"

	"github.com/spf13/cobra"
)

// settle brings to an end what a crash left open. Where another process is applying, that is its
// business; one recording that cannot be settled now does not stop the rest.
func (a *app) settle(ctx context.Context, i *installation) error {
	_, err := i.runner.Settle(ctx)
	switch {
	case errors.Is(err, catalog.ErrBusy):
		return nil
	case errors.Is(err, retention.ErrPartly):
		a.say("earshot: %s", oneLine(err))
		return nil
	}
	return err
}

func newScan(a *app) *cobra.Command {
	var orphans bool
	var how scanKind
	c := command("scan [POLICY...]", "List the recordings in the scopes of policies into the catalog",
		`A scan that is cut off goes on where it stopped, and a bucket that is away does not keep the others from being scanned.
Nothing in the store is changed. With --orphans companions whose recording is not in the catalog are listed too: transcripts
that outlived their clips.

With --recent 2d only the folders of recent days are listed, where the layout has the date in the recordings' keys.
Nothing is concluded of what is not listed. With --inventory s3://BUCKET/.../manifest.json (or a file) an S3 Inventory report
is read instead of listing; what it leaves open is looked at afresh, and one that is damaged or older than the last full
scan is refused whole.`, cobra.ArbitraryArgs,
		func(cmd *cobra.Command, args []string) error {
			if err := how.check(); err != nil {
				return err
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			if err := a.settle(cmd.Context(), i); err != nil {
				return err
			}
			found, err := how.scan(cmd.Context(), i, args...)
			for _, s := range found {
				if err := a.emit(s, func(w io.Writer) {
					fmt.Fprintf(w, "s3://%s/%s: %d recordings (%d new, %d changed, %d gone), %d other objects left alone\n",
						s.Scope.Bucket, s.Scope.Prefix, s.Listed, s.New, s.Changed, s.Gone, s.Other)
					if s.Odd > 0 {
						fmt.Fprintf(w, "    %d objects have keys that are not UTF-8 or have a zero byte: rename them, or delete them yourself\n", s.Odd)
					}
				}); err != nil {
					return err
				}
			}
			if err != nil || !orphans {
				return err
			}
			return i.runner.Orphans(cmd.Context(), func(o retention.Orphan) error {
				return a.emit(o, func(w io.Writer) {
					fmt.Fprintf(w, "orphan: %s s3://%s/%s, %s, since %s\n", o.Class, o.Bucket, o.Key, byteText(o.Size), o.StoredAt.Format(time.DateOnly))
				})
			})
		})
	c.Flags().StringVar(&how.recent, "recent", "", "list only what was captured lately, such as 2d, by the dates in the keys")
	c.Flags().StringVar(&how.inventory, "inventory", "", "read the inventory report of this manifest.json instead of listing")
	c.Flags().BoolVar(&orphans, "orphans", false, "list companions whose recording is gone")
	return c
}

func newPlan(a *app) *cobra.Command {
	var noScan bool
	c := command("plan [POLICY...]", "Decide what is due and seal it as a run, without touching anything",
		`The buckets are scanned first; of one that cannot be, the plan goes by the last scan, and the command says so and
exits with 3. The plan is shown with the reason for each recording; earshot show RUN
shows it again. A plan beyond a policy's limits needs approvals before it can be applied.`, cobra.ArbitraryArgs,
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			if err := a.settle(cmd.Context(), i); err != nil {
				return err
			}
			var away error // some bucket: of that the plan goes by what the catalog has
			if !noScan {
				if _, away = i.runner.Scan(cmd.Context(), args...); away != nil && !errors.Is(away, retention.ErrPartly) {
					return away
				}
			}
			p, err := i.runner.Plan(cmd.Context(), args...)
			if err != nil {
				return err
			}
			if _, err := i.log.Publish(cmd.Context()); err != nil {
				return err
			}
			if err := a.showRun(cmd.Context(), i, p.Run, 0); err != nil {
				return err
			}
			if away != nil {
				away = fmt.Errorf("the plan is made without a new listing of all buckets: %w", away)
			}
			if p.Unread > 0 {
				return errors.Join(away, fmt.Errorf("%w: the facts of %d recording(s) could not be read; they are kept, and looked at again by a later plan", errPartly, p.Unread))
			}
			return away
		})
	c.Flags().BoolVar(&noScan, "no-scan", false, "plan from what the catalog knows, without listing the buckets")
	return c
}

func newShow(a *app) *cobra.Command {
	var limit int
	var review bool
	c := command("show [RUN]", "Show a run with its actions and their reasons, or list the latest runs",
		"With --json each action is a line; the first line is the run itself.", cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			if review {
				return a.showReviews(cmd.Context(), i)
			}
			if len(args) == 1 {
				run, err := i.db.Run(cmd.Context(), earshot.RunID(args[0]))
				if err != nil {
					return err
				}
				return a.showRun(cmd.Context(), i, run, limit)
			}
			runs, err := i.db.Runs(cmd.Context(), 20)
			if err != nil {
				return err
			}
			for _, run := range runs {
				if err := a.emit(run, func(w io.Writer) {
					fmt.Fprintf(w, "%s  %-9s  %6d actions of %d recordings  %s\n", run.ID, run.State, run.Actions, run.Considered, run.Policy)
				}); err != nil {
					return err
				}
			}
			return nil
		})
	c.Flags().BoolVar(&review, "review", false, "show the recordings that wait for a person, and why")
	c.Flags().IntVar(&limit, "limit", 0, "show at most that many actions (default: all)")
	return c
}

func newApprove(a *app) *cobra.Command {
	return command("approve RUN DIGEST", "Approve exactly the plan that show printed",
		`The digest (at least 12 digits of it) is the one that earshot show RUN prints: it stands for every action
of the plan. Who planned a run cannot approve it.`, cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			run, err := i.db.Run(cmd.Context(), earshot.RunID(args[0]))
			if err != nil {
				return err
			}
			given := strings.ToLower(args[1])
			if len(given) < 12 {
				return fmt.Errorf("%w: give at least 12 digits of the digest", errUsage)
			}
			if !strings.HasPrefix(run.Digest.String(), given) {
				return fmt.Errorf("%w: run %s has the digest %s, not %s; look at it again with earshot show %s", retention.ErrStaleRun, run.ID, run.Digest.Short(), args[1], run.ID)
			}
			by, err := a.principal()
			if err != nil {
				return err
			}
			run, err = i.runner.Approve(cmd.Context(), run.ID, run.Digest, by)
			if err != nil {
				return err
			}
			if _, err := i.log.Publish(cmd.Context()); err != nil {
				return err
			}
			return a.emit(run, func(w io.Writer) {
				if run.State == earshot.RunApproved {
					fmt.Fprintf(w, "run %s is approved; earshot apply %s carries it out\n", run.ID, run.ID)
				} else {
					fmt.Fprintf(w, "noted; run %s needs %d approvals in all\n", run.ID, run.ApprovalsNeeded)
				}
			})
		})
}

func newApply(a *app) *cobra.Command {
	return command("apply RUN", "Carry out an approved run, or go on with one that was cut off",
		`Every action is announced in the log before it is done, and its outcome is logged after a fresh look at
the store. A recording that changed, or that came under a hold, is skipped. Ctrl-C stops before the next
action; apply again goes on.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			return a.apply(cmd.Context(), i, earshot.RunID(args[0]))
		})
}

// apply carries a run out, and says what it leaves when it is stopped.
func (a *app) apply(ctx context.Context, i *installation, id earshot.RunID) error {
	done, err := i.runner.Apply(ctx, id)
	if done.Run.ID != "" && done.Run.State != "" {
		if emitErr := a.emit(done, func(w io.Writer) { printApplied(w, done) }); emitErr != nil {
			return emitErr
		}
	}
	if err == nil && done.Failed > 0 {
		return fmt.Errorf("%w: %d action(s) failed; earshot show %s says why", errPartly, done.Failed, id)
	}
	if ctx.Err() == nil || err == nil {
		return err
	}
	a.logger().DebugContext(ctx, "stopped", "run", id, "err", err)
	left, countErr := i.left(context.WithoutCancel(ctx), id)
	if countErr != nil {
		return errors.Join(err, countErr)
	}
	return fmt.Errorf("%w: stopped; %d action(s) are left: earshot apply %s goes on with it", errPartly, left, id)
}

func printApplied(w io.Writer, d retention.Applied) {
	left := ""
	if d.Planned > 0 {
		left = fmt.Sprintf(", %d not begun", d.Planned)
	}
	fmt.Fprintf(w, "run %s (%s): %d deleted, %d redacted, %d skipped, %d failed, %d unfinished%s; %s freed\n",
		d.Run.ID, d.Run.State, d.Deleted, d.Redacted, d.Skipped, d.Failed, d.Unfinished, left, bytesText(d.BytesFreed))
}

func bytesText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
