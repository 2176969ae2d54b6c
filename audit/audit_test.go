package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"earshot"
	"earshot/audit"
)

// fixture is a log in memory.
type fixture struct {
	tiles *tiles
	head  *head
	keys  *audit.Keys
	log   *audit.Log
}

func (f *fixture) options() audit.Options {
	return audit.Options{Tiles: f.tiles, Head: f.head, Signer: f.keys.Signer, Verifier: f.keys.Verifier}
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	keys, err := audit.CreateKeys(tb.TempDir(), "example.org/log")
	if err != nil {
		tb.Fatal(err)
	}
	f := &fixture{tiles: newTiles(), head: newHead(), keys: keys}
	if f.log, err = audit.Create(tb.Context(), f.options()); err != nil {
		tb.Fatal(err)
	}
	return f
}

func entry(tb testing.TB, kind audit.Kind, n int) audit.Entry {
	tb.Helper()
	e := audit.Entry{ID: audit.EntryID(string(kind), fmt.Sprint(n)), Kind: kind, TS: 1_700_000_000_000_000 + int64(n), Run: "run-x"}
	switch kind {
	case audit.KindIntent:
		e.Intent = &audit.Intent{Action: "delete", Recording: "00", Object: "11", Rule: "r", Basis: []string{"p/r"}}
	case audit.KindOutcome:
		e.Outcome = &audit.Outcome{IntentID: audit.EntryID(string(audit.KindIntent), fmt.Sprint(n)), Result: "ok", CopiesGone: 2}
	}
	return e
}

func leafOf(tb testing.TB, e audit.Entry) earshot.Leaf {
	tb.Helper()
	l, err := e.Leaf()
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// act writes n intents with their outcomes.
func (f *fixture) act(tb testing.TB, from, n int) {
	tb.Helper()
	for i := from; i < from+n; i++ {
		f.head.say(leafOf(tb, entry(tb, audit.KindIntent, i)), leafOf(tb, entry(tb, audit.KindOutcome, i)))
	}
}

func (f *fixture) publish(tb testing.TB) int64 {
	tb.Helper()
	size, err := f.log.Publish(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return size
}

func (f *fixture) verify(tb testing.TB, o audit.VerifyOptions) *audit.Report {
	tb.Helper()
	r, err := audit.VerifyAll(tb.Context(), f.tiles, audit.TrustKey(f.keys.Verifier), o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestALogOfAnySizeVerifies(t *testing.T) {
	f := newFixture(t)
	if r := f.verify(t, audit.VerifyOptions{}); !r.OK() {
		t.Fatalf("the empty log: %v", r.Findings)
	}
	n := 0
	for _, step := range []int{1, 2, 1, 124, 1, 127, 130, 700, 33000} {
		f.act(t, n, step)
		n += step
		if size := f.publish(t); size != int64(2*n) {
			t.Fatalf("published %d, want %d", size, 2*n)
		}
		r := f.verify(t, audit.VerifyOptions{})
		if !r.OK() || r.Entries != int64(2*n) || r.Intents != int64(n) || r.Outcomes != int64(n) || r.Open != 0 {
			t.Fatalf("after %d: %+v", n, r)
		}
		if _, err := audit.Open(t.Context(), f.options()); err != nil {
			t.Fatalf("opening the log of %d entries: %v", 2*n, err)
		}
	}
}

func TestPublishingGoesOnAfterACrashAnywhere(t *testing.T) {
	for landed := range 2 {
		for n := 1; ; n++ {
			f := newFixture(t)
			f.act(t, 0, 200)
			f.publish(t)
			f.act(t, 200, 120)
			ops, dead := 0, false
			f.tiles.fail = func(op, _ string) error {
				if ops++; dead || ops == n && landed == 0 {
					dead = true
					return errors.New("dead")
				}
				if ops == n && op != "get" {
					dead = true // this one still takes effect
				}
				return nil
			}
			_, err := f.log.Publish(t.Context())
			f.tiles.fail = nil
			if err == nil && ops < n {
				break // there is no n-th operation
			}
			if f.log, err = audit.Open(t.Context(), f.options()); err != nil {
				t.Fatalf("crash at %d (%d): opening: %v", n, landed, err)
			}
			f.act(t, 320, 1)
			if size := f.publish(t); size != 642 {
				t.Fatalf("crash at %d (%d): published %d, want 642", n, landed, size)
			}
			if r := f.verify(t, audit.VerifyOptions{}); !r.OK() {
				t.Fatalf("crash at %d (%d): %v", n, landed, r.Findings)
			}
		}
	}
}

func TestTwoPublishersShareALog(t *testing.T) {
	f := newFixture(t)
	other, err := audit.Open(t.Context(), f.options())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		f.act(t, i*10, 10)
		log := f.log
		if i%3 == 1 {
			log = other
		}
		if _, err := log.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if r := f.verify(t, audit.VerifyOptions{}); !r.OK() || r.Entries != 800 {
		t.Fatalf("%+v", r)
	}
}

// TestOpeningWhileAnotherPublishesDoesNotHalt: between reading the checkpoint and asking the database.
func TestOpeningWhileAnotherPublishesDoesNotHalt(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 5)
	f.publish(t)
	f.act(t, 5, 5)
	reads := 0
	f.tiles.after = func(op, key string) {
		if op == "get" && key == "checkpoint" {
			if reads++; reads == 1 {
				f.publish(t)
			}
		}
	}
	if _, err := audit.Open(t.Context(), f.options()); err != nil {
		t.Error(err)
	}
}

func TestCreateNeverTakesTheplaceOfALog(t *testing.T) {
	f := newFixture(t)
	if _, err := audit.Create(t.Context(), f.options()); !errors.Is(err, audit.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
}

func TestADatabaseOfAnotherTimelineHalts(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 5)
	f.publish(t)
	f.head = newHead() // a backup was restored
	f.head.roots[0] = [32]byte{}
	if _, err := audit.Open(t.Context(), f.options()); !errors.Is(err, audit.ErrHalted) {
		t.Errorf("got %v, want ErrHalted", err)
	}
}

func TestHistoryThatWasRewrittenOrShortenedIsFoundByWhoSawIt(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 10)
	f.publish(t)
	seen := f.verify(t, audit.VerifyOptions{}).Signed
	f.act(t, 10, 10)
	f.publish(t)
	if r := f.verify(t, audit.VerifyOptions{LastSeen: seen}); !r.OK() {
		t.Fatalf("an honest log: %v", r.Findings)
	}
	longer := f.verify(t, audit.VerifyOptions{}).Signed
	// The operator, who has the key, writes another history.
	forged := &fixture{tiles: newTiles(), head: newHead(), keys: f.keys}
	var err error
	if forged.log, err = audit.Create(t.Context(), forged.options()); err != nil {
		t.Fatal(err)
	}
	forged.act(t, 100, 15)
	forged.publish(t)
	if r := forged.verify(t, audit.VerifyOptions{LastSeen: seen}); r.OK() {
		t.Error("a rewritten history was believed")
	}
	if r := forged.verify(t, audit.VerifyOptions{LastSeen: longer}); r.OK() {
		t.Error("a shortened history was believed")
	}
}

func TestWhatEntriesSayTogether(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(f *fixture)
		find string
	}{
		"anOutcomeWithoutAnIntent": {func(f *fixture) { f.head.say(leafOf(t, entry(t, audit.KindOutcome, 1))) }, "without an intent"},
		"twoOutcomesOfOneIntent": {func(f *fixture) {
			f.act(t, 1, 1)
			e := entry(t, audit.KindOutcome, 1)
			e.ID = audit.EntryID("another")
			f.head.say(leafOf(t, e))
		}, "second outcome"},
		"theSameEntryTwice": {func(f *fixture) {
			f.act(t, 1, 1)
			f.head.leaves = append(f.head.leaves, f.head.leaves[0])
		}, "second time"},
		"anInventoryOfAnotherRoot": {func(f *fixture) {
			first, second := entry(t, audit.KindInventory, 1), entry(t, audit.KindInventory, 2)
			first.Inventory, second.Inventory = &audit.Inventory{Root: "aa"}, &audit.Inventory{Root: "bb", Previous: "cc", PreviousID: first.ID}
			f.head.say(leafOf(t, first), leafOf(t, second))
		}, "another root"},
		"twoInventoriesAfterOne": {func(f *fixture) {
			first, second, third := entry(t, audit.KindInventory, 1), entry(t, audit.KindInventory, 2), entry(t, audit.KindInventory, 3)
			first.Inventory, second.Inventory = &audit.Inventory{Root: "aa"}, &audit.Inventory{Root: "bb", Previous: "aa", PreviousID: first.ID}
			third.Inventory = second.Inventory
			f.head.say(leafOf(t, first), leafOf(t, second), leafOf(t, third))
		}, "follows none"},
		"notCanonical": {func(f *fixture) {
			f.head.say(earshot.Leaf{ID: "x", Body: []byte(`{"kind":"intent","id":"00"}`)})
		}, "canonical"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.say(f)
			f.publish(t)
			r := f.verify(t, audit.VerifyOptions{})
			if r.OK() || !strings.Contains(strings.Join(r.Findings, "\n"), c.find) {
				t.Errorf("got %v, want a finding with %q", r.Findings, c.find)
			}
		})
	}
}
