package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// witnessState is what a log remembers of its witnesses. It is no more than a cache: a witness
// corrects what is wrong in it.
type witnessState struct {
	sizes map[string]int64 // by witness: the tree that it cosigned last
	last  int64            // the largest tree that the quorum cosigned
	at    time.Time        // when that was, by the witnesses' clocks; zero: never
	gap   error            // why the newest tree is not cosigned; nil if it is
}

// recall finds out from the bucket which tree was cosigned last.
func (l *Log) recall(ctx context.Context, c Checkpoint) error {
	l.seen = witnessState{sizes: map[string]int64{}}
	t := l.opts.Trust
	if t.quorum == "" {
		return nil
	}
	if t.satisfied(t.quorum, c.Cosigned) {
		l.seen.last, l.seen.at = c.Size, latest(c.Cosigned)
		return nil
	}
	largest := int64(-1)
	for key, err := range l.opts.Tiles.Keys(ctx, "cosigned/") {
		if err != nil {
			return err
		}
		if n, err := strconv.ParseInt(strings.TrimPrefix(key, "cosigned/"), 10, 64); err == nil && n > largest && n <= c.Size {
			largest = n
		}
	}
	if largest < 0 {
		return nil
	}
	signed, _, err := l.opts.Tiles.Get(ctx, "cosigned/"+strconv.FormatInt(largest, 10))
	if err != nil {
		return err
	}
	if old, err := t.Open(signed); err == nil {
		l.seen.last, l.seen.at = old.Size, latest(old.Cosigned)
	}
	return nil
}

func latest(sigs []Cosignature) (at time.Time) {
	for _, s := range sigs {
		if s.At.After(at) {
			at = s.At
		}
	}
	return at
}

// cosign asks the witnesses for their signatures and returns the checkpoint with them. Without a
// quorum it is [ErrUncosigned] where the log is strict, where the quorum has been missing for too
// long, or where a witness disputes the tree; otherwise the gap is written to the log.
func (l *Log) cosign(ctx context.Context, c Checkpoint, signed []byte) ([]byte, error) {
	t := l.opts.Trust
	if len(t.witnesses) == 0 {
		return signed, nil
	}
	lines, failed := l.askAll(ctx, c, signed)
	for _, more := range lines {
		with := append(append([]byte(nil), signed...), more...)
		// A line that does not verify must not get into the checkpoint: it would spoil all of it.
		if got, err := t.open(with); err == nil && len(got.Cosigned) > len(c.Cosigned) {
			signed, c.Cosigned = with, got.Cosigned
		} else {
			failed = errors.Join(failed, errors.New("a witness gave a signature that does not verify"))
		}
	}
	if t.quorum == "" || t.satisfied(t.quorum, c.Cosigned) {
		l.seen.last, l.seen.at, l.seen.gap = c.Size, latest(c.Cosigned), nil
		// Kept beside the log's own checkpoints: the time in it is not the operator's word alone. Another
		// process may have kept other cosignatures of the same tree; any will do.
		if _, err := l.opts.Tiles.Create(ctx, "cosigned/"+strconv.FormatInt(c.Size, 10), signed); err != nil {
			return nil, err
		}
		return signed, nil
	}
	gap := fmt.Errorf("%w: %s: %w", ErrUncosigned, t.Quorum(), failed)
	if l.opts.Strict || errors.Is(failed, ErrDisputed) {
		return nil, gap
	}
	since, err := l.uncosignedSince(ctx)
	if err != nil {
		return nil, err
	}
	if age := l.opts.Now().Sub(since); age > l.opts.MaxUncosigned {
		return nil, fmt.Errorf("%w; nobody has cosigned for %s, and %s are allowed", gap, age.Round(time.Second), l.opts.MaxUncosigned)
	}
	l.seen.gap = gap
	return signed, l.sayGap(ctx)
}

// uncosignedSince is when the quorum cosigned last; of a log that it never did, when its first entry
// was written: witnesses that were never there must not be waited for without end.
func (l *Log) uncosignedSince(ctx context.Context) (time.Time, error) {
	if !l.seen.at.IsZero() {
		return l.seen.at, nil
	}
	first, err := l.opts.Head.Numbered(ctx, 0, 1)
	if err != nil || len(first) == 0 {
		return l.opts.Now(), err
	}
	e, err := Parse(first[0].Body)
	if err != nil {
		return time.Time{}, err
	}
	return e.Time(), nil
}

// askAgain is how often witnesses are asked again for a tree while nothing new is published.
const askAgain = 10 * time.Second

// cosignLate has the published tree cosigned that the quorum has not seen: it was away, or the policy
// that asks for it is new. Otherwise the log would not verify until the next entry comes. Where the log
// is strict the error says that the quorum is missing.
func (l *Log) cosignLate(ctx context.Context) error {
	if l.opts.Trust.quorum == "" || l.size == 0 || l.seen.last >= l.size {
		return nil
	}
	if !l.opts.Strict && time.Since(l.asked) < askAgain {
		return nil
	}
	l.asked = time.Now()
	signed, etag, err := l.opts.Tiles.Get(ctx, "checkpoint")
	if err != nil {
		return fmt.Errorf("publishing the log: %w", err)
	}
	c, err := l.opts.Trust.open(signed)
	if err != nil {
		return fmt.Errorf("publishing the log: %w", err)
	}
	if c.Size != l.size {
		return nil // another process has published since, and had that cosigned
	}
	with, err := l.cosign(ctx, c, signed)
	switch {
	case errors.Is(err, ErrDisputed) && l.overtaken(ctx, err):
		return nil
	case errors.Is(err, ErrUncosigned) && !l.opts.Strict && !errors.Is(err, ErrDisputed):
		return nil // what is published is published; the next entry is not
	case err != nil:
		return fmt.Errorf("publishing the log: %w", err)
	case l.seen.last < c.Size:
		return nil
	}
	now, swapped, err := l.opts.Tiles.Swap(ctx, "checkpoint", with, etag)
	if err != nil {
		return fmt.Errorf("publishing the log: %w", err)
	}
	if swapped {
		l.etag = now
	}
	return nil
}

// overtaken reports whether witnesses have refused a tree since another process of ours is ahead: it
// has published a larger one meanwhile, or had one cosigned that our database knows.
func (l *Log) overtaken(ctx context.Context, refused error) bool {
	if !errors.Is(refused, ErrUncosigned) {
		return false
	}
	var ahead *larger
	if errors.As(refused, &ahead) {
		if _, ok, err := l.opts.Head.Root(ctx, ahead.seen); err == nil && ok {
			return true
		}
	}
	signed, _, err := l.opts.Tiles.Get(ctx, "checkpoint")
	if err != nil {
		return false
	}
	c, err := l.opts.Trust.open(signed)
	return err == nil && c.Size > l.size
}

// sayGap writes one entry a gap: its id is a function of the tree that was cosigned last.
func (l *Log) sayGap(ctx context.Context) error {
	since := l.seen.at.UnixMicro()
	if l.seen.at.IsZero() {
		since = 0
	}
	leaf, err := Entry{
		ID: EntryID(string(KindGap), l.opts.Signer.Name(), strconv.FormatInt(l.seen.last, 10)), Kind: KindGap, TS: l.opts.Now().UnixMicro(),
		Gap: &Gap{Cosigned: l.seen.last, Since: since},
	}.Leaf()
	if err != nil {
		return err
	}
	return l.opts.Head.Say(ctx, leaf)
}

// askAll asks all witnesses at once that have not signed this tree yet.
func (l *Log) askAll(ctx context.Context, c Checkpoint, signed []byte) (lines [][]byte, failed error) {
	t := l.opts.Trust
	answers, errs := make([][]byte, len(t.witnesses)), make([]error, len(t.witnesses))
	var wg sync.WaitGroup
	for i, w := range t.witnesses {
		if slices.ContainsFunc(c.Cosigned, func(s Cosignature) bool { return s.Witness == w.Name }) {
			continue
		}
		if w.URL == "" {
			errs[i] = fmt.Errorf("the policy has no address of witness %s", w.Name)
			continue
		}
		known := l.seen.sizes[w.Name]
		wg.Go(func() {
			reader := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, &tileReader{ctx, l.opts.Tiles})
			answers[i], errs[i] = w.ask(ctx, l.opts.Client, c, signed, min(known, c.Size), reader)
		})
	}
	wg.Wait()
	for i, w := range t.witnesses {
		if errs[i] == nil && len(answers[i]) > 0 {
			l.seen.sizes[w.Name] = c.Size
			lines = append(lines, answers[i])
		}
	}
	return lines, errors.Join(errs...)
}

// Witnessed tells how far the quorum of witnesses has followed: the size of the tree that it
// cosigned last, when (zero: never), and why it has not come further (nil if it has).
func (l *Log) Witnessed() (size int64, at time.Time, gap error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen.last, l.seen.at, l.seen.gap
}
