package audit_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
)

// backup copies a head as a backup of the database would.
func (h *head) backup() *head {
	return &head{leaves: slices.Clone(h.leaves), ids: maps.Clone(h.ids), numbered: h.numbered, published: h.published, roots: maps.Clone(h.roots), fence: h.fence}
}

func TestAfterARestoreTheDatabaseAdoptsWhatTheLogHolds(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 150)
	f.publish(t)
	backup := f.head.backup()
	f.act(t, 150, 50) // these the backup has never heard of
	f.head.say(leafOf(t, entry(t, audit.KindIntent, 777)))
	f.publish(t)

	f.head = backup
	f.act(t, 600, 3) // and these it says instead, and numbers
	if _, err := f.head.Number(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(t.Context(), f.options()); !errors.Is(err, audit.ErrHalted) {
		t.Fatalf("got %v, want ErrHalted before anybody has looked", err)
	}
	got, err := audit.Recover(t.Context(), f.options(), f.head, audit.RecoverOptions{Known: func(context.Context, string) (bool, error) { return false, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if got != (audit.Recovered{Size: 401, Adopted: 101, Renumbered: 6, Answered: 1}) {
		t.Errorf("%+v", got)
	}
	if f.log, err = audit.Open(t.Context(), f.options()); err != nil {
		t.Fatal(err)
	}
	f.act(t, 700, 1)
	f.publish(t)
	said := 0
	r := f.verify(t, audit.VerifyOptions{Visit: func(_ int64, body []byte) error {
		if e, err := audit.Parse(body); err == nil && e.Recovered != nil && e.Recovered.Adopted == 101 {
			said++
		}
		return nil
	}})
	if !r.OK() || said != 1 || r.Open != 0 || r.Intents != 205 || r.Outcomes != 205 {
		t.Errorf("%d entries of the recovery; %+v", said, r)
	}
}

func TestNothingIsAdoptedFromALogThatDoesNotVerify(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 150)
	f.publish(t)
	f.tiles.objects["tile/entries/000"][100] ^= 1
	f.head = newHead()
	if _, err := audit.Recover(t.Context(), f.options(), f.head, audit.RecoverOptions{}); !errors.Is(err, audit.ErrUnverified) {
		t.Errorf("got %v, want ErrUnverified", err)
	}
	if len(f.head.leaves) > 0 {
		t.Error("something was adopted all the same")
	}
}

// failsAt publishes on a store that fails where at says.
func (f *fixture) failsAt(t *testing.T, at func(op, key string) bool) {
	t.Helper()
	f.tiles.fail = func(op, key string) error {
		if at(op, key) {
			return errors.New("dead")
		}
		return nil
	}
	defer func() { f.tiles.fail = nil }()
	if _, err := f.log.Publish(t.Context()); err == nil {
		t.Fatal("the store was to fail")
	}
}

// TestOrphanTilesAreSupersededAndAForkHalts: what an abandoned attempt left behind is written over,
// with an entry; what a published tree covers is not.
func TestOrphanTilesAreSupersededAndAForkHalts(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 100)
	f.publish(t)
	backup, tiles := f.head.backup(), maps.Clone(f.tiles.objects)
	f.act(t, 100, 60) // published up to the checkpoint, which never came
	f.failsAt(t, func(op, key string) bool { return op == "swap" || key == "checkpoints/320" })
	orphans := 0
	for key := range f.tiles.objects {
		if tiles[key] == nil {
			orphans++
		}
	}
	if orphans == 0 {
		t.Fatal("the attempt left nothing")
	}

	f.head = backup
	var err error
	if f.log, err = audit.Open(t.Context(), f.options()); err != nil {
		t.Fatal(err)
	}
	f.act(t, 900, 60) // as many others, so that the tiles have the same names
	// A writer that dies at its first orphan has changed nothing that it has not spoken of.
	left := maps.Clone(f.tiles.objects)
	f.failsAt(t, func(op, _ string) bool { return op == "replace" })
	spoken := false
	for _, leaf := range f.head.leaves {
		e, err := audit.Parse(leaf.Body)
		spoken = spoken || err == nil && e.Orphan != nil && left[e.Orphan.Tile] != nil
	}
	if !spoken {
		t.Error("a tile would have been written over before any entry spoke of it")
	}
	f.publish(t)
	said := 0
	r := f.verify(t, audit.VerifyOptions{Visit: func(_ int64, body []byte) error {
		if e, err := audit.Parse(body); err == nil && e.Orphan != nil {
			said++
		}
		return nil
	}})
	if !r.OK() || said == 0 {
		t.Errorf("%d entries speak of orphans; %v", said, r.Findings)
	}
}

// TestAWriterOfAnotherTimelineHaltsAndChangesNothing: it was open already when the database was
// restored, and goes on with what it believes.
func TestAWriterOfAnotherTimelineHaltsAndChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 100)
	f.publish(t)
	zombie := &fixture{tiles: f.tiles, head: f.head.backup(), keys: f.keys}
	var err error
	if zombie.log, err = audit.Open(t.Context(), zombie.options()); err != nil {
		t.Fatal(err)
	}
	f.act(t, 100, 60)
	f.publish(t)
	before := maps.Clone(f.tiles.objects)
	zombie.act(t, 900, 60)
	if _, err := zombie.log.Publish(t.Context()); !errors.Is(err, audit.ErrHalted) {
		t.Errorf("got %v, want ErrHalted", err)
	}
	if !maps.EqualFunc(before, f.tiles.objects, slices.Equal) {
		t.Error("it changed the published log")
	}
}

func TestAKeyIsRotatedUnderBothKeys(t *testing.T) {
	dir := t.TempDir()
	keys, err := audit.CreateKeys(dir, "example.org/log")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{tiles: newTiles(), head: newHead(), keys: keys}
	if f.log, err = audit.Create(t.Context(), f.options()); err != nil {
		t.Fatal(err)
	}
	f.act(t, 0, 100)
	f.publish(t)
	old := audit.TrustKey(keys.Verifier)
	firstSeen := f.tiles.objects["checkpoint"]

	e, err := audit.PrepareRotation(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	again, err := audit.PrepareRotation(dir, time.Now()) // cut off, and called again
	if err != nil || again.ID != e.ID {
		t.Fatalf("preparing twice makes two keys: %v", err)
	}
	f.head.say(leafOf(t, e))
	f.publish(t)
	for range 2 {
		if err := audit.FinishRotation(dir); err != nil && !strings.Contains(err.Error(), "no such file") {
			t.Fatal(err)
		}
	}
	if f.keys, err = audit.OpenKeys(dir); err != nil {
		t.Fatal(err)
	}
	if f.keys.VKey != e.Rotation.New || len(f.keys.Former) != 1 {
		t.Fatalf("key %s, %d former ones", f.keys.VKey, len(f.keys.Former))
	}
	open := func(former bool) {
		o := f.options()
		o.Trust = audit.TrustKey(f.keys.Verifiers...)
		if former {
			o.Former = f.keys.Former
		}
		if f.log, err = audit.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	open(true)
	f.act(t, 100, 100)
	f.publish(t)
	r, err := audit.VerifyAll(t.Context(), f.tiles, old, audit.VerifyOptions{})
	if err != nil || !r.OK() || !slices.Equal(r.NewKeys, []string{e.Rotation.New}) {
		t.Fatalf("who knows the old key only: %v, new keys %v, %v", r.Findings, r.NewKeys, err)
	}
	if err := audit.RetireKeys(dir, time.Now(), false); !errors.Is(err, audit.ErrTooSoon) {
		t.Errorf("retiring a key that was replaced just now: %v", err)
	}
	if err := audit.RetireKeys(dir, time.Now().AddDate(0, 0, 8), false); err != nil {
		t.Fatal(err)
	}
	if f.keys, err = audit.OpenKeys(dir); err != nil || len(f.keys.Former) != 0 {
		t.Fatalf("%v, %d former keys", err, len(f.keys.Former))
	}
	open(false)
	f.act(t, 200, 100)
	f.publish(t)
	if got := findings(t, f, audit.TrustKey(f.keys.Verifier), audit.VerifyOptions{}); len(got) > 0 {
		t.Errorf("who knows the new key only, of a log whose first checkpoints the old one signed: %v", got)
	}
	if got := findings(t, f, audit.TrustKey(f.keys.Verifier), audit.VerifyOptions{LastSeen: firstSeen}); len(got) > 0 {
		t.Errorf("whose last look was under the old key: %v", got)
	}
	if got := findings(t, f, old, audit.VerifyOptions{}); len(got) != 1 || !strings.Contains(got[0], "may have been replaced") {
		t.Errorf("the retired key: %v", got)
	}
	// A certificate leads from the key that one knows to the others.
	c, err := f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 0, Outcome: 1, Rotations: []audit.Rotation{*e.Rotation}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(old); err != nil {
		t.Errorf("a certificate with the rotation, to who knows the old key: %v", err)
	}
	c.Rotations = nil
	if _, err := c.Verify(old); !errors.Is(err, audit.ErrUnverified) {
		t.Errorf("and without it: %v", err)
	}
	forged := e
	forged.ID, forged.Rotation = audit.EntryID("x"), &audit.Rotation{Old: e.Rotation.Old, New: e.Rotation.New, OldSig: e.Rotation.NewSig, NewSig: e.Rotation.NewSig}
	f.head.Say(t.Context(), []earshot.Leaf{leafOf(t, forged)}...)
	f.publish(t)
	if got := findings(t, f, audit.TrustKey(f.keys.Verifier), audit.VerifyOptions{}); len(got) == 0 {
		t.Error("a rotation that the old key has not signed was believed")
	}
}

// TestWhatWitnessesHaveCosignedIsAdopted: publishing died between the cosignature and the swap of the
// checkpoint, and then a backup was restored. The witness will never cosign another tree.
func TestWhatWitnessesHaveCosignedIsAdopted(t *testing.T) {
	for name, died := range map[string]func(op, key string) bool{
		"beforeTheSwap": func(op, key string) bool { return op == "swap" && key == "checkpoint" },
		"beforeTheCosignedCopyWasKept": func(op, key string) bool {
			return strings.HasPrefix(key, "cosigned/20") || op == "swap" && key == "checkpoint"
		},
	} {
		for _, strict := range []bool{true, false} {
			f, trust, _ := witnessed(t, "1", strict, "a")
			f.act(t, 0, 5)
			f.publish(t)
			o := f.options()
			o.Trust, o.Strict = trust, strict
			backup := f.head.backup()
			f.act(t, 5, 5)
			f.tiles.fail = func(op, key string) error {
				if died(op, key) {
					return errors.New("dead")
				}
				return nil
			}
			if _, err := f.log.Publish(t.Context()); err == nil {
				t.Fatal("the store was to fail")
			}
			f.tiles.fail = nil
			f.head, o.Head = backup, backup
			f.act(t, 20, 1)
			got, err := audit.Recover(t.Context(), o, f.head, audit.RecoverOptions{})
			if err != nil || got.Size != 20 || got.Adopted != 10 {
				t.Fatalf("%s, strict %v: %+v, %v", name, strict, got, err)
			}
			if f.log, err = audit.Open(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			f.act(t, 30, 50)
			if size := f.publish(t); size != 20+2+1+100 {
				t.Errorf("%s, strict %v: published %d", name, strict, size)
			}
			if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) > 0 {
				t.Errorf("%s, strict %v: %v", name, strict, got)
			}
		}
	}
}

// TestALogThatWasCutOffIsNotAdopted: the catalog knows what was public. A bucket that lacks it, or
// holds something else, is taken up again only by a person's decision, and the log says so.
func TestALogThatWasCutOffIsNotAdopted(t *testing.T) {
	for name, attack := range map[string]func(t *testing.T, f *fixture, before map[string][]byte){
		"cutOff": func(_ *testing.T, f *fixture, before map[string][]byte) { f.tiles.objects = before },
		"rewritten": func(t *testing.T, f *fixture, _ map[string][]byte) {
			g := &fixture{tiles: newTiles(), head: newHead(), keys: f.keys}
			var err error
			if g.log, err = audit.Create(t.Context(), g.options()); err != nil {
				t.Fatal(err)
			}
			g.act(t, 500, 70)
			g.publish(t)
			f.tiles.objects = g.tiles.objects
		},
	} {
		f := newFixture(t)
		f.act(t, 0, 49)
		f.publish(t)
		before := maps.Clone(f.tiles.objects)
		f.act(t, 49, 3)
		f.publish(t)
		attack(t, f, before)
		if _, err := audit.Recover(t.Context(), f.options(), f.head, audit.RecoverOptions{}); !errors.Is(err, audit.ErrBehind) {
			t.Fatalf("%s: got %v, want ErrBehind", name, err)
		}
		got, err := audit.Recover(t.Context(), f.options(), f.head, audit.RecoverOptions{BucketLost: true})
		if err != nil || got.PublishedBefore != 104 {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		said := false
		r := f.verify(t, audit.VerifyOptions{Visit: func(_ int64, body []byte) error {
			e, err := audit.Parse(body)
			said = said || err == nil && e.Recovered != nil && e.Recovered.PublishedBefore == 104
			return nil
		}})
		if !r.OK() || !said {
			t.Errorf("%s: said %v, %v", name, said, r.Findings)
		}
	}
}

// TestAWriterMayFailAtAnyStepAmongOrphans: an attempt left tiles and a checkpoint, a backup was restored, and the
// writer that goes on fails once at each request in turn. In the end nothing of the attempt is left.
func TestAWriterMayFailAtAnyStepAmongOrphans(t *testing.T) {
	for k := 0; ; k++ {
		f := newFixture(t)
		f.act(t, 0, 100)
		f.publish(t)
		backup := f.head.backup()
		f.act(t, 100, 10)
		f.failsAt(t, func(op, _ string) bool { return op == "swap" })
		f.head = backup
		var err error
		if f.log, err = audit.Open(t.Context(), f.options()); err != nil {
			t.Fatal(err)
		}
		f.act(t, 900, 10) // as many others
		steps, failed := 0, ""
		f.tiles.fail = func(op, key string) error {
			if steps++; steps == k+1 {
				failed = op + " " + key
				return errors.New("dead")
			}
			return nil
		}
		_, err = f.log.Publish(t.Context())
		f.tiles.fail = nil
		if failed == "" {
			if err != nil || k < 10 {
				t.Fatal(k, err)
			}
			return
		}
		f.act(t, 950, 1)
		f.publish(t)
		if r := f.verify(t, audit.VerifyOptions{}); !r.OK() {
			t.Errorf("failed at %s: %v", failed, r.Findings)
		}
	}
}
