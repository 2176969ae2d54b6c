package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// namedHead is a signed tree that was shown before: to the verifier, or as the checkpoint.
type namedHead struct {
	name   string
	signed []byte
	seen   bool // by the verifier
}

// laterHead is a checkpoint that is looked at again when all rotations are known.
type laterHead struct {
	key    string
	signed []byte
	size   int64
	root   tlog.Hash
	err    error
}

// remembered sorts by size the trees that were shown before; whose signature they carry is looked at
// later, since the log's key may have been replaced.
func (v *verification) remembered() {
	put := func(h namedHead) {
		if size, ok := claimedSize(h.signed); ok {
			v.past[size] = append(v.past[size], h)
		} else {
			v.report.find("%s: it is not a checkpoint", h.name)
		}
	}
	if v.opts.LastSeen != nil {
		put(namedHead{"the checkpoint that was seen last", v.opts.LastSeen, true})
	}
	var newer int64 = -1
	for _, p := range v.opts.heads {
		name := fmt.Sprintf("checkpoint, version %s", p.version)
		put(namedHead{name: name, signed: p.signed})
		size, ok := claimedSize(p.signed)
		if newer >= 0 && ok && size > newer && size <= v.report.Checkpoint.Size {
			v.report.find("%s: it is of %d entries, and a newer version of only %d: an older checkpoint was put in its place for a time", name, size, newer)
		}
		if ok {
			newer = size
		}
	}
}

// claimedSize reads the size that a checkpoint claims, whoever signed it.
func claimedSize(signed []byte) (int64, bool) {
	lines := strings.SplitN(string(signed), "\n", 3)
	if len(lines) < 3 {
		return 0, false
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	return n, err == nil && n >= 0
}

// compareWith relates a signed head to the tree of that size. It is false where a key that is not known
// yet has signed it: then it is looked at again in the end.
func (v *verification) compareWith(name string, signed []byte, size int64) bool {
	c, err := v.trust.open(signed)
	switch {
	case err != nil: // signed by a key that an entry further on speaks of?
		v.later = append(v.later, laterHead{name, signed, size, v.edge.root(), err})
	case c.Size != size || c.Root != v.edge.root():
		v.report.find("%s: it is signed over another tree than the entries give: history was rewritten", name)
	}
	return err == nil
}

// rollbacks looks at trees that are larger than the published one.
func (v *verification) rollbacks() {
	for _, size := range sortedKeys(v.past) {
		if size <= v.report.Checkpoint.Size {
			continue
		}
		for _, p := range v.past[size] {
			if _, err := v.everyKey().open(p.signed); err != nil {
				v.report.find("%s: %v", p.name, err)
			} else if p.seen {
				v.report.find("rollback: a tree of %d entries was seen before, now there are %d", size, v.report.Checkpoint.Size)
			} else {
				v.report.find("rollback: %s holds a signed tree of %d entries, now there are %d: the log was cut off", p.name, size, v.report.Checkpoint.Size)
			}
		}
	}
}

func sortedKeys(m map[int64][]namedHead) (out []int64) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// everyKey trusts the keys too that rotation entries speak of: the current key has signed for those.
func (v *verification) everyKey() *Trust {
	extended := *v.trust
	for _, k := range v.rotated {
		if !slices.ContainsFunc(extended.logs, func(t note.Verifier) bool { return t.KeyHash() == k.KeyHash() }) {
			extended.logs = append(slices.Clone(extended.logs), k)
		}
	}
	return &extended
}

// olderKeys looks again at checkpoints that were signed by former keys, now that the entries have
// said which those were.
func (v *verification) olderKeys() {
	extended := v.everyKey()
	for _, l := range v.later {
		c, err := extended.open(l.signed)
		switch {
		case err != nil:
			v.report.find("%s: %v", l.key, l.err)
		case c.Size != l.size || c.Root != l.root:
			v.report.find("%s: it is signed over another tree than the entries give: history was rewritten", l.key)
		}
	}
}

// listed bounds the number of entries by the bundles that are there: a signed size alone is not believed.
func (v *verification) listed() (n int64) {
	for name := range v.widths {
		if name.level == "entries" {
			n += tileWidth
		}
	}
	return n
}

// rotation notes a change of the log's key. One that is not signed by both keys is a fault.
func (v *verification) rotation(n int64, body []byte) {
	e, err := Parse(body)
	if err != nil || e.Rotation == nil {
		v.report.find("entry %d: a key rotation that cannot be read", n)
		return
	}
	before, after, err := e.Rotation.check(v.trust.Origin())
	if err != nil {
		v.report.find("entry %d: %v", n, err)
		return
	}
	known := func(k note.Verifier) bool {
		return slices.ContainsFunc(slices.Concat(v.trust.logs, v.rotated), func(t note.Verifier) bool { return t.KeyHash() == k.KeyHash() })
	}
	if !known(after) {
		v.report.NewKeys = append(v.report.NewKeys, e.Rotation.New)
	}
	v.rotated = append(v.rotated, before, after)
}
