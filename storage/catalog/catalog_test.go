package catalog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"earshot/storage/catalog"
	"earshot/storage/catalog/catalogtest"
	"earshot/storage/storagetest"
)

func TestMain(m *testing.M) {
	storagetest.InMemory()
	code := m.Run()
	catalogtest.StopPostgres()
	os.Exit(code)
}

func TestSQLite(t *testing.T) {
	catalogtest.Run(t, func(t *testing.T) *catalog.DB {
		return create(t, filepath.Join(t.TempDir(), "catalog with space.db"))
	})
}

func TestPostgres(t *testing.T) {
	catalogtest.Run(t, func(t *testing.T) *catalog.DB { return create(t, catalogtest.URL(t)) })
	t.Run("openAndCreateDiffer", func(t *testing.T) {
		url := catalogtest.URL(t)
		if _, err := catalog.Open(t.Context(), catalog.Options{Path: url}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a missing catalog was opened: %v", err)
		}
		create(t, url)
		if _, err := catalog.Create(t.Context(), catalog.Options{Path: url}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a catalog was made where there is one: %v", err)
		}
		db, err := catalog.Open(t.Context(), catalog.Options{Path: url})
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	})
}

func create(t *testing.T, path string) *catalog.DB {
	t.Helper()
	db, err := catalog.Create(t.Context(), catalog.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
