package retention

import (
	"context"
	"errors"

	"earshot"
	"earshot/audit"
	"earshot/storage"
)

// Confirmed counts what a second look at outcomes showed.
type Confirmed struct {
	Run          earshot.RunID `json:"run"`
	Confirmed    int           `json:"confirmed"`
	Contradicted int           `json:"contradicted"`
	Unknown      int           `json:"unknown"` // the store did not answer
	// Actions names those that are contradicted.
	Actions []string `json:"actions,omitempty"`
}

// Confirm looks at what the outcomes of a run claim, through a store opened with other credentials
// than those that acted, and writes an entry for each. It reads only.
func (r *Runner) Confirm(ctx context.Context, id earshot.RunID, eyes *storage.Store, verifier string) (Confirmed, error) {
	out := Confirmed{Run: id}
	if _, err := r.o.Catalog.Run(ctx, id); err != nil {
		return out, err
	}
	buckets := map[string]*storage.Bucket{}
	for from := 0; ; {
		page, err := r.o.Catalog.Actions(ctx, id, earshot.ActionDone, from, 256)
		if err != nil {
			return out, err
		}
		var leaves []earshot.Leaf
		for _, a := range page {
			from = a.Seq + 1
			name := a.Recording.ID.Bucket
			if buckets[name] == nil {
				if buckets[name], err = eyes.Bucket(ctx, name); err != nil {
					return out, err
				}
			}
			var copies []*storage.Bucket
			for _, place := range r.o.Layout.Copies[name] {
				if buckets[place] == nil {
					if buckets[place], err = eyes.Bucket(ctx, place); err != nil {
						return out, err
					}
				}
				copies = append(copies, buckets[place])
			}
			leaf, err := r.confirm(ctx, a, buckets[name], copies, verifier, &out)
			if err != nil {
				return out, err
			}
			leaves = append(leaves, leaf)
		}
		if len(leaves) > 0 {
			if err := r.o.Catalog.Say(ctx, leaves...); err != nil {
				return out, err
			}
		}
		if len(page) < 256 {
			_, err = r.o.Log.Publish(ctx)
			return out, err
		}
	}
}

// OutcomeID is the id of the entry that tells how an action ended.
func OutcomeID(a earshot.Action) string {
	return audit.EntryID(append([]string{string(audit.KindOutcome)}, actionParts(a)...)...)
}

// The results of a second look, the worst first.
const (
	contradicted = "contradicted"
	confirmed    = "confirmed"
	unknown      = "unknown"
)

// VerificationIDs are the ids of the entries with which a verifier may have answered an outcome, the
// worst answer first: each answer is its own entry, so that a later look that contradicts an earlier
// one is in the log.
func VerificationIDs(a earshot.Action, verifier string) []string {
	var out []string
	for _, result := range []string{contradicted, confirmed, unknown} {
		out = append(out, verificationID(a, verifier, result))
	}
	return out
}

func verificationID(a earshot.Action, verifier, result string) string {
	if result == confirmed {
		return audit.EntryID(string(audit.KindVerification), OutcomeID(a), verifier)
	}
	return audit.EntryID(string(audit.KindVerification), OutcomeID(a), verifier, result)
}

func (r *Runner) confirm(ctx context.Context, a earshot.Action, b *storage.Bucket, copies []*storage.Bucket, verifier string, out *Confirmed) (earshot.Leaf, error) {
	keys := []string{a.Recording.ID.Key}
	for _, c := range a.Companions {
		if c.Fate == earshot.CompanionDelete {
			keys = append(keys, c.ID.Key)
		}
	}
	left, newer, result, method := 0, 0, confirmed, "list_versions_and_uploads"
	for i, key := range keys {
		versions, uploads, err := see(ctx, b, key)
		if errors.Is(err, errNoUploads) {
			method, err = "list_versions", nil
		}
		if err != nil {
			result = unknown
			break
		}
		b, n, ok := afterwards(versions, a, i == 0)
		left, newer = left+b, newer+n+uploads
		if !ok {
			result = contradicted
		}
	}
	n, err := r.leftOfCopies(ctx, a, copies)
	switch left += n; {
	case n > 0:
		result = contradicted
	case err != nil && result == confirmed:
		result = unknown
	}
	switch result {
	case confirmed:
		out.Confirmed++
	case unknown:
		out.Unknown++
	default:
		out.Contradicted++
		out.Actions = append(out.Actions, a.ID())
	}
	e := r.entry(audit.KindVerification)
	e.ID = verificationID(a, verifier, result)
	e.Actor = r.o.Tagger.Actor(e.ID, r.o.By)
	e.Run = string(a.Run)
	e.Verification = &audit.Verification{OutcomeID: OutcomeID(a), Verifier: verifier, Method: method, Result: result, Left: left, Newer: newer}
	return e.Leaf()
}

// errNoUploads: who looks may not list unfinished uploads.
var errNoUploads = errors.New("unfinished uploads could not be listed")

// see lists the versions of a key and counts its unfinished uploads. With credentials that may not list
// those it gives the versions, and errNoUploads.
func see(ctx context.Context, b *storage.Bucket, key string) (versions []storage.Version, uploads int, err error) {
	if p, err := b.Present(ctx, key); err == nil {
		return p.Versions, p.Uploads, nil
	}
	if versions, err = b.Versions(ctx, key); err == nil {
		err = errNoUploads
	}
	return versions, 0, err
}

// afterwards weighs what is listed under one key of an action: before counts what was there before the
// action ended, newer what was stored since, which is not the act's to answer for; ok says whether the
// act's claim stands.
func afterwards(versions []storage.Version, a earshot.Action, own bool) (before, newer int, ok bool) {
	allowed := 0
	if own && a.Decision.Disposition == earshot.Redact {
		allowed = 1
	}
	for _, v := range versions {
		if v.StoredAt.After(a.SettledAt) {
			newer++
		} else {
			before++
		}
	}
	if allowed > before && newer > 0 {
		// The store's clock may be ahead of ours: the oldest that is there is the one that the act made.
		before, newer = before+1, newer-1
	}
	return before, newer, before <= allowed
}
