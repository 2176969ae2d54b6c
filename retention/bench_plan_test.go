package retention_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

// BenchmarkForesee decides about 100,000 recordings, as after a policy change, none of which is due: what
// a plan costs beyond what it finds. The store is not asked.
func BenchmarkForesee(b *testing.B) {
	rows := 100_000
	if n, err := strconv.Atoi(os.Getenv("EARSHOT_ROWS")); err == nil {
		rows = n / 5000 * 5000
	}
	w := newWorld(b, storagetest.Embedded(b), false, false)
	w.template = "clips/{subject}/{device}/{captured:2006/01/02}/{id}.{coding}"
	p := w.mustStart()
	defer func() { p.stop() }()
	page := catalog.Page{Bucket: w.name, Prefix: "clips/"}
	day := func(i int) string { return w.now.AddDate(0, 0, -1-i*7%60).Format("2006/01/02") } // of all ages: due dates have nothing to do with keys
	for i := range rows {
		page.Recordings = append(page.Recordings, earshot.Recording{
			ID: earshot.RecordingID{Bucket: w.name, Key: fmt.Sprintf("clips/s%04d/dev/%s/r%07d.wav", i/100, day(i), i)}, ETag: fmt.Sprintf("%032x", i), Size: 4096, StoredAt: w.now.Add(-time.Hour),
		})
		if len(page.Recordings) == 5000 { // 50 subjects: their recordings are not in order of key
			slices.SortFunc(page.Recordings, func(a, b earshot.Recording) int { return strings.Compare(a.ID.Key, b.ID.Key) })
			page.Through = page.Recordings[4999].ID.Key
			if _, _, err := p.db.Observe(b.Context(), page, w.now); err != nil {
				b.Fatal(err)
			}
			page.After, page.Recordings = page.Through, page.Recordings[:0]
		}
	}
	days := 90
	change := func() {
		p.stop()
		days++
		w.policy = fmt.Sprintf(`
apiVersion: earshot/v1
kind: Policy
metadata: {name: household, owner: a@example.org}
spec:
  scope: {bucket: %s, prefix: clips/}
  rules:
    - {name: child, when: 'has(subject.declaredAge) && subject.declaredAge < 13', then: delete}
    - {name: period, keep: {for: %dd, from: captured}, then: delete}
  otherwise: keep
`, w.name, days)
		p = w.mustStart()
	}
	change()
	if _, err := p.runner.Plan(b.Context()); err != nil { // what is known of each is written once
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		change()
		b.StartTimer()
		planned, err := p.runner.Plan(b.Context())
		if err != nil || planned.Run.Kept != rows {
			b.Fatal(planned, err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(rows)/b.Elapsed().Seconds(), "recordings/s")
}
