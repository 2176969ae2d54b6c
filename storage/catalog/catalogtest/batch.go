package catalogtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"github.com/google/go-cmp/cmp"
)

// testBatch: of a batch those are claimed and settled that are in the state for it, and their entries are written in
// order, whatever was said before.
func testBatch(t *testing.T, db *catalog.DB) {
	const n = 90
	ctx := t.Context()
	l := newLeased(t, db, n)
	page := catalog.Page{Bucket: "b", Last: true}
	var reserved []int
	for i := range n {
		page.Recordings, reserved = append(page.Recordings, rec(fmt.Sprintf("c/%d", i), "e")), append(reserved, i)
	}
	slices.SortFunc(page.Recordings, func(x, y earshot.Recording) int { return strings.Compare(x.ID.Key, y.ID.Key) })
	observe(t, db, page)
	mine := leaseAt("w", 0)
	l.reserve("all", mine, 0, n, reserved...)
	l.claim("one before", mine, 30, true)
	l.done(db.Say(ctx, leaf("l50"), leaf("early"))) // one that has a number when the batch comes
	if size, err := db.Head().Number(ctx, 10); size != 3 || err != nil {
		t.Fatal(size, err)
	}
	var batch []catalog.Transition
	for i := range n {
		a := earshot.Action{Run: l.run, Seq: i, Recording: rec(fmt.Sprintf("c/%d", i), "e"), State: earshot.ActionIntended}
		if i%7 == 0 {
			a.State = earshot.ActionSkipped
		}
		batch = append(batch, catalog.Transition{Action: a, Leaf: leaf(fmt.Sprintf("l%d", i))})
	}
	for round, want := range []int{n - 1, 0} {
		if got, err := db.Claim(ctx, mine, batch); err != nil || len(got) != want || want > 0 && (got[0].Seq != 0 || got[want-1].Seq != n-1) {
			t.Fatalf("round %d: claimed %d, %v, want %d", round, len(got), err, want)
		}
	}
	for i := range batch {
		batch[i].Leaf = leaf(fmt.Sprintf("o%d", i))
		if batch[i].Action.State = earshot.ActionDone; i%10 == 1 {
			batch[i].Action.State, batch[i].Action.Why = earshot.ActionFailed, "locked"
		} else {
			batch[i].Effect.Gone = true
		}
	}
	for range 2 {
		l.done(db.Settle(ctx, epoch.UnixMicro(), batch...))
	}
	want := []string{"l30", "l50", "early"}
	for i := range n {
		if i != 30 && i != 50 {
			want = append(want, fmt.Sprintf("l%d", i))
		}
	}
	skipped, failed := 0, 0
	for i := range n {
		if i%7 == 0 {
			skipped++
			continue
		}
		if i%10 == 1 {
			failed++
		}
		want = append(want, fmt.Sprintf("o%d", i))
	}
	l.numbered(want)
	counts, err := db.Progress(ctx, l.run)
	if err != nil || counts[earshot.ActionSkipped] != skipped || counts[earshot.ActionFailed] != failed || counts[earshot.ActionDone] != n-skipped-failed {
		t.Errorf("%v, %v", counts, err)
	}
	l.gone(n-skipped-failed, failed)
}

// numbered checks which entries there are, in order.
func (l leased) numbered(want []string) {
	l.Helper()
	size, err := l.db.Head().Number(l.Context(), 1000)
	l.done(err)
	entries, err := l.db.Head().Numbered(l.Context(), 0, size)
	l.done(err)
	var got []string
	for _, e := range entries {
		got = append(got, strings.TrimLeft(e.ID, " 0"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.Errorf("entries (-want +got):\n%s", diff)
	}
}

// gone checks how many recordings are gone, and on how many something failed.
func (l leased) gone(want, failed int) {
	l.Helper()
	n := 0
	for _, err := range l.db.GoneSince(l.Context(), "b", time.Time{}) {
		l.done(err)
		n++
	}
	trouble, err := l.db.Attention(l.Context(), "", "", 1000)
	if n != want || len(trouble) != failed || err != nil {
		l.Errorf("%d are gone, want %d; something failed on %d, want %d; %v", n, want, len(trouble), failed, err)
	}
}
