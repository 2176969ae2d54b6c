package retention_test

import (
	"context"
	"database/sql"
	"iter"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage/catalog"

	_ "modernc.org/sqlite"
)

// raw opens the catalog's file behind the catalog's back.
func (w *world) raw() *sql.DB {
	w.tb.Helper()
	db, err := sql.Open("sqlite", "file:"+w.db()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		w.tb.Fatal(err)
	}
	return db
}

// settleLater makes the catalog claim that a run's actions ended in two days.
func (w *world) settleLater(run earshot.RunID) error {
	db := w.raw()
	defer db.Close()
	at := time.Now().AddDate(0, 0, 2).UTC().Format(time.RFC3339)
	_, err := db.ExecContext(w.tb.Context(), "update actions set doc = json_set(doc, '$.settled_at', $1) where run = $2", at, string(run))
	return err
}

func (w *world) openDB() *catalog.DB {
	w.tb.Helper()
	db, err := catalog.Open(context.Background(), catalog.Options{Path: w.db()})
	if err != nil {
		w.tb.Fatal(err)
	}
	return db
}

func (w *world) hideIn(bucket, key string) {
	w.tb.Helper()
	name := w.name
	w.name = bucket
	w.hide(key)
	w.name = name
}

// Objects as audit.Archive has it.
func (f below) Objects(ctx context.Context) iter.Seq2[audit.Object, error] {
	return func(yield func(audit.Object, error) bool) {
		for v, err := range f.Folder.Objects(ctx) {
			if !yield(audit.Object{Key: strings.TrimPrefix(v.ID.Key, "/"), Version: v.ID.Version, Marker: v.Marker, Latest: v.Latest}, err) {
				return
			}
		}
	}
}
