package catalogtest

import (
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"
)

func testHearings(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	page := catalog.Page{Bucket: "b", Last: true}
	var ids []earshot.RecordingID
	for _, key := range []string{"c/1", "c/2", "c/3", "c/4"} {
		page.Recordings = append(page.Recordings, rec(key, "e"))
		ids = append(ids, rec(key, "e").ID)
	}
	if _, _, err := db.Observe(ctx, page, epoch); err != nil {
		t.Fatal(err)
	}
	gone := earshot.RecordingID{Bucket: "b", Key: "c/never"}
	for range 2 { // asking twice changes nothing
		if err := db.AskToHear(ctx, "t", append(ids, gone)); err != nil {
			t.Fatal(err)
		}
	}
	at := func(owner string, s int) catalog.Lease {
		now := epoch.Add(time.Duration(s) * time.Second)
		return catalog.Lease{Owner: owner, Now: now, Until: now.Add(10 * time.Second)}
	}
	take := func(l catalog.Lease, limit int, want ...string) {
		t.Helper()
		rows, err := db.TakeToHear(ctx, "t", l, limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, r.Recording.ID.Key)
		}
		if len(got) != len(want) {
			t.Fatalf("%s got %q, want %q", l.Owner, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s got %q, want %q", l.Owner, got, want)
			}
		}
	}
	if rows, err := db.TakeToHear(ctx, "other", at("x", 0), 3); len(rows) > 0 || err != nil {
		t.Fatalf("somebody with another configuration got %d recordings, %v", len(rows), err)
	}
	take(at("a", 0), 3, "c/1", "c/2", "c/3")
	take(at("b", 1), 3, "c/4") // what does not exist is on no list
	take(at("b", 2), 3)
	take(at("b", 11), 2, "c/1", "c/2") // the first one is late
	known := catalog.Known{Recording: rec("c/1", "e"), HeadKnown: true}
	known.Recording.Subject = "s1"
	other := catalog.Known{Recording: rec("c/2", "another"), HeadKnown: true}
	heard := func(owner string, i int, k *catalog.Known) {
		t.Helper()
		if err := db.Heard(ctx, owner, catalog.Row{Known: catalog.Known{Recording: page.Recordings[i]}}, k); err != nil {
			t.Fatal(err)
		}
	}
	heard("b", 0, &known)
	heard("b", 1, &other)
	heard("a", 2, nil)
	late := catalog.Known{Recording: rec("c/4", "e"), HeadKnown: true}
	heard("a", 3, &late) // it is another's
	if row, err := db.Recording(ctx, "b", "c/4"); err != nil || row.HeadKnown {
		t.Errorf("somebody who does not have it wrote what was heard: %+v, %v", row, err)
	}
	for i, want := range []bool{true, false, false} { // another object lies there now; nothing was learned
		row, err := db.Recording(ctx, "b", ids[i].Key)
		if err != nil || row.HeadKnown != want {
			t.Errorf("%s: known %v, %v; want %v", ids[i].Key, row.HeadKnown, err, want)
		}
	}
	if n, err := db.ToHear(ctx); n != 1 || err != nil {
		t.Errorf("%d are left, %v; want 1", n, err)
	}
	if err := db.StopHearing(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := db.ToHear(ctx); n != 0 || err != nil {
		t.Errorf("%d are left, %v; want none", n, err)
	}
}
