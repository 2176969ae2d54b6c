package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/storage/catalog"

	"github.com/spf13/cobra"
)

func newAuditRecover(a *app) *cobra.Command {
	var reviewed, bucketLost bool
	c := command("recover", "Bring the catalog up to the published log after the restore of a backup",
		`When the catalog was restored from a backup the log in the bucket is ahead of it, and everything halts: what the
world was shown must not be contradicted. Call this after every restore, also where nothing halts: it shuts out
processes that still write to the old catalog. It verifies the whole log, with its witnesses, takes over what the catalog
lacks, closes the intents of runs that nobody knows any more, and says so in an entry. Scan afterwards.

The log says that holds were placed and requests filed; it does not say on what, or whose. Where the catalog has lost
any since the backup nothing is destroyed until they have been placed or filed again (of the same matter, for the same
person), or until --reviewed says that a person has seen to it: changes to data subjects and what was lifted or closed
count too. Keys of data subjects that were destroyed, and that the restore brought back, are destroyed again.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if reviewed {
				return a.review(cmd.Context())
			}
			return a.recover(cmd.Context(), bucketLost)
		})
	c.Flags().BoolVar(&reviewed, "reviewed", false, "say that you have seen to what a restore lost of holds, requests and data subjects")
	c.Flags().BoolVar(&bucketLost, "bucket-lost", false, "go on with a bucket that lacks entries which had been public: the log will say so for ever")
	return c
}

func (a *app) recover(ctx context.Context, bucketLost bool) error {
	i, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	o, err := a.openKeys(ctx, i)
	if err != nil {
		return err
	}
	if _, err := audit.Open(ctx, o); err != nil && !errors.Is(err, audit.ErrHalted) && !errors.Is(err, audit.ErrUnverified) {
		return err
	}
	got, err := audit.Recover(ctx, o, i.db.Head(), audit.RecoverOptions{
		Known: func(ctx context.Context, run string) (bool, error) {
			_, err := i.db.Run(ctx, earshot.RunID(run))
			if errors.Is(err, catalog.ErrNotFound) {
				return false, nil
			}
			return err == nil, err
		},
		Compare:  retention.Restored(i.db, i.subjects, i.keys.Tagger, time.Now()),
		Progress: a.counting("verify"), BucketLost: bucketLost,
	})
	if err != nil {
		return err
	}
	return a.emit(got, func(w io.Writer) {
		fmt.Fprintf(w, "recovered from the log of %d entries: %d taken over, %d numbered anew, %d lost intents closed\n",
			got.Size, got.Adopted, got.Renumbered, got.Answered)
		if got.KeysDestroyed > 0 {
			fmt.Fprintf(w, "%d keys of data subjects had come back with the backup, and are destroyed again\n", got.KeysDestroyed)
		}
		if got.SaidLost > 0 {
			fmt.Fprintf(w, "LOST: %d hold(s), and %d things that people had said in all. Nothing will be destroyed until they are\n", got.HoldsLost, got.SaidLost)
			fmt.Fprintln(w, "placed and filed again, or until you say that you have seen to it: earshot audit recover --reviewed")
		}
		fmt.Fprintln(w, "next: earshot scan")
	})
}

func (a *app) review(ctx context.Context) error {
	i, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	n, err := i.runner.Review(ctx)
	if err != nil {
		return err
	}
	return a.emit(map[string]int{"reviewed": n}, func(w io.Writer) {
		fmt.Fprintf(w, "%d things that a restore had lost are reviewed\n", n)
	})
}
