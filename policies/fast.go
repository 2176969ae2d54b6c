package policies

import (
	"cmp"
	"strings"
)

// A condition that uses only the common part of CEL (logic, comparison, has, in, the simple string
// functions, constants) is a tree of nodes that is evaluated over the facts directly, without
// cel-go's interpreter and without memory. It must mean what cel-go means: the tests compare both.

type operation uint8

const (
	opConst operation = iota // left.i says which
	opFact                   // a fact that is a bool
	opHas                    // presence of a fact
	opHasLabel
	opAnd
	opOr
	opNot
	opIf // kids: condition, then, else
	opEqual
	opUnequal
	opLess
	opAtMost
	opMore
	opAtLeast
	opStarts
	opEnds
	opContains
	opConsents // left in subject.consents
	opLabels   // left in recording.labels
	opAmong    // left in list
)

// node is one bool-valued step.
type node struct {
	op          operation
	fact        fact
	kids        []*node
	left, right operand
	list        []scalar
}

// operand is a scalar: a constant, a fact or a label.
type operand struct {
	kind  operandKind
	fact  fact
	sort  sort
	value scalar // of a constant; s is the name of a label
}

type operandKind uint8

const (
	constant operandKind = iota
	aFact
	aLabel
)

// ask evaluates the node. Like CEL's operators, and and or are decided by one side where that side
// suffices, whatever the other lacks.
func (n *node) ask(s *sight) (answer, unknowns) {
	switch n.op {
	case opConst:
		return answer(n.left.value.i), 0
	case opFact:
		v, st := s.get(n.fact)
		if st != present {
			return maybe, only(n.fact)
		}
		return answer(v.i), 0
	case opHas:
		_, st := s.get(n.fact)
		if st == pending {
			return maybe, only(n.fact)
		}
		return truly(st == present), 0
	case opAnd, opOr:
		return n.askBoth(s)
	case opNot:
		a, gaps := n.kids[0].ask(s)
		if a != maybe {
			a ^= yes
		}
		return a, gaps
	case opIf:
		a, gaps := n.kids[0].ask(s)
		switch a {
		case yes:
			return n.kids[1].ask(s)
		case no:
			return n.kids[2].ask(s)
		}
		return maybe, gaps
	case opConsents:
		left, gaps := n.left.get(s)
		if _, st := s.get(subjectConsents); st != present {
			gaps |= only(subjectConsents)
		}
		if gaps != 0 {
			return maybe, gaps
		}
		return truly(s.consents(left.s)), 0
	case opHasLabel, opLabels:
		left, gaps := n.left.get(s)
		if !s.f.HeadKnown {
			gaps |= only(recordingLabels)
		}
		if gaps != 0 {
			return maybe, gaps
		}
		_, ok := s.f.Recording.Labels[left.s]
		return truly(ok), 0
	}
	return n.compare(s)
}

func (n *node) askBoth(s *sight) (answer, unknowns) {
	decisive := no
	if n.op == opOr {
		decisive = yes
	}
	result, gaps := decisive^yes, unknowns(0)
	for _, kid := range n.kids {
		a, g := kid.ask(s)
		switch a {
		case decisive:
			return decisive, 0
		case maybe:
			result, gaps = maybe, gaps|g
		}
	}
	return result, gaps
}

func (n *node) compare(s *sight) (answer, unknowns) {
	left, gaps := n.left.get(s)
	right, more := n.right.get(s)
	if gaps |= more; gaps != 0 {
		return maybe, gaps
	}
	switch n.op {
	case opStarts:
		return truly(strings.HasPrefix(left.s, right.s)), 0
	case opEnds:
		return truly(strings.HasSuffix(left.s, right.s)), 0
	case opContains:
		return truly(strings.Contains(left.s, right.s)), 0
	case opAmong:
		for i := range n.list {
			if order(n.left.sort, &left, &n.list[i]) == 0 {
				return yes, 0
			}
		}
		return no, 0
	}
	c := order(n.left.sort, &left, &right)
	switch n.op {
	case opEqual:
		return truly(c == 0), 0
	case opUnequal:
		return truly(c != 0), 0
	case opLess:
		return truly(c < 0), 0
	case opAtMost:
		return truly(c <= 0), 0
	case opMore:
		return truly(c > 0), 0
	}
	return truly(c >= 0), 0
}

// order compares two scalars of one sort. Facts and constants are never NaN.
func order(s sort, a, b *scalar) int {
	switch s {
	case aString:
		return strings.Compare(a.s, b.s)
	case aDouble:
		return cmp.Compare(a.f, b.f)
	case aTime:
		if a.i != b.i {
			return cmp.Compare(a.i, b.i)
		}
		return cmp.Compare(a.n, b.n)
	}
	return cmp.Compare(a.i, b.i)
}

func (o *operand) get(s *sight) (scalar, unknowns) {
	switch o.kind {
	case aFact:
		v, st := s.get(o.fact)
		if st != present {
			return v, only(o.fact)
		}
		return v, 0
	case aLabel:
		if !s.f.HeadKnown {
			return scalar{}, only(recordingLabels)
		}
		v, ok := s.f.Recording.Labels[o.value.s]
		if !ok {
			return scalar{}, failed
		}
		return scalar{s: v}, 0
	}
	return o.value, 0
}

func truly(b bool) answer {
	if b {
		return yes
	}
	return no
}
