package catalog

import (
	"context"
	"database/sql"
)

// execer is a transaction, or one that prepares.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// preparing is a transaction that parses each statement once, for those that run the same ones for
// hundreds of rows: half of SQLite's time would go into parsing otherwise. Statements end with it.
type preparing struct {
	tx    *sql.Tx
	stmts map[string]*sql.Stmt
}

func prepare(tx *sql.Tx) preparing { return preparing{tx, map[string]*sql.Stmt{}} }

// ExecContext implements execer.
func (p preparing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s := p.stmts[query]
	if s == nil {
		var err error
		if s, err = p.tx.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		p.stmts[query] = s
	}
	return s.ExecContext(ctx, args...)
}
