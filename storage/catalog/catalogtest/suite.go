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
	t.Run("countsAreThoseOfTheRows", func(t *testing.T) { testTallies(t, open(t)) })
	t.Run("countsOfManyWritersAreThoseOfTheRows", func(t *testing.T) { testTalliesOfMany(t, open(t)) })
	t.Run("decisionsOnAnotherETagAreDropped", func(t *testing.T) { testForesee(t, open(t)) })
	t.Run("aRunOnlyMovesForward", func(t *testing.T) { testRuns(t, open(t)) })
	t.Run("anActionIsClaimedOnceAndSettledOnce", func(t *testing.T) { testClaim(t, open(t)) })
	t.Run("anActionBelongsToOneWorkerUntilTheLeaseEnds", func(t *testing.T) { testLeases(t, open(t)) })
	t.Run("aScheduledRunIsOneProcessesAtATime", func(t *testing.T) { testTicks(t, open(t)) })
	t.Run("aStretchOfAListingIsHeldHoweverSlow", func(t *testing.T) { testHoldRange(t, open(t)) })
	t.Run("aBatchIsClaimedAndSettledInOrder", func(t *testing.T) { testBatch(t, open(t)) })
	t.Run("ofManyWorkersEachActionComesToOne", func(t *testing.T) { testManyReserve(t, open(t)) })
	t.Run("whatIsReservedIsClaimedByItsWorkerAlone", func(t *testing.T) { testReserved(t, open(t)) })
	t.Run("whatAPlanWaitsForIsHeardByWhoeverHasTime", func(t *testing.T) { testHearings(t, open(t)) })
	t.Run("aVoiceGoesWithItsRecordingAndStirsItsSession", func(t *testing.T) { testVoices(t, open(t)) })
	t.Run("entriesAreNumberedInOrderWithoutGaps", func(t *testing.T) { testOutbox(t, open(t)) })
	t.Run("holdsAndSubjectsMakeTheirRecordingsDue", func(t *testing.T) { testTouch(t, open(t)) })
	t.Run("anErasedPersonIsTakenOut", func(t *testing.T) { testErased(t, open(t)) })
	t.Run("whoSharesAStoreIsSeenByAll", func(t *testing.T) { testSharers(t, open(t)) })
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
	mine := catalog.Lease{Owner: "w", Now: epoch, Until: epoch}
	as, err := db.Reserve(ctx, "r1", mine, 0, 10)
	if err != nil || len(as) != 1 {
		t.Fatalf("got %v, %v", as, err)
	}
	a := as[0]
	a.State = earshot.ActionIntended
	for i, want := range []int{1, 0} {
		got, err := db.Claim(ctx, mine, []catalog.Transition{{Action: a, Leaf: leaf("intent")}})
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
