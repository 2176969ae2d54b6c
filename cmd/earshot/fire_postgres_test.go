package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"earshot/storage/catalog/catalogtest"
)

// newServer starts a PostgreSQL of the test's own, which may be killed.
func newServer(t *testing.T) *catalogtest.Postgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "earshot-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	pg, err := catalogtest.StartPostgres(dir)
	if errors.Is(err, catalogtest.ErrNoPostgres) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Kill)
	return pg
}

// schema is the name of the catalog's schema after so many restores.
func (b *battle) schema(n int) string { return fmt.Sprintf("fire_%d_", n) }

// dump is a backup as operators take it.
func (b *battle) dump() string {
	path := filepath.Join(b.t.TempDir(), fmt.Sprintf("backup-%d.sql", b.kills))
	if out, err := b.pg.Tool("pg_dump", "--schema="+b.schema(b.restores), "--no-owner", "--file="+path, b.pg.DSN()); err != nil {
		b.t.Logf("pg_dump: %v: %s", err, out)
		return ""
	}
	return path
}

// undump restores it beside the old one, which a writer of the old times goes on writing to, and gives
// the URL of what it is now.
func (b *battle) undump(data []byte) string {
	name := b.schema(b.restores + 1)
	path := filepath.Join(b.t.TempDir(), name+".sql")
	if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte(b.schema(b.restores)), []byte(name)), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if out, err := b.pg.Tool("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", path, b.pg.DSN()); err != nil {
		b.t.Fatalf("psql: %v: %s", err, out)
	}
	return b.pg.DSN() + "&search_path=" + name
}
