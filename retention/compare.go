package retention

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"

	"earshot"
)

// comparison merges two inventories of a bucket, in order of key, and relates what differs to what was
// announced.
type comparison struct {
	r      *Runner
	out    *Reconciled
	bucket string
	said   announcements
	gone   map[string]earshot.Recording // that scans missed since, by name
	known  string                       // the key that the last old line was of
	// replaced is the version that the last old line had which is gone: where versions are not kept, what
	// takes its place is no further fault.
	replaced string
}

// compare merges the two sorted lists; of the first inventory there is none before. What a scan has seen
// and a later one missed counts too, or something that came and went between two inventories would
// never be missed.
func (r *Runner) compare(ctx context.Context, out *Reconciled, last Inventory, said announcements, before, after string) error {
	c := &comparison{r: r, out: out, bucket: out.Inventory.Bucket, said: said, gone: map[string]earshot.Recording{}}
	for row, err := range r.o.Catalog.GoneSince(ctx, c.bucket, last.TakenAt) {
		if err != nil {
			return err
		}
		c.gone[objectName(c.bucket, row.Recording.ID.Key)] = row.Recording
	}
	none := func(func(heldVersion, error) bool) {}
	lines := none
	if before != "" {
		lines = heldLines(before)
	}
	nextOld, stopOld := iter.Pull2(lines)
	defer stopOld()
	nextNew, stopNew := iter.Pull2(heldLines(after))
	defer stopNew()
	old, oldErr, moreOld := nextOld()
	cur, curErr, moreNew := nextNew()
	for moreOld || moreNew {
		if err := errors.Join(oldErr, curErr, ctx.Err()); err != nil {
			return err
		}
		order := 0
		switch {
		case !moreOld:
			order = 1
		case !moreNew:
			order = -1
		default:
			order = old.compare(cur)
		}
		if order <= 0 {
			c.was(old, order < 0, moreNew && cur.key == old.key)
		}
		if order >= 0 {
			c.is(cur, order > 0, moreOld && old.key == cur.key)
		}
		if order <= 0 {
			old, oldErr, moreOld = nextOld()
		}
		if order >= 0 {
			cur, curErr, moreNew = nextNew()
		}
	}
	c.rest()
	return nil
}

// was takes a line of the old inventory.
func (c *comparison) was(h heldVersion, gone, more bool) {
	if h.key != c.known {
		c.known, c.replaced = h.key, "none"
	}
	name := objectName(c.bucket, h.key)
	delete(c.gone, name) // it is told from the inventories
	if !gone {
		return
	}
	c.replaced = h.version
	if _, ok := c.said.keys[name]; ok {
		c.out.Explained++
		return
	}
	c.out.Vanished++
	c.missing(Missing{What: "vanished", Key: h.key, Version: h.version, Size: h.size, Replaced: more})
}

// is takes a line of the new inventory; fresh says that the old one had no such version.
func (c *comparison) is(h heldVersion, fresh, more bool) {
	name := objectName(c.bucket, h.key)
	if !h.marker {
		delete(c.said.stay, name)
	}
	delete(c.gone, name) // it is there again
	if !fresh {
		return
	}
	c.out.Appeared++
	if _, ok := c.said.keys[name]; ok || h.key != c.known && !more || c.r.layout.log(h.key) != nil || h.key == c.known && h.version == c.replaced {
		return // announced, new, written to all the time, or told as vanished and replaced
	}
	m := Missing{What: "changed", Key: h.key, Version: h.version, Size: h.size}
	if h.marker {
		m.What = "hidden"
		c.out.Hidden++
	} else {
		c.out.Changed++
	}
	c.missing(m)
}

// rest takes what should be there and is not: recordings that the log says were redacted, and those that
// a scan has seen and no inventory.
func (c *comparison) rest() {
	for _, name := range slices.Sorted(maps.Keys(c.said.stay)) {
		delete(c.gone, name)
		c.out.Vanished++
		c.missing(Missing{What: "vanished", Key: c.said.stay[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(c.gone)) {
		if _, ok := c.said.keys[name]; ok {
			continue
		}
		rec := c.gone[name]
		c.out.Vanished++
		c.missing(Missing{What: "vanished", Key: rec.ID.Key, Size: rec.Size})
	}
}

func (c *comparison) missing(m Missing) {
	if len(c.out.Missing) < maxMissing {
		c.out.Missing = append(c.out.Missing, m)
	}
}
