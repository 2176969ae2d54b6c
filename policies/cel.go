package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"earshot"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// costLimit bounds the evaluation of one condition, in CEL's units of cost.
const costLimit = 100_000

// field is one attribute that conditions may read. get gives its value, ok false where it is
// absent.
type field struct {
	typ *types.Type
	get func(*earshot.Facts) (v any, ok bool)
}

func always[T any](f func(*earshot.Facts) T) func(*earshot.Facts) (any, bool) {
	return func(facts *earshot.Facts) (any, bool) { return f(facts), true }
}

func nonEmpty[T comparable](f func(*earshot.Facts) T) func(*earshot.Facts) (any, bool) {
	return func(facts *earshot.Facts) (any, bool) {
		var zero T
		v := f(facts)
		return v, v != zero
	}
}

func ofSubject(f func(*earshot.Subject) (any, bool)) func(*earshot.Facts) (any, bool) {
	return func(facts *earshot.Facts) (any, bool) {
		if facts.Subject == nil {
			return nil, false
		}
		return f(facts.Subject)
	}
}

func firstFinding(f *earshot.Facts, kind earshot.Kind) (earshot.Finding, bool) {
	l := f.Heard[kind]
	if len(l.Findings) == 0 {
		return earshot.Finding{}, false
	}
	first := l.Findings[0]
	for _, x := range l.Findings[1:] {
		if x.Span.Start < first.Span.Start {
			first = x
		}
	}
	return first, true
}

func ofFinding(kind earshot.Kind, f func(earshot.Finding) any) func(*earshot.Facts) (any, bool) {
	return func(facts *earshot.Facts) (any, bool) {
		x, ok := firstFinding(facts, kind)
		if !ok {
			return nil, false
		}
		return f(x), true
	}
}

func listened(kind earshot.Kind) func(*earshot.Facts) (any, bool) {
	return always(func(f *earshot.Facts) bool { _, ok := f.Heard[kind]; return ok })
}

func found(kind earshot.Kind) func(*earshot.Facts) (any, bool) {
	return always(func(f *earshot.Facts) bool { return len(f.Heard[kind].Findings) > 0 })
}

func startOf(x earshot.Finding) any { return x.Span.Start }
func endOf(x earshot.Finding) any   { return x.Span.End }

// vocabulary is every attribute that there is, by variable and field.
func vocabulary() map[string]map[string]field {
	rec := func(f func(earshot.Recording) string) func(*earshot.Facts) (any, bool) {
		return always(func(facts *earshot.Facts) string { return f(facts.Recording) })
	}
	return map[string]map[string]field{
		"recording": {
			"bucket":   {types.StringType, rec(func(r earshot.Recording) string { return r.ID.Bucket })},
			"key":      {types.StringType, rec(func(r earshot.Recording) string { return r.ID.Key })},
			"size":     {types.IntType, always(func(f *earshot.Facts) int64 { return f.Recording.Size })},
			"coding":   {types.StringType, rec(func(r earshot.Recording) string { return string(r.Coding) })},
			"subject":  {types.StringType, rec(func(r earshot.Recording) string { return string(r.Subject) })},
			"device":   {types.StringType, rec(func(r earshot.Recording) string { return r.Device })},
			"locale":   {types.StringType, rec(func(r earshot.Recording) string { return r.Locale })},
			"source":   {types.StringType, rec(func(r earshot.Recording) string { return r.Source })},
			"labels":   {types.NewMapType(types.StringType, types.StringType), always(labels)},
			"captured": {types.TimestampType, nonEmpty(func(f *earshot.Facts) time.Time { return f.Recording.CapturedAt })},
			"stored":   {types.TimestampType, nonEmpty(func(f *earshot.Facts) time.Time { return f.Recording.StoredAt })},
			"length":   {types.DurationType, nonEmpty(func(f *earshot.Facts) time.Duration { return f.Length })},
		},
		"wake": {
			"listened": {types.BoolType, listened(earshot.KindWake)}, "found": {types.BoolType, found(earshot.KindWake)},
			"start": {types.DurationType, ofFinding(earshot.KindWake, startOf)}, "end": {types.DurationType, ofFinding(earshot.KindWake, endOf)},
			"word":  {types.StringType, ofFinding(earshot.KindWake, func(x earshot.Finding) any { return x.Word })},
			"score": {types.DoubleType, ofFinding(earshot.KindWake, func(x earshot.Finding) any { return x.Score })},
		},
		"child": {
			"listened":    {types.BoolType, listened(earshot.KindChild)},
			"probability": {types.DoubleType, always(func(f *earshot.Facts) float64 { return f.Heard[earshot.KindChild].Score })},
		},
		"speech": {
			"listened": {types.BoolType, listened(earshot.KindSpeech)}, "found": {types.BoolType, found(earshot.KindSpeech)},
			"start": {types.DurationType, ofFinding(earshot.KindSpeech, startOf)}, "end": {types.DurationType, ofFinding(earshot.KindSpeech, endOf)},
		},
		"subject": {
			"known":         {types.BoolType, always(func(f *earshot.Facts) bool { return f.Subject != nil })},
			"declaredMinor": {types.BoolType, ofSubject(func(s *earshot.Subject) (any, bool) { return deref(s.DeclaredMinor) })},
			"declaredAge":   {types.IntType, ofSubject(func(s *earshot.Subject) (any, bool) { return deref(s.DeclaredAge) })},
			"lastActive":    {types.TimestampType, ofSubject(func(s *earshot.Subject) (any, bool) { return s.LastActive, !s.LastActive.IsZero() })},
			"autoDelete":    {types.DurationType, ofSubject(func(s *earshot.Subject) (any, bool) { return s.AutoDelete, s.AutoDelete > 0 })},
			"dontSave":      {types.BoolType, ofSubject(func(s *earshot.Subject) (any, bool) { return s.DontSave, true })},
			"noHumanReview": {types.BoolType, ofSubject(func(s *earshot.Subject) (any, bool) { return s.NoHumanReview, true })},
			"consents":      {types.NewListType(types.StringType), always(consents)},
		},
	}
}

func deref[T any](p *T) (any, bool) {
	if p == nil {
		return nil, false
	}
	return *p, true
}

func labels(f *earshot.Facts) map[string]string {
	if f.Recording.Labels == nil {
		return map[string]string{}
	}
	return f.Recording.Labels
}

// consents lists the purposes that the subject's consents in force are for.
func consents(f *earshot.Facts) []string {
	out := []string{}
	if f.Subject == nil {
		return out
	}
	for _, c := range f.Subject.Consents {
		if c.WithdrawnAt.IsZero() && !slices.Contains(out, c.Purpose) {
			out = append(out, c.Purpose)
		}
	}
	return out
}

// provider tells CEL the types of the vocabulary, and reads fields from facts.
type provider struct {
	types.Provider
	vocabulary map[string]map[string]field
}

const typePrefix = "earshot."

func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if v, ok := strings.CutPrefix(name, typePrefix); ok && p.vocabulary[v] != nil {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if v, ok := strings.CutPrefix(name, typePrefix); ok && p.vocabulary[v] != nil {
		return keysOf(p.vocabulary[v]), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// errAbsent is what reading an absent field gives.
var errAbsent = errors.New("is not known of this recording")

func (p *provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	v, ok := strings.CutPrefix(name, typePrefix)
	f, known := p.vocabulary[v][fieldName]
	if !ok || !known {
		return p.Provider.FindStructFieldType(name, fieldName)
	}
	return &types.FieldType{
		Type:  f.typ,
		IsSet: func(target any) bool { _, ok := f.get(target.(*earshot.Facts)); return ok },
		GetFrom: func(target any) (any, error) {
			value, ok := f.get(target.(*earshot.Facts))
			if !ok {
				return nil, fmt.Errorf("%s.%s %w", v, fieldName, errAbsent)
			}
			return value, nil
		},
	}, true
}

// environment compiles conditions.
type environment struct{ env *cel.Env }

func newEnv() (*environment, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	vocabulary := vocabulary()
	opts := []cel.EnvOption{
		cel.CustomTypeAdapter(registry), cel.CustomTypeProvider(&provider{registry, vocabulary}),
		cel.ParserExpressionSizeLimit(4000), cel.ParserRecursionLimit(64),
	}
	for v := range vocabulary {
		opts = append(opts, cel.Variable(v, cel.ObjectType(typePrefix+v)))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	return &environment{env}, nil
}

// condition is a compiled when.
type condition struct {
	text string
	prog cel.Program
}

func (e *environment) compile(text string) (*condition, error) {
	ast, issues := e.env.Compile(text)
	if issues.Err() != nil {
		return nil, &celError{issues}
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("when must be true or false, and this is of type %s", ast.OutputType())
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize | cel.OptPartialEval)}
	if unbounded(text) {
		opts = append(opts, cel.CostLimit(costLimit))
	}
	prog, err := e.env.Program(ast, opts...)
	if err != nil {
		return nil, fmt.Errorf("when: %w", err)
	}
	return &condition{text, prog}, nil
}

// unbounded reports whether a condition may cost more than its length: only macros and regular
// expressions loop. Tracking the cost of the others would only slow them down.
func unbounded(text string) bool {
	for _, loop := range []string{".all(", ".exists", ".map(", ".filter(", ".matches(", "matches("} {
		if strings.Contains(text, loop) {
			return true
		}
	}
	return false
}

type celError struct{ issues *cel.Issues }

func (e *celError) Error() string { return e.issues.Err().Error() }

// celErrors gives CEL's errors the place that they have in the document, which for a condition on
// the line of its key is exact.
func celErrors(file string, at Pos, err error) Errors {
	var c *celError
	if !errors.As(err, &c) {
		return Errors{{file, at.Line, at.Col, err.Error()}}
	}
	var out Errors
	for _, i := range c.issues.Errors() {
		line, col := at.Line+i.Location.Line()-1, i.Location.Column()+1
		if i.Location.Line() == 1 {
			col = at.Col + i.Location.Column()
		}
		msg, _, _ := strings.Cut(i.Message, "\n")
		out = append(out, Error{file, line, max(1, col), "when: " + msg})
	}
	return out
}

// truth is the outcome of a condition.
type truth struct {
	is      bool
	missing []string // kinds of facts that it hangs on: wake, child, speech, head
	err     string   // why it could not be told
}

// activation gives conditions their variables: each of them is the facts themselves.
type activation struct {
	facts   *earshot.Facts
	partial cel.PartialActivation // the same, with what is not known yet
}

func newActivation(f *earshot.Facts) (*activation, error) {
	a := &activation{facts: f}
	var err error
	a.partial, err = cel.PartialVars(variables{f}, unknowns(f)...)
	return a, err
}

type variables struct{ facts *earshot.Facts }

func (v variables) ResolveName(name string) (any, bool) {
	switch name {
	case "recording", "wake", "child", "speech", "subject":
		return v.facts, true
	}
	return nil, false
}

func (variables) Parent() cel.Activation { return nil }

// unknowns names what is not known of the recording yet.
func unknowns(f *earshot.Facts) []*cel.AttributePatternType {
	var out []*cel.AttributePatternType
	for _, kind := range []earshot.Kind{earshot.KindWake, earshot.KindChild, earshot.KindSpeech} {
		if _, ok := f.Heard[kind]; !ok {
			out = append(out, cel.AttributePattern(string(kind)))
		}
	}
	if f.HeadKnown {
		return out
	}
	r := f.Recording
	for name, absent := range map[string]bool{
		"labels": true, "captured": r.CapturedAt.IsZero(), "subject": r.Subject == "", "device": r.Device == "",
		"locale": r.Locale == "", "source": r.Source == "",
	} {
		if absent {
			out = append(out, cel.AttributePattern("recording").QualString(name))
		}
	}
	if r.Subject == "" {
		out = append(out, cel.AttributePattern("subject"))
	}
	return out
}

// eval evaluates a condition. It never panics: what CEL cannot do is an error, and an error is no
// reason to delete.
func (c *condition) eval(a *activation) (t truth) {
	defer func() {
		if p := recover(); p != nil {
			t = truth{err: "the condition could not be evaluated"}
		}
	}()
	out, _, err := c.prog.Eval(a.partial)
	if err != nil {
		return truth{err: shortError(err)}
	}
	return c.truth(out)
}

func (c *condition) truth(out ref.Val) truth {
	switch v := out.(type) {
	case types.Bool:
		return truth{is: bool(v)}
	case *types.Unknown:
		t := truth{}
		for _, id := range v.IDs() {
			trails, _ := v.GetAttributeTrails(id)
			for _, trail := range trails {
				kind := trail.Variable()
				if kind == "recording" || kind == "subject" {
					kind = "head"
				}
				if !slices.Contains(t.missing, kind) {
					t.missing = append(t.missing, kind)
				}
			}
		}
		slices.Sort(t.missing)
		if len(t.missing) == 0 {
			t.err = "a fact is missing"
		}
		return t
	}
	return truth{err: "the condition is neither true nor false"}
}

func shortError(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimPrefix(text, "no such attribute(s): ")
}
