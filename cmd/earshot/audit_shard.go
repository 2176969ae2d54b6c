package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"earshot/audit"
	"earshot/retention"
	"earshot/storage/catalog"

	"github.com/spf13/cobra"
)

func newAuditNewShard(a *app) *cobra.Command {
	var next catalog.Shard
	var prepare bool
	c := command("new-shard", "Close the log's tree and begin the next, as once a year",
		`The last entry of the tree names the next one and its key; the first entry of that holds the last checkpoint. A
closed shard can be kept, moved or, at the end of the log's own retention period, deleted as a whole. The store is
reconciled with the log before. Tell those who verify the new public key, which is printed, and which the closed shard
vouches for. Witnesses must know it before: --prepare makes and prints it, and closes nothing. Start serve again after.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if next.Origin == "" {
				return fmt.Errorf("%w: --origin is mandatory: the name of the next shard, such as example.org/earshot/2027", errUsage)
			}
			if next.Prefix == "" {
				next.Prefix = next.Origin[strings.LastIndex(next.Origin, "/")+1:] + "/"
			}
			if !strings.HasSuffix(next.Prefix, "/") {
				next.Prefix += "/"
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			if prepare {
				vkey, err := audit.CreateShardKeys(i.shardKeys(i.shard.N+1), next.Origin)
				if err != nil {
					return err
				}
				return a.emit(map[string]string{"vkey": vkey}, func(w io.Writer) { fmt.Fprintln(w, vkey) })
			}
			vkey, old, err := a.newShard(cmd.Context(), i, next)
			if err != nil {
				return err
			}
			return a.emit(map[string]any{"vkey": vkey, "closed": old}, func(w io.Writer) {
				fmt.Fprintf(w, "closed %s with %d entries\n%s\n", old.Origin, old.Size, vkey)
			})
		})
	c.Flags().StringVar(&next.Origin, "origin", "", "name of the next shard; mandatory")
	c.Flags().BoolVar(&prepare, "prepare", false, "only make and print the next shard's key, for the witnesses")
	c.Flags().StringVar(&next.Prefix, "prefix", "", "where it lies in the log's bucket (default: the last part of its name)")
	return c
}

// newShard closes the current shard and opens the next. Cut off anywhere it can be called again.
func (a *app) newShard(ctx context.Context, i *installation, next catalog.Shard) (vkey string, old catalog.Shard, err error) {
	release, err := i.db.Exclusive("apply") // no intent may be open across the border
	if err != nil {
		return "", old, err
	}
	defer release()
	open, err := i.db.Unfinished(ctx, 1)
	if err != nil {
		return "", old, err
	}
	if len(open) > 0 {
		return "", old, fmt.Errorf("%w: run %s has actions whose end is not known: run earshot apply %s first", errPartly, open[0].Run, open[0].Run)
	}
	closed, err := i.db.Closed(ctx)
	if err != nil {
		return "", old, err
	}
	for _, s := range append(closed, catalog.Shard{Origin: i.keys.Signer.Name(), Prefix: i.prefix()}) {
		if s.Origin == next.Origin || s.Prefix == next.Prefix {
			return "", old, fmt.Errorf("%w: the log %q at %q exists already", errUsage, s.Origin, s.Prefix)
		}
	}
	closing := audit.Entry{ID: audit.EntryID(string(audit.KindClosing), next.Origin), Kind: audit.KindClosing, TS: time.Now().UnixMicro()}
	if _, said, err := i.db.Head().Index(ctx, closing.ID); err != nil {
		return "", old, err
	} else if said { // a catalog from before was restored, or we died in the middle
		return a.roll(ctx, i, next)
	}
	if err := i.prepared(); err != nil {
		return "", old, err
	}
	if err := a.inventories(ctx, i); err != nil {
		return "", old, err
	}
	if vkey, err = audit.CreateShardKeys(i.shardKeys(i.shard.N+1), next.Origin); err != nil {
		return "", old, err
	}
	closing.Shard = &audit.ShardNote{Next: next.Origin, NextVKey: vkey}
	if err := i.say(ctx, closing); err != nil && !errors.Is(err, audit.ErrClosed) {
		return "", old, err
	}
	return a.roll(ctx, i, next)
}

// prepared refuses to close a strict log's tree while no witness can know the key of the next: that one
// could not begin, and nothing would work until they do.
func (i *installation) prepared() error {
	if !i.cfg.Log.Strict || len(i.trust.Witnesses()) == 0 {
		return nil
	}
	_, err := os.Stat(i.shardKeys(i.shard.N + 1))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: the log is strict, and its witnesses must know the next shard's key first: call this with --prepare, give them what it prints (their --log), and call it again", errUsage)
	}
	return err
}

// roll begins the next shard when the current one's last entry is out.
func (a *app) roll(ctx context.Context, i *installation, next catalog.Shard) (vkey string, old catalog.Shard, err error) {
	if vkey, err = audit.CreateShardKeys(i.shardKeys(i.shard.N+1), next.Origin); err != nil {
		return "", old, err
	}
	c, signed, err := i.log.Checkpoint(ctx)
	if err != nil {
		return "", old, err
	}
	old = catalog.Shard{N: i.shard.N, Base: i.shard.Base, Size: c.Size, Origin: c.Origin, Prefix: i.prefix(), Checkpoint: signed}
	genesis, err := audit.Entry{
		ID: audit.EntryID(string(audit.KindGenesis), next.Origin), Kind: audit.KindGenesis, TS: time.Now().UnixMicro(),
		Shard: &audit.ShardNote{Previous: c.Origin, VKey: i.keys.VKey, Prefix: old.Prefix, Size: c.Size, Root: hex.EncodeToString(c.Root[:])},
	}.Leaf()
	if err != nil {
		return "", old, err
	}
	if err := i.db.Roll(ctx, old, next, genesis, time.Now()); err != nil {
		return "", old, err
	}
	fresh, err := a.open(ctx) // which creates the new tree
	if errors.Is(err, audit.ErrUncosigned) {
		return "", old, fmt.Errorf("the tree is closed, and the next begins as soon as its witnesses know its key %s: %w", vkey, err)
	}
	if err != nil {
		return "", old, err
	}
	defer fresh.close()
	if _, err = fresh.log.Publish(ctx); err != nil {
		return vkey, old, err
	}
	return vkey, old, a.inventories(ctx, fresh) // each tree has one of its own, which the next look is compared with
}

// inventories reconciles every bucket of the policies. What is found amiss is said, and does not stop.
func (a *app) inventories(ctx context.Context, i *installation) error {
	for _, bucket := range i.runner.Buckets() {
		if _, err := i.runner.Reconcile(ctx, bucket, i.cfg.Inventory); errors.Is(err, retention.ErrVanished) || errors.Is(err, retention.ErrElsewhere) {
			a.say("earshot: %s", oneLine(err))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// say writes an entry and publishes it.
func (i *installation) say(ctx context.Context, e audit.Entry) error {
	leaf, err := e.Leaf()
	if err != nil {
		return err
	}
	if err := i.db.Say(ctx, leaf); err != nil {
		return err
	}
	_, err = i.log.Publish(ctx)
	return err
}

// locate finds out from the catalog which shard is the current one. Without a catalog it is the one
// of the configuration.
func (i *installation) locate(ctx context.Context) error {
	db, err := catalog.Open(ctx, catalog.Options{Path: i.cfg.Catalog})
	if err != nil {
		return nil //nolint:nilerr // verifying takes the bucket alone
	}
	defer db.Close()
	i.shard, err = db.Shard(ctx)
	return err
}

// at gives the installation as it was when the entry with that index, counted over all shards, was
// written: the shard that holds it, whom to believe there, and the entry's index in it.
func (i *installation) at(ctx context.Context, index int64) (*installation, *audit.Trust, int64, error) {
	closed, err := i.db.Closed(ctx)
	if err != nil {
		return nil, nil, 0, err
	}
	then := *i
	for _, s := range closed {
		if index >= s.Base && index < s.Base+s.Size {
			then.shard = s
			if s.N == 0 {
				then.shard = catalog.Shard{}
			}
			keys, err := audit.OpenShardKeys(i.cfg.Keys, then.keyDir())
			if err != nil {
				return nil, nil, 0, err
			}
			then.keys = keys
			trust, err := i.cfg.trust(keys.Verifiers...)
			return &then, trust, index - s.Base, err
		}
	}
	return &then, i.trust, index - i.shard.Base, nil
}
