package catalogtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// counted goes through all rows below a prefix.
func counted(t *testing.T, db *catalog.DB, prefix string) map[string]int {
	t.Helper()
	out := map[string]int{"total": 0}
	for row, err := range db.Live(t.Context(), "b", prefix) {
		if err != nil {
			t.Fatal(err)
		}
		said := row.Disposition
		if row.Rule == catalog.RuleHold || row.Rule == catalog.RuleLock {
			said = "held"
		}
		out[said]++
		out["total"]++
	}
	return out
}

func sameTally(t *testing.T, db *catalog.DB, prefix string) {
	t.Helper()
	got, err := db.Tally(t.Context(), "b", prefix)
	if diff := cmp.Diff(counted(t, db, prefix), got); diff != "" || err != nil {
		t.Errorf("below %q (-rows +tally):\n%s%v", prefix, diff, err)
	}
}

// decided is what a policy might say.
func decided(r earshot.Recording, dice *rand.Rand) catalog.Foresight {
	rules := []string{"period", "child", catalog.RuleHold, catalog.RuleLock}
	return catalog.Foresight{
		Known: catalog.Known{Recording: r}, Digest: []string{"d1", "d2"}[dice.IntN(2)],
		Disposition: []string{"keep", "delete", "review"}[dice.IntN(3)], Rule: rules[dice.IntN(len(rules))], Due: epoch.Add(time.Hour),
	}
}

// testTallies: whatever happens to recordings, the counts are those of the rows, from whenever on somebody asks.
func testTallies(t *testing.T, db *catalog.DB) {
	dice := rand.New(rand.NewPCG(1, 2))
	prefixes := []string{"c/", "", "c/x/", "none/"}
	for step := range 60 {
		page := catalog.Page{Bucket: "b", Last: true}
		for _, folder := range []string{"a/", "c/", "c/x/", "d"} {
			for i := range 10 {
				if n := dice.IntN(8); n > 0 { // else it is not there, or not any more
					page.Recordings = append(page.Recordings, rec(fmt.Sprintf("%s%02d", folder, i), fmt.Sprint("e", max(0, n-6))))
				}
			}
		}
		observe(t, db, page)
		var fs []catalog.Foresight
		var with []earshot.RecordingID
		for row, err := range db.Live(t.Context(), "b", "") {
			if err != nil {
				t.Fatal(err)
			}
			switch f := decided(row.Recording, dice); dice.IntN(6) {
			case 0, 1, 2:
				fs = append(fs, f)
			case 3: // as a plan writes it that has read the row before
				f.Was, f.Same = &row, true
				fs = append(fs, f)
			case 4:
				with = append(with, row.Recording.ID)
			}
		}
		if err := db.Foresee(t.Context(), fs); err != nil {
			t.Fatal(err)
		}
		for _, prefix := range prefixes[:min(len(prefixes), 1+step/15)] {
			sameTally(t, db, prefix)
		}
		if err := db.WentWith(t.Context(), with[:min(len(with), 2)], epoch); err != nil {
			t.Fatal(err)
		}
	}
}

// testTalliesOfMany: several processes decide while others come to ask for the counts of a prefix, for the first time and
// again.
func testTalliesOfMany(t *testing.T, db *catalog.DB) {
	const writers, each = 4, 120
	page := catalog.Page{Bucket: "b", Last: true}
	for i := range writers * each {
		page.Recordings = append(page.Recordings, rec(fmt.Sprintf("c/%d/%04d", i%3, i), "e"))
	}
	observe(t, db, page)
	group, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		dice := rand.New(rand.NewPCG(uint64(w), 3))
		group.Go(func() error {
			for range 5 {
				for i := w * each; i < (w+1)*each; i += 4 {
					var fs []catalog.Foresight
					for _, r := range page.Recordings[i : i+4] {
						fs = append(fs, decided(r, dice))
					}
					if err := db.Foresee(ctx, fs); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	for _, prefix := range []string{"c/", "c/0/", "c/1/"} {
		for range 2 {
			group.Go(func() error { return askAgain(ctx, db, prefix) })
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"c/", "c/0/", "c/1/", "c/2/"} {
		sameTally(t, db, prefix)
	}
}

// askAgain asks for counts while they change; all of it is there all the time.
func askAgain(ctx context.Context, db *catalog.DB, prefix string) error {
	for range 20 {
		if _, err := db.Tally(ctx, "b", prefix); err != nil {
			return err
		}
	}
	return nil
}
