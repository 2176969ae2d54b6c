package retention_test

import (
	"context"
	"database/sql/driver"
)

// turns is a connector whose connections write one after the other: whoever would find SQLite busy waits
// for its turn instead, since SQLite waits in real time, and the simulation has none.
type turns struct {
	driver.Connector
	turn chan struct{} // holds one while somebody writes
}

func (t *turns) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := t.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &turnConn{Conn: c, turn: t.turn}, nil
}

type turnConn struct {
	driver.Conn
	turn chan struct{}
	ours bool // a transaction of this connection has the turn
}

func (c *turnConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.turn <- struct{}{}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		<-c.turn
		return nil, err
	}
	c.ours = true
	return &turnTx{tx, c}, nil
}

func (c *turnConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !c.ours {
		c.turn <- struct{}{}
		defer func() { <-c.turn }()
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *turnConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

type turnTx struct {
	driver.Tx
	conn *turnConn
}

func (t *turnTx) Commit() error {
	defer t.done()
	err := t.Tx.Commit()
	if err != nil {
		_ = t.Tx.Rollback() // what was lost is not left open: database/sql takes the connection for free
	}
	return err
}

func (t *turnTx) Rollback() error {
	defer t.done()
	return t.Tx.Rollback()
}

func (t *turnTx) done() {
	if t.conn.ours {
		t.conn.ours = false
		<-t.conn.turn
	}
}
