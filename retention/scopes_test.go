package retention_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"earshot/retention"
	"earshot/storage"
)

func TestABucketThatIsAwayDoesNotStopTheOthers(t *testing.T) {
	day := 24 * time.Hour
	for name, scan := range map[string]func(p *process) ([]retention.Scanned, error){
		"full":   func(p *process) ([]retention.Scanned, error) { return p.runner.Scan(t.Context()) },
		"recent": func(p *process) ([]retention.Scanned, error) { return p.runner.ScanRecent(t.Context(), 2*day) },
	} {
		t.Run(name, func(t *testing.T) {
			w := datedWorld(t, "clips/{subject}/{captured:2006/01/02}/{id}.{coding}")
			key := w.dated("s1", 1, "a")
			whole := w.policy
			w.more = []string{strings.ReplaceAll(strings.ReplaceAll(w.policy, w.name, "is-away"), "household", "a-first")}
			p := w.mustStart()
			got, err := scan(p)
			if !errors.Is(err, retention.ErrPartly) || !errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), `"is-away"`) {
				t.Errorf("got %v, want that one bucket was not scanned", err)
			}
			if len(got) != 1 || got[0].Scope.Bucket != w.name || got[0].Listed != 1 || p.row(key).Recording.ETag == "" {
				t.Errorf("got %+v, want the bucket that is there to be scanned", got)
			}
			p.stop()
			w.policy, w.more = strings.ReplaceAll(whole, w.name, "is-away"), nil
			p = w.mustStart()
			defer p.stop()
			if got, err := scan(p); len(got) != 0 || err == nil || errors.Is(err, retention.ErrPartly) {
				t.Errorf("where nothing could be scanned: %+v, %v", got, err)
			}
		})
	}
}
