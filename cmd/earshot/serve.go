package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention/schedule"

	"github.com/spf13/cobra"
)

func newServe(a *app) *cobra.Command {
	var addr string
	c := command("serve", "Run the policies' schedules, with health and readiness endpoints",
		`Each policy's run scans, plans and, where no approval is needed, applies. A run that was missed while earshot
was down is made up for at once. GET /healthz tells that the process lives, /readyz that store, catalog and log
answer, /schedule when each policy runs next.`, cobra.NoArgs,
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
	tiles, err := i.tiles(ctx)
	if err != nil {
		return err
	}
	if err := audit.Probe(ctx, tiles); err != nil {
		return err
	}
	s := schedule.New(schedule.Options{Runner: runner, Catalog: i.db, Policies: i.policies, Logger: a.logger()})
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	server := &http.Server{Handler: endpoints(i, s), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
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

func endpoints(i *installation, s *schedule.Schedule) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		_, storeErr := i.store.Bucket(ctx, i.cfg.Log.Bucket)
		_, logErr := i.log.Publish(ctx)
		if err := errors.Join(i.db.Ping(ctx), storeErr, logErr); err != nil {
			http.Error(w, "not ready: "+oneLine(err), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /schedule", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Status(r.Context()))
	})
	return mux
}
