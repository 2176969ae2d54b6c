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
(scan.webhook_token_file); the keys are looked at afresh.
For an installation of several tenants all of them are served, each below /tenants/NAME/, and /metrics names them.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if site, err := a.site(); err != nil {
				return err
			} else if site != nil && a.tenant == "" {
				if addr == "" {
					addr = site.Listen
				}
				return a.serveAll(cmd.Context(), site, addr)
			}
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

// serve serves one installation.
func (a *app) serve(ctx context.Context, i *installation, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	var server *http.Server
	failed := make(chan error, 1)
	err = a.serveOne(ctx, i, func(one *served) {
		server = &http.Server{Handler: one.handler, ReadHeaderTimeout: 5 * time.Second}
		go func() { failed <- server.Serve(l) }()
		a.say("earshot serves on http://%s; %d policies are in force", l.Addr(), len(i.policies))
	})
	if server == nil {
		return errors.Join(err, l.Close())
	}
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

// serveOne runs the schedules of an installation until ctx ends; up is told when it is ready to be asked.
func (a *app) serveOne(ctx context.Context, i *installation, up func(*served)) error {
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
	o := schedule.Options{Runner: runner, Catalog: i.db, Policies: i.policies, Logger: a.logger(), Quiet: i.cfg.Store.Pace.quiet}
	if i.cfg.Reconcile != "never" {
		name, err := i.reconcileChore()
		if err != nil {
			return err
		}
		o.Chores = []schedule.Chore{{Name: name, Spec: i.cfg.Reconcile, Run: func(ctx context.Context) (string, error) { return watch.reconcile(ctx, runner) }}}
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
	up(&served{watch: watch, handler: endpoints(i, s, watch)})
	return s.Run(ctx)
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

// answers tells whether store, catalog and log answer.
func (i *installation) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, storeErr := i.store.Bucket(ctx, i.cfg.Log.Bucket)
	_, logErr := i.log.Publish(ctx)
	return errors.Join(i.db.Ping(ctx), storeErr, logErr)
}

func (i *installation) ready(w http.ResponseWriter, r *http.Request) {
	if err := i.answers(r.Context()); err != nil {
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

// publishEvery is how long an entry waits at most that nothing else publishes, and publishFrom how many of
// them wait no longer. That is looked at every publishLook.
const (
	publishEvery = time.Minute
	publishFrom  = 256
	publishLook  = time.Second
)

// publishing publishes what nobody waits for (what was read, say), until ctx ends.
func (i *installation) publishing(ctx context.Context, logger *slog.Logger) {
	tick := time.NewTicker(publishLook)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !i.publishNow(ctx, time.Since(last)) {
			continue
		}
		last = time.Now()
		if _, err := i.log.Publish(ctx); err != nil && ctx.Err() == nil {
			logger.ErrorContext(ctx, "publishing the log", "err", err)
		}
	}
}

// publishNow reports whether what waits is to be published. While publishing fails many wait: then it is
// tried again no more often than witnesses are asked.
func (i *installation) publishNow(ctx context.Context, since time.Duration) bool {
	if since >= publishEvery {
		return true
	}
	n, err := i.db.Head().Waiting(ctx, publishFrom)
	return err == nil && n == publishFrom && since >= 10*publishLook
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
