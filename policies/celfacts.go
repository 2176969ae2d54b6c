package policies

import (
	"fmt"
	"reflect"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"earshot"
)

// This file shows the facts to cel-go: five variables of five object types whose fields are the
// table of facts, so that a misspelt name is found when a policy is compiled.

// typeOf names the CEL type of a variable.
func typeOf(variable string) string { return "earshot." + variable }

// celSort is the CEL type of a sort of value.
func celSort(s sort) *types.Type {
	switch s {
	case aString:
		return types.StringType
	case anInt:
		return types.IntType
	case aDouble:
		return types.DoubleType
	case aBool:
		return types.BoolType
	case aTime:
		return types.TimestampType
	case aDuration:
		return types.DurationType
	case aList:
		return types.NewListType(types.StringType)
	}
	return types.NewMapType(types.StringType, types.StringType)
}

// provider tells cel-go of our types.
type provider struct{ *types.Registry }

// FindStructType finds one of the five types.
func (p provider) FindStructType(name string) (*types.Type, bool) {
	for _, v := range variables {
		if typeOf(v) == name {
			return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
		}
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames lists the fields of one of the five types.
func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	var out []string
	for _, f := range facts {
		if typeOf(f.variable) == name && !f.hidden {
			out = append(out, f.field)
		}
	}
	return out, len(out) > 0
}

// FindStructFieldType finds a field and how to read it.
func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	for i, f := range facts {
		if typeOf(f.variable) != name || f.field != field || f.hidden {
			continue
		}
		x := fact(i)
		return &types.FieldType{
			Type: celSort(f.sort),
			IsSet: func(target any) bool {
				s, ok := target.(*sight)
				if !ok {
					return false
				}
				_, st := s.get(x)
				return st == present
			},
			GetFrom: func(target any) (any, error) {
				s, ok := target.(*sight)
				if !ok {
					return nil, fmt.Errorf("%s is read from a %T", facts[x].path(), target)
				}
				return s.celValue(x), nil
			},
		}, true
	}
	return p.Registry.FindStructFieldType(name, field)
}

// NewValue refuses: a policy makes no facts.
func (p provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	for _, v := range variables {
		if typeOf(v) == name {
			return types.NewErr("a policy makes no facts")
		}
	}
	return p.Registry.NewValue(name, fields)
}

// celValue is a fact as CEL sees it: a value, or unknown where it is missing.
func (s *sight) celValue(x fact) ref.Val {
	v, st := s.get(x)
	if st != present {
		trail := types.NewAttributeTrail(facts[x].variable)
		return types.NewUnknown(int64(x), types.QualifyAttribute(trail, facts[x].field))
	}
	switch facts[x].sort {
	case aString:
		return types.String(v.s)
	case anInt:
		return types.Int(v.i)
	case aDouble:
		return types.Double(v.f)
	case aBool:
		return types.Bool(v.i != 0)
	case aTime:
		return types.Timestamp{Time: time.Unix(v.i, int64(v.n)).UTC()}
	case aDuration:
		return types.Duration{Duration: time.Duration(v.i)}
	case aList:
		in := []string{}
		for _, c := range s.f.Subject.Consents {
			if c.WithdrawnAt.IsZero() {
				in = append(in, c.Purpose)
			}
		}
		return types.NewStringList(types.DefaultTypeAdapter, in)
	}
	labels := s.f.Recording.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return types.NewStringStringMap(types.DefaultTypeAdapter, labels)
}

// object is one of the five variables.
type object struct {
	s    *sight
	name string
}

// ConvertToNative refuses: facts stay inside.
func (o object) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s is not a value", o.name)
}

// ConvertToType knows the object's own type only.
func (o object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return cel.ObjectType(typeOf(o.name))
	}
	return types.NewErr("%s is not a value", o.name)
}

// Equal compares identity.
func (o object) Equal(other ref.Val) ref.Val {
	b, ok := other.(object)
	return types.Bool(ok && o == b)
}

// Type is the object's type.
func (o object) Type() ref.Type { return cel.ObjectType(typeOf(o.name)) }

// Value is what the fields read from.
func (o object) Value() any { return o.s }

// activation binds the five variables, and says of which fields nothing is known yet.
type activation struct {
	s        *sight
	patterns []*cel.AttributePatternType
}

// ResolveName gives a variable.
func (a *activation) ResolveName(name string) (any, bool) {
	if index(variables[:], name) < 0 {
		return nil, false
	}
	return object{a.s, name}, true
}

// Parent is none.
func (a *activation) Parent() cel.Activation { return nil }

// UnknownAttributePatterns are the facts that are not known yet.
func (a *activation) UnknownAttributePatterns() []*cel.AttributePatternType { return a.patterns }

// AsPartialActivation says that there are such.
func (a *activation) AsPartialActivation() (cel.PartialActivation, bool) { return a, true }

// activate prepares facts for cel-go. The facts are copied, so that the caller's may stay on its
// stack.
func (s *sight) activate() *activation {
	f := new(earshot.Facts)
	*f = *s.f
	a := &activation{s: new(sight)}
	a.s.look(f)
	for i, spec := range facts {
		if _, st := s.get(fact(i)); st == pending {
			a.patterns = append(a.patterns, cel.AttributePattern(spec.variable).QualString(spec.field))
		}
	}
	return a
}
