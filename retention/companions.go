package retention

import (
	"context"
	"errors"

	"earshot"
	"earshot/storage"

	"golang.org/x/sync/errgroup"
)

// complete finds what goes along with recordings that are to be disposed of. What lies beside them is
// looked for together; where that fails, for each.
func (p *planning) complete(ctx context.Context, results []resolved, errs []error) error {
	var keys []string
	bucket := ""
	for i, res := range results {
		if id := res.known.Recording.ID; errs[i] == nil && destroys(res.decision) {
			keys, bucket = append(keys, id.Key), id.Bucket
		}
	}
	if len(keys) == 0 {
		return nil
	}
	b, err := p.r.bucket(ctx, bucket)
	if err != nil {
		return err
	}
	var beside *storage.Sweep
	if s, err := p.r.sweepCompanions(ctx, b, keys, storage.Sweep{}); err == nil {
		beside = &s
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(p.r.o.Workers)
	for i := range results {
		if errs[i] != nil || !destroys(results[i].decision) {
			continue
		}
		group.Go(func() error {
			if errs[i] = p.r.complete(inner, &results[i], beside); errs[i] == nil && destroys(results[i].decision) && results[i].known.Recording.Class != "" {
				errs[i] = p.r.withOwner(inner, &results[i], p.people, p.run.AsOf)
			}
			return inner.Err()
		})
	}
	return group.Wait()
}

// complete finds the companions of a recording that is to be disposed of. A companion that the
// policy wants a person to look at makes the whole recording one for review.
// beside, if not nil, is a look at what lies beside many recordings.
func (r *Runner) complete(ctx context.Context, res *resolved, beside *storage.Sweep) error {
	if res.known.Recording.Hidden && res.decision.Disposition == earshot.Redact {
		res.review("hidden", "somebody hid it behind a delete marker, and a redacted copy would show it again: restore it or let a rule delete it")
		return nil
	}
	b, err := r.bucket(ctx, res.known.Recording.ID.Bucket)
	if err != nil {
		return err
	}
	if res.companions, err = r.findCompanions(ctx, b, res.known.Recording.ID.Key, beside); err != nil {
		return err
	}
	if len(res.companions) > 0 {
		n, err := r.o.Catalog.Sharing(ctx, b.Name(), r.layout.stem(res.known.Recording.ID.Key))
		if err != nil {
			return err
		}
		if n > 1 {
			res.review("companion", "another recording has the same {id}, and nobody can tell whose the companions are")
			return nil
		}
	}
	for i := range res.companions {
		res.companions[i].Fate = r.companionRule(res.decision, res.companions[i].Class)
	}
	for _, c := range res.companions {
		if c.Fate != earshot.CompanionReview {
			continue
		}
		if res.decision.Disposition == earshot.Redact && r.canTrim(ctx, b, c) {
			continue
		}
		res.review("companion", "it has a companion of class "+c.Class+" that a person must look at first")
		return nil
	}
	return nil
}

// findCompanions looks which companions a recording has. beside, if not nil, is a look at what lies
// beside many recordings.
func (r *Runner) findCompanions(ctx context.Context, b *storage.Bucket, key string, beside *storage.Sweep) ([]earshot.Companion, error) {
	var out []earshot.Companion
	for _, c := range r.layout.companionKeys(key) {
		if beside != nil {
			if versions := beside.Versions(c.key); len(versions) > 0 && versions[0].Marker {
				out = append(out, earshot.Companion{Class: c.Class, ID: earshot.RecordingID{Bucket: b.Name(), Key: c.key}})
			} else if len(versions) > 0 {
				out = append(out, earshot.Companion{Class: c.Class, ID: versions[0].ID, ETag: versions[0].ETag, Size: versions[0].Size})
			}
			continue
		}
		head, err := b.Head(ctx, c.key, "")
		if errors.Is(err, storage.ErrNotFound) {
			// What lies hidden below a delete marker is a copy too.
			if p, err := b.Present(ctx, c.key); err != nil {
				return nil, err
			} else if p.Gone() {
				continue
			}
			out = append(out, earshot.Companion{Class: c.Class, ID: earshot.RecordingID{Bucket: b.Name(), Key: c.key}})
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, earshot.Companion{Class: c.Class, ID: head.ID, ETag: head.ETag, Size: head.Size})
	}
	return out, nil
}

// companionRule is what becomes of a companion under a decision: what the policy says, else what
// the layout says, else what the disposition implies.
func (r *Runner) companionRule(d earshot.Decision, class string) earshot.CompanionRule {
	if rule, ok := d.Companions[class]; ok {
		if rule == earshot.CompanionTrim && d.Disposition == earshot.Delete {
			return earshot.CompanionDelete
		}
		return rule
	}
	if d.Disposition == earshot.Delete {
		return earshot.CompanionDelete
	}
	for _, c := range r.layout.companions {
		if c.Class == class {
			return c.OnRedact
		}
	}
	return earshot.CompanionDelete
}
