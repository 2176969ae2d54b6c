package retention_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

// datedWorld has the date in its keys, behind folders that only the store knows.
func datedWorld(t *testing.T, template string) *world {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	w.template = template
	return w
}

func (w *world) dated(subject string, age int, id string) string {
	key := fmt.Sprintf("clips/%s/%s/%s.wav", subject, w.now.AddDate(0, 0, -age).Format("2006/01/02"), id)
	w.put(key, clip(10), nil)
	return key
}

func (p *process) row(key string) catalog.Row {
	p.w.tb.Helper()
	row, err := p.db.Recording(context.Background(), p.w.name, key)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		p.w.tb.Fatal(err)
	}
	return row
}

// gone removes a key from the store behind earshot's back.
func (w *world) gone(key string) {
	w.tb.Helper()
	versions, err := w.plain.Versions(context.Background(), key)
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, v := range versions {
		id := v.ID
		id.Bucket = w.name
		for _, err := range w.plain.Destroy(context.Background(), []earshot.RecordingID{id}) {
			if err != nil {
				w.tb.Fatal(err)
			}
		}
	}
}

func TestScanRecent(t *testing.T) {
	w := datedWorld(t, "clips/{subject}/{captured:2006/01/02}/{id}.{coding}")
	old, lost, fresh := w.dated("s1", 40, "old"), w.dated("s1", 30, "lost"), w.dated("s1", 1, "fresh")
	w.put("clips/notes.txt", []byte("no recording"), nil)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	listed, err := p.db.LastScan(t.Context(), w.name, "clips/")
	if err != nil || listed.IsZero() {
		t.Fatal(listed, err)
	}
	w.gone(lost)
	w.gone(fresh)
	today, late := w.dated("s2", 0, "today"), w.dated("s2", 20, "late")
	w.now = w.now.Add(time.Minute)
	got, err := p.runner.ScanRecent(t.Context(), 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if g := got[0]; g.Listed != 1 || g.New != 1 || g.Gone != 1 || !g.Recent {
		t.Errorf("a recent scan: got %+v, want the one of a new subject's, and the one gone", g)
	}
	for name, check := range map[string]struct {
		key  string
		want bool // it is there, for the catalog
	}{
		"aNewSubjectsRecordingIsFound":             {today, true},
		"whatLiesUnderARecentDateAndWentIsGone":    {fresh, false},
		"whatIsNotListedStays":                     {old, true},
		"whatIsNotListedStaysThoughItIsGone":       {lost, true},
		"whatCameUnderAnOldDateIsForTheFullScan":   {late, false},
		"whatIsNoRecordingIsNotThere":              {"clips/notes.txt", false},
		"whatTheCatalogNeverHeardOfIsNotThere":     {"clips/s9/2026/01/01/x.wav", false},
		"whatIsThereIsThereWhateverTheFolderIsFor": {old, true},
	} {
		row := p.row(check.key)
		if there := row.Recording.ID.Key != "" && row.GoneAt.IsZero(); there != check.want {
			t.Errorf("%s: got %v, want %v", name, there, check.want)
		}
	}
	if again, err := p.db.LastScan(t.Context(), w.name, "clips/"); err != nil || !again.Equal(listed) {
		t.Errorf("a recent scan says that the bucket was listed: %s, then %s, %v", listed, again, err)
	}
	got, err = p.runner.Scan(t.Context())
	if g := got[0]; err != nil || g.New != 1 || g.Gone != 1 || g.Same != 2 {
		t.Errorf("the full scan after it: got %+v, %v; want the late one new and the lost one gone", g, err)
	}
}

func TestRefreshListsEverythingOnceInAWhile(t *testing.T) {
	w := datedWorld(t, "clips/{subject}/{captured:20060102T150405}_{id}.{coding}")
	key := fmt.Sprintf("clips/s1/%s_a.wav", w.now.AddDate(0, 0, -9).Format("20060102T150405"))
	w.put(key, clip(10), nil)
	p := w.mustStart()
	defer p.stop()
	runner, err := retention.New(retention.Options{
		Store: w.store(nil), Catalog: p.db, Log: p.log, Tagger: w.keys.Tagger, Policies: w.compiled(), Layout: w.layout(), By: w.by,
		Recent: 48 * time.Hour, FullEvery: 72 * time.Hour, Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, true, false, true} { // a day each: what never was listed is, and then every third
		got, err := runner.Refresh(t.Context())
		if err != nil || got[0].Recent != want {
			t.Errorf("day %d: recent is %v, want %v: %v", i, got[0].Recent, want, err)
		}
		w.now = w.now.Add(24 * time.Hour)
	}
	if row := p.row(key); !row.GoneAt.IsZero() {
		t.Error("what recent scans did not list is gone")
	}
}

func TestRecentIsRefusedWhereKeysDoNotTell(t *testing.T) {
	for _, template := range []string{
		"", // every object is a recording
		"clips/{subject}/{id}.{coding}",
		"clips/{any}/{captured:2006/01/02}/{id}.wav",
		"clips/{subject}_{captured:2006/01/02}/{id}.wav",
		"clips/{captured:15-04/2006/01/02}/{id}.wav",
	} {
		w := datedWorld(t, template)
		if template == "" {
			w.template, w.flat = "", true
		}
		p := w.mustStart()
		if got, err := p.runner.ScanRecent(t.Context(), time.Hour); !errors.Is(err, retention.ErrNotRecent) {
			t.Errorf("%q: got %+v, %v; want ErrNotRecent", template, got, err)
		}
		p.stop()
	}
}

func TestLook(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), true, false)
	stays, goes := w.record("s1", "stays", 5, 300), w.record("s1", "goes", 5, 300)
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	look := func(keys ...string) catalog.Observed {
		t.Helper()
		o, err := p.runner.Look(t.Context(), w.name, keys)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	fresh := w.record("s2", "fresh", 0, 300)
	w.gone(goes)
	for _, c := range []struct {
		law  string
		keys []string
		want catalog.Observed
	}{
		{"whatCameIsNewThoughItIsToldTwice", []string{fresh, fresh}, catalog.Observed{New: 1}},
		{"whatIsToldAgainIsTheSame", []string{fresh}, catalog.Observed{Same: 1}},
		{"whatWentIsGone", []string{goes}, catalog.Observed{Gone: 1}},
		{"whatIsGoneIsNotGoneTwice", []string{goes}, catalog.Observed{}},
		{"whatIsSaidToHaveGoneAndIsThereStays", []string{stays}, catalog.Observed{Same: 1}},
		{"whatIsNoRecordingIsPassedOver", []string{"clips/x", "events/fresh.json", "elsewhere/a.wav"}, catalog.Observed{}},
		{"whatWasNeverThereIsNotGone", []string{"clips/s9/never.wav"}, catalog.Observed{}},
	} {
		if got := look(c.keys...); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.law, got, c.want)
		}
	}
	if row := p.row(goes); row.GoneAt.IsZero() {
		t.Error("what went is there, for the catalog")
	}
	if o, err := p.runner.Look(t.Context(), "another-bucket", []string{fresh}); err != nil || o != (catalog.Observed{}) {
		t.Errorf("a bucket of no policy: %+v, %v", o, err)
	}
	planned, err := p.runner.Plan(t.Context())
	if err != nil || planned.Run.Considered != 2 {
		t.Errorf("a plan without a scan considers %d recordings, %v; want the one that stayed and the one that came", planned.Run.Considered, err)
	}
}
