package retention

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/policies"
	"earshot/storage"
	"earshot/storage/catalog"
)

// What a policy asks as child.pooled hangs on other recordings, so that a plan has two passes. The first one
// goes through what is due, listens, and leaves those undecided that ask for their session; the second decides
// these, and those of earlier plans whose session has become another one. Nothing is listened to in between
// that the first pass has not seen, so that no figure is overturned by the plan that went by it. (To listen to
// a recording's session before deciding it would need to know whose device and time an unread recording is
// of, and would hear many that nobody asks about.)

// sameFigure is by how much a session's figure may differ for having been added up in another order. Any other change
// may cross a policy's threshold.
const sameFigure = 1e-6

// mostTold is what one recording tells of a session of several at most, as a logit either way (a probability of .982):
// no single one outvotes all others.
const mostTold = 4

// session is how far the policies' sessions reach; 0 where they ask for none.
func (r *Runner) session() time.Duration {
	if !r.rules.pooled {
		return 0
	}
	return r.o.Session
}

// hasSession reports whether others may speak for a recording: its device is known, and when it was
// captured, closely enough.
func (r *Runner) hasSession(rec earshot.Recording) bool {
	return r.o.Session > 0 && rec.Device != "" && rec.Class == "" && !rec.CapturedAt.IsZero() && rec.CapturedWithin <= r.o.Session && r.layout.log(rec.ID.Key) == nil
}

// place is what the recordings of a session share. Households name their devices alike, so that whose it is belongs
// to it, as a hash.
func place(rec earshot.Recording) string {
	if rec.Subject == "" {
		return rec.Device
	}
	sum := sha256.Sum256([]byte(string(rec.Subject) + "\x00" + rec.Device))
	return hex.EncodeToString(sum[:16])
}

// voiceOf is what a recording tells of its session.
func (r *Runner) voiceOf(k catalog.Known, deaf map[earshot.Kind]string) catalog.Voice {
	v := catalog.Voice{Key: k.Recording.ID.Key, Place: place(k.Recording), CapturedAt: k.Recording.CapturedAt}
	l, heard := k.Heard[earshot.KindChild]
	_, unheard := deaf[earshot.KindChild]
	v.Waits = !heard && !unheard
	if !heard {
		return v
	}
	if len(k.Erased) == 0 && strings.Contains(l.Detector, earMark) {
		v.Ear = l.Detector
	}
	if l.Score > 0 && l.Score <= 1 { // 0: nobody speaks in it, which tells nothing of who does
		p := min(l.Score, 1-1e-6)
		logit := math.Log(p / (1 - p))
		v.Logit = &logit
	}
	return v
}

// outdated reports whether another version of the ear has judged.
func (r *Runner) outdated(v catalog.Voice) bool {
	return r.o.Ear != nil && v.Ear != "" && !strings.HasSuffix(v.Ear, earMark+r.o.Ear.Version())
}

// pool gives the figure of a recording's session: the mean of what those tell that were judged, as logits, each
// counting alike. While one of them is to be listened to there is none, and Why says so. older are those that
// another version of the ear has judged.
func (r *Runner) pool(ctx context.Context, bucket string, own catalog.Voice) (p earshot.Pooled, older []earshot.RecordingID, err error) {
	all, err := r.o.Catalog.Session(ctx, bucket, own.Place, own.CapturedAt, own.Key, r.o.Session)
	if err != nil {
		return p, nil, err
	}
	var told []float64
	waits := false
	for _, v := range append(all, own) {
		switch {
		case v.Waits:
			waits = true
		case r.outdated(v):
			waits, older = true, append(older, earshot.RecordingID{Bucket: bucket, Key: v.Key})
		case v.Logit != nil:
			told = append(told, *v.Logit)
		}
	}
	if waits {
		return earshot.Pooled{Why: "a recording of its session is still to be listened to"}, older, nil
	}
	if p.Of = len(told); p.Of == 0 {
		return p, nil, nil
	}
	sum := told[0]
	if p.Of > 1 {
		sum = 0
		for _, logit := range told {
			sum += min(max(logit, -mostTold), mostTold)
		}
	}
	p.Probability = math.Round(1e9/(1+math.Exp(-sum/float64(p.Of)))) / 1e9 // of one recording: its own
	return p, older, nil
}

// figure is how the catalog notes what a decision went by.
func figure(p earshot.Pooled) *float64 {
	x := p.Probability
	if p.Of == 0 {
		x = -1
	}
	return &x
}

// askSession finds out what a recording's session tells, which itself was listened to or cannot be.
func (r *Runner) askSession(ctx context.Context, out *resolved) error {
	own := r.voiceOf(out.known, out.known.Deaf)
	p, older, err := r.figureOf(ctx, out, &own)
	if err != nil {
		return err
	}
	own.Pooled = figure(p)
	out.facts.Pooled, out.voice, out.older = &p, &own, older
	return nil
}

func (r *Runner) figureOf(ctx context.Context, out *resolved, own *catalog.Voice) (p earshot.Pooled, older []earshot.RecordingID, err error) {
	rec := out.known.Recording
	if r.hasSession(rec) {
		was, err := r.o.Catalog.Voice(ctx, rec.ID.Bucket, rec.ID.Key)
		if err != nil {
			return p, nil, err
		}
		if was != nil {
			own.Stirred = was.Stirred
			// What went since was deleted by us, by this run perhaps: that a part of a session goes first does
			// not save the rest of it.
			if out.standing && !was.Changed && was.Pooled != nil && *was.Pooled >= 0 {
				return earshot.Pooled{Probability: *was.Pooled, Of: 1}, nil, nil
			}
		}
		if p, older, err = r.pool(ctx, rec.ID.Bucket, *own); err != nil || p.Of > 0 || p.Why != "" {
			return p, older, err
		}
	}
	if l, heard := out.facts.Heard[earshot.KindChild]; heard { // it speaks for itself, or nobody speaks in all of the session
		return earshot.Pooled{Probability: l.Score, Of: 1}, nil, nil
	}
	return earshot.Pooled{Why: "no recording of its session could be judged"}, nil, nil
}

// supposeSession gives the figure of a session as far as the catalog knows it, for looks ahead.
func (r *Runner) supposeSession(ctx context.Context, res *resolved) (err error) {
	own := r.voiceOf(res.known, res.facts.Deaf)
	if res.facts.Log != "" || own.Waits {
		return nil
	}
	var p earshot.Pooled
	if l, heard := res.facts.Heard[earshot.KindChild]; !r.rules.pooled { // nothing is noted of sessions
		if p.Why = "no session is known"; heard {
			p = earshot.Pooled{Probability: l.Score, Of: 1}
		}
	} else if p, _, err = r.figureOf(ctx, res, &own); err != nil {
		return err
	}
	res.facts.Pooled = &p
	return nil
}

// sounds is what the catalog is to note of a recording for its session; nil: nothing, since its decision
// hangs on no session and nobody has heard it.
func (r *Runner) sounds(res resolved, later bool) *catalog.Voice {
	if !r.hasSession(res.known.Recording) {
		return nil
	}
	v := r.voiceOf(res.known, res.known.Deaf)
	if later {
		v.Pooled = figure(earshot.Pooled{})
	} else if res.voice != nil {
		v = *res.voice
	}
	if v.Logit == nil && v.Pooled == nil {
		return nil
	}
	return &v
}

// waiting is what the catalog is to note of a recording that may not have been heard for an error: its session
// is not judged without it.
func (r *Runner) waiting(res resolved, err error) (catalog.Foresight, bool) {
	v := r.voiceOf(res.known, res.known.Deaf)
	if !r.rules.pooled || !v.Waits || !r.hasSession(res.known.Recording) || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrChanged) {
		return catalog.Foresight{}, false
	}
	return catalog.Foresight{Known: res.known, Sessions: true, Voice: &v}, true
}

// unpooled reports whether a decision is to be made when all of its session that is due was heard.
func (p *planning) unpooled(res resolved) bool {
	return p.later && res.decision.Disposition == earshot.Review && slices.Contains(res.decision.Missing, policies.MissingPooled)
}

// sessions is the second pass over a scope.
func (p *planning) sessions(ctx context.Context, s Scope) error {
	c := p.r.o.Catalog
	for after := ""; ; {
		stirred, err := c.Stirred(ctx, s.Bucket, s.Prefix, after, planBatch)
		if err != nil || len(stirred) == 0 {
			return err
		}
		after = stirred[len(stirred)-1].Key
		var keys []string
		var calm []catalog.Voice
		for _, v := range stirred {
			stands, err := p.stands(ctx, s.Bucket, v)
			if err != nil {
				return err
			}
			if stands {
				calm = append(calm, v)
			} else {
				keys = append(keys, v.Key)
			}
		}
		rows, err := c.Ready(ctx, s.Bucket, keys, p.run.AsOf)
		if err != nil {
			return err
		}
		// What must be heard again is for the next plan's first pass: here it would overturn what was decided.
		var again []earshot.RecordingID
		rows = slices.DeleteFunc(rows, func(row catalog.Row) bool {
			k := row.Known
			old := p.r.forget(&k)
			if old {
				again = append(again, row.Recording.ID)
			}
			return old
		})
		if err := errors.Join(c.Calm(ctx, s.Bucket, calm), c.Touch(ctx, again), p.decide(ctx, rows)); err != nil {
			return err
		}
	}
}

// stands reports whether what was decided of a recording whose session was stirred need not be decided anew.
func (p *planning) stands(ctx context.Context, bucket string, v catalog.Voice) (bool, error) {
	if v.Pooled == nil || *v.Pooled < 0 {
		return v.Pooled == nil, nil
	}
	now, _, err := p.r.pool(ctx, bucket, v)
	return now.Of > 0 && math.Abs(now.Probability-*v.Pooled) <= sameFigure, err
}
