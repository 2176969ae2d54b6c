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

// DueQueries gives the statements that read what is due.
func DueQueries() []string {
	var out []string
	for part := range dueParts {
		out = append(out, dueQuery(part))
	}
	return out
}

// TallyQuery counts what was decided.
const TallyQuery = tallyQuery
