package fault

import (
	"context"
	"database/sql/driver"
	"errors"
)

// Connector breaks statements of the database behind it.
func Connector(next driver.Connector, s *Script) driver.Connector { return &connector{next, s} }

type connector struct {
	next   driver.Connector
	script *Script
}

func (c *connector) Driver() driver.Driver { return c.next.Driver() }

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.script.Crashed() {
		return nil, ErrCrashed
	}
	inner, err := c.next.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{inner, c.script}, nil
}

// conn passes on what database/sql asks of a connection; reads are not numbered, since losing one
// changes nothing, but fail once the process is dead.
type conn struct {
	driver.Conn
	script *Script
}

func (c *conn) dead() error {
	if c.script.Crashed() {
		return ErrCrashed
	}
	return nil
}

// write runs a write as the script says.
func (c *conn) write(name string, run func() error) error {
	v, lost := c.script.next(name)
	switch v {
	case Pass:
		return run()
	case Land:
		return errors.Join(lost, run())
	default:
		return lost
	}
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	if err := c.dead(); err != nil {
		return nil, err
	}
	return c.Conn.Prepare(query)
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := c.dead(); err != nil {
		return nil, err
	}
	inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &tx{inner, c}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.write("SQL "+head(query), func() (err error) {
		res, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.dead(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

type tx struct {
	driver.Tx
	conn *conn
}

func (t *tx) Commit() error {
	err := t.conn.write("SQL commit", t.Tx.Commit)
	if errors.Is(err, ErrCrashed) {
		// What was not committed goes with the process.
		_ = t.Tx.Rollback()
	}
	return err
}

func head(query string) string {
	if len(query) > 48 {
		return query[:48]
	}
	return query
}
