package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"modernc.org/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Sentinels that callers branch on.
var (
	// ErrNotFound: no such run, hold or request.
	ErrNotFound = errors.New("not in the catalog")
	// ErrStale: the thing is no longer in the state that the caller believed. Look again.
	ErrStale = errors.New("no longer in that state")
	// ErrBusy: another process does this already.
	ErrBusy = errors.New("another earshot process is at it")
)

// Options of a catalog.
type Options struct {
	// Path of the SQLite file, or the URL of a PostgreSQL database: postgres://USER@HOST/DATABASE.
	// The password comes from the environment (PGPASSWORD, PGPASSFILE). A search_path in the URL
	// names the schema.
	Path string
	// Wrap, if not nil, lays something round the database's connector. Tests inject faults with it.
	Wrap func(driver.Connector) driver.Connector
	// Together lets several processes work on an SQLite file by leases alone, as they do on PostgreSQL. It
	// is for simulations of that protocol: with SQLite one process at a time is faster, and safe by a lock.
	Together bool
}

// DB is an open catalog. It is safe for concurrent use. With SQLite one connection serves all, so
// that there is one writer and nothing is ever busy within the process; PostgreSQL serves many
// processes on many machines.
type DB struct {
	db      *sql.DB
	reader  *sql.DB // with SQLite a connection of its own, to read large parts while others are written; it cannot write
	dialect dialect
	path    string
}

// Create makes a new catalog. It fails with fs.ErrExist where there is one already.
func Create(ctx context.Context, o Options) (*DB, error) {
	if isPostgres(o.Path) {
		return openPostgres(ctx, o, true)
	}
	f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating the catalog: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("creating the catalog: %w", err)
	}
	return Open(ctx, o)
}

// Open opens a catalog that exists and brings its schema up to date. A missing one is an error: an
// empty catalog must never take the place of one that was mistyped.
func Open(ctx context.Context, o Options) (*DB, error) {
	if isPostgres(o.Path) {
		return openPostgres(ctx, o, false)
	}
	if _, err := os.Stat(o.Path); err != nil {
		return nil, fmt.Errorf("opening the catalog: %w (earshot init makes one)", err)
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("opening the catalog: %w", err)
	}
	pragmas := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-4000)", "wal_autocheckpoint(4000)"},
		"_txlock": {"immediate"},
	}
	var connector driver.Connector = dsn("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + pragmas.Encode())
	if o.Wrap != nil {
		connector = o.Wrap(connector)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	d := &DB{db: db, reader: sql.OpenDB(readOnly{connector}), dialect: sqliteDialect(), path: path}
	d.reader.SetMaxOpenConns(1)
	d.reader.SetConnMaxIdleTime(time.Second)
	d.dialect.shared = o.Together
	if err := d.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the catalog %s: %w", filepath.Base(path), err), d.Close())
	}
	return d, nil
}

// dsn is a connector for the SQLite driver.
type dsn string

func (d dsn) Connect(context.Context) (driver.Conn, error) {
	conn, err := d.Driver().Open(string(d))
	if err != nil {
		return nil, err
	}
	return &keeping{engine: conn.(engine), kept: map[string]*statement{}}, nil
}

func (d dsn) Driver() driver.Driver { return &sqlite.Driver{} }

// readOnly makes connections that cannot write.
type readOnly struct{ driver.Connector }

func (r readOnly) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := r.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	_, err = conn.(driver.ExecerContext).ExecContext(ctx, "pragma query_only = 1", nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Close closes the catalog.
func (d *DB) Close() error {
	if d.reader != nil {
		return errors.Join(d.reader.Close(), d.db.Close())
	}
	return d.db.Close()
}

// Backup writes a copy of the catalog as it is now to a new file. After restoring one, run
// `earshot audit recover`: the published log is ahead of it.
func (d *DB) Backup(ctx context.Context, path string) error {
	if d.dialect.server {
		return errors.New("backing up the catalog: it is in PostgreSQL: use pg_dump or its base backups")
	}
	_, err := d.db.ExecContext(ctx, "vacuum into $1", path)
	return wrap("backing up the catalog", err)
}

// Ping asks whether the database answers.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	return d.db.QueryRowContext(ctx, "select 1").Scan(&one)
}

// Exclusive takes the named lock for this process, or fails with [ErrBusy]. The lock ends with
// release or with the process, however it ends; with PostgreSQL also with the connection, so that
// it saves work and must not be all that keeps work from being done twice.
func (d *DB) Exclusive(name string) (release func(), err error) {
	if d.dialect.server {
		return d.advisory(name)
	}
	f, err := os.OpenFile(d.path+"."+name+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", name, ErrBusy)
		}
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}

// tx runs f in one transaction, again where the database gave it up to end a deadlock: f must
// begin by forgetting what an earlier try left behind.
func (d *DB) tx(ctx context.Context, f func(*sql.Tx) error) error {
	for try := 1; ; try++ {
		err := d.txOnce(ctx, f)
		if err == nil || try == txTries || !givenUp(err) {
			return err
		}
	}
}

// txTries bounds how often a transaction is begun afresh.
const txTries = 10

func (d *DB) txOnce(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// lazily is tx without waiting for the disk: what is written lasts when the next transaction of the other
// kind does, for they are written in order.
func (d *DB) lazily(ctx context.Context, f func(*sql.Tx) error) error {
	if d.dialect.server {
		return d.tx(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "set local synchronous_commit = off"); err != nil {
				return err
			}
			return f(tx)
		})
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// It may hold though it failed, where ctx ends meanwhile: it is taken back in any case.
	_, err = conn.ExecContext(ctx, "pragma synchronous = normal")
	var tx *sql.Tx
	if err == nil {
		tx, err = conn.BeginTx(ctx, nil)
	}
	if err == nil {
		if err = f(tx); err == nil {
			err = tx.Commit()
		} else {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}
	_, back := conn.ExecContext(context.WithoutCancel(ctx), "pragma synchronous = full")
	if back != nil { // a connection that does not wait for the disk must not be used for anything else
		back = errors.Join(back, conn.Raw(func(any) error { return driver.ErrBadConn }))
	}
	return errors.Join(err, back)
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// micros is a time as the catalog has it; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func toJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own value types always marshal
	}
	return string(text)
}
