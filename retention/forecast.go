package retention

import (
	"context"
	"maps"
	"slices"
	"time"

	"earshot"
	"earshot/policies"
	"earshot/storage/catalog"
)

// Week is what is going to happen in one week.
type Week struct {
	From    time.Time `json:"from"`
	Deletes int       `json:"deletes"`
	Redacts int       `json:"redacts"`
	Bytes   int64     `json:"bytes"` // of the recordings that will be deleted
}

// Forecast is what the policies will do to the recordings that are there now, as far as it is known.
type Forecast struct {
	AsOf       time.Time `json:"as_of"`
	Recordings int       `json:"recordings"`
	Now        Week      `json:"now"` // what is due already
	Weeks      []Week    `json:"weeks"`
	Later      int       `json:"later"`    // behind the last week
	Never      int       `json:"never"`    // no rule will ever act upon these
	ForReview  int       `json:"review"`   // wait for a person
	Held       int       `json:"held"`     // a legal hold keeps them from being deleted or redacted
	OnFacts    int       `json:"on_facts"` // what becomes of these hangs on facts not asked for yet
}

// maxSteps bounds how many turns of a recording's future are looked at.
const maxSteps = 64

// Forecast looks ahead: what will be deleted and redacted in each of the next weeks. It asks the
// catalog only, and writes nothing.
func (r *Runner) Forecast(ctx context.Context, weeks int) (Forecast, error) {
	const week = 7 * 24 * time.Hour
	at := r.now()
	out := Forecast{AsOf: at, Now: Week{From: at}, Weeks: make([]Week, weeks)}
	for i := range out.Weeks {
		out.Weeks[i].From = at.Add(time.Duration(i) * week)
	}
	err := r.eachLive(ctx, r.rules, at, func(row catalog.Row, f earshot.Facts) error {
		out.Recordings++
		d := r.rules.decide(f, at)
		if len(f.Holds) > 0 || row.Rule == catalog.RuleLock { // what the store locks is asked when a plan is made
			out.Held++
		}
		if row.Rule == catalog.RuleLock {
			return nil
		}
		if len(d.Missing) > 0 {
			out.OnFacts++
			return nil
		}
		when, what, ok := r.rules.firstAct(f, at)
		switch {
		case !ok && d.Disposition == earshot.Review:
			out.ForReview++
		case !ok && len(f.Holds) > 0: // counted already
		case !ok:
			out.Never++
		case !when.After(at):
			out.Now.add(what, row.Recording.Size)
		default:
			if n := int(when.Sub(at) / week); n < weeks {
				out.Weeks[n].add(what, row.Recording.Size)
			} else {
				out.Later++
			}
		}
		return nil
	})
	return out, err
}

func (w *Week) add(what earshot.Disposition, size int64) {
	if what == earshot.Delete {
		w.Deletes++
		w.Bytes += size
	} else {
		w.Redacts++
	}
}

// eachLive hands on every recording in the scopes of the rules with the facts that the catalog
// has of it.
func (r *Runner) eachLive(ctx context.Context, rules ruleset, at time.Time, do func(catalog.Row, earshot.Facts) error) error {
	scopes, err := rules.scopes(nil)
	if err != nil {
		return err
	}
	n := 0
	return r.eachIn(ctx, scopes, at, func(row catalog.Row, f earshot.Facts) error {
		if n++; n%1000 == 0 {
			r.o.Progress("recordings", n, 0)
		}
		return do(row, f)
	})
}

// eachIn hands on everything in some scopes with the facts that the catalog has of it. What is known of
// people is read for many recordings at once.
func (r *Runner) eachIn(ctx context.Context, scopes []Scope, at time.Time, do func(catalog.Row, earshot.Facts) error) error {
	all, err := r.people(ctx)
	if err != nil {
		return err
	}
	batch, known := make([]catalog.Row, 0, planBatch), make([]catalog.Known, 0, planBatch)
	hand := func() error {
		p, err := all.of(ctx, r, known)
		if err != nil {
			return err
		}
		for _, row := range batch {
			res := resolved{known: row.Known}
			r.layout.describe(&res.known.Recording)
			if err := r.assemble(ctx, &res, p, at); err != nil {
				return err
			}
			r.deafen(&res)
			if err := r.supposeSession(ctx, &res); err != nil {
				return err
			}
			if err := do(row, res.facts); err != nil {
				return err
			}
		}
		batch, known = batch[:0], known[:0]
		return nil
	}
	for _, s := range scopes {
		for row, err := range r.o.Catalog.Live(ctx, s.Bucket, s.Prefix) {
			if err != nil {
				return err
			}
			if batch, known = append(batch, row), append(known, row.Known); len(batch) == planBatch {
				if err := hand(); err != nil {
					return err
				}
			}
		}
	}
	return hand()
}

// deafen says of what nobody can hear that it stays unknown, as a plan would find: else everything would
// seem to hang on facts that are still to come.
func (r *Runner) deafen(res *resolved) {
	if res.facts.Log != "" || r.o.Ear != nil && len(res.known.Erased) == 0 {
		return
	}
	deaf := map[earshot.Kind]string{}
	for _, kind := range []earshot.Kind{earshot.KindChild, earshot.KindSpeech} {
		if _, heard := res.facts.Heard[kind]; !heard {
			deaf[kind] = "nothing can hear it"
		}
	}
	maps.Copy(deaf, res.facts.Deaf)
	res.facts.Deaf = deaf
}

// HoldEffect is what a legal hold does.
type HoldEffect struct {
	earshot.Hold
	Covers int `json:"covers"` // recordings
	// Keeps counts those that would be deleted or redacted now if no hold covered them; KeptSince is since
	// when the first of them would be gone.
	Keeps     int       `json:"keeps"`
	KeptSince time.Time `json:"kept_since,omitzero"`
	// Rows counts the rows of event logs that would go or change but for the hold, as the last plan saw them;
	// Unseen the event logs into which no plan has looked since the hold was placed.
	Rows   int64 `json:"rows,omitempty"`
	Unseen int   `json:"unseen,omitempty"`
}

// rows notes what a hold on rows keeps of one event log.
func (e *HoldEffect) rows(row catalog.Row, l *logLayout) {
	_, m := heldRows(row.Recording, l, []earshot.Hold{e.Hold})
	if len(m) == 0 {
		return
	}
	if k := row.Rows; k != nil {
		if i := slices.Index(k.Edit.Held, m[0]); i >= 0 && i < len(k.HeldBy) {
			e.Rows += k.HeldBy[i]
			return
		}
	}
	e.Unseen++
}

// HoldEffects tells what each standing hold keeps from being deleted or redacted, and since when.
func (r *Runner) HoldEffects(ctx context.Context) ([]HoldEffect, error) {
	holds, err := r.o.Catalog.Holds(ctx, false)
	if err != nil || len(holds) == 0 {
		return nil, err
	}
	at := r.now()
	out := make([]HoldEffect, len(holds))
	place := map[string]int{}
	for i, h := range holds {
		out[i].Hold, place[h.ID] = h, i
	}
	err = r.eachLive(ctx, r.rules, at, func(row catalog.Row, f earshot.Facts) error {
		if l := r.layout.log(row.Recording.ID.Key); l != nil {
			for i := range out {
				out[i].rows(row, l)
			}
		}
		covering := f.Holds
		if len(covering) == 0 {
			return nil
		}
		f.Holds = nil
		d := r.rules.decide(f, at)
		for _, h := range covering {
			e := &out[place[h.ID]]
			e.Covers++
			if !destroys(d) {
				continue
			}
			e.Keeps++
			since := d.Since
			if since.Before(h.PlacedAt) {
				since = h.PlacedAt
			}
			if e.KeptSince.IsZero() || since.Before(e.KeptSince) {
				e.KeptSince = since
			}
		}
		return nil
	})
	return out, err
}

// firstAct is when something is first deleted or redacted, from `at` on.
func (s ruleset) firstAct(f earshot.Facts, at time.Time) (when time.Time, what earshot.Disposition, ok bool) {
	for range maxSteps {
		d := s.decide(f, at)
		if destroys(d) {
			return at, d.Disposition, true
		}
		if d.Until.IsZero() || !d.Until.After(at) {
			return time.Time{}, 0, false
		}
		at = d.Until
	}
	return time.Time{}, 0, false
}

// Change is what other policies would do otherwise to some recordings.
type Change struct {
	From     string   `json:"from"` // what becomes of them now: keep, redact, delete, review, or facts
	To       string   `json:"to"`
	Count    int      `json:"count"`
	Bytes    int64    `json:"bytes"`
	Examples []string `json:"examples"` // keys of some
}

// Difference compares policies with those in force, on the recordings that are there.
type Difference struct {
	AsOf       time.Time `json:"as_of"`
	Recordings int       `json:"recordings"`
	Same       int       `json:"same"`
	Sooner     int       `json:"sooner"` // kept for now by both, and deleted or redacted sooner
	Later      int       `json:"later"`  // or later, or no longer at all
	Changes    []Change  `json:"changes"`
	// Wider counts recordings that would be deleted or redacted now and are not as things are.
	Wider int     `json:"wider"`
	Share float64 `json:"share"` // of all, 0 to 1
	// Exceeds says which limit of which policy a first run would exceed, so that somebody else must
	// approve it; empty if none.
	Exceeds string `json:"exceeds,omitempty"`
}

// maxExamples is how many recordings are named for each change.
const maxExamples = 5

// Diff tells what would be treated otherwise if the given policies were in force in the place of
// those that are: policies of the same name are replaced, others added. It asks the catalog only and
// writes nothing.
func (r *Runner) Diff(ctx context.Context, changed ...*policies.Policy) (Difference, error) {
	at := r.now()
	names := map[string]bool{}
	for _, p := range changed {
		names[p.Name()] = true
	}
	all := append([]*policies.Policy(nil), changed...)
	for _, p := range r.rules.policies {
		if !names[p.Name()] {
			all = append(all, p)
		}
	}
	next := newRuleset(all)
	out := Difference{AsOf: at}
	found := map[[2]string]*Change{}
	var order [][2]string
	// Recordings that only the new policies speak of are looked at too.
	wide := newRuleset(append(append([]*policies.Policy(nil), r.rules.policies...), changed...))
	err := r.eachLive(ctx, wide, at, func(row catalog.Row, f earshot.Facts) error {
		out.Recordings++
		a, b := r.rules.decide(f, at), next.decide(f, at)
		from, to := label(a), label(b)
		if destroys(b) && !destroys(a) {
			out.Wider++
		}
		if from == to {
			r.compareDates(&out, f, at, next)
			return nil
		}
		k := [2]string{from, to}
		c := found[k]
		if c == nil {
			c = &Change{From: from, To: to}
			found[k], order = c, append(order, k)
		}
		c.Count++
		c.Bytes += row.Recording.Size
		if len(c.Examples) < maxExamples {
			c.Examples = append(c.Examples, row.Recording.ID.Key)
		}
		return nil
	})
	for _, k := range order {
		out.Changes = append(out.Changes, *found[k])
	}
	if out.Recordings > 0 {
		out.Share = float64(out.Wider) / float64(out.Recordings)
	}
	for _, p := range changed {
		if l := p.Limits(); l.MaxShare > 0 && out.Share > l.MaxShare || l.MaxCount > 0 && out.Wider > l.MaxCount {
			out.Exceeds = p.Name()
		}
	}
	return out, err
}

func (r *Runner) compareDates(out *Difference, f earshot.Facts, at time.Time, next ruleset) {
	was, _, acts := r.rules.firstAct(f, at)
	will, _, willAct := next.firstAct(f, at)
	switch {
	case acts == willAct && was.Equal(will):
		out.Same++
	case willAct && (!acts || will.Before(was)):
		out.Sooner++
	default:
		out.Later++
	}
}

// label names what becomes of a recording, in one word.
func label(d earshot.Decision) string {
	if len(d.Missing) > 0 && !destroys(d) {
		return "facts"
	}
	return d.Disposition.String()
}
