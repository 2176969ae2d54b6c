package catalog_test

import (
	"path/filepath"
	"testing"

	"earshot"
	"earshot/storage/catalog"
)

// TestWhatIsKnownOfAPersonIsHandedOn: decisions hang on it.
func TestWhatIsKnownOfAPersonIsHandedOn(t *testing.T) {
	db, err := catalog.Create(t.Context(), catalog.Options{Path: filepath.Join(t.TempDir(), "catalog.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PutSubject(t.Context(), earshot.Subject{ID: "s-1", DontSave: true}); err != nil {
		t.Fatal(err)
	}
	got, err := db.Persons(t.Context(), []earshot.SubjectID{"s-1", "s-2"})
	if err != nil || len(got) != 2 || got["s-1"].Subject == nil || !got["s-1"].Subject.DontSave || got["s-2"].Subject != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
