package catalogtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"
)

// testErased takes a person through erasure: pseudonym, scrubbing, coming back.
func testErased(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	const who, odd = earshot.SubjectID("s_1%"), earshot.SubjectID("sx1y")
	mine, other := rec("c/s_1%/a", "e1"), rec("c/sx1y/b", "e2")
	observe(t, db, catalog.Page{Bucket: "b", Prefix: "c/", Last: true, Recordings: []earshot.Recording{mine, other}})
	for r, subject := range map[*earshot.Recording]earshot.SubjectID{&mine: who, &other: odd} {
		r.Subject = subject
		if err := db.Foresee(ctx, []catalog.Foresight{{Known: catalog.Known{Recording: *r}, Digest: "d"}}); err != nil {
			t.Fatal(err)
		}
		if err := db.PutSubject(ctx, earshot.Subject{ID: subject}); err != nil {
			t.Fatal(err)
		}
	}
	q := earshot.Request{ID: "r1", Kind: earshot.RequestErasure, Subject: who, MadeAt: epoch, DueAt: epoch.Add(time.Hour)}
	if err := db.FileErasure(ctx, q, "tag", leaf("1")); err != nil {
		t.Fatal(err)
	}
	e, err := db.Erasures(ctx)
	if err != nil || len(e.Open) != 1 || e.Tombstones != 1 || !e.Last.Equal(epoch) {
		t.Errorf("erasures %+v, %v", e, err)
	}
	if at, err := db.ErasedAt(ctx, "tag"); err != nil || !at.Equal(epoch) {
		t.Errorf("erased at %s, %v", at, err)
	}
	scrub := catalog.Scrubbing{
		Subject: who, Tag: "tag", Key: func(_, key string) bool { return key == "c/s_1%/a" },
		Action: func(a earshot.Action) (earshot.Action, bool) { return a, false },
	}
	if _, err := db.Scrub(ctx, scrub); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("a person was taken out whose recording is there: %v", err)
	}
	if err := db.WentWith(ctx, []earshot.RecordingID{mine.ID}, epoch); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Scrub(ctx, scrub); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("a person was taken out whose request is open: %v", err)
	}
	q.ClosedAt = epoch
	if err := db.PutRequest(ctx, q); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Scrub(ctx, scrub); err != nil || n != 3 {
		t.Errorf("%d rows were changed, %v; want the request, the recording and the subject", n, err)
	}
	if err := db.Compact(ctx); err != nil {
		t.Error(err)
	}
	all, err := db.AllRequests(ctx, true)
	if err != nil || len(all) != 1 || all[0].Subject != "" {
		t.Errorf("requests %+v, %v", all, err)
	}
	if s, err := db.Subject(ctx, odd); err != nil || s == nil {
		t.Errorf("another person went too: %v", err)
	}
	if was, err := db.Readmit(ctx, "tag", who, leaf("2")); err != nil || !was {
		t.Errorf("readmitting: %v, %v", was, err)
	}
	if was, err := db.Readmit(ctx, "tag", who, leaf("3")); err != nil || was {
		t.Errorf("readmitting twice: %v, %v", was, err)
	}
	testMarks(t, db, other)
}

func testMarks(t *testing.T, db *catalog.DB, other earshot.Recording) {
	ctx := t.Context()
	for _, want := range []string{"", "1", "2"} {
		if got, err := db.Mark(ctx, "m"); err != nil || got != want {
			t.Errorf("mark %q, %v, want %q", got, err, want)
		}
		if err := db.SetMark(ctx, "m", map[string]string{"": "1", "1": "2", "2": "3"}[want]); err != nil {
			t.Fatal(err)
		}
	}
	id := earshot.RecordingID{Bucket: "b", Key: "k", Version: "v"}
	for _, on := range []bool{true, true, false} {
		if err := db.PutMirrored(ctx, id, on, epoch); err != nil {
			t.Fatal(err)
		}
		got, err := db.Mirrored(ctx, "b")
		if err != nil || slices.Contains(got, id) != on {
			t.Errorf("mirrored %v, %v, want it there: %v", got, err, on)
		}
	}
	if leased, err := db.Leased(ctx, epoch); err != nil || len(leased) != 0 {
		t.Errorf("leased %v, %v", leased, err)
	}
	if err := db.WentWith(ctx, []earshot.RecordingID{other.ID}, epoch.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	var seen []string
	last, err := db.TouchBesides(ctx, epoch, func(_, key string) []string { seen = append(seen, key); return []string{"t/1"} })
	if err != nil || !last.Equal(epoch.Add(time.Hour)) || !slices.Equal(seen, []string{other.ID.Key}) {
		t.Errorf("looked besides %v until %s, %v", seen, last, err)
	}
	if err := db.TouchBelow(ctx, "b", "c/"); err != nil {
		t.Error(err)
	}
}
