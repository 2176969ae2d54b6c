package catalogtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"github.com/google/go-cmp/cmp"
)

func testDue(t *testing.T, db *catalog.DB) {
	var recs []earshot.Recording
	for i := range 2500 {
		recs = append(recs, rec(fmt.Sprintf("c/%05d", i), "e"))
	}
	observe(t, db, catalog.Page{Bucket: "b", Prefix: "c/", Last: true, Recordings: recs})
	for _, digest := range []string{"d2", "d1", "d3"} { // new, then older and newer digests
		seen := map[string]int{}
		var fs []catalog.Foresight
		for row, err := range db.Due(t.Context(), "b", "c/", digest, epoch) {
			if err != nil {
				t.Fatal(err)
			}
			seen[row.Recording.ID.Key]++
			due := epoch.Add(time.Hour)
			if len(seen)%5 == 0 {
				due = epoch
			}
			fs = append(fs, catalog.Foresight{Known: row.Known, Digest: digest, Disposition: "keep", Due: due})
			if len(fs) == 700 {
				if err := db.Foresee(t.Context(), fs); err != nil {
					t.Fatal(err)
				}
				fs = nil
			}
		}
		if err := db.Foresee(t.Context(), fs); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 2500 {
			t.Errorf("digest %s: got %d recordings, want all", digest, len(seen))
		}
		for k, n := range seen {
			if n != 1 {
				t.Fatalf("digest %s: %s came %d times", digest, k, n)
			}
		}
		n := 0
		for _, err := range db.Due(t.Context(), "b", "c/", digest, epoch) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 500 {
			t.Errorf("digest %s: %d are due at once, want 500", digest, n)
		}
	}
	tally, err := db.Tally(t.Context(), "b", "c/")
	if diff := cmp.Diff(map[string]int{"keep": 2500, "total": 2500}, tally); diff != "" || err != nil {
		t.Errorf("tally (-want +got):\n%s%v", diff, err)
	}
}

// manyDigests decides most of n rows by one policy, some by another, leaves some new, and makes the last due at once.
func manyDigests(t *testing.T, db *catalog.DB, n int) {
	t.Helper()
	page := catalog.Page{Bucket: "b", Prefix: "c/", Last: true}
	for i := range n {
		r := rec(fmt.Sprintf("c/%05d", i), "e")
		page.Recordings = append(page.Recordings, r)
	}
	observe(t, db, page)
	var fs []catalog.Foresight
	for i, r := range page.Recordings {
		f := catalog.Foresight{Known: catalog.Known{Recording: r}, Digest: "most", Disposition: "keep", Due: epoch.Add(time.Duration(i*7919%n) * time.Hour)}
		switch {
		case i%100 == 0:
			f.Digest = "few"
		case i%100 == 1:
			continue // new
		}
		if i == n-1 {
			f.Known.Recording.Subject = "s1"
		}
		fs = append(fs, f)
	}
	if err := db.Foresee(t.Context(), fs); err != nil {
		t.Fatal(err)
	}
	if err := db.PutSubject(t.Context(), earshot.Subject{ID: "s1"}); err != nil {
		t.Fatal(err)
	}
}

// testDueOfManyDigests asks what a third policy must look at where most rows were decided by one, some by another.
func testDueOfManyDigests(t *testing.T, db *catalog.DB) {
	const n = 6_000
	manyDigests(t, db, n)
	seen, last, behind := map[string]int{}, "", 0
	var batch, unread []catalog.Foresight
	write := func() {
		if err := db.Foresee(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		batch = nil
	}
	for row, err := range db.Due(t.Context(), "b", "c/", "new", epoch) {
		if err != nil {
			t.Fatal(err)
		}
		key := row.Recording.ID.Key
		if seen[key]++; seen[key] > 1 {
			t.Fatalf("%s came again", key)
		}
		if len(seen) == 1 && key != "c/05999" {
			t.Errorf("%s came before what is due at once", key)
		}
		if key < last {
			behind++
		}
		last = key
		was := row
		f := catalog.Foresight{Known: row.Known, Was: &was, Same: true, Digest: "new", Disposition: "keep", Reason: "later", Due: epoch.Add(time.Hour)}
		if key == "c/05999" { // one that cannot be read now stays as it is, and does not come again all the same
			unread = append(unread, f)
			continue
		}
		if batch = append(batch, f); len(batch) == 700 {
			write()
		}
	}
	batch = append(batch, unread...)
	write()
	if len(seen) != n {
		t.Errorf("%d of %d rows came", len(seen), n)
	}
	// The new ones and the few (in order of when they are due), what is due at once, then the others in order of key.
	if behind > n/100+3 && !db.Shared() {
		t.Errorf("%d rows came out of order: the table is read all over", behind)
	}
	for _, key := range []string{"c/00000", "c/00001", "c/03456", "c/05999"} {
		row, err := db.Recording(t.Context(), "b", key)
		if err != nil || row.Reason != "later" || row.Disposition != "keep" || !row.DueAt.Equal(epoch.Add(time.Hour)) {
			t.Errorf("%s: %+v, %v", key, row, err)
		}
	}
	for range db.Due(t.Context(), "b", "c/", "new", epoch) {
		t.Fatal("something is due right after everything was decided")
	}
	testGivenUpHalfWay(t, db)
}

// testGivenUpHalfWay: whoever reads what is due may have enough at any time, and may write right after.
func testGivenUpHalfWay(t *testing.T, db *catalog.DB) {
	for _, after := range []int{1, 999, 1000, 1001, 2500} {
		came := 0
		for _, err := range db.Due(t.Context(), "b", "c/", "third", epoch) {
			if came++; err != nil {
				t.Fatal(err)
			}
			if came == after {
				break
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		came, failed := 0, false
		for _, err := range db.Due(ctx, "b", "c/", "third", epoch) {
			if failed = err != nil; failed {
				break
			}
			if came++; came == after {
				cancel()
			}
		}
		cancel()
		if !failed && came < 6000 {
			t.Errorf("cut off after %d: it ended after %d as if there were no more", after, came)
		}
		if err := db.TouchBelow(t.Context(), "none", ""); err != nil {
			t.Fatal(err)
		}
	}
}

// testDueUntilDone decides what is due as a plan does that destroys it: it stays due as of now until that is done,
// and comes once all the same, page after page.
func testDueUntilDone(t *testing.T, db *catalog.DB) {
	const n = 2500
	page := catalog.Page{Bucket: "b", Prefix: "c/", Last: true}
	for i := range n {
		page.Recordings = append(page.Recordings, rec(fmt.Sprintf("c/%05d", i), "e"))
	}
	observe(t, db, page)
	for i := range 3 {
		if i == 2 {
			if err := db.TouchBelow(t.Context(), "b", "c/"); err != nil {
				t.Fatal(err)
			}
		}
		asOf := epoch.Add(time.Duration(i) * time.Hour)
		came := 0
		var fs []catalog.Foresight
		for row, err := range db.Due(t.Context(), "b", "c/", "d", asOf) {
			if err != nil {
				t.Fatal(err)
			}
			came++
			was := row
			if fs = append(fs, catalog.Foresight{Known: row.Known, Was: &was, Digest: "d", Disposition: "delete", Due: asOf}); len(fs) == 1000 {
				if err := db.Foresee(t.Context(), fs); err != nil {
					t.Fatal(err)
				}
				fs = nil
			}
		}
		if err := db.Foresee(t.Context(), fs); err != nil {
			t.Fatal(err)
		}
		if came != n {
			t.Errorf("in plan %d %d recordings came, want %d", i+1, came, n)
		}
	}
}

func testForesee(t *testing.T, db *catalog.DB) {
	observe(t, db, catalog.Page{Bucket: "b", Last: true, Recordings: []earshot.Recording{rec("k", "new")}})
	stale := rec("k", "old")
	if err := db.Foresee(t.Context(), []catalog.Foresight{{Known: catalog.Known{Recording: stale}, Digest: "d", Disposition: "keep"}}); err != nil {
		t.Fatal(err)
	}
	if row, err := db.Recording(t.Context(), "b", "k"); err != nil || row.Disposition != "" {
		t.Errorf("got %+v, %v", row, err)
	}
}

// testDueWhileDecided makes recordings due, or another object of one, between their being read and their
// being decided: those stay due. Each way of writing decisions is tried, and rows that were due at once before.
func testDueWhileDecided(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	const n = 60
	page := catalog.Page{Bucket: "b", Last: true}
	for i := range n {
		page.Recordings = append(page.Recordings, rec(fmt.Sprintf("c/%02d", i), "e"))
	}
	observe(t, db, page)
	decide := func(digest string, learned int, meanwhile func(), left ...string) {
		t.Helper()
		var fs []catalog.Foresight
		for row, err := range db.Due(ctx, "b", "", digest, epoch) {
			if err != nil {
				t.Fatal(err)
			}
			was := row
			row.Known.Recording.Subject = earshot.SubjectID("s-" + row.Recording.ID.Key)
			fs = append(fs, catalog.Foresight{Known: row.Known, Was: &was, Same: len(fs) >= learned, Digest: digest, Disposition: "keep", Due: epoch.Add(time.Hour)})
		}
		meanwhile()
		if err := db.Foresee(ctx, fs); err != nil {
			t.Fatal(err)
		}
		due := []string{}
		for row, err := range db.Due(ctx, "b", "", digest, epoch) {
			if err != nil {
				t.Fatal(err)
			}
			due = append(due, row.Recording.ID.Key)
		}
		slices.Sort(due)
		if diff := cmp.Diff(append([]string{}, left...), due); diff != "" {
			t.Errorf("%s: due afterwards (-want +got):\n%s", digest, diff)
		}
	}
	ask := func(keys ...string) {
		for _, key := range keys {
			if err := db.PutRequest(ctx, earshot.Request{ID: key, Subject: earshot.SubjectID("s-" + key), Kind: earshot.RequestErasure}); err != nil {
				t.Fatal(err)
			}
		}
	}
	decide("d1", n, func() {
		again := page.Recordings[7]
		again.StoredAt = again.StoredAt.Add(time.Hour)
		observe(t, db, catalog.Page{Bucket: "b", After: "c/06", Through: "c/07", Recordings: []earshot.Recording{again}})
	}, "c/07") // the same bytes came again
	decide("d1", n, func() {})
	decide("d2", n, func() { ask("c/01") }, "c/01")
	decide("d3", 0, func() { ask("c/01", "c/02") }, "c/01", "c/02") // the first one was due at once already
	decide("d3", 0, func() {})
	decide("d4", 0, func() { ask("c/03", "c/59") }, "c/03", "c/59")
	decide("d4", n, func() { ask("c/59") }, "c/59")
}
