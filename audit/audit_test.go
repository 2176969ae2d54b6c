package audit_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"earshot"
	"earshot/audit"
)

// tiles is a place for a log's objects in memory that enforces the contract of audit.Tiles: an
// object that may not change is never written again with other bytes.
type tiles struct {
	mu      sync.Mutex
	objects map[string][]byte
	fail    func(op, key string) error
	after   func(op, key string) // is called when an object was read
}

func newTiles() *tiles { return &tiles{objects: map[string][]byte{}} }

func etag(b []byte) string { sum := md5.Sum(b); return hex.EncodeToString(sum[:]) }

func (t *tiles) broken(op, key string) error {
	if t.fail == nil {
		return nil
	}
	return t.fail(op, key)
}

func (t *tiles) Get(_ context.Context, key string) ([]byte, string, error) {
	if t.after != nil {
		defer t.after("get", key)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.broken("get", key); err != nil {
		return nil, "", err
	}
	b, ok := t.objects[key]
	if !ok {
		return nil, "", fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return slices.Clone(b), etag(b), nil
}

func (t *tiles) Create(_ context.Context, key string, data []byte) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.broken("create", key); err != nil {
		return false, err
	}
	if old, ok := t.objects[key]; ok {
		return string(old) == string(data), nil
	}
	t.objects[key] = slices.Clone(data)
	return true, nil
}

func (t *tiles) Swap(_ context.Context, key string, data []byte, tag string) (string, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.broken("swap", key); err != nil {
		return "", false, err
	}
	old, ok := t.objects[key]
	if ok != (tag != "") || ok && etag(old) != tag {
		return "", false, nil
	}
	t.objects[key] = slices.Clone(data)
	return etag(data), true, nil
}

func (t *tiles) Replace(_ context.Context, key string, data []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.broken("replace", key); err != nil {
		return err
	}
	t.objects[key] = slices.Clone(data)
	return nil
}

func (t *tiles) Keys(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		t.mu.Lock()
		keys := slices.Sorted(maps.Keys(t.objects))
		t.mu.Unlock()
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) && !yield(k, nil) {
				return
			}
		}
	}
}

// head is a head in memory.
type head struct {
	mu        sync.Mutex
	leaves    []earshot.Leaf
	ids       map[string]bool
	numbered  int64
	published int64
	roots     map[int64][32]byte
	fence     string
}

func (h *head) Fence(context.Context) (string, error) { return h.fence, nil }

func newHead() *head { return &head{ids: map[string]bool{}, roots: map[int64][32]byte{}} }

func (h *head) say(leaves ...earshot.Leaf) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range leaves {
		if !h.ids[l.ID] {
			h.ids[l.ID] = true
			h.leaves = append(h.leaves, l)
		}
	}
}

func (h *head) Say(_ context.Context, leaves ...earshot.Leaf) error {
	h.say(leaves...)
	return nil
}

func (h *head) Number(_ context.Context, limit int) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.numbered = min(int64(len(h.leaves)), h.numbered+int64(limit))
	return h.numbered, nil
}

func (h *head) Numbered(_ context.Context, from, to int64) ([]earshot.Leaf, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.leaves[from:min(to, h.numbered)]), nil
}

func (h *head) Remember(_ context.Context, size int64, root [32]byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.roots[size] = root
	return nil
}

func (h *head) Root(_ context.Context, size int64) ([32]byte, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.roots[size]
	return r, ok, nil
}

func (h *head) Published(context.Context) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.published, nil
}

func (h *head) SetPublished(_ context.Context, size int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published = max(h.published, size)
	return nil
}

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

// Adopt as audit.Adopter has it.
func (h *head) Adopt(_ context.Context, fence string, size int64, root [32]byte, entries iter.Seq2[earshot.Leaf, error], extra func(int64, int64) ([]earshot.Leaf, error)) (adopted, renumbered int64, err error) {
	h.mu.Lock()
	var taken []earshot.Leaf
	in := map[string]bool{}
	for l, err := range entries {
		if err != nil {
			h.mu.Unlock()
			return 0, 0, err
		}
		if !h.ids[l.ID] {
			adopted++
		}
		in[l.ID] = true
		taken = append(taken, l)
	}
	for i, l := range h.leaves {
		if in[l.ID] {
			continue
		}
		if int64(i) < h.numbered {
			renumbered++
		}
		taken = append(taken, l)
	}
	h.leaves, h.numbered, h.published, h.fence = taken, size, size, fence
	h.roots = map[int64][32]byte{size: root}
	for _, l := range taken {
		h.ids[l.ID] = true
	}
	h.mu.Unlock()
	leaves, err := extra(adopted, renumbered)
	h.say(leaves...)
	return adopted, renumbered, err
}
