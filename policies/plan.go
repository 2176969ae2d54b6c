package policies

import (
	"fmt"
	"math"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// planner translates type-checked CEL to nodes. It gives nil for what it does not know.
type planner struct {
	ast   *ast.AST
	fault string // a constant that can never be read, such as duration("soon")
}

// comparison is the operation of a CEL function that compares two scalars.
func comparison(function string) (operation, bool) {
	switch function {
	case operators.Equals:
		return opEqual, true
	case operators.NotEquals:
		return opUnequal, true
	case operators.Less:
		return opLess, true
	case operators.LessEquals:
		return opAtMost, true
	case operators.Greater:
		return opMore, true
	case operators.GreaterEquals:
		return opAtLeast, true
	case "startsWith":
		return opStarts, true
	case "endsWith":
		return opEnds, true
	case "contains":
		return opContains, true
	}
	return 0, false
}

// mirrored is the comparison with its sides swapped.
func mirrored(op operation) (operation, bool) {
	switch op {
	case opEqual, opUnequal:
		return op, true
	case opLess:
		return opMore, true
	case opAtMost:
		return opAtLeast, true
	case opMore:
		return opLess, true
	case opAtLeast:
		return opAtMost, true
	}
	return op, false
}

func (p *planner) plan(e ast.Expr) *node {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return &node{op: opConst, left: operand{value: truth(bool(b))}}
		}
	case ast.SelectKind:
		return p.planSelect(e)
	case ast.CallKind:
		return p.planCall(e.AsCall())
	}
	return nil
}

func (p *planner) planSelect(e ast.Expr) *node {
	sel := e.AsSelect()
	if x, ok := factOf(e); ok {
		switch {
		case sel.IsTestOnly():
			return &node{op: opHas, fact: x}
		case facts[x].sort == aBool:
			return &node{op: opFact, fact: x}
		}
		return nil
	}
	if x, ok := factOf(sel.Operand()); ok && x == recordingLabels && sel.IsTestOnly() && !sel.Operand().AsSelect().IsTestOnly() {
		return &node{op: opHasLabel, left: constantString(sel.FieldName())}
	}
	return nil
}

func (p *planner) planCall(call ast.CallExpr) *node {
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalAnd:
		return p.planKids(opAnd, args)
	case operators.LogicalOr:
		return p.planKids(opOr, args)
	case operators.LogicalNot:
		return p.planKids(opNot, args)
	case operators.Conditional:
		return p.planKids(opIf, args)
	case operators.In:
		return p.planIn(args)
	}
	op, ok := comparison(call.FunctionName())
	if !ok {
		return nil
	}
	if call.IsMemberFunction() {
		args = append([]ast.Expr{call.Target()}, args...)
	}
	if len(args) != 2 {
		return nil
	}
	left, ok := p.operand(args[0])
	if !ok {
		return nil
	}
	right, ok := p.operand(args[1])
	if !ok {
		return nil
	}
	if swapped, ok := mirrored(op); ok && left.kind == constant && right.kind != constant {
		left, right, op = right, left, swapped
	}
	if !alike(&left, &right) {
		return nil
	}
	return &node{op: op, left: left, right: right}
}

// alike makes both sides of one sort where that loses nothing: a whole number beside a decimal one.
func alike(left, right *operand) bool {
	if left.sort == aDouble && right.sort == anInt && right.kind == constant && right.value.i == int64(float64(right.value.i)) {
		right.sort, right.value.f = aDouble, float64(right.value.i)
	}
	return left.sort == right.sort
}

func (p *planner) planKids(op operation, args []ast.Expr) *node {
	n := &node{op: op}
	for _, a := range args {
		kid := p.plan(a)
		if kid == nil {
			return nil
		}
		n.kids = append(n.kids, kid)
	}
	return n
}

func (p *planner) planIn(args []ast.Expr) *node {
	left, ok := p.operand(args[0])
	if !ok {
		return nil
	}
	switch x, isFact := factOf(args[1]); {
	case isFact && args[1].AsSelect().IsTestOnly():
		return nil
	case isFact && x == subjectConsents:
		return &node{op: opConsents, left: left}
	case isFact && x == recordingLabels:
		return &node{op: opLabels, left: left}
	case args[1].Kind() != ast.ListKind:
		return nil
	}
	n := &node{op: opAmong, left: left}
	n.right = left // nothing more is missing than on the left
	for _, e := range args[1].AsList().Elements() {
		item, ok := p.operand(e)
		if !ok || item.kind != constant || !alike(&left, &item) {
			return nil
		}
		n.list = append(n.list, item.value)
	}
	return n
}

func (p *planner) operand(e ast.Expr) (operand, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		return fromCEL(e.AsLiteral())
	case ast.SelectKind:
		sel := e.AsSelect()
		if x, ok := factOf(e); ok && !sel.IsTestOnly() && facts[x].sort < aList {
			return operand{kind: aFact, fact: x, sort: facts[x].sort}, true
		}
		if x, ok := factOf(sel.Operand()); ok && x == recordingLabels && !sel.IsTestOnly() && !sel.Operand().AsSelect().IsTestOnly() {
			return operand{kind: aLabel, sort: aString, value: scalar{s: sel.FieldName()}}, true
		}
	case ast.CallKind:
		return p.operandCall(e.AsCall())
	}
	return operand{}, false
}

// operandCall knows duration("..."), timestamp("...") and labels["..."].
func (p *planner) operandCall(call ast.CallExpr) (operand, bool) {
	args := call.Args()
	if call.FunctionName() == operators.Index {
		key, ok := args[1], args[1].Kind() == ast.LiteralKind
		if x, isFact := factOf(args[0]); ok && isFact && x == recordingLabels && !args[0].AsSelect().IsTestOnly() {
			name, ok := key.AsLiteral().(types.String)
			return operand{kind: aLabel, sort: aString, value: scalar{s: string(name)}}, ok
		}
		return operand{}, false
	}
	to, ok := map[string]ref.Type{"duration": types.DurationType, "timestamp": types.TimestampType}[call.FunctionName()]
	if !ok || len(args) != 1 || args[0].Kind() != ast.LiteralKind {
		return operand{}, false
	}
	literal, ok := args[0].AsLiteral().(types.String)
	if !ok {
		return operand{}, false
	}
	value := literal.ConvertToType(to)
	if types.IsError(value) {
		p.fault = fmt.Sprintf("%s(%q) can never be read", call.FunctionName(), string(literal))
		return operand{}, false
	}
	return fromCEL(value)
}

func fromCEL(v ref.Val) (operand, bool) {
	switch x := v.(type) {
	case types.String:
		return constantString(string(x)), true
	case types.Int:
		return operand{sort: anInt, value: scalar{i: int64(x)}}, true
	case types.Double:
		return operand{sort: aDouble, value: scalar{f: float64(x)}}, !math.IsNaN(float64(x))
	case types.Bool:
		return operand{sort: aBool, value: truth(bool(x))}, true
	case types.Duration:
		return operand{sort: aDuration, value: scalar{i: int64(x.Duration)}}, true
	case types.Timestamp:
		return operand{sort: aTime, value: scalar{i: x.Unix(), n: int32(x.Nanosecond())}}, true
	}
	return operand{}, false
}

func constantString(s string) operand { return operand{sort: aString, value: scalar{s: s}} }

// day is how dates are written for people.
func day(t time.Time) string {
	t = t.UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format("2006-01-02 15:04:05Z")
}
