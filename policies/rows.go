package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"earshot"
)

// RowsRule is one rule on the rows of event logs, as written. It deletes rows, or makes less of them.
type RowsRule struct {
	Name    string   `yaml:"name" json:"name" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]*$,maxLength=63"`
	Because string   `yaml:"because" json:"because,omitempty" jsonschema_description:"The purpose or the legal source."`
	Of      []string `yaml:"of" json:"of,omitempty" jsonschema_description:"Classes of event logs, as the layout names them; absent: all in scope."`
	After   string   `yaml:"after" json:"after,omitempty" jsonschema:"example=30d" jsonschema_description:"Age of a row, by its time column, from which the rule acts; absent: at once."`
	Then    string   `yaml:"then" json:"then,omitempty" jsonschema:"enum=delete" jsonschema_description:"delete takes the row out."`
	Coarsen string   `yaml:"coarsen" json:"coarsen,omitempty" jsonschema:"enum=minute,enum=hour,enum=day" jsonschema_description:"Cuts the time column down."`
	Drop    []string `yaml:"drop" json:"drop,omitempty" jsonschema_description:"Columns whose values go."`
	Hash    []string `yaml:"hash" json:"hash,omitempty" jsonschema_description:"Columns whose values become keyed pseudonyms."`
}

// rowsRule is one of them, compiled.
type rowsRule struct {
	of   []string
	rule earshot.RowRule
}

// RowRules gives what the policy says of the rows of event logs of a class.
func (p *Policy) RowRules(log string) []earshot.RowRule {
	var out []earshot.RowRule
	for _, r := range p.rows {
		if len(r.of) == 0 || slices.Contains(r.of, log) {
			out = append(out, r.rule)
		}
	}
	return out
}

// rowRules compiles the rules on rows, after the others.
func (c *compiler) rowRules(p *Policy) {
	written := p.doc.Spec.Rows
	if len(written) > maxRules {
		c.add("spec.rows", "%d rules on rows are too many: at most %d", len(written), maxRules)
		return
	}
	taken := map[string]bool{}
	for _, r := range p.doc.Spec.Rules {
		taken[r.Name] = true
	}
	for i, w := range written {
		path := elem("spec.rows", i)
		switch {
		case !isName(w.Name):
			c.add(path+".name", "the rule's name is %q: want lower-case letters, digits and hyphens, at most 63", w.Name)
		case index(reserved, w.Name) >= 0:
			c.add(path+".name", "the name %q is reserved for decisions that no rule makes", w.Name)
		case taken[w.Name]:
			c.add(path+".name", "two rules are named %q", w.Name)
		}
		taken[w.Name] = true
		p.rows = append(p.rows, rowsRule{of: w.Of, rule: c.rowRule(path, p.Name(), w)})
	}
}

func (c *compiler) rowRule(path, policy string, w RowsRule) earshot.RowRule {
	r := earshot.RowRule{
		Policy: policy, Name: w.Name, Because: w.Because, Delete: w.Then == "delete", Coarsen: earshot.Coarseness(w.Coarsen), Drop: w.Drop, Hash: w.Hash,
	}
	if w.After != "" {
		var err error
		if r.After, err = ParseLength(w.After); err != nil {
			c.add(path+".after", "%s", err)
		}
	}
	steps := []string{string(earshot.ToMinute), string(earshot.ToHour), string(earshot.ToDay)}
	if w.Coarsen != "" && r.Coarsen.Unit() == 0 {
		c.add(path+".coarsen", "unknown coarseness %q%s", w.Coarsen, meant(w.Coarsen, steps))
	}
	less := w.Coarsen != "" || len(w.Drop)+len(w.Hash) > 0
	switch {
	case w.Then != "" && w.Then != "delete":
		c.add(path+".then", "unknown disposition %q%s", w.Then, meant(w.Then, []string{"delete"}))
	case r.Delete && less:
		c.add(path, "rule %q deletes rows and changes them: one of the two", w.Name)
	case r.Delete && w.After == "":
		c.add(path, "rule %q deletes every row at once: give it `after`", w.Name)
	case !r.Delete && !less:
		c.add(path, "rule %q does nothing: want `then: delete`, `coarsen`, `drop` or `hash`", w.Name)
	}
	for i, name := range w.Hash {
		if slices.Contains(w.Drop, name) {
			c.add(elem(path+".hash", i), "column %q is dropped and hashed: one of the two", name)
		}
	}
	return r
}

// RowCase is a row of an age, and what is expected to become of it.
type RowCase struct {
	Name   string
	Log    string
	Age    time.Duration
	Expect RowFate
}

// RowFate is what becomes of a row.
type RowFate struct {
	Delete     bool
	Coarsen    earshot.Coarseness
	Drop, Hash []string // sorted
	Rules      []string // that had a say
}

// Fate tells what the rules make of a row of an age.
func (p *Policy) Fate(log string, age time.Duration) RowFate {
	var f RowFate
	for _, r := range p.RowRules(log) {
		if age < r.After {
			continue
		}
		f.Rules = append(f.Rules, r.Name)
		if r.Delete {
			return RowFate{Delete: true, Rules: f.Rules}
		}
		if r.Coarsen.Unit() > f.Coarsen.Unit() {
			f.Coarsen = r.Coarsen
		}
		f.Drop, f.Hash = append(f.Drop, r.Drop...), append(f.Hash, r.Hash...)
	}
	for _, list := range []*[]string{&f.Drop, &f.Hash} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return f
}

// rowCaseText is a case on rows as written.
type rowCaseText struct {
	Name   string      `yaml:"name"`
	Log    string      `yaml:"log"` // class of event log
	Age    string      `yaml:"age"`
	Expect rowFateText `yaml:"expect"`
}

type rowFateText struct {
	Rows    string   `yaml:"rows"` // delete or keep
	Coarsen string   `yaml:"coarsen"`
	Drop    []string `yaml:"drop"`
	Hash    []string `yaml:"hash"`
}

func (r *caseReader) row(path string, w rowCaseText) RowCase {
	c := RowCase{Name: w.Name, Log: w.Log, Age: r.length(path+".age", w.Age)}
	c.Expect = RowFate{Delete: w.Expect.Rows == "delete", Coarsen: earshot.Coarseness(w.Expect.Coarsen), Drop: w.Expect.Drop, Hash: w.Expect.Hash}
	slices.Sort(c.Expect.Drop)
	slices.Sort(c.Expect.Hash)
	if w.Name == "" {
		r.wrong(path, "the case has no name")
	}
	if w.Expect.Rows != "delete" && w.Expect.Rows != "keep" {
		r.wrong(path+".expect", "case %q expects of its row %q: want delete or keep", w.Name, w.Expect.Rows)
	}
	return c
}

// checkRow runs one case on rows.
func checkRow(p *Policy, c RowCase) Result {
	got := p.Fate(c.Log, c.Age)
	r := Result{Case: c.Name, Rules: got.Rules}
	if len(got.Rules) > 0 {
		r.Rule = got.Rules[len(got.Rules)-1]
	}
	for what, pair := range map[string][2]string{
		"deleting": {fmt.Sprint(got.Delete), fmt.Sprint(c.Expect.Delete)}, "coarsening": {string(got.Coarsen), string(c.Expect.Coarsen)},
		"dropping": {strings.Join(got.Drop, ","), strings.Join(c.Expect.Drop, ",")}, "hashing": {strings.Join(got.Hash, ","), strings.Join(c.Expect.Hash, ",")},
	} {
		if pair[0] != pair[1] {
			r.Faults = append(r.Faults, fmt.Sprintf("%s is %s, want %s", what, or(pair[0], "none"), or(pair[1], "none")))
		}
	}
	slices.Sort(r.Faults)
	return r
}

// cloneRows copies the rules on rows in canonical form.
func cloneRows(rows []RowsRule) []RowsRule {
	out := slices.Clone(rows)
	for i := range out {
		r := &out[i]
		r.Because = strings.TrimSpace(r.Because)
		r.Of, r.Drop, r.Hash = slices.Clone(r.Of), slices.Clone(r.Drop), slices.Clone(r.Hash)
	}
	return out
}

// lintRows looks for rules on rows that cannot act or say no reason.
func (p *Policy) lintRows(warn func(path, rule, text string)) {
	rows := p.doc.Spec.Rows
	ends := map[string]bool{} // classes whose rows end some day
	for i, r := range rows {
		path := elem("spec.rows", i)
		for j := range i {
			before := p.rows[j]
			covers := len(before.of) == 0 || len(r.Of) > 0 && !slices.ContainsFunc(r.Of, func(of string) bool { return !slices.Contains(before.of, of) })
			if before.rule.Delete && covers && before.rule.After <= p.rows[i].rule.After {
				warn(path, r.Name, "it is never reached: rule "+before.rule.Name+" deletes the rows before")
				break
			}
		}
		if r.Because == "" {
			warn(path, r.Name, "it gives no reason: because: is printed in the published policy")
		}
		if r.Then == "delete" {
			for _, of := range orAll(r.Of) {
				ends[of] = true
			}
		}
	}
	open := map[string]bool{}
	for _, r := range rows {
		for _, of := range orAll(r.Of) {
			open[of] = open[of] || !ends[of] && !ends[""]
		}
	}
	for _, of := range slices.Sorted(maps.Keys(open)) {
		if open[of] {
			warn("spec.rows", "", "rows of the event log "+or(of, "(any)")+" are kept for ever: GDPR art. 5(1)(e) asks for an end")
		}
	}
}

func orAll(of []string) []string {
	if len(of) == 0 {
		return []string{""}
	}
	return of
}

// plain says what a rule on rows does, in words.
func (r RowsRule) plain() string {
	var parts []string
	if r.Then == "delete" {
		parts = append(parts, "deleted")
	}
	if r.Coarsen != "" {
		parts = append(parts, "the time is cut down to the "+r.Coarsen)
	}
	if len(r.Drop) > 0 {
		parts = append(parts, "erased: "+strings.Join(r.Drop, ", "))
	}
	if len(r.Hash) > 0 {
		parts = append(parts, "replaced by a pseudonym: "+strings.Join(r.Hash, ", "))
	}
	when := " when they are stored"
	if r.After != "" {
		when = " " + plainLength(r.After) + " after the event"
	}
	return capital(strings.Join(parts, "; ") + when)
}
