package catalog

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
)

// TestStatementsAreKept: one whose rows are being read serves nobody else, one that failed is parsed anew, and
// however many texts there are, few are kept.
func TestStatementsAreKept(t *testing.T) {
	db := sql.OpenDB(dsn("file:" + filepath.Join(t.TempDir(), "a.db")))
	db.SetMaxOpenConns(1)
	do := func(query string, args ...any) error {
		_, err := db.ExecContext(t.Context(), query, args...)
		return err
	}
	kept := func() (n int) {
		t.Helper()
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Raw(func(c any) error { n = len(c.(*keeping).kept); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := do("create table t (x integer primary key)"); err != nil {
		t.Fatal(err)
	}
	if n := kept(); n != 0 {
		t.Errorf("%d statements are kept, and none is worth it", n)
	}
	const put = "insert into t (x) values ($1)"
	for x := range 3 {
		if err := do(put, x); err != nil {
			t.Fatal(err)
		}
	}
	if n := kept(); n != 1 {
		t.Errorf("%d statements are kept of one text", n)
	}
	if err := do(put, 1); err == nil {
		t.Error("the same key was taken twice")
	}
	if n := kept(); n != 0 {
		t.Errorf("%d statements are kept, one that failed among them", n)
	}
	if err := do(put, 3); err != nil {
		t.Errorf("after a failure: %v", err)
	}

	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const get = "select x from t where x >= $1 order by x"
	outer, err := tx.QueryContext(t.Context(), get, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	var pairs string
	for outer.Next() {
		var x, y int
		if err := outer.Scan(&x); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRowContext(t.Context(), get, 3-x).Scan(&y); err != nil { // within the rows of the same text
			t.Fatal(err)
		}
		pairs += fmt.Sprint(x, y, " ")
	}
	if err := outer.Err(); err != nil || pairs != "0 3 1 2 2 1 3 0 " {
		t.Errorf("rows within rows: %q, %v", pairs, err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}

	for i := range 2 * statementsMost {
		var one int
		if err := db.QueryRowContext(t.Context(), fmt.Sprintf("select %d", i)).Scan(&one); err != nil || one != i {
			t.Fatal(one, err)
		}
	}
	if n := kept(); n != statementsMost {
		t.Errorf("%d statements are kept, want %d", n, statementsMost)
	}
	if err := db.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}
