package catalog

import (
	"context"
	"io/fs"
)

// Migrations gives the steps of SQLite's schema.
func Migrations() fs.FS {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err)
	}
	return steps
}

// The statements that read what is due.
const (
	DueOfDigest = "select " + rowColumns + dueOfDigest
	DueSweep    = "select " + rowColumns + dueSweep
)

// VoicesBefore reads what comes before a recording in its session.
const VoicesBefore = "select " + voiceColumns + sideBefore

// ReserveQuery gives out planned actions.
const ReserveQuery = reserveHead + reserveTail

// Synchronous is how the connection waits for the disk.
func (d *DB) Synchronous(ctx context.Context) (n int, err error) {
	err = d.db.QueryRowContext(ctx, "pragma synchronous").Scan(&n)
	return n, err
}

// ForeseeAgain writes as many decisions as one statement does.
func (d *DB) ForeseeAgain() string { return d.foreseeQuery(foresights) }

// Foresights is how many that are.
const Foresights = foresights

// Moves are the statements that claim and settle actions, and of how many each.
func (d *DB) Moves() (claim, settle string, n int) {
	return move(claiming).query(d.dialect, movesAtOnce), move(settling).query(d.dialect, movesAtOnce), movesAtOnce
}
