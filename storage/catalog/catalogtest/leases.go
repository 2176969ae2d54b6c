package catalogtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"github.com/google/go-cmp/cmp"
)

// leased is a run's planned actions, for workers to share.
type leased struct {
	*testing.T
	db  *catalog.DB
	run earshot.RunID
}

func newLeased(t *testing.T, db *catalog.DB, n int) leased {
	t.Helper()
	l := leased{t, db, "run-l"}
	if err := db.Draft(t.Context(), earshot.Run{ID: l.run, CreatedAt: epoch}); err != nil {
		t.Fatal(err)
	}
	var actions []earshot.Action
	for i := range n {
		actions = append(actions, earshot.Action{Seq: i, Recording: rec(fmt.Sprintf("c/%d", i), "e")})
	}
	if err := db.Add(t.Context(), l.run, actions); err != nil {
		t.Fatal(err)
	}
	return l
}

// leaseAt is a lease of ten seconds, from so many seconds after the epoch.
func leaseAt(owner string, s int) catalog.Lease {
	now := epoch.Add(time.Duration(s) * time.Second)
	return catalog.Lease{Owner: owner, Now: now, Until: now.Add(10 * time.Second)}
}

func (l leased) reserve(what string, lease catalog.Lease, from, limit int, want ...int) {
	l.Helper()
	got, err := l.db.Reserve(l.Context(), l.run, lease, from, limit)
	var seqs []int
	for _, a := range got {
		seqs = append(seqs, a.Seq)
	}
	if err != nil || !slices.Equal(seqs, want) {
		l.Errorf("%s: reserved %v, %v, want %v", what, seqs, err, want)
	}
}

func (l leased) claim(what string, lease catalog.Lease, seq int, want bool) {
	l.Helper()
	a := earshot.Action{Run: l.run, Seq: seq, Recording: rec(fmt.Sprintf("c/%d", seq), "e"), State: earshot.ActionIntended}
	got, err := l.db.Claim(l.Context(), lease, []catalog.Transition{{Action: a, Leaf: leaf(fmt.Sprintf("l%d", seq))}})
	if err != nil || (len(got) == 1) != want {
		l.Errorf("%s: claimed %d, %v, want %v", what, len(got), err, want)
	}
}

func (l leased) take(what string, lease catalog.Lease, want int) {
	l.Helper()
	if got, err := l.db.TakeOver(l.Context(), lease, 10); err != nil || len(got) != want {
		l.Errorf("%s: took over %d, %v, want %d", what, len(got), err, want)
	}
}

func (l leased) done(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func testLeases(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	l := newLeased(t, db, 40)
	l.reserve("the first come", leaseAt("a", 0), 0, 3, 0, 1, 2)
	l.reserve("the next", leaseAt("b", 0), 0, 3, 3, 4, 5)
	l.reserve("after the lease", leaseAt("b", 11), 0, 3, 0, 1, 2)
	l.reserve("from a number on", leaseAt("b", 11), 20, 2, 20, 21)
	l.done(db.Release(ctx, "b", catalog.Reserved{Run: l.run, First: 0, Last: 3}))
	l.reserve("what was not given back", leaseAt("c", 12), 20, 2, 22, 23)
	l.reserve("given back", leaseAt("c", 12), 0, 3, 0, 1, 2)
	l.claim("its worker", leaseAt("c", 12), 0, true)
	l.claim("once more", leaseAt("c", 12), 0, false)
	l.take("from a worker that is at it", leaseAt("d", 15), 0)
	l.done(db.Renew(ctx, leaseAt("c", 20), catalog.Reserved{}))
	l.take("although it was renewed", leaseAt("d", 25), 0)
	l.take("after the lease", leaseAt("d", 31), 1)
	l.done(db.EndLeases(ctx))
	l.take("after all leases ended", leaseAt("e", 31), 1)
}

// testReserved: what is reserved and not announced stays with whoever renews it, and nobody else claims it: not its
// worker of before either, however long that looked at it.
func testReserved(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	l := newLeased(t, db, 2)
	l.reserve("the first", leaseAt("slow", 0), 0, 2, 0, 1)
	l.done(db.Renew(ctx, leaseAt("slow", 9), catalog.Reserved{Run: l.run, First: 0, Last: 0}))
	l.reserve("what was not renewed", leaseAt("quick", 11), 0, 2, 1)
	l.claim("what somebody else has reserved since", leaseAt("slow", 12), 1, false)
	l.done(db.Release(ctx, "quick", catalog.Reserved{Run: l.run, First: 1, Last: 1}))
	l.claim("what somebody else had, and gave back", leaseAt("slow", 12), 1, false)
	l.claim("what was renewed", leaseAt("slow", 12), 0, true)
}

// testManyReserve: of many at once every action comes to one.
func testManyReserve(t *testing.T, db *catalog.DB) {
	const n = 40
	l := newLeased(t, db, n)
	var mu sync.Mutex
	var group sync.WaitGroup
	seen := map[int]int{}
	for w := range 6 {
		group.Go(func() {
			for {
				got, err := db.Reserve(t.Context(), l.run, leaseAt(fmt.Sprintf("w%d", w), 40), 0, 4)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, a := range got {
					seen[a.Seq]++
				}
				mu.Unlock()
				if len(got) == 0 {
					return
				}
			}
		})
	}
	group.Wait()
	for seq, times := range seen {
		if times != 1 {
			t.Errorf("action %d was reserved %d times", seq, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d actions were reserved", len(seen), n)
	}
}

// testRanges lists a thousand keys in pages of ten with a stretch that is cut behind the lister's
// back, once beyond and once within the page that it is about to write.
func testRanges(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	const n = 100
	key := func(i int) string { return fmt.Sprintf("c/%03d", i) }
	begun := epoch.Add(-time.Hour)
	if err := db.BeginScan(ctx, "b", "c/", begun); err != nil {
		t.Fatal(err)
	}
	if at, err := db.Listed(ctx, "b", "c/"); !at.IsZero() || err != nil {
		t.Errorf("listed since %v before the end of the scan, %v", at, err)
	}
	l := catalog.Lease{Owner: "a", Now: epoch, Until: epoch.Add(time.Minute)}
	first, ok, err := db.TakeRange(ctx, "b", "c/", l)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if _, ok, _ := db.TakeRange(ctx, "b", "c/", catalog.Lease{Owner: "b", Now: epoch, Until: epoch.Add(time.Minute)}); ok {
		t.Error("a stretch was taken twice")
	}
	news := 0
	page := func(r catalog.Range, from, to int, last bool) bool {
		t.Helper()
		p := catalog.Page{Bucket: "b", Prefix: "c/", After: key(from - 1), Through: key(to - 1), Last: last, Range: &r}
		for i := from; i < to; i++ {
			p.Recordings = append(p.Recordings, rec(key(i), "e"))
		}
		o, end, err := db.Observe(ctx, p, epoch)
		if err != nil {
			t.Fatal(err)
		}
		news += o.New
		if o.Gone+o.Changed > 0 {
			t.Errorf("%+v", o)
		}
		return end
	}
	if page(first, 0, 10, false) {
		t.Error("the stretch ended early")
	}
	for at, want := range map[string]bool{key(5): false, key(60): true} {
		if done, err := db.Split(ctx, "b", "c/", first.Begins, at); done != want || err != nil {
			t.Errorf("split at %s: %v, %v", at, done, err)
		}
	}
	if done, err := db.Split(ctx, "b", "c/", first.Begins, key(14)); !done || err != nil {
		t.Fatal(done, err)
	}
	if !page(first, 10, 20, false) {
		t.Error("a page that reaches beyond its stretch does not end it")
	}
	for _, want := range []struct{ from, to int }{{15, 61}, {61, n}} {
		r, ok, err := db.TakeRange(ctx, "b", "c/", l)
		if err != nil || !ok || r.After != key(want.from-1) {
			t.Fatalf("got %+v, %v, %v", r, ok, err)
		}
		if err := db.EndScan(ctx, "b", "c/", epoch); err != nil {
			t.Fatal(err)
		}
		if at, err := db.LastScan(ctx, "b", "c/"); !at.IsZero() || err != nil {
			t.Errorf("the scan is over before its end: %v", err)
		}
		if !page(r, want.from, want.to, want.to == n) && want.to == n {
			t.Error("the last page does not end its stretch")
		}
	}
	if left, err := db.Ranges(ctx, "b", "c/"); left != 0 || news != n || err != nil {
		t.Errorf("%d stretches are left and %d of %d keys were new, %v", left, news, n, err)
	}
	if err := db.EndScan(ctx, "b", "c/", epoch); err != nil {
		t.Fatal(err)
	}
	if at, err := db.LastScan(ctx, "b", "c/"); !at.Equal(epoch) || err != nil {
		t.Errorf("the scan did not end: %v, %v", at, err)
	}
	if err := db.EndScan(ctx, "b", "c/", epoch.Add(72*time.Hour)); err != nil { // a helper that was woken late
		t.Fatal(err)
	}
	if at, err := db.LastScan(ctx, "b", "c/"); !at.Equal(epoch) || err != nil {
		t.Errorf("a scan that is over ended again: %v, %v", at, err)
	}
	if at, err := db.Listed(ctx, "b", "c/"); !at.Equal(begun) || err != nil {
		t.Errorf("the listing began at %v, %v", at, err)
	}
	late := catalog.Page{Bucket: "b", Prefix: "c/", Last: true, Range: &first}
	if _, _, err := db.Observe(ctx, late, epoch); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("a page of a stretch that is over was taken: %v", err)
	}
}

// testTicks: a scheduled run is made by one process, and ended by the one whose it is by then.
func testTicks(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	at := func(owner string, s int) catalog.Lease {
		now := epoch.Add(time.Duration(s) * time.Second)
		return catalog.Lease{Owner: owner, Now: now, Until: now.Add(time.Minute)}
	}
	take := func(l catalog.Lease, last time.Time, want bool) {
		t.Helper()
		if got, err := db.TakeTick(ctx, "p", l, last); got != want || err != nil {
			t.Errorf("%s took it: %v, %v, want %v", l.Owner, got, err, want)
		}
	}
	take(at("a", 0), time.Time{}, true)
	take(at("b", 30), time.Time{}, false)
	take(at("b", 90), time.Time{}, true)
	take(at("a", 91), time.Time{}, false)
	if err := db.Ran(ctx, "p", "a", epoch); err != nil {
		t.Fatal(err)
	}
	if last, err := db.LastRun(ctx, "p"); !last.IsZero() || err != nil {
		t.Errorf("a run that has gone to another was ended by its first process: %s, %v", last, err)
	}
	take(at("a", 92), time.Time{}, false)
	if err := db.Ran(ctx, "p", "b", epoch); err != nil {
		t.Fatal(err)
	}
	take(at("a", 93), time.Time{}, false)
	take(at("a", 94), epoch, true)
}

// testHoldRange: a stretch of a listing stays with whoever prolongs its lease, and is free when given back.
func testHoldRange(t *testing.T, db *catalog.DB) {
	ctx := t.Context()
	at := leaseAt
	if err := db.BeginScan(ctx, "b", "c/", epoch); err != nil {
		t.Fatal(err)
	}
	take := func(l catalog.Lease, want bool) {
		t.Helper()
		if _, got, err := db.TakeRange(ctx, "b", "c/", l); got != want || err != nil {
			t.Errorf("%s took it: %v, %v, want %v", l.Owner, got, err, want)
		}
	}
	hold := func(l catalog.Lease) {
		t.Helper()
		if err := db.HoldRange(ctx, "b", "c/", "", l); err != nil {
			t.Fatal(err)
		}
	}
	take(at("slow", 0), true)
	hold(at("slow", 9))
	take(at("quick", 12), false)
	hold(at("stranger", 20))
	take(at("quick", 20), true)
	hold(at("slow", 25))
	take(at("slow", 31), true)
	hold(catalog.Lease{Owner: "slow"})
	take(at("quick", 32), true)
}

// testSharers: each beat counts, of one store and not of another, until somebody leaves.
func testSharers(t *testing.T, db *catalog.DB) {
	beat := func(store, id string, want map[string]int64) {
		t.Helper()
		got, err := db.Beat(t.Context(), store, id)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s of %s (-want +got):\n%s%v", id, store, diff, err)
		}
	}
	beat("s", "one", map[string]int64{"one": 1})
	beat("s", "two", map[string]int64{"one": 1, "two": 1})
	beat("t", "three", map[string]int64{"three": 1})
	beat("s", "one", map[string]int64{"one": 2, "two": 1})
	if err := db.Leave(t.Context(), "s", "two", "nobody"); err != nil {
		t.Error(err)
	}
	beat("s", "one", map[string]int64{"one": 3})
	beat("s", "two", map[string]int64{"one": 3, "two": 1}) // it was taken for gone, and comes again
}
