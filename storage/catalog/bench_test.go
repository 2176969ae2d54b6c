package catalog_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"
)

// BenchmarkObserve writes a listing of 100,000 recordings, in pages as a scan has them, into an empty
// catalog, and again when nothing has changed.
func BenchmarkObserve(b *testing.B) {
	const rows = 100_000
	for _, size := range []int{1000, 5000} {
		for name, again := range map[string]bool{"first": false, "again": true} {
			b.Run(fmt.Sprintf("%s/pages=%d", name, size), func(b *testing.B) {
				var db *catalog.DB
				fresh := func() {
					var err error
					if db, err = catalog.Create(b.Context(), catalog.Options{Path: filepath.Join(b.TempDir(), "c.db")}); err != nil {
						b.Fatal(err)
					}
				}
				listing := func() {
					at := time.Now()
					page := catalog.Page{Bucket: "b", Prefix: "clips/"}
					for i := range rows {
						page.Recordings = append(page.Recordings, earshot.Recording{
							ID: earshot.RecordingID{Bucket: "b", Key: fmt.Sprintf("clips/s%04d/dev/2026/11/20/r%07d.wav", i/100, i)}, ETag: fmt.Sprintf("%032x", i), Size: 4096, StoredAt: time.Unix(1e9, 0),
						})
						if len(page.Recordings) == size {
							page.Through = page.Recordings[size-1].ID.Key
							if _, _, err := db.Observe(b.Context(), page, at); err != nil {
								b.Fatal(err)
							}
							page.After, page.Recordings = page.Through, page.Recordings[:0]
						}
					}
				}
				fresh()
				if again {
					listing()
				}
				for b.Loop() {
					listing()
					if !again {
						b.StopTimer()
						db.Close()
						fresh()
						b.StartTimer()
					}
				}
				b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
				db.Close()
			})
		}
	}
}
