package retention

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"earshot"
	"earshot/audit"
)

// Reconciled is what a comparison of two inventories of a bucket showed.
type Reconciled struct {
	Inventory Inventory `json:"inventory"`
	// First: there was no inventory before, so that nothing can be said yet.
	First     bool  `json:"first,omitempty"`
	Appeared  int64 `json:"appeared"`
	Explained int64 `json:"explained"` // gone, and the published log says why
	Vanished  int64 `json:"vanished"`  // gone, and nothing says why
	// Changed counts new versions over objects that were there before, Hidden delete markers over them,
	// of which nothing in the log speaks. Event logs are written to all the time, and do not count.
	Changed int64 `json:"changed"`
	Hidden  int64 `json:"hidden"`
	// Lost: the log names an inventory of this bucket, and its list is not here, or was changed.
	Lost bool `json:"lost,omitempty"`
	// Missing names some of those that vanished, were changed or hidden.
	Missing []Missing `json:"missing,omitempty"`
}

// Faults counts what nothing in the log speaks of.
func (r Reconciled) Faults() int64 { return r.Vanished + r.Changed + r.Hidden }

// Missing is one version that is gone without an entry, or that lies over one that was there.
type Missing struct {
	What     string `json:"what"` // vanished, changed or hidden
	Key      string `json:"key"`
	Version  string `json:"version,omitempty"`
	Size     int64  `json:"size"`
	Replaced bool   `json:"replaced,omitempty"` // there is another object of that key now
}

// maxMissing bounds how many are named; all are counted.
const maxMissing = 1000

// ErrVanished means: objects are gone or changed, and no entry of the log says why.
var ErrVanished = errors.New("objects have vanished or changed without an entry in the log")

// Reconcile compares what a bucket holds with what it held at the last reconcile and with what the
// published log says was done since. What vanished without an entry is named, and that is itself an
// entry. A log proves that nothing was taken out of it; only this shows what never got into it.
//
// dir keeps the bucket's last inventory. It names keys, so that it belongs with the catalog. Where several machines
// share that, one of them has the inventories: for the others it is [ErrElsewhere], with when the last was taken.
func (r *Runner) Reconcile(ctx context.Context, bucket, dir string) (Reconciled, error) {
	if !r.o.Catalog.Shared() {
		return r.reconcile(ctx, bucket, dir)
	}
	// Before the lock too: all machines begin at the same minute, and those that only look must not keep the
	// one that has the inventory from its turn.
	elsewhere := func() (Reconciled, error) {
		since, err := r.mayCompare(ctx, bucket, dir)
		return Reconciled{Inventory: Inventory{Bucket: bucket, TakenAt: since}}, err
	}
	if out, err := elsewhere(); err != nil {
		return out, err
	}
	release, err := r.o.Catalog.Exclusive("reconcile " + bucket)
	if err != nil {
		return Reconciled{}, err
	}
	defer release()
	if out, err := elsewhere(); err != nil {
		return out, err
	}
	return r.reconcile(ctx, bucket, dir)
}

func (r *Runner) reconcile(ctx context.Context, bucket, dir string) (Reconciled, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Reconciled{}, fmt.Errorf("making the folder of inventories: %w", err)
	}
	last, had, err := LastInventory(dir, bucket)
	if err != nil {
		return Reconciled{}, err
	}
	head, lines := inventoryPath(dir, bucket)
	fresh, before := lines+".new", lines+".before"
	// A crash may have come between the entry of an inventory and its place here.
	if err := os.Rename(fresh, before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Reconciled{}, fmt.Errorf("keeping the inventory: %w", err)
	}
	inv, err := r.takeInventory(ctx, bucket, fresh)
	if err != nil {
		return Reconciled{}, err
	}
	out := Reconciled{Inventory: inv}
	// The log is read after the listing: what was gone by then has been announced.
	said, err := r.announced(ctx, bucket, last.LogSize)
	if err != nil {
		return out, err
	}
	last.Bucket = bucket
	if said.root != "" {
		last.Root, last.Entry = said.root, said.entry // the log's word, not the file's
	}
	old := ""
	for _, path := range []string{lines, before} {
		if root, err := r.rootOf(bucket, path); err == nil && root == last.Root {
			old = path
			break
		}
	}
	out.First = old == "" && said.root == "" && !had
	out.Lost = old == "" && !out.First
	if err := r.compare(ctx, &out, last, said, old, fresh); err != nil {
		return out, err
	}
	if out.Inventory.Entry, err = r.sayReconciled(ctx, out, last); err != nil {
		return out, err
	}
	text, err := json.MarshalIndent(out.Inventory, "", "  ")
	if err != nil {
		return out, err
	}
	if err := errors.Join(os.Rename(fresh, lines), replaceWhole(head, append(text, '\n')), r.kept(ctx, out.Inventory, dir)); err != nil {
		return out, fmt.Errorf("keeping the inventory: %w", err)
	}
	_ = os.Remove(before) // it is of no use any more, and does no harm
	switch {
	case out.Lost:
		err = fmt.Errorf("%w: what bucket %q held at its last inventory cannot be told: the list that lies in the folder of inventories is not the one that the log names", ErrVanished, bucket)
	case out.Faults() > 0:
		err = fmt.Errorf("%w: %d vanished, %d changed, %d hidden in bucket %q since %s", ErrVanished, out.Vanished, out.Changed, out.Hidden, bucket, last.TakenAt.Format(time.DateTime))
	}
	return out, err
}

// replaceWhole writes a file so that a crash leaves the old one or the new one.
func replaceWhole(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".inventory-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// rootOf computes the root of an inventory file's lines.
func (r *Runner) rootOf(bucket, path string) (string, error) {
	tree := audit.Accumulator{}
	for h, err := range heldLines(path) {
		if err != nil {
			return "", err
		}
		tree.Add([]byte(r.o.Tagger.Tag("version", bucket, h.line())))
	}
	root := tree.Root()
	return hex.EncodeToString(root[:]), nil
}

// objectName is short, since there may be millions.
func objectName(bucket, key string) string {
	d := earshot.DigestOf([]byte(bucket + "/" + key))
	return string(d[:16])
}

// sayReconciled writes the entries of an inventory and of its comparison, and publishes them.
func (r *Runner) sayReconciled(ctx context.Context, out Reconciled, last Inventory) (entry string, err error) {
	when := strconv.FormatInt(out.Inventory.TakenAt.UnixMicro(), 10)
	e := r.entry(audit.KindInventory, out.Inventory.Root, when)
	e.Inventory = &audit.Inventory{
		Scope: r.o.Tagger.Tag("bucket", e.ID, out.Inventory.Bucket), Root: out.Inventory.Root,
		Versions: out.Inventory.Versions, Bytes: out.Inventory.Bytes, Previous: last.Root, PreviousID: last.Entry,
	}
	if err := r.say(ctx, e); err != nil || out.First && out.Faults() == 0 {
		return e.ID, err
	}
	entry = e.ID
	e = r.entry(audit.KindReconcile, last.Root, out.Inventory.Root, when)
	e.Reconcile = &audit.Reconcile{
		Scope: r.o.Tagger.Tag("bucket", e.ID, out.Inventory.Bucket), From: last.Root, To: out.Inventory.Root,
		Appeared: out.Appeared, Explained: out.Explained, Vanished: out.Vanished, Changed: out.Changed, Hidden: out.Hidden, Lost: out.Lost,
	}
	for _, m := range out.Missing[:min(len(out.Missing), 40)] {
		e.Reconcile.Objects = append(e.Reconcile.Objects, r.o.Tagger.Tag("object", e.ID, out.Inventory.Bucket+"/"+m.Key+"\n"+m.Version))
	}
	return entry, r.say(ctx, e)
}

// Buckets lists the buckets that the policies speak of.
func (r *Runner) Buckets() []string {
	var out []string
	for _, p := range r.rules.policies {
		if b := p.Scope().Bucket; !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	return out
}
