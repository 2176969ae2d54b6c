package catalog_test

import (
	"path/filepath"
	"testing"

	"earshot/storage/catalog"
	"earshot/storage/catalog/catalogtest"
)

func TestSQLite(t *testing.T) {
	catalogtest.Run(t, func(t *testing.T) *catalog.DB {
		db, err := catalog.Create(t.Context(), catalog.Options{Path: filepath.Join(t.TempDir(), "catalog with space.db")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	})
}
