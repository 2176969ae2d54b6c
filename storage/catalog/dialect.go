package catalog

import (
	"context"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// dialect is all in which the engines differ. Statements are the same text for both.
type dialect struct {
	goose goose.Dialect
	// server: the engine is one that many machines reach. shared: several processes work on the catalog at
	// once, and leases alone keep them apart; with SQLite only in simulations of that.
	server, shared bool
	// forUpdate at the end of a select keeps its rows from changing until the transaction ends. With
	// SQLite there is one writer anyway.
	forUpdate string
	// skipLocked besides passes over rows that another transaction holds.
	skipLocked string
	// orFail after "update": SQLite need not copy each page that a statement of many rows changes, to take the
	// statement back by itself. Where one fails the transaction is rolled back anyway.
	orFail string
	// row is the columns of a recording, the last of them where it lies in the table (0 with PostgreSQL). atPlace
	// finds it there again; a vacuum may have moved it, so that nothing is known by its place alone.
	row, atPlace string
	// ruleOf gives the rule out of an action's document in column a.doc.
	ruleOf string
	// addUp ends an insert into tallies where each count has one row; with PostgreSQL there are any number.
	addUp string
	// transaction is the number of the one that a statement belongs to. over tells whether all that are as old or older than
	// $1 are at their end, and whether there never was one of that number here; empty where there is one at a time.
	transaction, over string
	// parameter is the nth of a statement that has very many of them, each named once and in order: SQLite
	// looks for the name of each that has one among all of them.
	parameter func(n int) string
	// ddl rewrites a migration.
	ddl func(string) string
}

func sqliteDialect() dialect {
	return dialect{
		goose: goose.DialectSQLite3, orFail: " or fail", row: rowColumns + ", rowid", atPlace: " and recordings.rowid = v.place", ruleOf: "json_extract(a.doc, '$.decision.rule')",
		addUp: " on conflict (bucket, prefix, disposition, rule) do update set n = n + excluded.n", transaction: "0",
		parameter: func(int) string { return "?" },
		ddl:       func(s string) string { return s },
	}
}

func postgresDialect() dialect {
	return dialect{
		goose: goose.DialectPostgres, server: true, shared: true, forUpdate: " for update", skipLocked: " for update skip locked",
		row:         rowColumns + ", cast(0 as bigint)",
		transaction: "cast(cast(pg_current_xact_id() as text) as bigint)",
		over: `select cast(cast(pg_snapshot_xmin(s) as text) as bigint) > $1, cast(cast(pg_snapshot_xmax(s) as text) as bigint) <= $1
			from (select pg_current_snapshot() as s) x`,
		ruleOf:    "cast(a.doc as json) -> 'decision' ->> 'rule'",
		parameter: func(n int) string { return "$" + strconv.Itoa(n) }, ddl: postgresDDL,
	}
}

var (
	textType = regexp.MustCompile(`\btext\b`)
	blobType = regexp.MustCompile(`\bblob\b`)
)

// postgresDDL makes PostgreSQL's statements of a migration. A line that begins with "--postgres:"
// is meant for PostgreSQL alone, one that ends with "--sqlite" is not meant for it. Text compares by
// bytes, as S3 sorts its keys.
func postgresDDL(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		text := strings.TrimRight(line, "\n")
		if strings.HasSuffix(text, "--sqlite") {
			continue
		}
		text = strings.TrimPrefix(text, "--postgres:")
		if !strings.HasPrefix(strings.TrimSpace(text), "--") {
			text = blobType.ReplaceAllString(textType.ReplaceAllString(text, `text collate "C"`), "bytea")
		}
		out.WriteString(text + "\n")
	}
	return out.String()
}

// current reports whether all steps were taken, of which the last one is named.
func (d *DB) current(ctx context.Context, last string, steps int) bool {
	number, _, _ := strings.Cut(strings.TrimPrefix(last, "migrations/"), "_")
	want, err := strconv.ParseInt(number, 10, 64)
	var taken, newest int64
	if err == nil {
		err = d.db.QueryRowContext(ctx, "select count(distinct version_id), coalesce(max(version_id), 0) from goose_db_version where is_applied and version_id > 0").Scan(&taken, &newest)
	}
	return err == nil && taken == int64(steps) && newest == want
}

// migrate brings the schema up to date. Several processes may do so at once.
func (d *DB) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if d.current(ctx, files[len(files)-1], len(files)) { // of each start of a program this would be the longest part
		return nil
	}
	steps := fstest.MapFS{}
	for _, name := range files {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		steps[strings.TrimPrefix(name, "migrations/")] = &fstest.MapFile{Data: []byte(d.dialect.ddl(string(text)))}
	}
	options := []goose.ProviderOption{goose.WithVerbose(false)}
	if d.dialect.server {
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(d.dialect.goose, d.db, steps, options...)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
