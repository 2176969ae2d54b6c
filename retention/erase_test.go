package retention_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/storagetest"
)

// TestWhatIsBehindTheEndIsNoRedaction has a wake word told of that lies behind the end of the recording: the command
// after it is not there to be erased, and that must not pass for a redaction. Where it is told to be the last that
// is heard, nothing is left to do.
func TestWhatIsBehindTheEndIsNoRedaction(t *testing.T) {
	for name, c := range map[string]struct {
		from             time.Duration
		failed, redacted int
	}{
		"far behind":  {90 * time.Second, 1, 0},
		"at the end":  {900 * time.Millisecond, 0, 1},
		"with a rest": {300 * time.Millisecond, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.policy = strings.NewReplacer("BUCKET", w.name, "before-wake", "after-wake").Replace(listenPolicy)
			w.ear = &someEar{version: "1", facts: []earshot.Listening{wakeAt(c.from, c.from+200*time.Millisecond), {Kind: earshot.KindChild, Score: 0.1}, {Kind: earshot.KindSpeech}}}
			w.put("clips/s1/a.wav", clip(8000), map[string]string{"captured-at": w.now.Format(time.RFC3339)})
			before := w.snapshot()
			p := w.mustStart()
			defer p.stop()
			planned, err := p.plan(t.Context())
			if err != nil || planned.Redacts != 1 {
				t.Fatal(planned, err)
			}
			applied, err := p.runner.Apply(t.Context(), planned.Run.ID)
			if applied.Failed != c.failed || applied.Redacted != c.redacted {
				t.Fatalf("%+v, %v; want %d failed, %d redacted", applied, err, c.failed, c.redacted)
			}
			w.verified()
			list, err := p.db.Attention(t.Context(), "", "", 10)
			if err != nil || len(list) != c.failed {
				t.Fatalf("on the list: %+v, %v", list, err)
			}
			if c.failed > 0 {
				if list[0].Code != "misplaced" {
					t.Errorf("the code is %q", list[0].Code)
				}
				if after := w.snapshot(); !maps.EqualFunc(before, after, slices.Equal) {
					t.Errorf("the store holds %v, want it as it was: %v", after, before)
				}
			}
		})
	}
}
