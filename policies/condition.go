package policies

import (
	"fmt"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// The bounds of a condition.
const (
	maxCondition = 4 << 10 // bytes of text
	maxNodes     = 512     // of syntax
	maxCost      = 100_000 // CEL cost units, estimated for the largest facts, and counted when evaluated
	maxLabels    = 64      // assumed when cost is estimated
	maxString    = 2 << 10 // assumed when cost is estimated: a key has at most 1,024 bytes
)

// answer is what a condition says of some facts.
type answer uint8

const (
	no answer = iota
	yes
	maybe // what is missing decides
)

// condition is a compiled `when`.
type condition struct {
	text  string
	reads unknowns // the facts that it names
	fast  *node    // nil where only cel-go can evaluate it
	slow  cel.Program
}

// ask evaluates the condition. gaps is empty unless the answer is maybe.
func (c *condition) ask(s *sight) (answer, unknowns) {
	if c.fast != nil {
		return c.fast.ask(s)
	}
	return c.askCEL(s)
}

// askCEL evaluates the condition by cel-go's interpreter: the meaning that the fast way must have.
func (c *condition) askCEL(s *sight) (answer, unknowns) {
	out, _, err := c.slow.Eval(s.activate())
	if unknown, ok := out.(*types.Unknown); ok {
		return maybe, gapsOf(unknown)
	}
	if err != nil {
		return maybe, failed
	}
	switch out {
	case types.True:
		return yes, 0
	case types.False:
		return no, 0
	}
	return maybe, failed
}

// gapsOf translates cel-go's unknown attributes.
func gapsOf(u *types.Unknown) unknowns {
	var gaps unknowns
	for _, id := range u.IDs() {
		trails, _ := u.GetAttributeTrails(id)
		for _, trail := range trails {
			field := ""
			if path := trail.QualifierPath(); len(path) > 0 {
				field, _ = path[0].(string)
			}
			for i, spec := range facts {
				if spec.variable == trail.Variable() && !spec.hidden && (field == "" || field == spec.field) {
					gaps |= only(fact(i))
				}
			}
		}
	}
	if gaps == 0 {
		return failed
	}
	return gaps
}

// celEnv is the language's environment, made once: it depends on nothing but this source.
var celEnv = sync.OnceValues(func() (*cel.Env, error) {
	registry := types.NewEmptyRegistry()
	opts := []cel.EnvOption{
		cel.StdLib(),
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(provider{registry}),
		cel.ParserRecursionLimit(64),
		cel.ParserExpressionSizeLimit(maxCondition),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ParserErrorRecoveryLimit(4),
		cel.ExtendedValidations(),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(2), cel.ValidateRegexProgramSizeLimit(1000)),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
	}
	for _, v := range variables {
		opts = append(opts, cel.Variable(v, cel.ObjectType(typeOf(v))))
	}
	return cel.NewCustomEnv(opts...)
})

// fault is what is wrong with a condition, at a line from 1 and a column from 0 of its text.
type conditionFault struct {
	line, col int
	msg       string
}

// compileCondition type-checks and plans a condition.
func compileCondition(text string) (*condition, []conditionFault) {
	env, err := celEnv()
	if err != nil {
		return nil, []conditionFault{{1, 0, err.Error()}}
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		var out []conditionFault
		for _, e := range issues.Errors() {
			out = append(out, conditionFault{max(1, e.Location.Line()), max(0, e.Location.Column()), explainCEL(e.Message)})
		}
		return nil, out
	}
	if checked.OutputType() != cel.BoolType {
		return nil, []conditionFault{{1, 0, fmt.Sprintf("the condition is %s, not a bool", checked.OutputType())}}
	}
	native := checked.NativeRep()
	if name := forbidden(native.Expr()); name != "" {
		return nil, []conditionFault{{1, 0, fmt.Sprintf("%s is not part of the language", name)}}
	}
	estimate, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, []conditionFault{{1, 0, err.Error()}}
	}
	if estimate.Max > maxCost {
		return nil, []conditionFault{{1, 0, fmt.Sprintf("the condition may cost %d units, more than the limit of %d", estimate.Max, maxCost)}}
	}
	c := &condition{text: text, reads: readsOf(native.Expr())}
	if c.slow, err = env.Program(checked, cel.EvalOptions(cel.OptPartialEval), cel.CostLimit(maxCost)); err != nil {
		return nil, []conditionFault{{1, 0, err.Error()}}
	}
	p := planner{ast: native}
	c.fast = p.plan(native.Expr())
	if p.fault != "" {
		return nil, []conditionFault{{1, 0, p.fault}}
	}
	return c, nil
}

// forbidden finds what would step around the type checker.
func forbidden(e ast.Expr) string {
	found := ""
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch {
		case e.Kind() == ast.CallKind && (e.AsCall().FunctionName() == "dyn" || e.AsCall().FunctionName() == "type"):
			found = e.AsCall().FunctionName() + "()"
		case e.Kind() == ast.StructKind:
			found = "making objects"
		}
	}))
	return found
}

// readsOf collects the facts that an expression names.
func readsOf(e ast.Expr) unknowns {
	var out unknowns
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if x, ok := factOf(e); ok {
			out |= only(x)
		}
	}))
	return out
}

// factOf recognizes variable.field, tested for presence or read.
func factOf(e ast.Expr) (fact, bool) {
	if e.Kind() != ast.SelectKind || e.AsSelect().Operand().Kind() != ast.IdentKind {
		return 0, false
	}
	return factAt(e.AsSelect().Operand().AsIdent() + "." + e.AsSelect().FieldName())
}

// sizes tells the cost estimate how large facts can be.
type sizes struct{}

// EstimateCallCost leaves calls to the standard estimate.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize bounds the strings, lists and maps among the facts.
func (sizes) EstimateSize(e cost.AstNode) *cost.SizeEstimate {
	out := cost.RangedSizeEstimate(0, maxString)
	if t := e.Type(); t != nil && (t.Kind() == types.ListKind || t.Kind() == types.MapKind) {
		out = cost.RangedSizeEstimate(0, maxLabels)
	}
	return &out
}
