package main

import (
	"os"
	"path/filepath"
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
