package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// Site is the configuration of an installation of several tenants: each has a configuration of its own,
// with its own store, policies, keys, catalog, log and limits, and shares nothing but the process.
type Site struct {
	// Tenants gives the configuration file of each tenant by its name.
	Tenants map[string]string `yaml:"tenants"`
	Listen  string            `yaml:"listen"` // of earshot serve; default 127.0.0.1:8470

	path string
}

// site reads the configuration as that of several tenants; nil where it is of one.
func (a *app) site() (*Site, error) {
	text, err := os.ReadFile(a.configPath)
	if err != nil {
		return nil, hint(fmt.Errorf("reading the configuration: %w", err))
	}
	var peek map[string]any
	if yaml.Unmarshal(text, &peek) != nil || peek["tenants"] == nil {
		return nil, nil //nolint:nilerr // what is wrong with it is said where it is read in earnest
	}
	s := Site{path: a.configPath, Listen: "127.0.0.1:8470"}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField(), yaml.Strict()).Decode(&s); err != nil {
		return nil, fmt.Errorf("configuration %s: %s", a.configPath, strings.Join(strings.Fields(firstLine(yaml.FormatError(err, false, false))), " "))
	}
	if len(s.Tenants) == 0 {
		return nil, fmt.Errorf("configuration %s: tenants: there is none", a.configPath)
	}
	for name, path := range s.Tenants {
		if !tenantName(name) {
			return nil, fmt.Errorf("configuration %s: tenants: %q: a name has letters, digits, - and _ only", a.configPath, name)
		}
		if !filepath.IsAbs(path) {
			s.Tenants[name] = filepath.Join(filepath.Dir(a.configPath), path)
		}
	}
	return &s, nil
}

func tenantName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}

func (s *Site) names() []string { return slices.Sorted(maps.Keys(s.Tenants)) }

// ofTenant is the app of one tenant.
func (a *app) ofTenant(s *Site, name string) (*app, error) {
	path, ok := s.Tenants[name]
	if !ok {
		return nil, fmt.Errorf("%w: no tenant is named %q: there are %s", errUsage, name, strings.Join(s.names(), ", "))
	}
	one := *a
	one.configPath, one.tenant, one.ofMany = path, "", true
	return &one, nil
}

// each does something for every tenant of a site. One that fails does not stop the others; the worst
// exit status is that of all.
func (a *app) each(s *Site, do func(one *app, name string) error) error {
	var errs []error
	for _, name := range s.names() {
		one, err := a.ofTenant(s, name)
		if err == nil {
			err = do(one, name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("tenant %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func newTenants(a *app) *cobra.Command {
	return command("tenants", "List the tenants of this installation, and whether each can be opened",
		`A configuration that has "tenants" instead of a store is that of several: it names the configuration file of each.
Commands are for one of them (--tenant NAME); serve and status are for all.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			s, err := a.site()
			if err != nil {
				return err
			}
			if s == nil {
				return fmt.Errorf("%s is the configuration of one installation: for several, write a file with tenants: {NAME: PATH/earshot.yaml}", a.configPath)
			}
			if err := a.apart(s); err != nil {
				return err
			}
			return a.each(s, func(one *app, name string) error {
				t := tenantLine{Tenant: name, Config: one.configPath}
				i, err := one.open(cmd.Context())
				if err != nil {
					t.Fault = oneLine(err)
				} else {
					t.Origin, t.Policies = i.cfg.Log.Origin, len(i.policies)
					i.close()
				}
				emitErr := a.emit(t, func(w io.Writer) {
					if t.Fault != "" {
						fmt.Fprintf(w, "%-20s %s\n", name, t.Fault)
						return
					}
					fmt.Fprintf(w, "%-20s %d policies, log %s\n", name, t.Policies, t.Origin)
				})
				return errors.Join(err, emitErr)
			})
		})
}

type tenantLine struct {
	Tenant   string `json:"tenant"`
	Config   string `json:"config"`
	Origin   string `json:"origin,omitempty"`
	Policies int    `json:"policies"`
	Fault    string `json:"fault,omitempty"`
}

// tenantRetry is how long a tenant that failed is left alone.
const tenantRetry = time.Minute

// household is the tenants that one process serves.
type household struct {
	mu sync.Mutex // guards what follows
	up map[string]*served
}

// served is a tenant while it is served.
type served struct {
	watch   *watching
	handler http.Handler
}

func (h *household) set(name string, s *served) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up[name] = s
}

func (h *household) get(name string) *served {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up[name]
}

// serveAll serves every tenant of a site. What happens to one does not touch the others: it is opened
// again after a minute.
func (a *app) serveAll(ctx context.Context, s *Site, addr string) error {
	if err := a.apart(s); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	h := &household{up: map[string]*served{}}
	server := &http.Server{Handler: h.endpoints(s), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	a.say("earshot serves %d tenants on http://%s", len(s.Tenants), l.Addr())
	var all sync.WaitGroup
	for _, name := range s.names() {
		all.Go(func() { a.serveTenant(ctx, s, name, h) })
	}
	all.Wait()
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := errors.Join(server.Shutdown(shutdown), <-failed); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *app) serveTenant(ctx context.Context, s *Site, name string, h *household) {
	for ctx.Err() == nil {
		err := func() error {
			one, err := a.ofTenant(s, name)
			if err != nil {
				return err
			}
			i, err := one.open(ctx)
			if err != nil {
				return err
			}
			defer i.close()
			return one.serveOne(ctx, i, func(s *served) { h.set(name, s) })
		}()
		h.set(name, nil)
		if ctx.Err() != nil {
			return
		}
		a.logger().ErrorContext(ctx, "a tenant is not served", "tenant", name, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(tenantRetry):
		}
	}
}

// endpoints serve what is common to all, and each tenant's own below /tenants/NAME/.
func (h *household) endpoints(s *Site) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		var down []string
		for _, name := range s.names() {
			one := h.get(name)
			if one == nil || one.watch.i.answers(r.Context()) != nil {
				down = append(down, name)
			}
		}
		if len(down) > 0 {
			http.Error(w, "not ready: "+strings.Join(down, ", "), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		expose(w, h.figures(r.Context(), s))
	})
	mux.HandleFunc("/tenants/{tenant}/", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("tenant")
		one := h.get(name)
		if one == nil {
			http.Error(w, "no such tenant, or it is not served now", http.StatusServiceUnavailable)
			return
		}
		http.StripPrefix("/tenants/"+name, one.handler).ServeHTTP(w, r)
	})
	return mux
}

// figures gives those of all tenants, each with its name, and which tenants are served.
func (h *household) figures(ctx context.Context, s *Site) []figure {
	out := ofProcess()
	for _, name := range s.names() {
		label := fmt.Sprintf("tenant=%q", name)
		up := figure{name: "earshot_tenant_up", help: "1 while the tenant is served and its catalog answers.", labels: label}
		if one := h.get(name); one != nil {
			if own, err := one.watch.figures(ctx); err == nil {
				up.value = 1
				for _, f := range own {
					f.labels = strings.TrimSuffix(label+","+f.labels, ",")
					out = append(out, f)
				}
			}
		}
		out = append(out, up)
	}
	return out
}
