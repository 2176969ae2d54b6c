package catalog_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"
)

// TestWhatMovedIsDecidedAgain writes decisions about rows that lie elsewhere by now, since the catalog was
// written anew after they were read: no row gets what was decided about another, and the next reading has them.
func TestWhatMovedIsDecidedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	d := create(t, path)
	page := catalog.Page{Bucket: "b", Last: true}
	for i := range 100 {
		page.Recordings = append(page.Recordings, earshot.Recording{ID: earshot.RecordingID{Bucket: "b", Key: fmt.Sprintf("k%03d", i)}, ETag: "e", StoredAt: time.Unix(9, 0)})
	}
	if _, _, err := d.Observe(t.Context(), page, time.Unix(10, 0)); err != nil {
		t.Fatal(err)
	}
	decide := func(between func()) (n int) {
		var all []catalog.Foresight
		for row, err := range d.Due(t.Context(), "b", "", "digest", time.Unix(20, 0)) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, catalog.Foresight{Was: &row, Same: true, Known: row.Known, Digest: "digest", Reason: row.Recording.ID.Key, Due: time.Unix(30, 0)})
		}
		between()
		if err := d.Foresee(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	moved := func() {
		raw, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if _, err := raw.ExecContext(t.Context(), "delete from recordings where key < 'k050'"); err != nil {
			t.Fatal(err)
		}
		if _, err := raw.ExecContext(t.Context(), "update recordings set rowid = rowid - 50"); err != nil { // as a vacuum may
			t.Fatal(err)
		}
	}
	if n := decide(moved); n != 100 {
		t.Fatalf("%d were due, want all", n)
	}
	if n := decide(func() {}); n != 50 {
		t.Errorf("%d are due after they moved, want all that are left", n)
	}
	if n := decide(func() {}); n != 0 {
		t.Errorf("%d are due after they were decided", n)
	}
	for _, r := range page.Recordings[50:] {
		row, err := d.Recording(t.Context(), "b", r.ID.Key)
		if err != nil || row.Reason != r.ID.Key {
			t.Errorf("%s has the decision about %q: %v", r.ID.Key, row.Reason, err)
		}
	}
}
