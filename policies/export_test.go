package policies

import "earshot"

// Ask evaluates a condition both ways: over the facts, if it can be (fast), and by cel-go.
func Ask(c *Condition, f earshot.Facts) (fast bool, ours, cels string, ourGaps, celGaps uint64) {
	var s sight
	s.look(&f)
	names := [...]string{no: "no", yes: "yes", maybe: "maybe"}
	a, g := c.c.askCEL(&s)
	cels, celGaps = names[a], uint64(g)
	if c.c.fast == nil {
		return false, "", cels, 0, celGaps
	}
	a, g = c.c.fast.ask(&s)
	return true, names[a], cels, uint64(g), celGaps
}

// Condition is a compiled condition.
type Condition struct{ c *condition }

// CompileCondition compiles one condition; msg is not empty where it is wrong.
func CompileCondition(text string) (c *Condition, msg string) {
	inner, faults := compileCondition(text)
	if len(faults) > 0 {
		return nil, faults[0].msg
	}
	return &Condition{inner}, ""
}

// CheckSchedule opens the door to the check of schedules.
func CheckSchedule(text string) error {
	_, err := parseSchedule(text)
	return err
}

// Failed is the mark of an evaluation that went wrong.
const Failed = uint64(failed)

// FactPaths lists all facts of the language with the number of their sort.
func FactPaths() map[string]int {
	out := map[string]int{}
	for _, f := range facts {
		if !f.hidden {
			out[f.path()] = int(f.sort)
		}
	}
	return out
}
