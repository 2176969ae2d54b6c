package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
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
	Path string // of the SQLite file
	// Wrap, if not nil, lays something round the database's connector. Tests inject faults with it.
	Wrap func(driver.Connector) driver.Connector
}

// DB is an open catalog. It is safe for concurrent use; one connection serves all, so that there
// is one writer and nothing is ever busy within the process.
type DB struct {
	db   *sql.DB
	path string
}

// Create makes a new catalog. It fails with fs.ErrExist where there is a file already.
func Create(ctx context.Context, o Options) (*DB, error) {
	f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating the catalog: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("creating the catalog: %w", err)
	}
	return Open(ctx, o)
}

// Open opens a catalog that exists and brings its schema up to date. A missing file is an error:
// an empty catalog must never take the place of one that was mistyped.
func Open(ctx context.Context, o Options) (*DB, error) {
	if _, err := os.Stat(o.Path); err != nil {
		return nil, fmt.Errorf("opening the catalog: %w (earshot init makes one)", err)
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("opening the catalog: %w", err)
	}
	pragmas := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-32000)"},
		"_txlock": {"immediate"},
	}
	var connector driver.Connector = dsn("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + pragmas.Encode())
	if o.Wrap != nil {
		connector = o.Wrap(connector)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, steps, goose.WithVerbose(false))
	if err == nil {
		_, err = provider.Up(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the catalog %s: %w", filepath.Base(path), err), db.Close())
	}
	return &DB{db: db, path: path}, nil
}

// dsn is a connector for the SQLite driver.
type dsn string

func (d dsn) Connect(context.Context) (driver.Conn, error) { return d.Driver().Open(string(d)) }
func (d dsn) Driver() driver.Driver                        { return &sqlite.Driver{} }

// Close closes the catalog.
func (d *DB) Close() error { return d.db.Close() }

// Backup writes a copy of the catalog as it is now to a new file. After restoring one, run
// `earshot audit recover`: the published log is ahead of it.
func (d *DB) Backup(ctx context.Context, path string) error {
	_, err := d.db.ExecContext(ctx, "vacuum into $1", path)
	return wrap("backing up the catalog", err)
}

// Ping asks whether the database answers.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	return d.db.QueryRowContext(ctx, "select 1").Scan(&one)
}

// Exclusive takes the named lock for this process, or fails with [ErrBusy]. The lock ends with
// release or with the process, however it ends.
func (d *DB) Exclusive(name string) (release func(), err error) {
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

// tx runs f in one transaction.
func (d *DB) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
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
