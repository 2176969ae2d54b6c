package policies

import (
	"slices"
	"time"

	"earshot"
)

// Combine joins what several policies say of one recording at one moment. A hold or an object lock
// beats everything; else the strictest disposition wins. All reasons are kept, the winner's first.
// The joint decision holds while all of them do. With no decision there is Keep, by the rule "no-policy".
func Combine(ds ...earshot.Decision) earshot.Decision {
	if len(ds) == 0 {
		return earshot.Decision{Disposition: earshot.Keep, Rule: "no-policy"}
	}
	if len(ds) == 1 {
		return ds[0]
	}
	winner := 0
	for i, d := range ds {
		if stronger(d, ds[winner]) {
			winner = i
		}
	}
	out := ds[winner]
	out.Reasons, out.Missing, out.Redactions, out.Companions = slices.Clone(out.Reasons), nil, nil, nil
	for i, d := range ds {
		out.Since = later(out.Since, d.Since)
		out.Until = earlier(out.Until, d.Until)
		if i != winner {
			for _, r := range d.Reasons {
				if !slices.Contains(out.Reasons, r) {
					out.Reasons = append(out.Reasons, r)
				}
			}
		}
		if d.Disposition != out.Disposition {
			continue
		}
		out.Missing = append(out.Missing, d.Missing...)
		for _, r := range d.Redactions {
			out.Redactions = addRedaction(out.Redactions, r.Fill, r.Spans)
		}
	}
	out.Companions = jointCompanions(ds, winner)
	slices.Sort(out.Missing)
	out.Missing = slices.Compact(out.Missing)
	out.Policy = joint(ds)
	return out
}

// jointCompanions gives each class of companion the strictest rule of all decisions that dispose of
// the recording, counting what a class not named gets. Where nothing is disposed of there are none.
func jointCompanions(ds []earshot.Decision, winner int) map[string]earshot.CompanionRule {
	fate := map[earshot.Disposition]earshot.CompanionRule{earshot.Delete: earshot.CompanionDelete, earshot.Redact: earshot.CompanionTrim}
	others, disposes := fate[ds[winner].Disposition]
	if !disposes {
		return nil
	}
	out := ds[winner].Companions
	for i, d := range ds {
		if othersD, ok := fate[d.Disposition]; ok && i != winner {
			out = strictest(out, others, d.Companions, othersD)
		}
	}
	return out
}

// stronger reports whether a beats b.
func stronger(a, b earshot.Decision) bool {
	if x, y := byHold(a), byHold(b); x != y {
		return x
	}
	return a.Disposition > b.Disposition
}

// byHold reports whether a hold or a lock keeps; no rule can have their names.
func byHold(d earshot.Decision) bool {
	return d.Disposition == earshot.Keep && (d.Rule == RuleHold || d.Rule == RuleLock)
}

// joint is the digest of the policies that took part: their one digest, or one over all in order.
func joint(ds []earshot.Decision) earshot.Digest {
	var all []byte
	same := true
	for _, d := range ds {
		same = same && d.Policy == ds[0].Policy
		all = append(all, d.Policy[:]...)
	}
	if same {
		return ds[0].Policy
	}
	return earshot.DigestOf(all)
}

// later of two beginnings; zero is since ever.
func later(a, b time.Time) time.Time {
	if a.IsZero() || b.After(a) {
		return b
	}
	return a
}

// earlier of two ends; zero is for ever.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
