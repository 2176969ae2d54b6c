package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"earshot/audit"
	"earshot/storage"
	"earshot/storage/catalog"
)

// A writer under fire, and the faults that can be built into it on purpose.

// Statuses of a writer.
const (
	fireDone   = 0
	fireHalted = 7
)

// writer is the child's main.
func writer(name string) int {
	ctx := context.Background()
	a := &app{in: strings.NewReader(""), out: discard{}, err: os.Stderr, as: "writer", configPath: os.Getenv("EARSHOT_CONFIG")}
	err := fire(ctx, a, name, os.Getenv(envControl))
	switch {
	case err == nil:
		return fireDone
	case errors.Is(err, audit.ErrHalted):
		return fireHalted
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func fire(ctx context.Context, a *app, name, control string) error {
	i, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	o, err := a.openKeys(ctx, i)
	if err != nil {
		return err
	}
	pause := &pausing{Tiles: o.Tiles, dir: filepath.Dir(a.configPath)}
	o.Tiles = pause
	switch control {
	case "no-if-match":
		o.Tiles = heedless{o.Tiles}
	case "no-orphan-rule":
		o.Tiles = blind{o.Tiles}
	case "publish-before-commit":
		o.Head = &hasty{Head: o.Head, roots: map[int64][32]byte{}}
	}
	log, err := audit.Open(ctx, o)
	if err != nil {
		return err
	}
	b, err := i.store.Bucket(ctx, "acts")
	if err != nil {
		return err
	}
	w := underFire{i, log, i.db.Head(), b.Folder("", nil), pause, control}
	for n := 0; ; n++ {
		thing := fmt.Sprintf("%s-%s-%05d", name, os.Getenv(envRound), n)
		intent, outcome := audit.EntryID("intent", thing), audit.EntryID("outcome", thing)
		if control == "random-ids" {
			intent = audit.EntryID("intent", thing, fmt.Sprint(rand.Int64()))
			outcome = audit.EntryID("outcome", thing, fmt.Sprint(rand.Int64()))
		}
		if _, ok, err := w.head.Index(ctx, outcome); err != nil {
			return err
		} else if ok {
			continue
		}
		if err := w.perform(ctx, thing, intent, outcome); err != nil {
			return err
		}
		if n < 8 { // alone it comes by every size, and by the one that another left tiles of
			if _, err := log.Publish(ctx); err != nil && control != "gate-at-sequenced" {
				return err
			}
		}
	}
}

// underFire is what a writer works with.
type underFire struct {
	i       *installation
	log     *audit.Log
	head    *catalog.Head
	acts    *storage.Folder
	pause   *pausing
	control string
}

// perform announces a thing, does it and answers.
func (w underFire) perform(ctx context.Context, thing, intent, outcome string) error {
	if err := w.announce(ctx, thing, intent); err != nil {
		return err
	}
	if w.pause.there(fireHold) { // its tree is to reach further than what recovering adds
		for more := range 3 + rand.IntN(6) {
			if err := w.announce(ctx, fmt.Sprint(thing, "-", more), audit.EntryID("more", thing, fmt.Sprint(more))); err != nil {
				return err
			}
		}
		w.pause.ready = true
	}
	size, err := w.log.Publish(ctx)
	if w.control == "gate-at-sequenced" { // numbered is taken for enough
		size, err = 1<<40, nil
	}
	if err != nil {
		return err
	}
	index, ok, err := w.head.Index(ctx, intent)
	if err != nil {
		return err
	}
	if w.control != "gate-at-sequenced" && (!ok || index >= size) {
		return fmt.Errorf("the intent of %s is not in the published log", thing)
	}
	if _, err := w.acts.Create(ctx, thing, []byte("done")); err != nil {
		return err
	}
	return say(ctx, w.i, audit.Entry{ID: outcome, Kind: audit.KindOutcome, TS: time.Now().UnixMicro(), Run: thing,
		Outcome: &audit.Outcome{IntentID: intent, Result: "ok"}})
}

func (w underFire) announce(ctx context.Context, thing, id string) error {
	return say(ctx, w.i, audit.Entry{ID: id, Kind: audit.KindIntent, TS: time.Now().UnixMicro(), Run: thing,
		Intent: &audit.Intent{Action: "delete", Recording: "00", Object: "00", Rule: "r", Basis: []string{}}})
}

func say(ctx context.Context, i *installation, e audit.Entry) error {
	leaf, err := e.Leaf()
	if err != nil {
		return err
	}
	return i.db.Say(ctx, leaf)
}

// heedless swaps whatever the condition.
type heedless struct{ audit.Tiles }

func (h heedless) Swap(ctx context.Context, key string, data []byte, _ string) (string, bool, error) {
	return "", true, h.Replace(ctx, key, data)
}

// Files beside the configuration: while the first is there writers stop before a checkpoint, and write its size to the second.
const (
	fireHold = "hold"
	fireHeld = "held"
)

// pausing stops where a kill leaves tiles without their checkpoint.
type pausing struct {
	audit.Tiles
	dir   string
	ready bool // the tree is one that is worth stopping at
}

func (p *pausing) there(name string) bool {
	_, err := os.Stat(filepath.Join(p.dir, name))
	return err == nil
}

func (p *pausing) Create(ctx context.Context, key string, data []byte) (bool, error) {
	if size, ok := strings.CutPrefix(key, "checkpoints/"); ok && p.ready && p.there(fireHold) {
		name := filepath.Join(p.dir, fireHeld)
		_ = os.WriteFile(name+"."+size, []byte(size), 0o600)
		_ = os.Rename(name+"."+size, name)
		for p.there(fireHold) {
			time.Sleep(3 * time.Millisecond)
		}
	}
	return p.Tiles.Create(ctx, key, data)
}

// blind takes a tile that holds other bytes for its own.
type blind struct{ audit.Tiles }

func (b blind) Create(ctx context.Context, key string, data []byte) (bool, error) {
	_, err := b.Tiles.Create(ctx, key, data)
	return err == nil, err
}

// hasty commits to the database what is to be published only when it is out, and takes its time.
type hasty struct {
	audit.Head
	roots map[int64][32]byte
}

func (h *hasty) Remember(_ context.Context, size int64, root [32]byte) error {
	h.roots[size] = root
	return nil
}

func (h *hasty) Root(ctx context.Context, size int64) ([32]byte, bool, error) {
	if root, ok := h.roots[size]; ok {
		return root, true, nil
	}
	return h.Head.Root(ctx, size)
}

func (h *hasty) SetPublished(ctx context.Context, size int64) error {
	time.Sleep(20 * time.Millisecond)
	if root, ok := h.roots[size]; ok {
		if err := h.Head.Remember(ctx, size, root); err != nil {
			return err
		}
	}
	return h.Head.SetPublished(ctx, size)
}
