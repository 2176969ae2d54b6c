package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage/catalog"
)

// ErrLost means: the restore of a backup lost what people had said, holds perhaps. Nothing is done
// until a person has said it again or has reviewed it.
var ErrLost = errors.New("the restored catalog lacks what people had said since the backup, and nothing is done until it is reviewed: place lost holds and file lost requests again, then run earshot audit recover --reviewed")

// lostMark is the name of the catalog's note of what was lost.
const lostMark = "lost by a restore"

// lostNote is that note.
type lostNote struct {
	At    time.Time     `json:"at"`
	Items []audit.Entry `json:"items"` // as they are in the log: tags only
}

// Restored compares what people said in the published log with the catalog, of which a backup was
// restored, and notes what the catalog has lost; from then on nothing is done until it is reviewed.
// Keys of data subjects that had been destroyed, and came back with the backup, are destroyed again.
// It is for [audit.RecoverOptions].
func Restored(c *catalog.DB, keys SubjectKeys, tags *audit.Tagger, now time.Time) func(ctx context.Context, said []audit.Entry) (audit.Lost, error) {
	return func(ctx context.Context, said []audit.Entry) (lost audit.Lost, err error) {
		note, err := readLost(ctx, c)
		if err != nil {
			return lost, err
		}
		var destroyed []audit.Entry
		for _, e := range said {
			switch {
			case e.Reviewed != nil:
				note.Items = slices.DeleteFunc(note.Items, func(i audit.Entry) bool { return slices.Contains(e.Reviewed.Entries, i.ID) })
				continue
			case e.Kind == audit.KindKeyGone:
				destroyed = append(destroyed, e)
				continue
			case e.Kind == audit.KindDisclosed, slices.ContainsFunc(note.Items, func(i audit.Entry) bool { return i.ID == e.ID }):
				continue
			}
			has, err := c.Head().Has(ctx, e.ID)
			if err != nil {
				return lost, err
			}
			if !has {
				note.Items = append(note.Items, e)
			}
		}
		if lost.KeysDestroyed, err = destroyAgain(ctx, c, keys, tags, destroyed); err != nil {
			return lost, err
		}
		for _, e := range note.Items {
			if lost.Said++; e.Kind == audit.KindHold {
				lost.Holds++
			}
		}
		if note.At = now.UTC(); lost.Said == 0 {
			return lost, c.SetMark(ctx, lostMark, "")
		}
		text, err := json.Marshal(note)
		if err != nil {
			return lost, err
		}
		return lost, c.SetMark(ctx, lostMark, string(text))
	}
}

func readLost(ctx context.Context, c *catalog.DB) (note lostNote, err error) {
	text, err := c.Mark(ctx, lostMark)
	if err != nil || text == "" {
		return note, err
	}
	if err := json.Unmarshal([]byte(text), &note); err != nil {
		return note, fmt.Errorf("reading what a restore lost: %w", err)
	}
	return note, nil
}

// destroyAgain destroys the keys that the log says were destroyed and that are there. The entries name
// nobody; with the key itself and the pseudonym the tag can be made again.
func destroyAgain(ctx context.Context, c *catalog.DB, keys SubjectKeys, tags *audit.Tagger, gone []audit.Entry) (n int64, err error) {
	if len(gone) == 0 || keys == nil {
		return 0, nil
	}
	ids, err := c.SubjectIDs(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		key, ok, err := keys.Existing(ctx, id)
		if err != nil {
			return n, err
		}
		if !ok {
			continue
		}
		own := tags.Of(key)
		if !slices.ContainsFunc(gone, func(e audit.Entry) bool { return e.SubjectKey.Subject == own.Tag("subject", e.ID, string(id)) }) {
			continue
		}
		if _, err := keys.Destroy(ctx, id); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Outstanding lists what a restore lost of what people had said and nobody has said again or reviewed:
// entries of the published log. A hold of the same matter, or a request of the same kind and person,
// counts as said again.
func (r *Runner) Outstanding(ctx context.Context) ([]audit.Entry, error) {
	note, err := readLost(ctx, r.o.Catalog)
	if err != nil || len(note.Items) == 0 {
		return nil, err
	}
	holds, err := r.o.Catalog.Holds(ctx, false)
	if err != nil {
		return nil, err
	}
	holds = slices.DeleteFunc(holds, func(h earshot.Hold) bool { return h.PlacedAt.Before(note.At) })
	requests, err := r.o.Catalog.AllRequests(ctx, true)
	if err != nil {
		return nil, err
	}
	requests = slices.DeleteFunc(requests, func(q earshot.Request) bool { return q.MadeAt.Before(note.At) })
	var out []audit.Entry
	for _, e := range note.Items {
		again := false
		switch e.Kind {
		case audit.KindHold:
			if i := slices.IndexFunc(holds, func(h earshot.Hold) bool { return r.o.Tagger.Tag("matter", e.ID, h.Matter) == e.Hold.Matter }); i >= 0 {
				holds, again = slices.Delete(holds, i, i+1), true // each stands for one
			}
		case audit.KindRequest:
			for i, q := range requests {
				tags, err := r.SubjectTagger(ctx, q.Subject)
				if err != nil && !errors.Is(err, ErrNoKey) {
					return nil, err
				}
				if err == nil && string(q.Kind) == e.Request.Kind && tags.Tag("subject", e.ID, string(q.Subject)) == e.Request.Subject {
					requests, again = slices.Delete(requests, i, i+1), true
					break
				}
			}
		}
		if !again {
			out = append(out, e)
		}
	}
	return out, nil
}

// reviewed refuses to go on while something is lost.
func (r *Runner) reviewed(ctx context.Context) error {
	left, err := r.Outstanding(ctx)
	if err != nil || len(left) == 0 {
		return err
	}
	holds := 0
	for _, e := range left {
		if e.Kind == audit.KindHold {
			holds++
		}
	}
	return fmt.Errorf("%w (%d hold(s), %d in all)", ErrLost, holds, len(left))
}

// reviewedAtOnce is how many lost entries one entry of 4 kB has room for.
const reviewedAtOnce = 64

// Review says that the person who runs this has looked at what a restore lost. It returns how much
// that was, and is an entry.
func (r *Runner) Review(ctx context.Context) (int, error) {
	note, err := readLost(ctx, r.o.Catalog)
	if err != nil || len(note.Items) == 0 {
		return 0, err
	}
	var ids []string
	for _, e := range note.Items {
		ids = append(ids, e.ID)
	}
	for some := range slices.Chunk(ids, reviewedAtOnce) {
		e := r.entry(audit.KindReviewed, some...)
		e.Reviewed = &audit.Reviewed{Entries: some}
		if err := r.say(ctx, e); err != nil {
			return 0, err
		}
	}
	return len(ids), r.o.Catalog.SetMark(ctx, lostMark, "")
}
