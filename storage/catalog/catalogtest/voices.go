package catalogtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"
)

func testVoices(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	note := func(key string, s int, logit float64, more func(*catalog.Foresight)) {
		t.Helper()
		row, err := db.Recording(ctx, "b", key)
		if err != nil {
			t.Fatal(err)
		}
		row.Recording.Device, row.Recording.CapturedAt = "d", at(s)
		pooled := 0.5
		f := catalog.Foresight{Was: &row, Known: row.Known, Digest: "x", Disposition: "keep", Rule: "r", Sessions: true,
			Voice: &catalog.Voice{Place: "d", CapturedAt: at(s), Logit: &logit, Pooled: &pooled}}
		if was, err := db.Voice(ctx, "b", key); err != nil {
			t.Fatal(err)
		} else if was != nil {
			f.Voice.Stirred = was.Stirred
		}
		if more != nil {
			more(&f)
		}
		if err := db.Foresee(ctx, []catalog.Foresight{f}); err != nil {
			t.Fatal(err)
		}
	}
	stirred := func(want ...string) {
		t.Helper()
		all, err := db.Stirred(ctx, "b", "c/", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, v := range all {
			got += fmt.Sprintf(" %s:%v", strings.TrimPrefix(v.Key, "c/"), v.Changed)
		}
		if got = strings.TrimSpace(got); got != strings.Join(want, " ") {
			t.Errorf("stirred are %q, want %q", got, want)
		}
		if err := db.Calm(ctx, "b", all); err != nil {
			t.Fatal(err)
		}
	}
	page := catalog.Page{Bucket: "b", Last: true}
	for _, key := range []string{"c/1", "c/2", "c/3", "c/4", "c/5"} {
		page.Recordings = append(page.Recordings, rec(key, "e"))
	}
	observe(t, db, page)

	note("c/1", 0, 1, nil)
	note("c/2", 60, 2, nil)
	stirred("1:true")
	note("c/2", 60, 2, nil) // nothing new
	stirred()
	note("c/3", 100, 3, nil)
	note("c/4", 1000, 4, nil)
	stirred("1:true", "2:true", "3:true")
	round, err := db.Session(ctx, "b", "d", at(60), "c/2", 70*time.Second)
	if err != nil || len(round) != 2 || round[0].Key != "c/1" || *round[1].Logit != 3 || !round[1].CapturedAt.Equal(at(100)) {
		t.Errorf("the session is %+v, %v", round, err)
	}
	if round, err = db.Session(ctx, "b", "other", at(60), "c/2", time.Hour); len(round) > 0 || err != nil {
		t.Errorf("another device's session is %+v, %v", round, err)
	}

	// Not decided yet: it is stirred itself, and stays due.
	note("c/5", 50, 5, func(f *catalog.Foresight) { f.Later = true })
	if row, err := db.Recording(ctx, "b", "c/5"); err != nil || row.Disposition != "" || row.Recording.Device != "d" {
		t.Errorf("%+v, %v", row, err)
	}
	stirred("1:true", "2:true", "3:true", "4:true", "5:false")

	// One that was stirred while it was decided stays so.
	late, err := db.Voice(ctx, "b", "c/1")
	if err != nil {
		t.Fatal(err)
	}
	note("c/2", 60, 2.5, nil)
	note("c/1", 0, 1, func(f *catalog.Foresight) { f.Voice.Stirred = late.Stirred })
	stirred("1:true", "3:true", "4:true", "5:true")

	// Gone by our own action, by another's, replaced, moved to another session, or not a voice any more.
	id := earshot.RecordingID{Bucket: "b", Key: "c/4"}
	if err := db.Draft(ctx, earshot.Run{ID: "r1", CreatedAt: epoch}); err != nil {
		t.Fatal(err)
	}
	a := earshot.Action{Run: "r1", Recording: rec("c/4", "e")}
	if err := db.Add(ctx, "r1", []earshot.Action{a}); err != nil {
		t.Fatal(err)
	}
	a.State = earshot.ActionIntended
	mine := catalog.Lease{Owner: "w", Now: epoch, Until: epoch}
	if _, err := db.Reserve(ctx, "r1", mine, 0, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Claim(ctx, mine, []catalog.Transition{{Action: a, Leaf: leaf("intent")}}); err != nil {
		t.Fatal(err)
	}
	a.State = earshot.ActionDone
	if err := db.Settle(ctx, epoch.UnixMicro(), catalog.Transition{Action: a, Leaf: leaf("outcome"), Effect: catalog.Effect{Gone: true}}); err != nil {
		t.Fatal(err)
	}
	gone := func(key string, want ...string) {
		t.Helper()
		if v, err := db.Voice(ctx, "b", key); v != nil || err != nil {
			t.Errorf("%s has a voice still: %+v, %v", key, v, err)
		}
		stirred(want...)
	}
	gone(id.Key, "1:false", "2:false", "3:false", "5:false")
	page.Recordings = []earshot.Recording{page.Recordings[0], page.Recordings[1], page.Recordings[4]}
	observe(t, db, page)
	gone("c/3", "1:true", "2:true", "5:true")
	page.Recordings[0].ETag = "another"
	observe(t, db, page)
	gone("c/1", "2:true", "5:true")
	note("c/2", 60, 2, func(f *catalog.Foresight) { f.Voice.Place = "elsewhere" })
	gone("c/1", "5:true")
	note("c/5", 60, 2, func(f *catalog.Foresight) { f.Voice = nil })
	gone("c/5")
	note("c/2", 60, 2, func(f *catalog.Foresight) { f.Known.Recording.ETag, f.Voice = "old", nil })
	if v, err := db.Voice(ctx, "b", "c/2"); v == nil || err != nil {
		t.Errorf("what was decided of another version took the voice away, %v", err)
	}
	if err := db.ForgetVoices(ctx); err != nil {
		t.Fatal(err)
	}
	gone("c/2")
}
