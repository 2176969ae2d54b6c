package catalogtest

import (
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"github.com/google/go-cmp/cmp"
)

// testLooked: looks and pages overtake one another, and what is newer in the catalog stays.
func testLooked(t *testing.T, db *catalog.DB) {
	at := func(key, etag string, d time.Duration) earshot.Recording {
		r := rec(key, etag)
		r.StoredAt = epoch.Add(d)
		return r
	}
	look := func(asOf time.Duration, keys []string, there ...earshot.Recording) catalog.Observed {
		t.Helper()
		o, err := db.Looked(t.Context(), catalog.Look{Bucket: "b", Keys: keys, Recordings: there, AsOf: epoch.Add(asOf)}, epoch.Add(asOf))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	h := time.Hour
	observe(t, db, catalog.Page{Bucket: "b", Prefix: "c/", Last: true, Recordings: []earshot.Recording{at("c/1", "e1", -h), at("c/2", "e2", -h), at("c/3", "e3", -h)}})
	for _, c := range []struct {
		law       string
		got, want catalog.Observed
	}{
		{"aLookSpeaksOfItsKeysOnly", look(h, []string{"c/1", "c/4"}, at("c/1", "e1", -h), at("c/4", "e4", 0)), catalog.Observed{New: 1, Same: 1}},
		{"whatWasStoredSinceALookStays", look(-2*h, []string{"c/1", "c/2"}, at("c/1", "old", -3*h)), catalog.Observed{Same: 1}},
		{"whatIsNotThereIsGone", look(2*h, []string{"c/2"}), catalog.Observed{Gone: 1}},
		{"whatWentSinceALookDoesNotComeBack", look(h, []string{"c/2"}, at("c/2", "e2", -h)), catalog.Observed{Same: 1}},
		{"whatWasStoredAfterItWentComesBack", look(3*h, []string{"c/2"}, at("c/2", "again", 3*h)), catalog.Observed{New: 1}},
		{"anotherETagIsAChange", look(3*h, []string{"c/3"}, at("c/3", "other", 2*h)), catalog.Observed{Changed: 1}},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.law, c.got, c.want)
		}
	}
	// A page that was listed before c/3 was stored, and written after.
	page := catalog.Page{Bucket: "b", Prefix: "c/", Last: true, AsOf: epoch.Add(h), Recordings: []earshot.Recording{at("c/1", "e1", -h)}}
	if got, want := observe(t, db, page), (catalog.Observed{Same: 1, Gone: 1}); got != want {
		t.Errorf("a page says of what was stored since: got %+v, want %+v (c/4 gone; c/2 and c/3 newer)", got, want)
	}
	lacking := []string{"stale"}
	observe(t, db, catalog.Page{Bucket: "b", Prefix: "d/", Last: true, Recordings: []earshot.Recording{at("d/1", "e", -h), at("d/2", "e", -h), at("d/3", "e", -h)}})
	page.Lacking, page.Prefix = &lacking, ""
	page.Recordings = []earshot.Recording{
		at("c/2", "older", -h), at("c/9", "new", -h), at("d/1", "earlier", -2*h), at("d/2", "later", 0),
		{ID: earshot.RecordingID{Bucket: "b", Key: "d/3"}, Size: -1}, {ID: earshot.RecordingID{Bucket: "b", Key: "d/4"}, Size: -1},
	}
	if got, want := observe(t, db, page), (catalog.Observed{New: 1, Changed: 1, Same: 2}); got != want {
		t.Errorf("a page of the past: got %+v, want %+v (c/9 new, d/2 changed; c/2 is newer here, d/3 is known)", got, want)
	}
	if diff := cmp.Diff([]string{"c/1", "d/1", "d/4"}, lacking); diff != "" {
		t.Errorf("a page of the past leaves open (-want +got):\n%s", diff)
	}
	if row, err := db.Recording(t.Context(), "b", "c/1"); err != nil || !row.GoneAt.IsZero() {
		t.Errorf("what a page of the past lacks is gone: %v, %v", row.GoneAt, err)
	}
}
