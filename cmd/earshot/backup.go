package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"earshot/storage/catalog"

	"github.com/spf13/cobra"
)

// backedUp is a copy of the catalog.
type backedUp struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

func newBackup(a *app) *cobra.Command {
	return command("backup FILE", "Write a copy of the catalog, also while earshot works on it",
		`FILE must not be there; who copies the catalog's file itself instead copies it half. It is for an SQLite catalog: for one in
PostgreSQL use pg_dump or base backups. Keep the folder of keys apart from it. Data subjects' keys (subject_keys) are
not in it: a key that was destroyed must not come back. After a restore call earshot audit recover.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			done, err := backUp(cmd.Context(), c.Catalog, args[0])
			if err != nil {
				return err
			}
			return a.emit(done, func(w io.Writer) { fmt.Fprintf(w, "%s: the catalog, %s\n", done.File, bytesText(done.Bytes)) })
		})
}

// backUp needs no store and no keys, so that it can be done by who may read the catalog alone.
func backUp(ctx context.Context, from, to string) (done backedUp, err error) {
	db, err := catalog.Open(ctx, catalog.Options{Path: from})
	if err != nil {
		return done, err
	}
	defer db.Close()
	// The database would make the file readable by others; into an empty one it writes.
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return done, fmt.Errorf("backing up the catalog: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(to)) // half a copy is none
		}
	}()
	if err := db.Backup(ctx, to); err != nil {
		return done, err
	}
	info, err := os.Stat(to)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return done, fmt.Errorf("backing up the catalog: %w", err)
	}
	return backedUp{File: to, Bytes: info.Size()}, nil
}
