package catalog

import "io/fs"

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
	DueOfDigest = dueQueryOfDigest
	DueSweep    = dueQuerySweep
)

// TallyQuery counts what was decided.
const TallyQuery = tallyQuery
