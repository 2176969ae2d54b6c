package retention

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"runtime"
	"time"

	"earshot"
	"earshot/storage/catalog"

	"golang.org/x/sync/errgroup"
)

// Listening takes far longer than anything else that a plan does. On a shared catalog the plan therefore
// writes down what must be heard, and every process that has time takes some of it; what they learn goes
// into the catalog as facts. The plan decides when all is heard, and hears by itself what nobody could.

// hearFew is from how many recordings on others are asked.
const hearFew = 8

// hearFor is how long a recording belongs to the process that listens to it. One that takes longer is heard
// twice, which costs time and nothing else.
const hearFor = 2 * time.Minute

// hearPoll is how long a plan waits between looks at whether the others are done.
const hearPoll = 200 * time.Millisecond

// errToHear: the decision hangs on listening, and others are to be asked.
var errToHear = errors.New("to be listened to")

// hearTogether lets everybody listen to the recordings of a batch whose decision hangs on it (errToHear), and
// resolves these when they are heard.
func (p *planning) hearTogether(ctx context.Context, batch []catalog.Row, people people, results []resolved, errs []error) error {
	toHear := func(i int) bool { return errors.Is(errs[i], errToHear) }
	var ask []earshot.RecordingID
	for i, row := range batch {
		if toHear(i) {
			ask = append(ask, row.Recording.ID)
		}
	}
	if len(ask) >= hearFew {
		if err := p.heardByAll(ctx, ask); err != nil {
			return err
		}
		var err error
		if batch, err = p.r.again(ctx, batch, ask); err != nil {
			return err
		}
	}
	which := make([]bool, len(batch)) // errs changes meanwhile
	for i := range batch {
		which[i] = toHear(i)
	}
	return p.resolve(ctx, batch, people, false, results, errs, func(i int) bool { return which[i] })
}

// heardByAll asks everybody to listen, takes part, and waits until all is heard.
func (p *planning) heardByAll(ctx context.Context, ask []earshot.RecordingID) error {
	r := p.r
	if err := r.o.Catalog.AskToHear(ctx, r.terms(), ask); err != nil {
		return err
	}
	r.o.WakeHearing(ctx, len(ask))
	for {
		n, err := r.hear(ctx)
		if err != nil {
			return err
		}
		left, err := r.o.Catalog.ToHear(ctx)
		if err != nil || left == 0 {
			return err
		}
		if n > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(hearPoll):
		}
	}
}

// again reads the rows anew that others may have written.
func (r *Runner) again(ctx context.Context, batch []catalog.Row, ids []earshot.RecordingID) ([]catalog.Row, error) {
	keys := make([]string, 0, len(ids))
	for _, id := range ids {
		keys = append(keys, id.Key)
	}
	now, err := r.o.Catalog.Recordings(ctx, ids[0].Bucket, keys)
	if err != nil {
		return nil, err
	}
	out := make([]catalog.Row, 0, len(batch))
	for _, row := range batch {
		if fresh, ok := now[row.Recording.ID.Key]; ok {
			row.Known = fresh.Known
		}
		out = append(out, row)
	}
	return out, nil
}

// terms name all that what is learned of a recording hangs on: a worker that was configured otherwise must not
// write what it makes of one.
func (r *Runner) terms() string {
	return earshot.DigestOf([]byte(r.rules.digest.String() + r.o.Ear.Version() + r.layoutText())).String()
}

func (r *Runner) layoutText() string {
	text, err := json.Marshal(r.o.Layout)
	if err != nil {
		panic(err) // our own value types always marshal
	}
	return string(text)
}

// LayoutDigest names the layout: what one that is told otherwise takes for recordings is not the same.
func (r *Runner) LayoutDigest() earshot.Digest { return earshot.DigestOf([]byte(r.layoutText())) }

// Hear listens to recordings that the plan of some process waits for, until none is left that nobody else
// has, and returns how many they were. A recording that cannot be listened to now is left to that plan, which
// tells of it.
func (r *Runner) Hear(ctx context.Context) (heard int, err error) {
	if r, err = r.renewed(); err != nil {
		return 0, err
	}
	return r.hear(ctx)
}

func (r *Runner) hear(ctx context.Context) (heard int, err error) {
	if r.o.Ear == nil {
		return 0, nil
	}
	var name [8]byte
	_, _ = rand.Read(name[:]) // never fails, see crypto/rand
	owner := hex.EncodeToString(name[:])
	for ctx.Err() == nil {
		now := time.Now() // leases go by the machine's clock
		rows, err := r.o.Catalog.TakeToHear(ctx, r.terms(), catalog.Lease{Owner: owner, Now: now, Until: now.Add(hearFor)}, 2*runtime.GOMAXPROCS(0))
		if err != nil || len(rows) == 0 {
			return heard, err
		}
		if err := r.hearAll(ctx, owner, rows); err != nil { // cut off, perhaps: then others need not wait for the leases
			return heard, errors.Join(err, r.o.Catalog.LeaveToHear(context.WithoutCancel(ctx), owner))
		}
		heard += len(rows)
	}
	return heard, ctx.Err()
}

func (r *Runner) hearAll(ctx context.Context, owner string, rows []catalog.Row) error {
	known := make([]catalog.Known, 0, len(rows))
	for _, row := range rows {
		known = append(known, row.Known)
	}
	p, err := r.people(ctx)
	if err != nil {
		return err
	}
	if p, err = p.of(ctx, r, known); err != nil {
		return err
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0)) // it is the cores that listening takes
	for _, row := range rows {
		group.Go(func() error {
			var learned *catalog.Known
			if res, err := r.conclude(inner, resolved{known: row.Known, later: true}, p, r.now()); err == nil {
				res.known.Deaf = nil
				learned = &res.known
			}
			if err := inner.Err(); err != nil {
				return err
			}
			return r.o.Catalog.Heard(inner, owner, row, learned)
		})
	}
	return group.Wait()
}
