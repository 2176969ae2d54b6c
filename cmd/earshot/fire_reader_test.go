package main

import (
	"context"
	"fmt"
	"time"

	"earshot/audit"

	"golang.org/x/mod/sumdb/tlog"
)

// An outsider who reads the log while it is under fire, and judges it in the end.

// watch reads the checkpoint as an outsider would, until ctx ends: it must never shrink nor change.
func (b *battle) watch(ctx context.Context) {
	tiles, err := b.inst.tiles(ctx)
	if err != nil {
		return
	}
	trust, err := b.inst.ownTrust()
	if err != nil {
		return
	}
	for ctx.Err() == nil {
		signed, _, err := tiles.Get(ctx, "checkpoint")
		if err == nil {
			if c, err := trust.Open(signed); err == nil {
				b.note(c)
			}
		}
		time.Sleep(3 * time.Millisecond)
	}
}

func (b *battle) note(c audit.Checkpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Size < b.last {
		b.fault = append(b.fault, fmt.Sprintf("rollback from %d to %d", b.last, c.Size))
	}
	b.last = c.Size
	if old, ok := b.seen[c.Size]; ok && old != c.Root {
		b.fault = append(b.fault, fmt.Sprintf("fork at %d", c.Size))
	}
	b.seen[c.Size] = c.Root
}

// published waits until more checkpoints were seen than before, since on a busy machine harm would come before there
// is anything to harm; but not for long, for a log may have halted. It returns how many there are.
func (b *battle) published(before int) int {
	for began := time.Now(); ; time.Sleep(3 * time.Millisecond) {
		b.mu.Lock()
		n := len(b.seen)
		b.mu.Unlock()
		if n > before || time.Since(began) > time.Second {
			return n
		}
	}
}

// reached waits until a checkpoint of that size or a larger one was seen; but not for long.
func (b *battle) reached(size int64) {
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(3 * time.Millisecond) {
		b.mu.Lock()
		last := b.last
		b.mu.Unlock()
		if last >= size {
			return
		}
	}
}

// judge compares the log with what was done.
func (b *battle) judge() []string {
	t := b.t
	b.mend()
	_, o, i, err := b.catalog()
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	found := b.fault
	if log, err := audit.Open(t.Context(), o); err != nil {
		found = append(found, "opening in the end: "+err.Error())
	} else if _, err := log.Publish(t.Context()); err != nil {
		found = append(found, "publishing in the end: "+err.Error())
	}
	trust, err := b.inst.ownTrust()
	if err != nil {
		t.Fatal(err)
	}
	tiles, err := b.inst.tiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	intents, times := map[string]bool{}, map[string]int{}
	var tree audit.Accumulator
	report, err := audit.Examine(t.Context(), archive{tiles}, trust, audit.VerifyOptions{MayBeUnlocked: true, Visit: func(_ int64, body []byte) error {
		tree.Add(body)
		b.mu.Lock()
		if root, ok := b.seen[tree.Size()]; ok && root != tlog.Hash(tree.Root()) {
			found = append(found, fmt.Sprintf("the tree of %d entries that was shown is not in the log", tree.Size()))
		}
		b.mu.Unlock()
		e, err := audit.Parse(body)
		if err != nil {
			return err
		}
		if e.Kind == audit.KindIntent {
			intents[e.Run] = true
			times[e.Run]++
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, report.Findings...)
	for thing, n := range times {
		if n > 1 {
			found = append(found, fmt.Sprintf("%s was announced %d times", thing, n))
		}
	}
	bucket, err := b.inst.store.Bucket(t.Context(), "acts")
	if err != nil {
		t.Fatal(err)
	}
	acts := 0
	for key, err := range bucket.Folder("", nil).Keys(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		acts++
		if !intents[key] {
			found = append(found, key+" was done and never announced")
		}
	}
	t.Logf("%d entries, %d acts; %d kills, %d stops, %d kills of the database, %d restores with a writer of the old times alive (%d of those halted) and %d with one stopped before its checkpoint; %d findings",
		report.Entries, acts, b.kills, b.stops, b.crashes, b.restores, b.halts, b.held, len(found))
	return found
}
