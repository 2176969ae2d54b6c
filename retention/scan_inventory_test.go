package retention_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"
	"time"

	"earshot/retention"
	"earshot/storage/catalog"
	"earshot/storage/inventory"
	"earshot/storage/storagetest"
)

// report is an inventory report of all versions in the world's bucket as it is now, as S3 writes them.
type report struct {
	text []byte
	m    inventory.Manifest
}

func (w *world) report(made time.Time) report {
	w.tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for v, err := range w.plain.All(context.Background(), "") {
		if err != nil {
			w.tb.Fatal(err)
		}
		fmt.Fprintf(z, "%q,%q,%q,%q,%q,%q,%q,%q\n", w.name, url.QueryEscape(v.ID.Key), v.ID.Version, fmt.Sprint(v.Latest), fmt.Sprint(v.Marker), fmt.Sprint(v.Size), v.StoredAt.Format(time.RFC3339Nano), v.ETag)
	}
	if err := z.Close(); err != nil {
		w.tb.Fatal(err)
	}
	sum := md5.Sum(b.Bytes())
	m, err := inventory.ParseManifest(fmt.Appendf(nil, `{"sourceBucket":%q,"destinationBucket":"arn:aws:s3:::x","creationTimestamp":"%d","fileFormat":"CSV",
		"fileSchema":"Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag","files":[{"key":"data/1.csv.gz","size":%d,"MD5checksum":%q}]}`,
		w.name, made.UnixMilli(), b.Len(), hex.EncodeToString(sum[:])))
	if err != nil {
		w.tb.Fatal(err)
	}
	return report{b.Bytes(), m}
}

func (r report) fetch(_ context.Context, _ string, w io.Writer, reset func() error) error {
	if err := reset(); err != nil {
		return err
	}
	_, err := w.Write(r.text)
	return err
}

// TestScanInventory: a report is older than the store, and what happened since stands.
func TestScanInventory(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	keys := map[string]string{}
	for _, id := range []string{"stays", "changes", "goes", "went", "unknown"} {
		keys[id] = w.record("s1", id, 5, 300)
	}
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.put(keys["changes"], clip(20), nil)
	keys["came"] = w.record("s1", "came", 5, 300)
	w.gone(keys["goes"])
	// The report is made now; half an hour later by the clocks the catalog learns more.
	old := w.report(time.Now().Add(30 * time.Minute))
	keys["later"] = w.record("s1", "later", 0, 300)
	w.now = time.Now().UTC().Add(time.Hour)
	w.gone(keys["went"])
	if o, err := p.runner.Look(t.Context(), w.name, []string{keys["later"], keys["went"]}); err != nil || o != (catalog.Observed{New: 1, Gone: 1}) {
		t.Fatal(o, err)
	}
	got, err := p.runner.ScanInventory(t.Context(), old.m, old.fetch)
	if err != nil {
		t.Fatal(err)
	}
	g := got[0]
	if g.Observed != (catalog.Observed{New: 1, Changed: 1, Gone: 1, Same: 4}) || g.Looked != 2 || !g.InventoryOf.Equal(old.m.Created) {
		t.Errorf("got %+v; want one that came, one changed, one gone, and two looked at: the one that went and the one that came later", g)
	}
	for id, there := range map[string]bool{"stays": true, "changes": true, "goes": false, "went": false, "came": true, "later": true, "unknown": true} {
		if row := p.row(keys[id]); (row.Recording.ID.Key != "" && row.GoneAt.IsZero()) != there {
			t.Errorf("%s: there is %v, want %v", id, !there, there)
		}
	}
	// It says the same as a listing would.
	full, err := p.runner.Scan(t.Context())
	if err != nil || full[0].New != 0 || full[0].Changed != 0 || full[0].Gone != 0 {
		t.Errorf("a listing after the inventory finds %+v, %v", full[0], err)
	}
	older := w.report(w.now.Add(-time.Minute))
	if _, err := p.runner.ScanInventory(t.Context(), older.m, older.fetch); !errors.Is(err, retention.ErrOldInventory) {
		t.Errorf("an inventory from before the last listing: got %v, want ErrOldInventory", err)
	}
}

func TestADamagedInventoryChangesNothing(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	key := w.record("s1", "a", 5, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.record("s1", "b", 5, 300)
	w.gone(key)
	r := w.report(w.now)
	r.text = r.text[:len(r.text)-4]
	if got, err := p.runner.ScanInventory(t.Context(), r.m, r.fetch); !errors.Is(err, inventory.ErrDamaged) {
		t.Fatalf("got %+v, %v; want ErrDamaged", got, err)
	}
	if a, b := p.row(key), p.row("clips/s1/b.wav"); !a.GoneAt.IsZero() || b.Recording.ID.Key != "" {
		t.Errorf("something was done: %+v, %+v", a, b)
	}
}
