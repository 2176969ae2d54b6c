package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTenantsHaveSecretsOfTheirOwn: what is in the environment that all tenants share is for none of them.
func TestTenantsHaveSecretsOfTheirOwn(t *testing.T) {
	const shared, own = "shared-by-everybody", "of-one-tenant-only"
	for _, name := range []string{"EARSHOT_WEBHOOK_TOKEN", "EARSHOT_ACCESS_KEY", "EARSHOT_SECRET_KEY"} {
		t.Setenv(name, shared)
	}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(own+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ofMany, files         bool
		token, access, secret string
		refused               bool
	}{
		"one":                {token: shared, access: shared, secret: shared},
		"oneWithFiles":       {files: true, token: shared, access: shared, secret: shared},
		"tenantWithFiles":    {ofMany: true, files: true, token: own, access: own, secret: own},
		"tenantWithoutFiles": {ofMany: true, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{ofMany: c.ofMany}
			if c.files {
				cfg.Scan.WebhookTokenFile, cfg.Store.AccessKeyFile, cfg.Store.SecretKeyFile = file, file, file
			}
			if token, err := cfg.Scan.token(cfg.ofMany); token != c.token || err != nil {
				t.Errorf("the webhook's token is %q, %v; want %q", token, err, c.token)
			}
			access, secret, err := cfg.credentials()
			if access != c.access || secret != c.secret || (err != nil) != c.refused {
				t.Errorf("the store's keys are %q and %q, %v; want %q and %q", access, secret, err, c.access, c.secret)
			}
			if c.refused && !strings.Contains(err.Error(), "store.secret_key_file") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
	mixed := Config{ofMany: true, Store: StoreConfig{AccessKey: own, SecretKeyFile: file}}
	if access, secret, err := mixed.credentials(); access != own || secret != own || err != nil {
		t.Errorf("with the access key in the configuration: %q and %q, %v", access, secret, err)
	}
}

// TestTenantsShareNothing: what is the same thing in other words is the same thing.
func TestTenantsShareNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		one, other string
		same       bool
	}{
		"aliases":  {"postgres://a@localhost/db", "postgresql://b:secret@127.0.0.1:5432/db?sslmode=disable", true},
		"six":      {"postgres://a@[::1]/db", "postgres://a@LOCALHOST/db?search_path=public", true},
		"socket":   {"postgres:///db?host=/var/run/postgresql", "postgres://127.0.0.1/db", true},
		"several":  {"postgres://x,y/db", "postgres://y/db", true},
		"database": {"postgres://localhost/db", "postgres://localhost/other", false},
		"schema":   {"postgres://localhost/db?search_path=a", "postgres://localhost/db?search_path=b", false},
		"host":     {"postgres://x/db", "postgres://y/db", false},
		"port":     {"postgres://x/db", "postgres://x:5433/db", false},
		"link":     {filepath.Join(dir, "a.db"), filepath.Join(dir, "link", "a.db"), true},
		"files":    {filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db"), false},
	} {
		one, other := ofDatabase("catalog", c.one), ofDatabase("catalog", c.other)
		same := slices.ContainsFunc(one.places, func(p string) bool { return slices.Contains(other.places, p) })
		if same != c.same {
			t.Errorf("%s: %v and %v: the same is %t", name, one.places, other.places, same)
		}
		if strings.Contains(other.shown, "secret") {
			t.Errorf("%s: a password is shown: %s", name, other.shown)
		}
	}
	for _, same := range [][2]string{
		{"http://localhost:9000", "https://[::1]:9000/"}, {"https://S3.example.org", "https://s3.example.org.:443"},
		{"https://s3.amazonaws.com", "https://s3.eu-central-1.amazonaws.com"},
	} {
		if hostOf(same[0]) != hostOf(same[1]) {
			t.Errorf("%s is not %s: %s, %s", same[0], same[1], hostOf(same[0]), hostOf(same[1]))
		}
	}
	if hostOf("http://a:9000") == hostOf("http://b:9000") {
		t.Error("two hosts are one")
	}
}
