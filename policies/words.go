package policies

import "strings"

// explainCEL turns a message of the CEL checker into one that helps: what was meant by a name that
// does not exist.
func explainCEL(msg string) string {
	name, ok := between(msg, "undefined field '", "'")
	if ok {
		return "no fact has a field " + quote(name) + meant(name, fieldNames(""))
	}
	if name, ok = between(msg, "undeclared reference to '", "'"); ok {
		return "unknown name " + quote(name) + meant(name, variables[:])
	}
	if msg == "invalid duration argument" {
		return `this is no duration: in a condition it has the units h, m, s, ms, such as duration("2160h") for 90 days`
	}
	msg, _, _ = strings.Cut(msg, "\n")
	return msg
}

func between(s, before, after string) (string, bool) {
	_, s, ok := strings.Cut(s, before)
	if !ok {
		return "", false
	}
	s, _, ok = strings.Cut(s, after)
	return s, ok
}

func quote(s string) string { return `"` + s + `"` }

// fieldNames lists the fields of a variable, of all for "".
func fieldNames(variable string) []string {
	var out []string
	for _, f := range facts {
		if !f.hidden && (variable == "" || f.variable == variable) && index(out, f.field) < 0 {
			out = append(out, f.field)
		}
	}
	return out
}
