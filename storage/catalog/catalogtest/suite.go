// Package catalogtest holds the contract of package catalog as one suite of tests, to be run
// against every engine that the catalog comes to support.
package catalogtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"github.com/google/go-cmp/cmp"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

func rec(key, etag string) earshot.Recording {
	return earshot.Recording{ID: earshot.RecordingID{Bucket: "b", Key: key}, ETag: etag, Size: 7, StoredAt: epoch}
}

func leaf(id string) earshot.Leaf {
	return earshot.Leaf{ID: fmt.Sprintf("%032s", id), Body: []byte(`{"id":"` + id + `"}`)}
}

// Run checks the contract; open makes an empty catalog.
func Run(t *testing.T, open func(t *testing.T) *catalog.DB) {
	t.Run("observingAgainChangesNothing", func(t *testing.T) { testObserve(t, open(t)) })
	t.Run("aPageOnlySpeaksOfItsRange", func(t *testing.T) { testRange(t, open(t)) })
	t.Run("aScanIsSplitAndEveryKeySeenOnce", func(t *testing.T) { testRanges(t, open(t)) })
	t.Run("looksAndPagesOvertakeOneAnother", func(t *testing.T) { testLooked(t, open(t)) })
	t.Run("dueComesOnceInKeysetPages", func(t *testing.T) { testDue(t, open(t)) })
	t.Run("afterAChangeOfPolicyRowsComeInOrderOfKey", func(t *testing.T) { testDueOfManyDigests(t, open(t)) })
	t.Run("whatStaysDueUntilItIsDoneComesOnce", func(t *testing.T) { testDueUntilDone(t, open(t)) })
	t.Run("prefixesEndInAnyCharacter", func(t *testing.T) { testPrefixes(t, open(t)) })
	t.Run("whatIsMadeDueWhileItIsDecidedStaysDue", func(t *testing.T) { testDueWhileDecided(t, open(t)) })
	t.Run("decisionsOnAnotherETagAreDropped", func(t *testing.T) { testForesee(t, open(t)) })
	t.Run("aRunOnlyMovesForward", func(t *testing.T) { testRuns(t, open(t)) })
	t.Run("anActionIsClaimedOnceAndSettledOnce", func(t *testing.T) { testClaim(t, open(t)) })
	t.Run("anActionBelongsToOneWorkerUntilTheLeaseEnds", func(t *testing.T) { testLeases(t, open(t)) })
	t.Run("whatAPlanWaitsForIsHeardByWhoeverHasTime", func(t *testing.T) { testHearings(t, open(t)) })
	t.Run("entriesAreNumberedInOrderWithoutGaps", func(t *testing.T) { testOutbox(t, open(t)) })
	t.Run("holdsAndSubjectsMakeTheirRecordingsDue", func(t *testing.T) { testTouch(t, open(t)) })
	t.Run("anErasedPersonIsTakenOut", func(t *testing.T) { testErased(t, open(t)) })
	t.Run("openAndCreateDiffer", func(t *testing.T) {
		if _, err := catalog.Open(t.Context(), catalog.Options{Path: t.TempDir() + "/none.db"}); err == nil {
			t.Error("a missing catalog was opened")
		}
	})
}

func observe(t *testing.T, db *catalog.DB, p catalog.Page) catalog.Observed {
	t.Helper()
	o, _, err := db.Observe(t.Context(), p, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func testObserve(t *testing.T, db *catalog.DB) {
	page := catalog.Page{Bucket: "b", Prefix: "c/", Last: true, Recordings: []earshot.Recording{rec("c/1", "e1"), rec("c/2", "e2"), rec("c/ü", "e3")}}
	for i, want := range []catalog.Observed{{New: 3}, {Same: 3}} {
		if got := observe(t, db, page); got != want {
			t.Errorf("pass %d: got %+v, want %+v", i, got, want)
		}
	}
	page.Recordings = []earshot.Recording{rec("c/1", "changed"), rec("c/3", "e4")}
	if got, want := observe(t, db, page), (catalog.Observed{New: 1, Changed: 1, Gone: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	page.Recordings = []earshot.Recording{rec("c/1", "changed"), rec("c/2", "e2"), rec("c/3", "e4")}
	if got, want := observe(t, db, page), (catalog.Observed{New: 1, Same: 2}); got != want {
		t.Errorf("one that came back: got %+v, want %+v", got, want)
	}
	row, err := db.Recording(t.Context(), "b", "c/1")
	if err != nil || row.Recording.ETag != "changed" || !row.Recording.StoredAt.Equal(epoch) || !row.GoneAt.IsZero() {
		t.Errorf("got %+v, %v", row, err)
	}
}

func testRange(t *testing.T, db *catalog.DB) {
	observe(t, db, catalog.Page{Bucket: "b", Prefix: "", Last: true, Recordings: []earshot.Recording{rec("a/1", "x"), rec("c/1", "x"), rec("c/5", "x"), rec("d/1", "x")}})
	if got, want := observe(t, db, catalog.Page{Bucket: "b", Prefix: "c/", Through: "c/3", Recordings: []earshot.Recording{rec("c/3", "x")}}), (catalog.Observed{New: 1, Gone: 1}); got != want {
		t.Errorf("first page: got %+v, want %+v", got, want)
	}
	if got, want := observe(t, db, catalog.Page{Bucket: "b", Prefix: "c/", After: "c/3", Through: "c/5", Last: true, Recordings: []earshot.Recording{rec("c/5", "x")}}), (catalog.Observed{Same: 1}); got != want {
		t.Errorf("last page: got %+v, want %+v", got, want)
	}
	for _, key := range []string{"a/1", "d/1"} {
		if row, err := db.Recording(t.Context(), "b", key); err != nil || !row.GoneAt.IsZero() {
			t.Errorf("%s lies outside the prefix: %+v, %v", key, row.GoneAt, err)
		}
	}
}

// testPrefixes asks for what lies below prefixes whose last byte or character is the last of its kind.
func testPrefixes(t *testing.T, db *catalog.DB) {
	keys := []string{"a/1", "Ｐ/1", "п/1", "р/1", "ÿ/1", "Ā/1"}
	page := catalog.Page{Bucket: "b", Last: true}
	for _, key := range slices.Sorted(slices.Values(keys)) {
		page.Recordings = append(page.Recordings, rec(key, "e"))
	}
	observe(t, db, page)
	for _, key := range keys {
		prefix := strings.TrimSuffix(key, "/1")
		n := 0
		for row, err := range db.Live(t.Context(), "b", prefix) {
			if err != nil || row.Recording.ID.Key != key {
				t.Fatalf("below %q lies %q, %v", prefix, row.Recording.ID.Key, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("below %q lie %d", prefix, n)
		}
		if got, want := observe(t, db, catalog.Page{Bucket: "b", Prefix: prefix, Last: true, Recordings: []earshot.Recording{rec(key, "e")}}), (catalog.Observed{Same: 1}); got != want {
			t.Errorf("below %q: %+v", prefix, got)
		}
	}
}

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

// testDueOfManyDigests decides most rows by one policy, some by another, and asks what a third must look at.
func testDueOfManyDigests(t *testing.T, db *catalog.DB) {
	const n = 6_000
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
	if err := db.PutSubject(t.Context(), earshot.Subject{ID: "s1"}); err != nil { // that recording is due at once
		t.Fatal(err)
	}
	seen, last, behind := map[string]int{}, "", 0
	var batch []catalog.Foresight
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
		batch = append(batch, catalog.Foresight{Known: row.Known, Was: &was, Same: true, Digest: "new", Disposition: "keep", Reason: "later", Due: epoch.Add(time.Hour)})
		if len(batch) == 700 {
			write()
		}
	}
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

func testRuns(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	r := earshot.Run{ID: "r1", CreatedAt: epoch, AsOf: epoch}
	if err := db.Draft(ctx, r); err != nil {
		t.Fatal(err)
	}
	if err := db.Add(ctx, "r1", []earshot.Action{{Seq: 0, Recording: rec("k", "e")}}); err != nil {
		t.Fatal(err)
	}
	r.State, r.Digest = earshot.RunSealed, earshot.DigestOf([]byte("x"))
	if err := db.Move(ctx, r, []earshot.Leaf{leaf("1")}, earshot.RunDraft); err != nil {
		t.Fatal(err)
	}
	if err := db.Add(ctx, "r1", nil); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("adding to a sealed run: got %v, want ErrStale", err)
	}
	a := earshot.Approval{Run: "r1", Digest: earshot.DigestOf([]byte("other")), By: earshot.Principal{Name: "ann"}}
	if err := db.PutApproval(ctx, a, leaf("2")); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("approving another digest: got %v, want ErrStale", err)
	}
	a.Digest = r.Digest
	for range 2 {
		if err := db.PutApproval(ctx, a, leaf("2")); err != nil {
			t.Error(err)
		}
	}
	if as, err := db.Approvals(ctx, "r1"); len(as) != 1 || err != nil {
		t.Errorf("approvals: %v, %v", as, err)
	}
	if _, err := db.Run(ctx, "nope"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func testClaim(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	observe(t, db, catalog.Page{Bucket: "b", Last: true, Recordings: []earshot.Recording{rec("k", "e")}})
	if err := db.Draft(ctx, earshot.Run{ID: "r1", CreatedAt: epoch}); err != nil {
		t.Fatal(err)
	}
	if err := db.Add(ctx, "r1", []earshot.Action{{Seq: 0, Recording: rec("k", "e")}}); err != nil {
		t.Fatal(err)
	}
	as, err := db.Actions(ctx, "r1", earshot.ActionPlanned, 0, 10)
	if err != nil || len(as) != 1 {
		t.Fatalf("got %v, %v", as, err)
	}
	a := as[0]
	a.State = earshot.ActionIntended
	for i, want := range []int{1, 0} {
		got, err := db.Claim(ctx, catalog.Lease{Owner: "w", Until: epoch}, []catalog.Transition{{Action: a, Leaf: leaf("intent")}})
		if err != nil || len(got) != want {
			t.Errorf("claim %d: got %d, %v, want %d", i, len(got), err, want)
		}
	}
	// A scan that meets the recording in the middle of its action leaves it alone.
	if got, want := observe(t, db, catalog.Page{Bucket: "b", Last: true}), (catalog.Observed{}); got != want {
		t.Errorf("a scan took away a recording under action: %+v", got)
	}
	a.State = earshot.ActionDone
	for range 2 {
		if err := db.Settle(ctx, epoch.UnixMicro(), catalog.Transition{Action: a, Leaf: leaf("outcome"), Effect: catalog.Effect{Gone: true}}); err != nil {
			t.Fatal(err)
		}
	}
	if open, err := db.Unfinished(ctx, 10); len(open) != 0 || err != nil {
		t.Errorf("unfinished: %v, %v", open, err)
	}
	if size, err := db.Head().Number(ctx, 10); size != 2 || err != nil {
		t.Errorf("numbered %d, %v, want an intent and an outcome", size, err)
	}
	if i, o, ok, err := db.Places(ctx, "r1", 0); i != 0 || o != 1 || !ok || err != nil {
		t.Errorf("places: %d %d %v %v", i, o, ok, err)
	}
	if row, err := db.Recording(ctx, "b", "k"); err != nil || row.GoneAt.IsZero() {
		t.Errorf("the settled recording is not gone: %+v, %v", row, err)
	}
}

func testOutbox(t *testing.T, db *catalog.DB) {
	ctx, h := t.Context(), db.Head()
	for i := range 7 {
		if err := db.Say(ctx, leaf(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Say(ctx, leaf("3")); err != nil { // said again: harmless
		t.Fatal(err)
	}
	for _, want := range []int64{5, 7, 7} {
		if size, err := h.Number(ctx, 5); size != want || err != nil {
			t.Errorf("got %d, %v, want %d", size, err, want)
		}
	}
	got, err := h.Numbered(ctx, 2, 7)
	want := []earshot.Leaf{leaf("2"), leaf("3"), leaf("4"), leaf("5"), leaf("6")}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
	if err := errors.Join(h.SetPublished(ctx, 7), h.SetPublished(ctx, 5)); err != nil {
		t.Fatal(err)
	}
	if n, err := h.Published(ctx); n != 7 || err != nil {
		t.Errorf("published %d, %v: it must never fall", n, err)
	}
	if err := h.Remember(ctx, 7, [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	if root, ok, err := h.Root(ctx, 7); root != [32]byte{1} || !ok || err != nil {
		t.Errorf("root %v %v %v", root, ok, err)
	}
	if _, ok, _ := h.Root(ctx, 8); ok {
		t.Error("a root that was never stored was found")
	}
}

func testTouch(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	observe(t, db, catalog.Page{Bucket: "b", Last: true, Recordings: []earshot.Recording{rec("c/1", "e"), rec("c/2", "e"), rec("d/1", "e")}})
	settle := func() {
		for _, key := range []string{"c/1", "c/2", "d/1"} {
			r := rec(key, "e")
			r.Subject = earshot.SubjectID("s" + key)
			if err := db.Foresee(ctx, []catalog.Foresight{{Known: catalog.Known{Recording: r}, Digest: "d", Disposition: "keep"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	due := func() (keys []string) {
		for row, err := range db.Due(ctx, "b", "", "d", epoch) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, row.Recording.ID.Key)
		}
		return keys
	}
	steps := []struct {
		name string
		do   func() error
		want []string
	}{
		{"nothing", func() error { return nil }, nil},
		{"hold on a prefix", func() error { return db.PlaceHold(ctx, earshot.Hold{ID: "h1", Prefix: "c/"}) }, []string{"c/1", "c/2"}},
		{"hold lifted", func() error { _, err := db.LiftHold(ctx, "h1", "ann", epoch); return err }, []string{"c/1", "c/2"}},
		{"subject", func() error { return db.PutSubject(ctx, earshot.Subject{ID: "sd/1"}) }, []string{"d/1"}},
		{"request", func() error { return db.PutRequest(ctx, earshot.Request{ID: "q", Subject: "sc/2"}) }, []string{"c/2"}},
	}
	for _, s := range steps {
		settle()
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if diff := cmp.Diff(s.want, due()); diff != "" {
			t.Errorf("%s: due (-want +got):\n%s", s.name, diff)
		}
	}
	if _, err := db.LiftHold(ctx, "h1", "ann", epoch); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("lifting twice: got %v, want ErrStale", err)
	}
}
