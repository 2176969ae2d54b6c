package retention

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage"
)

// held is one line of an inventory: one version of one object.
type heldVersion struct {
	key, version, etag string
	size               int64
	marker             bool
}

func (h heldVersion) compare(o heldVersion) int {
	if c := strings.Compare(h.key, o.key); c != 0 {
		return c
	}
	if c := strings.Compare(h.version, o.version); c != 0 {
		return c
	}
	return strings.Compare(h.etag, o.etag)
}

func (h heldVersion) line() string {
	kind := "v"
	if h.marker {
		kind = "m"
	}
	return strconv.Quote(h.key) + "\t" + h.version + "\t" + h.etag + "\t" + strconv.FormatInt(h.size, 10) + "\t" + kind
}

func parseHeld(line string) (heldVersion, error) {
	f := strings.Split(line, "\t")
	if len(f) != 5 {
		return heldVersion{}, errors.New("a line of the inventory has not five fields")
	}
	key, err := strconv.Unquote(f[0])
	if err != nil {
		return heldVersion{}, fmt.Errorf("a line of the inventory: %w", err)
	}
	size, err := strconv.ParseInt(f[3], 10, 64)
	if err != nil {
		return heldVersion{}, fmt.Errorf("a line of the inventory: %w", err)
	}
	return heldVersion{key: key, version: f[1], etag: f[2], size: size, marker: f[4] == "m"}, nil
}

// Inventory is a look at everything that a bucket holds. Its lines lie in a file beside it, since
// they name keys; the log holds the root only.
type Inventory struct {
	Bucket   string    `json:"bucket"`
	TakenAt  time.Time `json:"taken_at"`
	Root     string    `json:"root"`
	Versions int64     `json:"versions"`
	Bytes    int64     `json:"bytes"`
	LogSize  int64     `json:"log_size"` // published entries, over all shards, when the listing began
	Entry    string    `json:"entry_id,omitempty"`
}

// inventoryPath gives the files of a bucket's inventory: its head and its lines.
func inventoryPath(dir, bucket string) (head, lines string) {
	base := filepath.Join(dir, earshot.DigestOf([]byte(bucket)).String()[:24])
	return base + ".json", base + ".tsv.gz"
}

// LastInventory reads the head of a bucket's last inventory; ok is false where there is none.
func LastInventory(dir, bucket string) (inv Inventory, ok bool, err error) {
	head, _ := inventoryPath(dir, bucket)
	text, err := os.ReadFile(head)
	if errors.Is(err, fs.ErrNotExist) {
		return inv, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &inv)
	}
	if err == nil && inv.Bucket != bucket {
		err = errors.New("it is of another bucket")
	}
	if err != nil {
		return inv, false, fmt.Errorf("reading the last inventory: %w", err)
	}
	return inv, true, nil
}

// takeInventory lists every version in the bucket into a new file, in order, and computes the root.
func (r *Runner) takeInventory(ctx context.Context, bucket, path string) (Inventory, error) {
	inv := Inventory{Bucket: bucket}
	b, err := r.bucket(ctx, bucket)
	if err != nil {
		return inv, err
	}
	size, err := r.o.Log.Publish(ctx)
	if err != nil {
		return inv, err
	}
	shard, err := r.o.Catalog.Shard(ctx)
	if err != nil {
		return inv, err
	}
	// In this order: what a run finds gone after TakenAt has its outcome after LogSize.
	inv.LogSize, inv.TakenAt = shard.Base+size, r.now()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return inv, fmt.Errorf("writing the inventory: %w", err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	tree := audit.Accumulator{}
	write := func(h heldVersion) error {
		line := h.line()
		tree.Add([]byte(r.o.Tagger.Tag("version", bucket, line)))
		inv.Versions, inv.Bytes = inv.Versions+1, inv.Bytes+h.size
		_, err := io.WriteString(z, line+"\n")
		return err
	}
	if err := inOrder(b.All(ctx, ""), write, func(done int) { r.o.Progress("inventory", done, 0) }); err != nil {
		return inv, fmt.Errorf("taking the inventory of bucket %q: %w", bucket, err)
	}
	root := tree.Root()
	inv.Root = hex.EncodeToString(root[:])
	if err := errors.Join(z.Close(), f.Sync()); err != nil {
		return inv, fmt.Errorf("writing the inventory: %w", err)
	}
	return inv, nil
}

// maxUnordered bounds how many lines are sorted in memory, of a store that lists out of order.
const maxUnordered = 5_000_000

// inOrder hands on versions sorted by key, version and ETag. S3 lists in order of key; a store that
// does not is sorted in memory.
func inOrder(listing func(func(storage.Version, error) bool), write func(heldVersion) error, progress func(int)) error {
	var group []heldVersion // of one key; or everything, once the order was broken
	ordered, n, sortAt := true, 0, 10_000
	var done []heldVersion
	flush := func() error {
		slices.SortFunc(group, heldVersion.compare)
		for _, h := range slices.Compact(group) { // some stores repeat the last entry of a page
			if err := write(h); err != nil {
				return err
			}
		}
		group = group[:0]
		return nil
	}
	var all []heldVersion
	for v, err := range listing {
		if err != nil {
			return err
		}
		if n++; n%1000 == 0 {
			progress(n)
		}
		h := heldVersion{key: v.ID.Key, version: v.ID.Version, etag: v.ETag, size: v.Size, marker: v.Marker}
		if all = append(all, h); len(all) > maxUnordered && !ordered {
			return errors.New("the store lists out of order, and there is too much to sort in memory")
		}
		if ordered && len(all) > 1 && all[len(all)-2].key > h.key {
			ordered = false
		}
		if ordered && len(all) >= sortAt { // so far in order: what lies before this key is complete
			cut := slices.IndexFunc(all, func(x heldVersion) bool { return x.key == h.key })
			group = append(group[:0], all[:cut]...)
			if len(done) > 0 && len(group) > 0 && group[0].key < done[0].key {
				return errors.New("the store lists out of order")
			}
			if err := flush(); err != nil {
				return err
			}
			done = append(done[:0], all[max(cut-1, 0)])
			all = append(all[:0], all[cut:]...)
			sortAt = max(10_000, 2*len(all)) // one key may have ever so many versions
		}
	}
	if len(done) > 0 && slices.ContainsFunc(all, func(x heldVersion) bool { return x.key < done[0].key }) {
		return errors.New("the store lists out of order")
	}
	group = append(group[:0], all...)
	return flush()
}

// heldLines streams the lines of an inventory file.
func heldLines(path string) func(func(heldVersion, error) bool) {
	return func(yield func(heldVersion, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(heldVersion{}, fmt.Errorf("reading the inventory: %w", err))
			return
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			yield(heldVersion{}, fmt.Errorf("reading the inventory: %w", err))
			return
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			h, err := parseHeld(lines.Text())
			if !yield(h, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(heldVersion{}, fmt.Errorf("reading the inventory: %w", err))
		}
	}
}
