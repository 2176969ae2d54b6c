package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/retention/notify"
	"earshot/retention/schedule"

	"github.com/spf13/cobra"
)

func newServe(a *app) *cobra.Command {
	var addr string
	c := command("serve", "Run the policies' schedules, with health and readiness endpoints",
		`Each policy's run scans, plans and, where no approval is needed, applies. A run that was missed while earshot
was down is made up for at once. GET /healthz tells that the process lives, /readyz that store, catalog and log
answer, /schedule when each policy runs next. POST /events takes what S3 and MinIO tell of objects that came or went
(scan.webhook_token_file); the keys are looked at afresh.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			if addr == "" {
				addr = i.cfg.Listen
			}
			return a.serve(cmd.Context(), i, addr)
		})
	c.Flags().StringVar(&addr, "listen", "", "address of the endpoints (default: listen in the configuration)")
	return c
}

func (a *app) serve(ctx context.Context, i *installation, addr string) error {
	runner, err := a.newRunner(i, earshot.Principal{Kind: earshot.Service, Name: "earshot serve"})
	if err != nil {
		return err
	}
	if i.cfg.Log.Lock != "database" {
		tiles, err := i.tiles(ctx)
		if err == nil {
			err = audit.Probe(ctx, tiles)
		}
		if err != nil {
			return err
		}
	}
	watch := &watching{i: i}
	o := schedule.Options{Runner: runner, Catalog: i.db, Policies: i.policies, Logger: a.logger()}
	if i.cfg.Reconcile != "never" {
		o.Chores = []schedule.Chore{{Name: "reconcile", Spec: i.cfg.Reconcile, Run: func(ctx context.Context) (string, error) { return watch.reconcile(ctx, runner) }}}
	}
	s, err := schedule.New(o)
	if err != nil {
		return err
	}
	inbox, deaf, err := a.events(ctx, i, runner)
	if err != nil {
		return err
	}
	defer deaf()
	watch.inbox = inbox
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	server := &http.Server{Handler: endpoints(i, s, watch), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	ticking, stop := context.WithCancel(ctx)
	published := make(chan struct{})
	go func() {
		defer close(published)
		i.publishing(ticking, a.logger())
	}()
	defer func() {
		stop()
		<-published
	}()
	a.say("earshot serves on http://%s; %d policies are in force", l.Addr(), len(i.policies))
	err = s.Run(ctx)
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if serveErr := errors.Join(server.Shutdown(shutdown), <-failed); serveErr != nil && !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if errors.Is(err, context.Canceled) {
		return nil // asked to stop
	}
	return err
}

func endpoints(i *installation, s *schedule.Schedule, watch *watching) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", i.ready)
	mux.HandleFunc("GET /schedule", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Status(r.Context()))
	})
	mux.Handle("GET /metrics", watch)
	if watch.inbox != nil {
		mux.Handle("POST /events", watch.inbox.Handler())
	}
	return mux
}

// ready tells whether store, catalog and log answer.
func (i *installation) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	_, storeErr := i.store.Bucket(ctx, i.cfg.Log.Bucket)
	_, logErr := i.log.Publish(ctx)
	if err := errors.Join(i.db.Ping(ctx), storeErr, logErr); err != nil {
		http.Error(w, "not ready: "+oneLine(err), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// watching keeps the figures that an operator is woken by.
type watching struct {
	i        *installation
	inbox    *notify.Inbox // nil where nothing is told of what came
	vanished atomic.Int64
	last     atomic.Int64 // seconds since 1970 of the last reconcile
}

// overdueAfter is how long after its date a recording may wait for a plan.
const overdueAfter = 48 * time.Hour

// publishEvery is how long an entry waits at most that nothing else publishes.
const publishEvery = time.Minute

// publishing publishes what nobody waits for (what was read, say), until ctx ends.
func (i *installation) publishing(ctx context.Context, logger *slog.Logger) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := i.log.Publish(ctx); err != nil && ctx.Err() == nil {
				logger.ErrorContext(ctx, "publishing the log", "err", err)
			}
		}
	}
}

// renew keeps the newest entries from being deleted while no wider tile has taken their place.
func (i *installation) renew(ctx context.Context) error {
	tiles, err := i.tiles(ctx)
	if err != nil {
		return err
	}
	for _, key := range i.log.Tail() {
		if err := tiles.Extend(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// reconcile compares every bucket of the policies with its last inventory.
func (w *watching) reconcile(ctx context.Context, r *retention.Runner) (string, error) {
	errs := []error{w.i.renew(ctx)}
	var sum retention.Reconciled
	for _, bucket := range r.Buckets() {
		got, err := r.Reconcile(ctx, bucket, w.i.cfg.Inventory)
		errs = append(errs, err)
		sum.Appeared, sum.Explained, sum.Vanished = sum.Appeared+got.Appeared, sum.Explained+got.Explained, sum.Vanished+got.Vanished
		sum.Changed, sum.Hidden = sum.Changed+got.Changed, sum.Hidden+got.Hidden
	}
	w.vanished.Store(sum.Faults())
	w.last.Store(time.Now().Unix())
	return fmt.Sprintf("%d appeared, %d went as the log says, %d vanished without an entry, %d changed, %d hidden", sum.Appeared, sum.Explained, sum.Vanished, sum.Changed, sum.Hidden), errors.Join(errs...)
}

// ServeHTTP writes the figures in the Prometheus text format.
func (w *watching) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	published, err := w.i.db.Head().Published(r.Context())
	if err != nil {
		http.Error(rw, "the catalog does not answer", http.StatusServiceUnavailable)
		return
	}
	now := time.Now()
	requests, recordings, err := w.i.db.Overdue(r.Context(), now, now.Add(-overdueAfter))
	if err != nil {
		http.Error(rw, "the catalog does not answer", http.StatusServiceUnavailable)
		return
	}
	size, at, gap := w.i.log.Witnessed()
	missing := 0
	if gap != nil {
		missing = 1
	}
	var since int64
	if !at.IsZero() {
		since = at.Unix()
	}
	rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	var looked, unlooked int64
	if w.inbox != nil {
		looked, unlooked = w.inbox.Looked(), w.inbox.Missed()
	}
	for _, m := range []struct {
		name, help string
		value      int64
	}{
		{"earshot_events_followed", "Keys that this process looked at because the store told of them.", looked},
		{"earshot_events_missed", "Keys that the store told of and that could not be looked at; the next listing makes up for them.", unlooked},
		{"earshot_log_published_entries", "Size of the published log.", published},
		{"earshot_log_cosigned_entries", "Size of the tree that the quorum of witnesses cosigned last; 0 without witnesses.", size},
		{"earshot_log_cosigned_timestamp_seconds", "When that was, by the witnesses' clocks; 0 for never.", since},
		{"earshot_log_cosign_gap", "1 while the newest tree lacks the quorum of witnesses.", int64(missing)},
		{"earshot_requests_overdue", "Data subjects' requests that are open beyond their deadline.", int64(requests)},
		{"earshot_recordings_overdue", "Recordings whose date came more than two days ago and that no plan has looked at since.", int64(recordings)},
		{"earshot_reconcile_vanished_versions", "Object versions that the last reconcile of this process found gone without an entry.", w.vanished.Load()},
		{"earshot_reconcile_timestamp_seconds", "When this process last reconciled; 0 for never.", w.last.Load()},
	} {
		fmt.Fprintf(rw, "# HELP %s %s\n# TYPE %s gauge\n%s %d\n", m.name, m.help, m.name, m.name, m.value)
	}
	// A policy that no longer runs does no harm that anybody sees: alert on the age of this.
	const last = "earshot_policy_last_run_timestamp_seconds"
	fmt.Fprintf(rw, "# HELP %s When the policy's scheduled run began last; 0 for never.\n# TYPE %s gauge\n", last, last)
	for _, p := range w.i.policies {
		if p.Schedule() == "" {
			continue
		}
		at, err := w.i.db.LastRun(r.Context(), p.Name())
		if err != nil {
			return
		}
		var seconds int64
		if !at.IsZero() {
			seconds = at.Unix()
		}
		fmt.Fprintf(rw, "%s{policy=%q} %d\n", last, p.Name(), seconds)
	}
}
