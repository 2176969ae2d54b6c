package retention

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage/catalog"
)

// PlaceHold places a legal hold and publishes the entry that says so. It protects from the moment
// that it returns: apply asks for holds again right before each act.
func (r *Runner) PlaceHold(ctx context.Context, h earshot.Hold) (earshot.Hold, error) {
	if h.Matter == "" {
		return h, errors.New("a hold needs the matter that it is for")
	}
	if len(h.Keys) > 0 && h.Bucket == "" {
		return h, errors.New("a hold on single recordings needs the bucket that they are in")
	}
	if h.Bucket == "" && h.Prefix == "" && h.Subject == "" && h.Device == "" && h.From.IsZero() && h.To.IsZero() {
		return h, errors.New("a hold needs a scope: a bucket, prefix, subject, device or range of dates")
	}
	if !h.From.IsZero() && !h.To.IsZero() && !h.From.Before(h.To) {
		return h, errors.New("a hold whose range of dates ends before it begins protects nothing")
	}
	h.ID, h.PlacedAt, h.PlacedBy = "hold-"+randomID(), r.now(), r.o.By.Name
	leaf, err := r.holdLeaf(audit.KindHold, h)
	if err != nil {
		return h, err
	}
	if err := r.o.Catalog.PlaceHold(ctx, h, leaf); err != nil {
		return h, err
	}
	_, err = r.o.Log.Publish(ctx)
	return h, err
}

// randomID is one that cannot be guessed.
func randomID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// LiftHold lifts a hold. Who placed it cannot lift it.
func (r *Runner) LiftHold(ctx context.Context, id string) (earshot.Hold, error) {
	holds, err := r.o.Catalog.Holds(ctx, true)
	if err != nil {
		return earshot.Hold{}, err
	}
	for _, h := range holds {
		if h.ID == id && samePerson(h.PlacedBy, r.o.By.Name) {
			return h, errors.New("a hold is lifted by a second person: " + h.PlacedBy + " placed it")
		}
	}
	leaf, err := r.holdLeaf(audit.KindLift, earshot.Hold{ID: id})
	if err != nil {
		return earshot.Hold{}, err
	}
	h, err := r.o.Catalog.LiftHold(ctx, id, r.o.By.Name, r.now(), leaf)
	if err != nil {
		return h, err
	}
	if _, err = r.o.Log.Publish(ctx); err == nil {
		_, err = r.MirrorHolds(ctx)
	}
	return h, err
}

// samePerson compares account names as people read them: Ann and ann are no two people.
func samePerson(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}

// FileRequest files a data subject's request, to be answered within a time; see [Runner.Ask].
func (r *Runner) FileRequest(ctx context.Context, kind earshot.RequestKind, subject earshot.SubjectID, within time.Duration) (earshot.Request, error) {
	return r.Ask(ctx, Asked{Kind: kind, Subject: subject, Within: within})
}

// about reads what decisions about data subjects' recordings hang on. Erasure outlives its request:
// what arrives late of somebody who was erased is to go too.
func (r *Runner) about(ctx context.Context, ids []earshot.SubjectID) (map[earshot.SubjectID]catalog.Person, error) {
	out, err := r.o.Catalog.Persons(ctx, ids)
	if err != nil {
		return nil, err
	}
	tags := map[earshot.SubjectID]string{}
	for id := range out {
		tags[id] = r.tombstone(id)
	}
	erased, err := r.o.Catalog.Erased(ctx, slices.Sorted(maps.Values(tags)))
	if err != nil {
		return nil, err
	}
	for id, p := range out {
		at, ok := erased[tags[id]]
		if ok && !slices.ContainsFunc(p.Requests, func(q earshot.Request) bool { return q.Kind == earshot.RequestErasure }) {
			p.Requests = append(p.Requests, earshot.Request{ID: "erased before", Kind: earshot.RequestErasure, Subject: id, MadeAt: at})
			out[id] = p
		}
	}
	return out, nil
}

func (r *Runner) putRequest(ctx context.Context, kind audit.Kind, q earshot.Request) error {
	tags, err := r.tagger(ctx, q.Subject)
	if err != nil {
		return err
	}
	e := r.entry(kind, q.ID)
	e.Request = &audit.RequestNote{Kind: string(q.Kind), Tag: r.o.Tagger.Tag("request", e.ID, q.ID), Subject: tags.Tag("subject", e.ID, string(q.Subject))}
	leaf, err := e.Leaf()
	if err != nil {
		return err
	}
	if kind == audit.KindRequest && q.Kind == earshot.RequestErasure {
		err = r.o.Catalog.FileErasure(ctx, q, r.tombstone(q.Subject), leaf)
	} else {
		err = r.o.Catalog.PutRequest(ctx, q, leaf)
	}
	if err != nil {
		return err
	}
	_, err = r.o.Log.Publish(ctx)
	return err
}
