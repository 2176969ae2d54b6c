package main

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// apart makes sure that no two tenants share what must be each one's own: a shared catalog or log would
// let one tenant's policies reach the other's recordings.
func (a *app) apart(s *Site) error {
	seen := map[string]string{}
	for _, name := range s.names() {
		one, err := a.ofTenant(s, name)
		if err != nil {
			return err
		}
		c, err := one.config()
		if err != nil {
			continue // it cannot be opened; the others are none the worse for it
		}
		for _, p := range c.possessions() {
			for _, place := range p.places {
				key := p.what + "\n" + place
				if other := seen[key]; other != "" && other != name {
					return fmt.Errorf("tenants %s and %s have the same %s (%s): each needs its own%s", other, name, p.what, p.shown, p.hint)
				}
				seen[key] = name
			}
		}
	}
	return nil
}

// possession is a thing of which each tenant needs one of its own.
type possession struct {
	what, shown, hint string
	places            []string // where it is, in the same words however the configuration puts it
}

func (c *Config) possessions() []possession {
	out := []possession{
		ofDatabase("catalog", c.Catalog), ofDatabase("subject_keys", c.SubjectKeys),
		{what: "keys", shown: c.Keys, places: []string{truePath(c.Keys)}},
		{what: "log.origin", shown: c.Log.Origin, places: []string{c.Log.Origin}},
		{what: "policies", shown: c.Policies, places: []string{truePath(c.Policies)}},
	}
	store := hostOf(c.Store.Endpoint)
	if c.Store.Embedded != "" {
		store = truePath(c.Store.Embedded)
		out = append(out, possession{what: "store.embedded", shown: c.Store.Embedded, places: []string{store}})
	}
	prefix := strings.Trim(c.Log.Prefix, "/")
	return append(out, possession{
		what: "log", shown: "s3://" + c.Log.Bucket + "/" + prefix, places: []string{store + "\n" + c.Log.Bucket + "\n" + prefix},
		hint: ": give one of them another log.bucket or log.prefix, and a log made for it by earshot init",
	})
}

// truePath is a path without links, as far as it is there.
func truePath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return filepath.Clean(path)
}

// ofDatabase is a database, by its servers, name and schema. Users do not keep tables apart.
func ofDatabase(what, where string) possession {
	if !isURL(where) {
		return possession{what: what, shown: where, places: []string{truePath(where)}}
	}
	p := possession{what: what, shown: "a database", hint: ": another database, or a schema of its own (?search_path=NAME)", places: []string{where}}
	if u, err := url.Parse(where); err == nil {
		p.shown = u.Redacted()
	}
	cfg, err := pgx.ParseConfig(where)
	if err != nil {
		return p // opening it will say so
	}
	rest := "\n" + cfg.Database + "\n" + cmp.Or(strings.ReplaceAll(cfg.RuntimeParams["search_path"], " ", ""), "public")
	p.places = []string{oneHost(cfg.Host, strconv.Itoa(int(cfg.Port))) + rest}
	for _, f := range cfg.Fallbacks {
		if place := oneHost(f.Host, strconv.Itoa(int(f.Port))) + rest; place != p.places[len(p.places)-1] {
			p.places = append(p.places, place)
		}
	}
	return p
}

// hostOf is the host and port of an endpoint. The scheme keeps nothing apart.
func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return oneHost(u.Hostname(), port)
}

// oneHost gives this machine one name, whatever it is called by, and AWS too, where a bucket is the same from any region.
func oneHost(host, port string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if ip := net.ParseIP(host); ip != nil {
		if host = ip.String(); ip.IsLoopback() || ip.IsUnspecified() {
			host = "localhost"
		}
	}
	switch {
	case strings.HasSuffix(host, ".amazonaws.com"):
		return "amazonaws.com"
	case host == "/tmp", host == "/var/run/postgresql", host == "/run/postgresql", strings.HasSuffix(host, ".localhost"):
		host = "localhost" // the sockets of a server that listens there as well
	}
	return net.JoinHostPort(host, port)
}
