package catalog

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
)

// In short-lived processes a third of what SQLite costs was parsing the same statements again. A connection
// keeps those that it has met; with a server pgx does so.

// statementsMost bounds how many statements a connection keeps: there are about as many texts in this package.
const statementsMost = 200

// engine is what a connection to SQLite can do.
type engine interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keeping is a connection that keeps its statements. As any, it serves one goroutine at a time.
type keeping struct {
	engine
	kept map[string]*statement
	turn int64 // counts uses
}

// statement is one that was parsed.
type statement struct {
	driver.Stmt
	busy bool  // its rows are being read
	used int64 // the turn of its last use
}

// keepable: a pragma may act while it is parsed, and what makes tables is run once.
func keepable(query string) bool {
	verb, _, _ := strings.Cut(query, " ")
	switch verb {
	case "select", "insert", "update", "delete", "with":
		return true
	}
	return false
}

// take gives the statement of a query that nobody else uses; nil for one that is not kept.
func (k *keeping) take(ctx context.Context, query string) (*statement, error) {
	if !keepable(query) {
		return nil, nil
	}
	k.turn++
	if s := k.kept[query]; s != nil {
		if s.busy {
			return nil, nil
		}
		s.used = k.turn
		return s, nil
	}
	if len(k.kept) >= statementsMost {
		k.dropOldest()
	}
	inner, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &statement{Stmt: inner, used: k.turn}
	k.kept[query] = s
	return s, nil
}

func (k *keeping) dropOldest() {
	oldest := ""
	for query, s := range k.kept {
		if !s.busy && (oldest == "" || s.used < k.kept[oldest].used) {
			oldest = query
		}
	}
	_ = k.drop(oldest)
}

// drop forgets a statement: also one that failed, whatever state that left it in.
func (k *keeping) drop(query string) error {
	s := k.kept[query]
	if s == nil {
		return nil
	}
	delete(k.kept, query)
	return s.Close()
}

// ExecContext implements driver.ExecerContext.
func (k *keeping) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := k.take(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.engine.ExecContext(ctx, query, args)
	}
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, ignoreRepeated(err, k.drop(query)))
	}
	return result, nil
}

// QueryContext implements driver.QueryerContext.
func (k *keeping) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.take(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.engine.QueryContext(ctx, query, args)
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, ignoreRepeated(err, k.drop(query)))
	}
	s.busy = true
	return &keptRows{rows, func(err error) error {
		s.busy = false
		if err != nil {
			return errors.Join(err, ignoreRepeated(err, k.drop(query)))
		}
		return nil
	}}, nil
}

// ignoreRepeated: SQLite tells of a statement's failure again when the statement ends.
func ignoreRepeated(before, again error) error {
	if again != nil && before.Error() == again.Error() {
		return nil
	}
	return again
}

// Close implements driver.Conn: SQLite waits with closing for all statements to end.
func (k *keeping) Close() error {
	var errs []error
	for query := range k.kept {
		errs = append(errs, k.drop(query))
	}
	return errors.Join(append(errs, k.engine.Close())...)
}

// keptRows tells when they were read.
type keptRows struct {
	driver.Rows
	read func(error) error
}

func (r *keptRows) Close() error { return r.read(r.Rows.Close()) }
