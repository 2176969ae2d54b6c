package policies

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"earshot"
)

// units of a length, besides Go's. Months and years are fixed lengths on purpose: a period must not
// depend on the month in which it begins.
var units = [...]struct {
	name string
	unit time.Duration
}{
	{"mo", 30 * 24 * time.Hour}, {"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour},
	{"h", time.Hour}, {"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", 1}, {"m", time.Minute}, {"s", time.Second},
}

// ParseLength reads a length of time such as 36h, 90d, 2w, 18mo, 3y or 1d12h: a sum of whole or
// decimal numbers with the units y (365 days), mo (30 days), w, d (24 hours), h, m, s, ms, us, ns.
// Lengths that do not fit a [time.Duration], about 292 years, are errors, as are negative ones.
func ParseLength(text string) (time.Duration, error) {
	bad := fmt.Errorf("length %q: want a number with a unit, such as 36h, 90d, 2w, 18mo or 3y", text)
	var sum float64
	var exact time.Duration
	for rest := text; rest != "" || text == ""; {
		digits := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if digits <= 0 || len(rest) > 64 {
			return 0, bad
		}
		unit := time.Duration(0)
		number := rest[:digits]
		for _, u := range units {
			if after, ok := strings.CutPrefix(rest[digits:], u.name); ok {
				unit, rest = u.unit, after
				break
			}
		}
		value, err := strconv.ParseFloat(number, 64)
		if unit == 0 || err != nil {
			return 0, bad
		}
		if sum += value * float64(unit); sum >= math.MaxInt64 {
			return 0, fmt.Errorf("length %q is longer than 292 years", text)
		}
		if whole, err := strconv.ParseInt(number, 10, 64); err == nil {
			exact += time.Duration(whole) * unit
		} else {
			exact += time.Duration(value * float64(unit))
		}
	}
	if exact < 0 {
		return 0, fmt.Errorf("length %q is longer than 292 years", text)
	}
	return exact, nil
}

// anchor is the moment that a period begins at.
type anchor uint8

const (
	fromCaptured anchor = iota
	fromStored
	fromLastActive
	fromWithdrawn
)

var anchorNames = []string{"captured", "stored", "subject.lastActive", "consent.withdrawn"}

// anchorPhrases end a sentence: kept for 90d from ...
var anchorPhrases = []string{"capture", "storage", "the subject's last activity", "the withdrawal of consent"}

// period is how long a compiled rule waits.
type period struct {
	length  time.Duration
	fact    fact // gives the length if variable is set
	isFact  bool
	from    anchor
	purpose string
	phrase  string // for people: 90d from capture
}

// due is when the period ends. gaps is what is missing to say so; never means that it has not begun
// and that the rule says nothing: no consent was withdrawn.
func (p *period) due(s *sight) (at time.Time, gaps unknowns, never bool) {
	start, gaps, never := p.begin(s)
	if never {
		return time.Time{}, 0, true
	}
	length := p.length
	if p.isFact {
		v, st := s.get(p.fact)
		if st != present {
			gaps |= only(p.fact)
		}
		length = time.Duration(v.i)
	}
	if gaps != 0 {
		return time.Time{}, gaps, false
	}
	return start.Add(length), 0, false
}

func (p *period) begin(s *sight) (time.Time, unknowns, bool) {
	x := recordingCaptured
	switch p.from {
	case fromStored:
		x = recordingStored
	case fromLastActive:
		x = subjectLastActive
	case fromWithdrawn:
		return p.withdrawn(s)
	}
	v, st := s.get(x)
	if st != present {
		return time.Time{}, only(x), false
	}
	return time.Unix(v.i, int64(v.n)).UTC(), 0, false
}

// withdrawn is the last withdrawal of consent to the purpose, while none is in force.
func (p *period) withdrawn(s *sight) (time.Time, unknowns, bool) {
	if s.f.Subject == nil {
		return time.Time{}, only(subjectConsents), false
	}
	var last time.Time
	for i := range s.f.Subject.Consents {
		switch c := &s.f.Subject.Consents[i]; {
		case c.Purpose != p.purpose:
		case c.WithdrawnAt.IsZero():
			return time.Time{}, 0, true
		case c.WithdrawnAt.After(last):
			last = c.WithdrawnAt
		}
	}
	switch {
	case last.IsZero():
		return time.Time{}, 0, true
	case !believable(last):
		return time.Time{}, only(subjectConsents), false
	}
	return last.UTC(), 0, false
}

// compilePeriod reads a rule's keep.
func (c *compiler) period(path string, k *Period) *period {
	if k == nil {
		return nil
	}
	p := &period{purpose: k.Purpose, phrase: k.For + " from "}
	if x, ok := factAt(k.For); ok {
		p.fact, p.isFact = x, true
		if facts[x].sort != aDuration {
			c.add(path+".for", "%s is not a length of time", k.For)
		}
		p.phrase = "the time that " + k.For + " says, from "
	} else if strings.Contains(k.For, ".") && strings.ContainsAny(k.For[:1], "abcdefghijklmnopqrstuvwxyz") {
		c.add(path+".for", "unknown fact %q%s", k.For, meant(k.For, factPaths(aDuration)))
	} else if length, err := ParseLength(k.For); err != nil {
		c.add(path+".for", "%s", err)
	} else {
		p.length = length
	}
	i := index(anchorNames, k.From)
	switch {
	case k.From == "":
		c.add(path, "%s has no `from`: want %s", path, oneOf(anchorNames))
	case i < 0:
		c.add(path+".from", "unknown moment %q%s", k.From, meant(k.From, anchorNames))
	default:
		p.from = anchor(i)
		p.phrase += anchorPhrases[i]
	}
	if withdrawn := k.From == anchorNames[fromWithdrawn]; withdrawn && k.Purpose == "" {
		c.add(path, "consent.withdrawn needs `purpose`: which consent")
	} else if !withdrawn && k.Purpose != "" {
		c.add(path+".purpose", "`purpose` goes with from: consent.withdrawn only")
	}
	return p
}

// factPaths lists the facts of one sort, for suggestions.
func factPaths(s sort) []string {
	var out []string
	for _, f := range facts {
		if f.sort == s && !f.hidden {
			out = append(out, f.path())
		}
	}
	return out
}

func index(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}

// fill values that a rule may name.
var fills = []string{string(earshot.FillSilence), string(earshot.FillTone), string(earshot.FillCut)}
