package catalog_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"
	"earshot/storage/catalog/catalogtest"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"
)

// earlier makes a catalog as a version of the schema had it, with what statements put there, and opens it.
func earlier(t *testing.T, version int64, statements ...string) *catalog.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, catalog.Migrations(), goose.WithVerbose(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	for _, q := range statements {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	d, err := catalog.Open(t.Context(), catalog.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestAnEarlierSchemaIsBroughtUp: version 4 of the schema had numbered and waiting entries in one table.
func TestAnEarlierSchemaIsBroughtUp(t *testing.T) {
	d := earlier(t, 4,
		"insert into outbox (entry_id, body, log_index) values ('one', x'01', 0), ('two', x'02', 1), ('three', x'03', null), ('four', x'04', null)",
		"update log_state set size = 2, published = 1",
		"insert into recordings (bucket, key, etag, size, stored_at) values ('b', 'k', 'e', 1, 2)")
	if _, err := d.Recording(t.Context(), "b", "k"); err != nil {
		t.Error(err)
	}
	if v, err := d.Voice(t.Context(), "b", "k"); v != nil || err != nil {
		t.Errorf("%+v, %v", v, err)
	}
	if size, err := d.Head().Number(t.Context(), 100); size != 4 || err != nil {
		t.Fatalf("numbered to %d, %v", size, err)
	}
	leaves, err := d.Head().Numbered(t.Context(), 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range leaves {
		got = append(got, l.ID)
	}
	if want := "one two three four"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestVoicesByDeviceAreNotedAnew: version 17 of the schema had them without whose device it is.
func TestVoicesByDeviceAreNotedAnew(t *testing.T) {
	d := earlier(t, 17, "insert into voices (bucket, key, device, captured_at, logit, waits, ear, pooled, stirred, changed) values ('b', 'k', 'kitchen', 1, 2, 0, '', 0.9, 0, 0)")
	if v, err := d.Voice(t.Context(), "b", "k"); v != nil || err != nil {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestWhatWasDecidedBeforeIsCounted: version 19 of the schema counted nothing along.
func TestWhatWasDecidedBeforeIsCounted(t *testing.T) {
	d := earlier(t, 19,
		"insert into recordings (bucket, key, etag, size, stored_at, disposition, rule, due_digest) values ('b', 'c/1', 'e', 1, 2, 'keep', 'period', 'd'), ('b', 'c/2', 'e', 1, 2, 'review', 'hold', 'd'), ('b', 'x', 'e', 1, 2, 'keep', 'period', 'd')",
		"insert into recordings (bucket, key, etag, size, stored_at, disposition, rule, due_digest, gone_at) values ('b', 'c/3', 'e', 1, 2, 'deleted', 'period', 'd', 7)")
	tally, err := d.Tally(t.Context(), "b", "c/")
	if diff := cmp.Diff(map[string]int{"keep": 1, "held": 1, "total": 2}, tally); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

// inEngines runs a test on a new catalog of each engine, seen also by the engine's own driver; explain goes before a
// statement.
func inEngines(t *testing.T, test func(t *testing.T, engine string, d *catalog.DB, raw *sql.DB, explain string)) {
	for name, c := range map[string]struct{ path, driver, explain string }{
		"sqlite":   {filepath.Join(t.TempDir(), "c.db"), "sqlite", "explain query plan "},
		"postgres": {"", "pgx", "explain (costs off) "},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "postgres" {
				c.path = catalogtest.URL(t)
			}
			d := create(t, c.path)
			raw, err := sql.Open(c.driver, c.path)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			test(t, name, d, raw, c.explain)
		})
	}
}

// TestDueIsServedByItsIndex holds on both engines: a run's first page reads the index, in order, and
// never a whole table.
func TestDueIsServedByItsIndex(t *testing.T) {
	inEngines(t, func(t *testing.T, engine string, d *catalog.DB, raw *sql.DB, ask string) {
		page := catalog.Page{Bucket: "b", Last: true}
		for i := range 20_000 {
			page.Recordings = append(page.Recordings, earshot.Recording{ID: earshot.RecordingID{Bucket: "b", Key: fmt.Sprintf("k%06d", i)}, ETag: "e", StoredAt: time.Unix(9, 0)})
		}
		if _, _, err := d.Observe(t.Context(), page, time.Unix(10, 0)); err != nil {
			t.Fatal(err)
		}
		if engine == "sqlite" { // before anything was analysed, too, since nothing in earshot does
			plan := explain(t.Context(), t, raw, ask+catalog.VoicesBefore, "b", "d", 1, "k")
			if !strings.Contains(plan, "voices_session (bucket=? AND place=? AND (captured_at,key)<(?,?))") || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("a session is not one range of its index:\n%s", plan)
			}
			var args []any
			for i := range catalog.Foresights {
				args = append(args, "b", fmt.Sprintf("k%06d", i), "e", "reason", 1, 0, 9, i)
			}
			args = append(args, "digest")
			plan = explain(t.Context(), t, raw, ask+d.ForeseeAgain(), args...)
			if !strings.Contains(plan, "recordings USING INTEGER PRIMARY KEY (rowid=?)") {
				t.Errorf("decisions are not written by place:\n%s", plan)
			}
		}
		if _, err := raw.ExecContext(t.Context(), "analyze"); err != nil {
			t.Fatal(err)
		}
		for _, due := range []struct {
			query, index string
			args         []any
		}{
			{catalog.DueOfDigest, "due", []any{"b", int64(1), "digest", int64(0), "", int64(1)}},
			{catalog.DueSweep, "autoindex_recordings", []any{"b", int64(1), "digest", "k000100", "l"}},
		} {
			if due.query == catalog.DueSweep && engine == "postgres" {
				continue
			}
			plan := explain(t.Context(), t, raw, ask+due.query, due.args...)
			if !strings.Contains(plan, due.index) || strings.Contains(plan, "Seq Scan on recordings") || strings.Contains(plan, "SCAN recordings") ||
				sorted.MatchString(plan) || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("not by the index:\n%s\n%s", due.query, plan)
			}
		}
	})
}

// TestPlannedActionsAreFoundPastThoseDone: with most of a large run done the next batch costs no more than the first.
func TestPlannedActionsAreFoundPastThoseDone(t *testing.T) {
	inEngines(t, func(t *testing.T, _ string, d *catalog.DB, raw *sql.DB, ask string) {
		for _, statement := range []string{
			`with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000)
				insert into actions (run, seq, state, bucket, key, doc) select 'r', i, case when i < 40000 then 'done' else 'planned' end, 'b', 'k' || i, '{}' from n`,
			"analyze",
		} {
			if _, err := raw.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		plan := explain(t.Context(), t, raw, ask+catalog.ReserveQuery, "w", 9, "r", 5, 0, 1000)
		if !strings.Contains(plan, "actions_planned") {
			t.Errorf("not by the index:\n%s", plan)
		}
		claim, settle, n := d.Moves()
		var args []any
		for i := range n {
			args = append(args, i, "done", "{}", "id")
		}
		for query, args := range map[string][]any{claim: append(args[:len(args):len(args)], 9, "w", "r", 0, n), settle: append(args, "r", 0, n)} {
			plan := explain(t.Context(), t, raw, ask+query, args...)
			if strings.Contains(plan, "SCAN actions") || strings.Contains(plan, "Seq Scan on actions") {
				t.Errorf("not by an index:\n%s", plan)
			}
		}
	})
}

// sorted: rows of recordings are sorted after they were read (a merge of indices has a key, too, and sorts nothing).
var sorted = regexp.MustCompile(`->  Sort\n\s*Sort Key: recordings`)

func explain(ctx context.Context, tb testing.TB, db *sql.DB, query string, args ...any) string {
	tb.Helper()
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		tb.Fatal(err)
	}
	var out strings.Builder
	for rows.Next() {
		cells := make([]sql.NullString, len(columns))
		to := make([]any, len(cells))
		for i := range cells {
			to[i] = &cells[i]
		}
		if err := rows.Scan(to...); err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintln(&out, cells[len(cells)-1].String)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}
