package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// survey verifies the log that is to be adopted and hands back the intents that are open in it and
// what people said. Where a larger tree than the published one is signed and whole, publishing was
// cut off at its last steps, perhaps after the witnesses had cosigned, who will never cosign
// anything else: that tree becomes the published one first.
func survey(ctx context.Context, o Options, r RecoverOptions) (report *Report, open map[string]Entry, said []Entry, err error) {
	for tries := 0; ; tries++ {
		swapped, err := finishPublishing(ctx, o)
		if err != nil {
			return nil, nil, nil, err
		}
		if swapped {
			break
		}
		if tries > 10 {
			return nil, nil, nil, errRaced
		}
	}
	open = map[string]Entry{}
	report, err = VerifyAll(ctx, o.Tiles, o.Trust, VerifyOptions{Progress: r.Progress, Visit: func(_ int64, body []byte) error {
		e, err := Parse(body)
		switch {
		case err != nil:
			return err
		case e.Intent != nil:
			open[e.ID] = e
		case e.Outcome != nil:
			delete(open, e.Outcome.IntentID)
		case e.Hold != nil, e.Request != nil, e.SubjectKey != nil, e.Reviewed != nil:
			said = append(said, e)
		}
		return nil
	}})
	if err == nil && !report.mendable() {
		err = fmt.Errorf("%w: %s", ErrUnverified, report.Findings[0])
	}
	return report, open, said, err
}

// finishPublishing makes the largest whole signed tree the published one. It is false where somebody
// else changed the checkpoint meanwhile.
func finishPublishing(ctx context.Context, o Options) (bool, error) {
	signed, etag, err := o.Tiles.Get(ctx, "checkpoint")
	if err != nil {
		return false, err
	}
	c, err := o.Trust.open(signed)
	if err != nil {
		return false, err
	}
	sizes, err := headsBeyond(ctx, o.Tiles, c.Size)
	if err != nil {
		return false, err
	}
	for _, size := range sizes {
		larger, at, err := whole(ctx, o, c, signed, size)
		if err != nil {
			return false, err
		}
		if at.Size != size {
			continue
		}
		l := &Log{opts: o, seen: witnessState{sizes: map[string]int64{}}}
		if larger, err = l.cosign(ctx, at, larger); err != nil {
			return false, fmt.Errorf("a tree of %d entries is signed, and publishing was cut off before it was out: %w", size, err)
		}
		_, swapped, err := o.Tiles.Swap(ctx, "checkpoint", larger, etag)
		return swapped, err
	}
	return true, nil
}

// headsBeyond lists the sizes of signed trees beyond the published one, the largest first.
func headsBeyond(ctx context.Context, tiles Tiles, size int64) (sizes []int64, err error) {
	for _, folder := range []string{"cosigned/", "checkpoints/"} {
		for key, err := range tiles.Keys(ctx, folder) {
			if err != nil {
				return nil, err
			}
			n, err := strconv.ParseInt(strings.TrimPrefix(key, folder), 10, 64)
			if err == nil && n > size && !slices.Contains(sizes, n) {
				sizes = append(sizes, n)
			}
		}
	}
	slices.SortFunc(sizes, func(a, b int64) int { return int(min(max(b-a, -1), 1)) })
	return sizes, nil
}

// whole gives the signed head of that size if all of its tree is there and extends the published
// one; the size is another where it is not.
func whole(ctx context.Context, o Options, published Checkpoint, signed []byte, size int64) ([]byte, Checkpoint, error) {
	for _, folder := range []string{"cosigned/", "checkpoints/"} {
		text, _, err := o.Tiles.Get(ctx, folder+strconv.FormatInt(size, 10))
		if err != nil {
			continue // it may be in the other folder
		}
		c, err := o.Trust.open(text)
		if err != nil || c.Size != size {
			continue
		}
		if _, _, err := rightEdge(ctx, o.Tiles, c); err != nil {
			continue // cut off before its tiles were written, or they were superseded
		}
		report, err := VerifyAll(ctx, &headed{o.Tiles, text}, TrustKey(o.Trust.logs...), VerifyOptions{LastSeen: signed})
		if err != nil {
			return nil, Checkpoint{}, err
		}
		if report.mendable() {
			return text, c, nil
		}
	}
	return nil, published, nil
}

// headed shows a log under another head than its checkpoint.
type headed struct {
	Tiles
	signed []byte
}

func (h *headed) Get(ctx context.Context, key string) ([]byte, string, error) {
	if key == "checkpoint" {
		return h.signed, "", nil
	}
	return h.Tiles.Get(ctx, key)
}

// publishedBeyond gives the size of the tree that the catalog knows to have been public, if the published log
// does not hold that tree; 0 if it does.
func publishedBeyond(ctx context.Context, o Options, published int64, c Checkpoint) (int64, error) {
	if published == 0 {
		return 0, nil
	}
	if published > c.Size {
		return published, nil
	}
	root, ok, err := o.Head.Root(ctx, published)
	if err != nil || !ok {
		return 0, err
	}
	reader := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, &tileReader{ctx, o.Tiles})
	now, err := tlog.TreeHash(published, reader)
	if err != nil {
		return 0, errors.Join(ErrUnverified, err)
	}
	if now != root {
		return published, nil
	}
	return 0, nil
}
