package catalog_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"github.com/google/go-cmp/cmp"
)

// TestADecisionUnderWayIsCounted: somebody asks for counts for the first time while a transaction that has decided
// something is not at its end.
func TestADecisionUnderWayIsCounted(t *testing.T) {
	inEngines(t, func(t *testing.T, engine string, d *catalog.DB, raw *sql.DB, _ string) {
		page := catalog.Page{Bucket: "b", Last: true}
		for i := range 3 {
			page.Recordings = append(page.Recordings, earshot.Recording{ID: earshot.RecordingID{Bucket: "b", Key: fmt.Sprintf("k%d", i)}, ETag: "e", StoredAt: time.Unix(9, 0)})
		}
		if _, _, err := d.Observe(t.Context(), page, time.Unix(10, 0)); err != nil {
			t.Fatal(err)
		}
		tx, err := raw.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), "update recordings set disposition = 'keep', rule = 'period', due_digest = 'd' where key = 'k1'"); err != nil {
			t.Fatal(err)
		}
		type answer struct {
			tally map[string]int
			err   error
		}
		answers := make(chan answer, 1)
		go func() {
			tally, err := d.Tally(context.WithoutCancel(t.Context()), "b", "")
			answers <- answer{tally, err}
		}()
		time.Sleep(200 * time.Millisecond) // long enough for it to have counted without waiting
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		first := <-answers
		again, err := d.Tally(t.Context(), "b", "")
		want := map[string]int{"keep": 1, "": 2, "total": 3}
		for _, a := range []answer{first, {again, err}} {
			if diff := cmp.Diff(want, a.tally); diff != "" || a.err != nil {
				t.Errorf("%s (-want +got):\n%s%v", engine, diff, a.err)
			}
		}
	})
}

// TestCountsDoNotWaitForLongWork: somebody writes and does not come to an end when somebody else asks for the first time. The
// rows are counted then, nobody is kept from writing, and the counts come to be kept the next time.
func TestCountsDoNotWaitForLongWork(t *testing.T) {
	inEngines(t, func(t *testing.T, engine string, d *catalog.DB, raw *sql.DB, _ string) {
		if engine == "sqlite" {
			t.Skip("has one writer")
		}
		r := earshot.Recording{ID: earshot.RecordingID{Bucket: "b", Key: "k"}, ETag: "e", StoredAt: time.Unix(9, 0)}
		if _, _, err := d.Observe(t.Context(), catalog.Page{Bucket: "b", Last: true, Recordings: []earshot.Recording{r}}, time.Unix(10, 0)); err != nil {
			t.Fatal(err)
		}
		if err := d.Foresee(t.Context(), []catalog.Foresight{{Known: catalog.Known{Recording: r}, Digest: "d", Disposition: "keep", Rule: "period"}}); err != nil {
			t.Fatal(err)
		}
		tx, err := raw.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), "update recordings set rule = rule"); err != nil {
			t.Fatal(err)
		}
		written := make(chan error, 1)
		go func() {
			time.Sleep(500 * time.Millisecond) // it is being waited by now
			other := r
			other.ID.Key = "k2"
			_, err := d.Looked(context.WithoutCancel(t.Context()), catalog.Look{Bucket: "b", Keys: []string{"k2"}, Recordings: []earshot.Recording{other}, AsOf: time.Unix(11, 0)}, time.Unix(11, 0))
			written <- err
		}()
		for i := range 2 {
			tally, err := d.Tally(t.Context(), "b", "")
			if diff := cmp.Diff(map[string]int{"keep": 1, "": 1, "total": 2}, tally); diff != "" || err != nil {
				t.Errorf("(-want +got):\n%s%v", diff, err)
			}
			if i == 0 {
				select {
				case err := <-written:
					if err != nil {
						t.Error(err)
					}
				default:
					t.Error("somebody else was kept from writing")
				}
			}
			_ = tx.Rollback()
		}
		var known int
		if err := raw.QueryRowContext(t.Context(), "select known from tallied").Scan(&known); err != nil || known != 1 {
			t.Errorf("it is not counted along: %d, %v", known, err)
		}
	})
}

// TestManyCountsAreMadeOne: with PostgreSQL what is decided only adds rows to what is counted, until somebody asks.
func TestManyCountsAreMadeOne(t *testing.T) {
	inEngines(t, func(t *testing.T, engine string, d *catalog.DB, raw *sql.DB, _ string) {
		r := earshot.Recording{ID: earshot.RecordingID{Bucket: "b", Key: "k"}, ETag: "e", StoredAt: time.Unix(9, 0)}
		if _, _, err := d.Observe(t.Context(), catalog.Page{Bucket: "b", Last: true, Recordings: []earshot.Recording{r}}, time.Unix(10, 0)); err != nil {
			t.Fatal(err)
		}
		for i := range 700 {
			if i%350 == 0 {
				if _, err := d.Tally(t.Context(), "b", ""); err != nil {
					t.Fatal(err)
				}
			}
			f := catalog.Foresight{Known: catalog.Known{Recording: r}, Digest: "d", Disposition: "keep", Rule: fmt.Sprint("rule", i%3), Due: time.Unix(99, 0)}
			if err := d.Foresee(t.Context(), []catalog.Foresight{f}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.WentWith(t.Context(), []earshot.RecordingID{r.ID}, time.Unix(99, 0)); err != nil { // nothing is left to be counted
			t.Fatal(err)
		}
		for range 2 {
			tally, err := d.Tally(t.Context(), "b", "")
			if diff := cmp.Diff(map[string]int{"total": 0}, tally); diff != "" || err != nil {
				t.Errorf("(-want +got):\n%s%v", diff, err)
			}
		}
		var rows int
		if err := raw.QueryRowContext(t.Context(), "select count(*) from tallies").Scan(&rows); err != nil || rows > 3 {
			t.Errorf("%s: %d rows are left, %v", engine, rows, err)
		}
	})
}

// TestWhatNobodyAsksForIsNotCounted lets one prefix be asked for again after a day, and another not for months.
func TestWhatNobodyAsksForIsNotCounted(t *testing.T) {
	inEngines(t, func(t *testing.T, _ string, d *catalog.DB, raw *sql.DB, _ string) {
		r := earshot.Recording{ID: earshot.RecordingID{Bucket: "b", Key: "c/k"}, ETag: "e", StoredAt: time.Unix(9, 0)}
		if _, _, err := d.Observe(t.Context(), catalog.Page{Bucket: "b", Last: true, Recordings: []earshot.Recording{r}}, time.Unix(10, 0)); err != nil {
			t.Fatal(err)
		}
		decide := func(rule string) {
			t.Helper()
			if err := d.Foresee(t.Context(), []catalog.Foresight{{Known: catalog.Known{Recording: r}, Digest: "d", Disposition: "keep", Rule: rule}}); err != nil {
				t.Fatal(err)
			}
		}
		asked := func(prefix string) {
			t.Helper()
			tally, err := d.Tally(t.Context(), "b", prefix)
			if diff := cmp.Diff(map[string]int{"keep": 1, "total": 1}, tally); diff != "" || err != nil {
				t.Errorf("below %q (-want +got):\n%s%v", prefix, diff, err)
			}
		}
		decide("one")
		asked("c/")
		asked("")
		decide("two")
		old := time.Now().AddDate(0, 0, -70).UnixMicro()
		if _, err := raw.ExecContext(t.Context(), fmt.Sprintf("update tallied set read_at = %d where prefix = ''", old)); err != nil {
			t.Fatal(err)
		}
		if _, err := raw.ExecContext(t.Context(), fmt.Sprintf("update tallied set read_at = %d where prefix = 'c/'", time.Now().AddDate(0, 0, -2).UnixMicro())); err != nil {
			t.Fatal(err)
		}
		asked("c/")
		var prefixes, rows int
		if err := raw.QueryRowContext(t.Context(), "select (select count(*) from tallied), (select count(*) from tallies where prefix = '')").Scan(&prefixes, &rows); err != nil || prefixes != 1 || rows != 0 {
			t.Errorf("%d prefixes are counted, %d counts are left of the other, %v", prefixes, rows, err)
		}
		decide("three")
		asked("") // from now on again
		asked("c/")
		decide("four")
		asked("")
	})
}
