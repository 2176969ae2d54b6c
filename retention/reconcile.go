package retention

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
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
	// Lost: the log names an inventory of this bucket, and its list is not here, or was changed.
	Lost bool `json:"lost,omitempty"`
	// Missing names some of those that vanished.
	Missing []Missing `json:"missing,omitempty"`
}

// Missing is one version that is gone without an entry.
type Missing struct {
	Key      string `json:"key"`
	Version  string `json:"version,omitempty"`
	Size     int64  `json:"size"`
	Replaced bool   `json:"replaced,omitempty"` // there is another object of that key now
}

// maxMissing bounds how many are named; all are counted.
const maxMissing = 1000

// ErrVanished means: objects are gone or changed, and no entry of the log says why.
var ErrVanished = errors.New("objects have vanished without an entry in the log")

// Reconcile compares what a bucket holds with what it held at the last reconcile and with what the
// published log says was done since. What vanished without an entry is named, and that is itself an
// entry. A log proves that nothing was taken out of it; only this shows what never got into it.
//
// dir keeps the bucket's last inventory. It names keys, so that it belongs with the catalog.
func (r *Runner) Reconcile(ctx context.Context, bucket, dir string) (Reconciled, error) {
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
	if said.root != "" {
		last.Bucket, last.Root = bucket, said.root // the log's word, not the file's
	}
	old := ""
	for _, path := range []string{lines, before} {
		if root, err := r.rootOf(bucket, path); err == nil && root == last.Root {
			old = path
			break
		}
	}
	switch {
	case old != "":
		err = r.compare(ctx, &out, last, said.keys, old, fresh)
	case said.root == "" && !had:
		out.First = true
	default:
		out.Lost = true
	}
	if err != nil {
		return out, err
	}
	if err := r.sayReconciled(ctx, out, last); err != nil {
		return out, err
	}
	text, err := json.MarshalIndent(inv, "", "  ")
	if err != nil {
		return out, err
	}
	if err := errors.Join(os.Rename(fresh, lines), replaceWhole(head, append(text, '\n'))); err != nil {
		return out, fmt.Errorf("keeping the inventory: %w", err)
	}
	_ = os.Remove(before) // it is of no use any more, and does no harm
	switch {
	case out.Lost:
		err = fmt.Errorf("%w: what bucket %q held at its last inventory cannot be told: the list that lies in the folder of inventories is not the one that the log names", ErrVanished, bucket)
	case out.Vanished > 0:
		err = fmt.Errorf("%w: %d in bucket %q since %s", ErrVanished, out.Vanished, bucket, last.TakenAt.Format(time.DateTime))
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
	}
	return err
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

// compare merges the two sorted lists.
func (r *Runner) compare(ctx context.Context, out *Reconciled, last Inventory, said map[string]bool, before, after string) error {
	nextOld, stopOld := iter.Pull2(heldLines(before))
	defer stopOld()
	nextNew, stopNew := iter.Pull2(heldLines(after))
	defer stopNew()
	old, oldErr, moreOld := nextOld()
	cur, curErr, moreNew := nextNew()
	for moreOld || moreNew {
		if err := errors.Join(oldErr, curErr, ctx.Err()); err != nil {
			return err
		}
		c := 0
		switch {
		case !moreOld:
			c = 1
		case !moreNew:
			c = -1
		default:
			c = old.compare(cur)
		}
		if c < 0 {
			r.vanished(out, last.Bucket, old, said, moreNew && cur.key == old.key)
		} else if c > 0 {
			out.Appeared++
		}
		if c <= 0 {
			old, oldErr, moreOld = nextOld()
		}
		if c >= 0 {
			cur, curErr, moreNew = nextNew()
		}
	}
	return nil
}

func (r *Runner) vanished(out *Reconciled, bucket string, h heldVersion, said map[string]bool, replaced bool) {
	if said[objectName(bucket, h.key)] {
		out.Explained++
		return
	}
	out.Vanished++
	if len(out.Missing) < maxMissing {
		out.Missing = append(out.Missing, Missing{Key: h.key, Version: h.version, Size: h.size, Replaced: replaced})
	}
}

// objectName is short, since there may be millions.
func objectName(bucket, key string) string {
	d := earshot.DigestOf([]byte(bucket + "/" + key))
	return string(d[:16])
}

// announced gives the keys of which the published log says, from that entry on, that something was
// done to them: recordings, and the companions that went with them. The whole log is verified on
// the way, and the tags of each entry are compared with the recording that the catalog claims it is
// about: what the catalog alone says explains nothing, nor what nobody can tell any more because the
// person's key is destroyed.
func (r *Runner) announced(ctx context.Context, bucket string, from int64) (said announcements, err error) {
	shard, err := r.o.Catalog.Shard(ctx)
	if err != nil {
		return said, err
	}
	intents := map[string]string{} // id of an intent in the log -> its tag of the recording
	report, err := r.o.Log.Verify(ctx, audit.VerifyOptions{Visit: func(index int64, body []byte) error {
		e, err := audit.Parse(body)
		if err == nil && e.Inventory != nil && e.Inventory.Scope == r.o.Tagger.Tag("bucket", e.ID, bucket) {
			said.root = e.Inventory.Root
		}
		if err != nil || e.Intent == nil {
			return nil //nolint:nilerr // the report tells of it
		}
		// An intent from before may have its outcome after: all that are not long over are kept.
		if shard.Base+index >= from-announcedBefore {
			intents[e.ID] = e.Intent.Recording
		}
		return nil
	}})
	if err != nil {
		return said, err
	}
	if !report.OK() {
		return said, fmt.Errorf("%w: %s", audit.ErrUnverified, report.Findings[0])
	}
	out := map[string]bool{}
	explain := func(a earshot.Action) error {
		tag, ok := intents[intentID(a)]
		if !ok {
			return nil
		}
		tags, err := r.SubjectTagger(ctx, a.Recording.Subject)
		if errors.Is(err, ErrNoKey) {
			return nil
		}
		if err != nil {
			return err
		}
		if tags.Tag("recording", intentID(a), recordingName(a.Recording.ID)) != tag {
			return nil // the log speaks of another recording
		}
		out[objectName(a.Recording.ID.Bucket, a.Recording.ID.Key)] = true
		for _, c := range a.Companions {
			if c.Fate != earshot.CompanionKeep {
				out[objectName(c.ID.Bucket, c.ID.Key)] = true
			}
		}
		return nil
	}
	for a, err := range r.o.Catalog.Acted(ctx, from) {
		if err != nil {
			return said, err
		}
		if a.State == earshot.ActionSkipped && a.IntendedAt.IsZero() {
			continue // it was never begun
		}
		if err := explain(a); err != nil {
			return said, err
		}
	}
	open, err := r.o.Catalog.Unfinished(ctx, 1<<20)
	if err != nil {
		return said, err
	}
	for _, a := range open {
		if err := explain(a); err != nil {
			return said, err
		}
	}
	said.keys = out
	return said, nil
}

// announcements are what the published log says of a bucket.
type announcements struct {
	keys map[string]bool // names of objects that something was done to
	root string          // of the last inventory; empty if there is none in this shard
}

// announcedBefore is how many entries before the last inventory are looked at for intents whose
// outcome came after it.
const announcedBefore = 100_000

// sayReconciled writes the entries of an inventory and of its comparison, and publishes them.
func (r *Runner) sayReconciled(ctx context.Context, out Reconciled, last Inventory) error {
	when := strconv.FormatInt(out.Inventory.TakenAt.UnixMicro(), 10)
	e := r.entry(audit.KindInventory, out.Inventory.Root, when)
	e.Inventory = &audit.Inventory{
		Scope: r.o.Tagger.Tag("bucket", e.ID, out.Inventory.Bucket), Root: out.Inventory.Root,
		Versions: out.Inventory.Versions, Bytes: out.Inventory.Bytes, Previous: last.Root,
	}
	if err := r.say(ctx, e); err != nil || out.First {
		return err
	}
	e = r.entry(audit.KindReconcile, last.Root, out.Inventory.Root, when)
	e.Reconcile = &audit.Reconcile{
		Scope: r.o.Tagger.Tag("bucket", e.ID, out.Inventory.Bucket), From: last.Root, To: out.Inventory.Root,
		Appeared: out.Appeared, Explained: out.Explained, Vanished: out.Vanished, Lost: out.Lost,
	}
	for _, m := range out.Missing[:min(len(out.Missing), 40)] {
		e.Reconcile.Objects = append(e.Reconcile.Objects, r.o.Tagger.Tag("object", e.ID, out.Inventory.Bucket+"/"+m.Key+"\n"+m.Version))
	}
	return r.say(ctx, e)
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
