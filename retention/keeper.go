package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"earshot"
)

// ErrElsewhere means: the last inventory of a bucket lies on another machine of the installation, which is the one to
// compare it. Nothing is known to be lost.
var ErrElsewhere = errors.New("the last inventory lies on another machine")

// keeper is who has the last inventory of a bucket, where several machines share a catalog: the lines lie in a folder
// of one of them.
type keeper struct {
	Where   string    `json:"where"`
	Root    string    `json:"root"`
	TakenAt time.Time `json:"taken_at"`
	LogSize int64     `json:"log_size"` // as in [Inventory]
}

func keeperMark(bucket string) string { return "inventory of " + bucket }

// Keeping names a folder of inventories among those of all machines.
func Keeping(dir string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("asking for the machine's name: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("the folder of inventories: %w", err)
	}
	return host + ":" + dir, nil
}

func (r *Runner) keeper(ctx context.Context, bucket string) (k keeper, err error) {
	text, err := r.o.Catalog.Mark(ctx, keeperMark(bucket))
	if err != nil || text == "" {
		return k, err
	}
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return k, fmt.Errorf("reading who has the inventory of bucket %q: %w", bucket, err)
	}
	return k, nil
}

func (r *Runner) setKeeper(ctx context.Context, bucket string, k keeper) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return r.o.Catalog.SetMark(ctx, keeperMark(bucket), string(text))
}

// mayCompare is [ErrElsewhere] where another machine has the bucket's last inventory, and this one no copy of it.
// since is when that was taken.
func (r *Runner) mayCompare(ctx context.Context, bucket, dir string) (since time.Time, err error) {
	k, err := r.keeper(ctx, bucket)
	if err != nil || k.Where == "" {
		return since, err
	}
	if here, err := Keeping(dir); err != nil || here == k.Where {
		return since, err
	}
	_, lines := inventoryPath(dir, bucket)
	if root, err := r.rootOf(bucket, lines); err == nil && root == k.Root {
		return since, nil
	}
	return k.TakenAt, fmt.Errorf("bucket %q: %w: %s has it since %s; reconcile there, or, if that is no more, here with earshot audit reconcile --take-over", bucket, ErrElsewhere, k.Where, k.TakenAt.UTC().Format(time.DateTime))
}

// TakeOver makes a folder here the one that the bucket's inventories lie in, as when the machine that had them is no
// more: the next reconcile finds the last one lost, says so in the log, and begins anew.
func (r *Runner) TakeOver(ctx context.Context, bucket, dir string) error {
	k, err := r.keeper(ctx, bucket)
	if err != nil || k.Where == "" {
		return err
	}
	if k.Where, err = Keeping(dir); err != nil {
		return err
	}
	return r.setKeeper(ctx, bucket, k)
}

// kept notes that a new inventory lies here.
func (r *Runner) kept(ctx context.Context, inv Inventory, dir string) error {
	if !r.o.Catalog.Shared() {
		return nil
	}
	where, err := Keeping(dir)
	if err != nil {
		return err
	}
	return r.setKeeper(ctx, inv.Bucket, keeper{Where: where, Root: inv.Root, TakenAt: inv.TakenAt, LogSize: inv.LogSize})
}

// renewFor takes a bucket's inventory anew, while what was done about a person can still be explained. Where another
// machine has it, that must have taken it since.
func (r *Runner) renewFor(ctx context.Context, bucket string, subject earshot.SubjectID) error {
	_, elsewhere := r.Reconcile(ctx, bucket, r.o.Inventory)
	if errors.Is(elsewhere, ErrVanished) { // it has been written down
		return nil
	}
	if !errors.Is(elsewhere, ErrElsewhere) {
		return elsewhere
	}
	k, err := r.keeper(ctx, bucket)
	if err != nil {
		return err
	}
	for a, err := range r.o.Catalog.Acted(ctx, k.LogSize) {
		if err != nil {
			return err
		}
		if a.Recording.Subject == subject && a.Recording.ID.Bucket == bucket {
			return fmt.Errorf("what went of the person has gone since the last inventory: %w", elsewhere)
		}
	}
	return nil
}
