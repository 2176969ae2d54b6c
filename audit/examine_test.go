package audit_test

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot/audit"

	"golang.org/x/mod/sumdb/note"
)

// attic is a place for a log's objects that keeps every version.
type attic struct {
	*tiles
	versions map[string][][]byte // the oldest first; nil is a delete marker
	locked   func(key string) time.Time
}

func newAttic() *attic {
	return &attic{tiles: newTiles(), versions: map[string][][]byte{}, locked: func(string) time.Time { return time.Now().AddDate(0, 1, 0) }}
}

func (a *attic) keep(key string) { a.versions[key] = append(a.versions[key], a.objects[key]) }

func (a *attic) Create(ctx context.Context, key string, data []byte) (bool, error) {
	_, there := a.objects[key]
	ok, err := a.tiles.Create(ctx, key, data)
	if ok && !there {
		a.keep(key)
	}
	return ok, err
}

func (a *attic) Swap(ctx context.Context, key string, data []byte, tag string) (string, bool, error) {
	now, ok, err := a.tiles.Swap(ctx, key, data, tag)
	if ok {
		a.keep(key)
	}
	return now, ok, err
}

func (a *attic) Replace(ctx context.Context, key string, data []byte) error {
	err := a.tiles.Replace(ctx, key, data)
	a.keep(key)
	return err
}

func (a *attic) remove(key string) { delete(a.objects, key); delete(a.versions, key) }

func (a *attic) Objects(context.Context) iter.Seq2[audit.Object, error] {
	return func(yield func(audit.Object, error) bool) {
		for _, key := range slices.Sorted(maps.Keys(a.versions)) {
			of := a.versions[key]
			for i := len(of) - 1; i >= 0; i-- {
				if !yield(audit.Object{Key: key, Version: fmt.Sprint(i), Marker: of[i] == nil, Latest: i == len(of)-1}, nil) {
					return
				}
			}
		}
	}
}

func (a *attic) Version(_ context.Context, key, version string) ([]byte, error) {
	for i, data := range a.versions[key] {
		if fmt.Sprint(i) == version {
			return data, nil
		}
	}
	return nil, fs.ErrNotExist
}

func (a *attic) Locked(_ context.Context, key, _ string) (time.Time, error) {
	return a.locked(key), nil
}

// stored is a log in an attic.
type stored struct {
	*fixture
	attic *attic
}

func (s *stored) options() audit.Options {
	o := s.fixture.options()
	o.Tiles = s.attic
	return o
}

func newStored(t *testing.T) *stored {
	t.Helper()
	f := newFixture(t)
	s := &stored{f, newAttic()}
	s.tiles = s.attic.tiles
	f.head = newHead()
	var err error
	if f.log, err = audit.Create(t.Context(), s.options()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stored) examine(t *testing.T, trust *audit.Trust, o audit.VerifyOptions) *audit.Report {
	t.Helper()
	r, err := audit.Examine(t.Context(), s.attic, trust, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAVersionBelowTheCheckpointTellsOfWhatWasCutOff: to somebody who looks for the first time. The
// checkpoint is not locked, and its versions are there until somebody deletes each.
func TestAVersionBelowTheCheckpointTellsOfWhatWasCutOff(t *testing.T) {
	cut := func(s *stored, old []byte, beyond int) { // removes all that is beyond, for good
		for key := range maps.Clone(s.attic.versions) {
			_, size, _ := strings.Cut(key, ".p/")
			if rest, ok := strings.CutPrefix(key, "checkpoints/"); ok {
				size = rest
			}
			var n int
			if _, err := fmt.Sscan(size, &n); err == nil && n > beyond {
				s.attic.remove(key)
			}
		}
		_ = s.attic.Replace(t.Context(), "checkpoint", old)
	}
	for name, c := range map[string]struct {
		attack func(s *stored, old []byte)
		want   string
	}{
		"honest": {func(*stored, []byte) {}, ""},
		"cutOff": {func(s *stored, old []byte) { cut(s, old, 98) }, "cut off"},
		"forATime": {func(s *stored, old []byte) {
			now := s.attic.objects["checkpoint"]
			_ = s.attic.Replace(t.Context(), "checkpoint", old)
			_ = s.attic.Replace(t.Context(), "checkpoint", now)
		}, "for a time"},
		"forked": {func(s *stored, _ []byte) {
			g := &fixture{tiles: newTiles(), head: newHead(), keys: s.keys}
			var err error
			if g.log, err = audit.Create(t.Context(), g.options()); err != nil {
				t.Fatal(err)
			}
			g.act(t, 900, 49)
			g.publish(t)
			now := s.attic.objects["checkpoint"]
			s.attic.versions["checkpoint"] = slices.Insert(s.attic.versions["checkpoint"], 2, g.tiles.objects["checkpoint"])
			s.attic.objects["checkpoint"] = now
		}, "another tree"},
		"nonsense": {func(s *stored, _ []byte) {
			s.attic.versions["checkpoint"] = slices.Insert(s.attic.versions["checkpoint"], 1, []byte("hello"))
		}, "not a checkpoint"},
		"unsigned": {func(s *stored, old []byte) {
			s.attic.versions["checkpoint"] = slices.Insert(s.attic.versions["checkpoint"], 2, old[:len(old)-8])
		}, "does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStored(t)
			s.act(t, 0, 49)
			s.publish(t)
			old := s.attic.objects["checkpoint"]
			s.act(t, 49, 30)
			s.publish(t)
			c.attack(s, old)
			r := s.examine(t, audit.TrustKey(s.keys.Verifier), audit.VerifyOptions{})
			if text := strings.Join(r.Findings, "\n"); r.OK() != (c.want == "") || !strings.Contains(text, c.want) {
				t.Errorf("findings %q, want %q", text, c.want)
			}
		})
	}
}

// TestWhatIsNotLockedIsFound: full tiles, checkpoints and the tail, in the versions that count.
func TestWhatIsNotLockedIsFound(t *testing.T) {
	s := newStored(t)
	s.act(t, 0, 140)
	s.publish(t)
	trust := audit.TrustKey(s.keys.Verifier)
	if r := s.examine(t, trust, audit.VerifyOptions{}); !r.OK() {
		t.Fatal(r.Findings)
	}
	for _, key := range []string{"tile/0/000", "tile/entries/000", "checkpoints/280", "tile/entries/001.p/24", "tile/0/001.p/24", "tile/1/000.p/1"} {
		for name, until := range map[string]time.Time{"never": {}, "endsSoon": time.Now().Add(time.Hour)} {
			s.attic.locked = func(k string) time.Time {
				if k == key {
					return until
				}
				return time.Now().AddDate(1, 0, 0)
			}
			if r := s.examine(t, trust, audit.VerifyOptions{}); len(r.Findings) != 1 || !strings.HasPrefix(r.Findings[0], "1 tiles") || !r.Unlocked {
				t.Errorf("%s %s: %v", key, name, r.Findings)
			}
			if r := s.examine(t, trust, audit.VerifyOptions{MayBeUnlocked: true}); !r.OK() || len(r.Notes) != 1 || r.Unlocked {
				t.Errorf("%s %s, allowed: %v, %v", key, name, r.Findings, r.Notes)
			}
		}
	}
	s.attic.locked = func(k string) time.Time {
		if k == "tile/0/000" {
			return time.Time{}
		}
		return time.Now().AddDate(1, 0, 0)
	}
	_ = s.attic.Replace(t.Context(), "tile/0/000", []byte("laid over it"))
	if r := s.examine(t, trust, audit.VerifyOptions{}); len(r.Findings) != 2 {
		t.Errorf("an object that was overwritten and is not locked: %v", r.Findings)
	}
}

// TestWhatLiesOutsideOfTheTreeIsTold, and a size alone is not believed.
func TestWhatLiesOutsideOfTheTreeIsTold(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 5)
	f.publish(t)
	f.tiles.objects["evil/dir/x"] = []byte("y")
	f.tiles.objects["tile/7/x001/000"] = make([]byte, 8192)
	f.tiles.objects["tile/7/x999/x999/x999/x999/x999/999"] = make([]byte, 8192)
	r := f.verify(t, audit.VerifyOptions{})
	if text := strings.Join(r.Notes, "\n"); !strings.Contains(text, "evil/") || !strings.Contains(text, "2 tiles lie beyond") {
		t.Errorf("notes: %q", text)
	}
	// 2^62 entries, signed: the first tile that is missing ends it, and no memory is taken before.
	signed, err := note.Sign(&note.Note{Text: "example.org/log\n4611686018427387904\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"}, f.keys.Signer)
	if err != nil {
		t.Fatal(err)
	}
	f.tiles.objects["checkpoint"] = signed
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if r := f.verify(t, audit.VerifyOptions{}); r.OK() {
		t.Error("it verifies")
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 64 {
		t.Errorf("%d MiB were allocated", n)
	}
}

// TestADeadShardSaysWhereTheLogGoesOn.
func TestADeadShardSaysWhereTheLogGoesOn(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 5)
	e := entry(t, audit.KindClosing, 1)
	e.Shard = &audit.ShardNote{Next: "example.org/2027", NextVKey: "k"}
	f.head.say(leafOf(t, e))
	f.publish(t)
	if r := f.verify(t, audit.VerifyOptions{}); !r.OK() || r.Next == nil || r.Next.Next != "example.org/2027" {
		t.Errorf("%+v", r)
	}
}
