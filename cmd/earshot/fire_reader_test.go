package main

import (
	"context"
	"fmt"
	"time"

	"earshot/audit"
)

// An outsider who reads the log while it is under fire.

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
