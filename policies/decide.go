package policies

import (
	"time"

	"earshot"
)

// ruleState is what one rule says of some facts, without the clock.
type ruleState struct {
	answer answer    // no: it never acts
	dated  bool      // it waits until due
	due    time.Time // where dated
	gaps   unknowns  // for maybe: what is missing
}

// outcome is what all rules together say at one moment. Two moments with equal outcomes have equal
// decisions, but for their dates.
type outcome struct {
	disposition earshot.Disposition
	by          int8   // the deciding rule, or one of the marks below
	end         int8   // for Redact: where the search ended
	redacts     uint64 // the rules whose spans are erased
	open        uint64 // for an undecided Review: the rules that could decide otherwise
}

// Marks for what is no rule.
const (
	byOtherwise = -1
	byLaw       = -2 // byLaw-l for law l
)

// reviewed reports whether a rule asks for review, rather than what is missing or `otherwise`.
func (o outcome) reviewed() bool { return o.disposition == earshot.Review && o.by >= 0 }

func outcomeOf(l law) outcome { return outcome{disposition: l.disposition(), by: byLaw - int8(l)} }

// look asks every rule about the facts.
func (p *Policy) look(s *sight, states *[maxRules]ruleState) {
	for i := range p.rules {
		p.rules[i].look(s, &states[i])
	}
}

func (r *rule) look(s *sight, st *ruleState) {
	*st = ruleState{answer: yes}
	if r.when != nil {
		if st.answer, st.gaps = r.when.ask(s); st.answer == no {
			return
		}
	}
	if r.keep != nil {
		due, gaps, never := r.keep.due(s)
		if never {
			*st = ruleState{}
			return
		}
		st.due, st.dated = due, gaps == 0
		st.gaps |= gaps
	}
	if r.then == earshot.Redact {
		something, gaps := r.erases(s)
		if !something {
			*st = ruleState{}
			return
		}
		st.gaps |= gaps
	}
	if st.gaps != 0 {
		st.answer = maybe
	}
}

// waits reports whether the rule surely does not act at t, but will later.
func (st *ruleState) waits(t time.Time) bool { return st.dated && t.Before(st.due) }

// at searches the rules at one moment.
func (p *Policy) at(s *sight, states *[maxRules]ruleState, t time.Time) outcome {
	if l, ok := s.lawAt(t); ok {
		return outcomeOf(l)
	}
	found := outcome{disposition: p.otherwise, by: byOtherwise}
	var waiting uint64 // rules that may be waiting
	wait := -1         // the rule that surely waits and acts first
	var open uint64
search:
	for i := range p.rules {
		r, st := &p.rules[i], &states[i]
		switch {
		case st.answer == no:
			continue
		case st.waits(t):
			if st.answer == maybe {
				waiting |= 1 << i
			} else if wait < 0 || st.due.Before(states[wait].due) {
				wait = i
			}
			continue
		case st.answer == maybe:
			open |= 1 << i
			continue
		case r.then == earshot.Redact:
			found.redacts |= 1 << i
			continue
		}
		found.disposition, found.by = r.then, int8(i)
		break search
	}
	return p.settle(found, open, waiting, wait)
}

// settle turns what the search found into the outcome: a period that runs keeps, redactions come
// before an end that keeps or that no rule made, and what is open makes it Review unless it could
// not matter.
func (p *Policy) settle(found outcome, open, waiting uint64, wait int) outcome {
	if found.by == byOtherwise && wait >= 0 {
		found.disposition, found.by = earshot.Keep, int8(wait)
	} else if found.by == byOtherwise && found.disposition != earshot.Keep {
		open |= waiting // whether its period runs decides between keep and otherwise
	}
	switch {
	case found.disposition == earshot.Delete, found.reviewed():
		// Erasing cannot be undone: a rule that asks for a person asks before anything is erased.
		found.redacts = 0
	case found.redacts != 0:
		found.end = found.by
		found.disposition, found.by = earshot.Redact, int8(first(found.redacts))
	}
	if open &^= p.harmless(found, open); open != 0 {
		return outcome{disposition: earshot.Review, by: int8(first(open)), open: open}
	}
	return found
}

// harmless gives the open rules that lead to the same end whichever way they turn out.
func (p *Policy) harmless(found outcome, open uint64) uint64 {
	var out uint64
	for i := range p.rules {
		if open&(1<<i) == 0 {
			continue
		}
		r := &p.rules[i]
		same := false
		switch found.disposition {
		case earshot.Delete:
			same = r.then == earshot.Redact ||
				r.then == earshot.Delete && sameCompanions(r.companions, p.rules[found.by].companions)
		case earshot.Keep:
			same = r.then == earshot.Keep
		case earshot.Review:
			same = r.then == earshot.Review || r.then == earshot.Redact && found.reviewed()
		case earshot.Redact:
			// A keep behind every rule that redacts would change nothing; before one, it would end
			// the search.
			same = r.then == earshot.Keep && found.redacts>>i == 0
		}
		if same {
			out |= 1 << i
		}
	}
	return out
}

func sameCompanions(a, b map[string]earshot.CompanionRule) bool {
	if len(a) != len(b) {
		return false
	}
	for class, rule := range a {
		if b[class] != rule {
			return false
		}
	}
	return true
}

// boundaries collects the moments at which the outcome may change, in order, each once.
func (p *Policy) boundaries(s *sight, states *[maxRules]ruleState, out []time.Time) []time.Time {
	if s.held() || s.lockedForEver() {
		return out
	}
	if t, ok := s.lockEnds(); ok {
		out = insert(out, t)
	}
	if s.erasure() || s.fault() != "" {
		return out
	}
	for i := range p.rules {
		if st := &states[i]; st.dated && st.answer != no {
			out = insert(out, st.due)
		}
	}
	return out
}

// insert keeps the list sorted and each moment once. The lists are short.
func insert(list []time.Time, t time.Time) []time.Time {
	i := len(list)
	for i > 0 && t.Before(list[i-1]) {
		i--
	}
	if i > 0 && list[i-1].Equal(t) {
		return list
	}
	list = append(list, t)
	copy(list[i+1:], list[i:])
	list[i] = t
	return list
}

// workspace is what deciding needs room for. Workspaces are used again: a decision then costs no
// memory but its own.
type workspace struct {
	facts  earshot.Facts
	sight  sight
	states [maxRules]ruleState
	room   [maxRules + 1]time.Time
	times  []time.Time // the boundaries, in room
}

// prepare looks at the facts. The workspace must be given back by [Policy.release].
func (p *Policy) prepare(f *earshot.Facts) *workspace {
	w, ok := p.spare.Get().(*workspace)
	if !ok {
		w = new(workspace)
	}
	w.facts = *f
	w.sight.look(&w.facts)
	p.look(&w.sight, &w.states)
	w.times = p.boundaries(&w.sight, &w.states, w.room[:0])
	return w
}

// release forgets the facts, which hold personal data, and keeps the room.
func (p *Policy) release(w *workspace) {
	w.facts, w.sight = earshot.Facts{}, sight{}
	p.spare.Put(w)
}

// Decide says what is to become of the recording at a moment. It is the step of [Policy.Timeline]
// that the moment lies in.
func (p *Policy) Decide(f earshot.Facts, now time.Time) earshot.Decision {
	w := p.prepare(&f)
	times := w.times
	here := 0 // the first boundary after now
	for here < len(times) && !now.Before(times[here]) {
		here++
	}
	var since, until time.Time
	if here > 0 {
		since = times[here-1]
	}
	o := p.at(&w.sight, &w.states, since)
	for i := here; i < len(times); i++ {
		if p.at(&w.sight, &w.states, times[i]) != o {
			until = times[i]
			break
		}
	}
	for i := here - 1; i >= 0; i-- {
		var before time.Time
		if i > 0 {
			before = times[i-1]
		}
		if since = times[i]; p.at(&w.sight, &w.states, before) != o {
			break
		}
		since = before
	}
	d := p.decision(&w.sight, &w.states, o, since, until)
	p.release(w)
	return d
}

// Timeline is everything that the policy will ever say of these facts: steps that follow each other
// without a gap, from ever (Since is zero) to for ever (Until is zero), each different from the one
// before.
func (p *Policy) Timeline(f earshot.Facts) []earshot.Decision {
	w := p.prepare(&f)
	out := p.timeline(w)
	p.release(w)
	return out
}

func (p *Policy) timeline(w *workspace) []earshot.Decision {
	o := p.at(&w.sight, &w.states, time.Time{})
	var since time.Time
	out := make([]earshot.Decision, 0, 4)
	for _, t := range w.times {
		if next := p.at(&w.sight, &w.states, t); next != o {
			out = append(out, p.decision(&w.sight, &w.states, o, since, t))
			o, since = next, t
		}
	}
	return append(out, p.decision(&w.sight, &w.states, o, since, time.Time{}))
}

// ReasonsFor gives the reasons of [Policy.Decide] alone.
func (p *Policy) ReasonsFor(f earshot.Facts, now time.Time) []earshot.Reason {
	return p.Decide(f, now).Reasons
}
