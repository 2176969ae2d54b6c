package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/retention/work"

	"github.com/spf13/cobra"
)

// errNotShared: workers need a catalog that several machines can reach.
var errNotShared = errors.New("the catalog is an SQLite file, which one machine works on: put it into PostgreSQL (earshot init --catalog postgres://...) to add workers")

func newWorker(a *app) *cobra.Command {
	var addr string
	var jobs int
	var drain time.Duration
	c := command("worker", "Add this machine's capacity to an installation whose catalog is in PostgreSQL",
		`A worker needs the same configuration, keys and policies as earshot serve, and nothing else: it waits until a run
is planned or applied or a bucket is scanned anywhere, and takes its part, outside of quiet hours. When it is asked to stop it finishes what it has begun.
Runs, recordings and the log stay right whenever a worker dies: others take over what it left within a minute.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			site, err := a.site()
			if err != nil {
				return err
			}
			if site == nil || a.tenant != "" {
				return a.work(cmd.Context(), jobs, addr, drain)
			}
			if addr != "" {
				return fmt.Errorf("%w: --listen is for the worker of one tenant", errUsage)
			}
			return a.workForAll(cmd.Context(), site, jobs, drain)
		})
	c.Flags().StringVar(&addr, "listen", "", "address of /healthz and /readyz (default: none)")
	c.Flags().IntVar(&jobs, "jobs", 2, "jobs at once; each handles several recordings at once (workers in the configuration)")
	c.Flags().DurationVar(&drain, "drain", 30*time.Second, "how long jobs may go on when the worker is asked to stop")
	return c
}

// work works the queue of one installation until ctx ends.
func (a *app) work(ctx context.Context, jobs int, addr string, drain time.Duration) error {
	i, err := a.openAs(ctx, earshot.Principal{Kind: earshot.Service, Name: "earshot worker"}, jobs)
	if err != nil {
		return err
	}
	defer i.close()
	if i.queue == nil {
		return errNotShared
	}
	stop, err := a.health(i, addr)
	if err != nil {
		return err
	}
	defer stop()
	a.say("earshot worker: ready")
	return i.queue.Run(ctx, drain)
}

// workForAll works the queues of all tenants. One that fails is tried again after a minute.
func (a *app) workForAll(ctx context.Context, s *Site, jobs int, drain time.Duration) error {
	if err := a.apart(s); err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, name := range s.names() {
		all.Go(func() {
			for ctx.Err() == nil {
				one, err := a.ofTenant(s, name)
				if err == nil {
					err = one.work(ctx, jobs, "", drain)
				}
				if ctx.Err() != nil {
					return
				}
				a.logger().ErrorContext(ctx, "a tenant is not worked for", "tenant", name, "err", err)
				select {
				case <-ctx.Done():
				case <-time.After(tenantRetry):
				}
			}
		})
	}
	all.Wait()
	return nil
}

// health serves the two endpoints that a supervisor asks, if there is an address for them.
func (a *app) health(i *installation, addr string) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", i.ready)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(l) }()
	return func() { _ = server.Close() }, nil
}

func newQueue(a *app) *cobra.Command {
	with := func(use, short, long string, do func(ctx context.Context, q *work.Queue) error) *cobra.Command {
		return command(use, short, long, cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			if i.queue == nil {
				return errNotShared
			}
			return do(cmd.Context(), i.queue)
		})
	}
	return group("queue", "What workers have to do, and holding them up",
		with("status", "Tell how many jobs wait and run", "A job is a part of a run or of a scan, or recordings to be listened to; what is due stands in the catalog (earshot policy forecast).",
			func(ctx context.Context, q *work.Queue) error {
				s, err := q.Status(ctx)
				if err != nil {
					return err
				}
				return a.emit(s, func(w io.Writer) {
					state := "running"
					if s.Paused {
						state = "paused"
					}
					fmt.Fprintf(w, "%s: %d jobs wait, %d are being worked, %d failed and wait for another try\n", state, s.Waiting, s.Running, s.Failing)
				})
			}),
		with("pause", "Keep workers from taking jobs", "Jobs under way are finished. earshot serve and apply themselves go on.",
			func(ctx context.Context, q *work.Queue) error { return q.Pause(ctx) }),
		with("resume", "Let workers take jobs again", "", func(ctx context.Context, q *work.Queue) error { return q.Resume(ctx) }))
}

// wake lets a runner tell the other workers, once there is a queue.
func (i *installation) wake(o *retention.Options) {
	o.Wake = func(ctx context.Context, run earshot.Run, urgent bool) {
		if i.queue != nil {
			i.queue.WakeRun(ctx, run, urgent)
		}
	}
	o.WakeHearing = func(ctx context.Context, recordings int) {
		if i.queue != nil {
			i.queue.WakeHearing(ctx, recordings)
		}
	}
	o.WakeScan = func(ctx context.Context, s retention.Scope) {
		if i.queue != nil {
			i.queue.WakeScan(ctx, s)
		}
	}
}

// openQueue opens the queue where the catalog is shared.
func (a *app) openQueue(ctx context.Context, i *installation, jobs int) (err error) {
	if !i.db.Shared() {
		return nil
	}
	i.queue, err = work.Open(ctx, work.Options{URL: i.cfg.Catalog, Runner: i.runner, Jobs: jobs, Quiet: i.cfg.Store.Pace.quiet, Logger: a.logger()})
	return err
}
