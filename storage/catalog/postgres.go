package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// maxConns bounds the connections of one process: they are dear in PostgreSQL, and a worker does
// not gain from more.
const maxConns = 12

func isPostgres(path string) bool {
	return strings.HasPrefix(path, "postgres://") || strings.HasPrefix(path, "postgresql://")
}

// errURL stands for the cause, which would repeat the password.
var errURL = errors.New("the PostgreSQL URL cannot be read: postgres://USER@HOST/DATABASE is its form")

// openPostgres opens the catalog in a PostgreSQL database, or makes it there.
func openPostgres(ctx context.Context, o Options, create bool) (*DB, error) {
	cfg, err := pgx.ParseConfig(o.Path)
	if err != nil {
		return nil, fmt.Errorf("opening the catalog: %w", errURL)
	}
	connector := stdlib.GetConnector(*cfg)
	if o.Wrap != nil {
		connector = o.Wrap(connector)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	d := &DB{db: db, dialect: postgresDialect()}
	if err := d.begin(ctx, create); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the catalog in PostgreSQL database %q: %w", cfg.Database, err), db.Close())
	}
	return d, nil
}

func (d *DB) begin(ctx context.Context, create bool) error {
	var there bool
	// The first schema on the search path, as create table would take it.
	err := d.db.QueryRowContext(ctx, "select exists (select 1 from pg_catalog.pg_class where relname = 'log_state' and relnamespace = current_schema()::regnamespace)").Scan(&there)
	switch {
	case err != nil:
		return err
	case create && there:
		return fmt.Errorf("there is one already: %w", fs.ErrExist)
	case !create && !there:
		return fmt.Errorf("%w (earshot init makes one)", fs.ErrNotExist)
	}
	return d.migrate(ctx)
}

// givenUp reports whether the database gave a transaction up so that others could go on.
func givenUp(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") // serialization failure, deadlock
}

// advisory takes a lock that belongs to a connection of its own.
func (d *DB) advisory(name string) (release func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	var ok bool
	// The schema's name is in it: several catalogs may share a database.
	const key = "hashtextextended('earshot ' || current_schema() || ' ' || $1, 0)"
	if err := conn.QueryRowContext(ctx, "select pg_try_advisory_lock("+key+")", name).Scan(&ok); err != nil || !ok {
		if err == nil {
			err = ErrBusy
		}
		return nil, errors.Join(fmt.Errorf("locking %s: %w", name, err), conn.Close())
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := conn.ExecContext(ctx, "select pg_advisory_unlock("+key+")", name); err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the lock goes with the connection
		}
		_ = conn.Close()
	}, nil
}

// Shared reports whether processes on several machines may work on this catalog at once.
func (d *DB) Shared() bool { return d.dialect.shared }
