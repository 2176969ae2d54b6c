package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"earshot/storage"
)

// siteOn makes an installation on a server of its own, with the buckets voice and earshot-log and one
// policy, and gives who acts in it, its folder and the bucket voice.
func siteOn(t *testing.T, server storage.Options, o initOptions, policy string) (a *app, dir string, voice *storage.Bucket) {
	t.Helper()
	t.Setenv("EARSHOT_ACCESS_KEY", server.AccessKey)
	t.Setenv("EARSHOT_SECRET_KEY", server.SecretKey)
	store, err := storage.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	if o.logBucket == "" {
		o.logBucket = defaultLogBucket
	}
	for name, locked := range map[string]bool{o.logBucket: true, "voice": false} {
		if err := store.MakeBucket(t.Context(), name, true, locked); err != nil {
			t.Fatal(err)
		}
	}
	a = &app{in: strings.NewReader(""), out: discard{}, err: discard{}, as: "planner"}
	dir = filepath.Join(t.TempDir(), "site")
	o.deaf, o.endpoint, o.bucket, o.origin = true, server.Endpoint, "voice", "example.org/log"
	if err := a.initialise(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policies", "test.yaml"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	if voice, err = store.Bucket(t.Context(), "voice"); err != nil {
		t.Fatal(err)
	}
	return a, dir, voice
}
