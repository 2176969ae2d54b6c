package audit_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"earshot"
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
