package policies

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"earshot"

	"github.com/robfig/cron/v3"
)

// maxRules bounds a policy, so that a set of its rules is one machine word.
const maxRules = 64

// Policy is a compiled policy. It is immutable and safe for concurrent use. What it returns shares
// memory with it: treat decisions as read-only.
type Policy struct {
	doc       Document
	digest    earshot.Digest
	limits    Limits
	rules     []rule
	rows      []rowsRule
	otherwise earshot.Disposition
	cron      cron.Schedule              // nil: by hand
	law       [lawCount][]earshot.Reason // ready-made
	silence   []earshot.Reason           // for otherwise
	spare     sync.Pool                  // of *workspace
}

// rule is one rule, compiled.
type rule struct {
	name, because string
	when          *condition // nil: always
	keep          *period    // nil: at once
	then          earshot.Disposition
	spans         []span
	pad           time.Duration
	fill          earshot.Fill
	companions    map[string]earshot.CompanionRule
	acts, waits   []earshot.Reason // ready-made, one each
}

// Names that a rule cannot have: decisions use them for what no rule says.
var reserved = []string{RuleHold, RuleLock, RuleErasure, RuleRestrict, RuleFault, RuleOtherwise, "no-policy", "companion"}

// Compile checks what a document means and makes it ready to decide. The error is [Errors]: all
// that is wrong.
func Compile(d *Document) (*Policy, error) {
	if d == nil {
		return nil, Errors{{Msg: "there is no document"}}
	}
	c := &compiler{doc: d, faults: &faults{file: d.file}}
	p := &Policy{doc: d.clone()}
	p.doc.places = maps.Clone(d.places) // for those who point at rules
	c.header(p)
	c.limits(p)
	c.rules(p)
	c.rowRules(p)
	if err := c.err(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(struct {
		Language string   `json:"language"`
		Document Document `json:"document"`
	}{language, p.doc})
	if err != nil {
		return nil, fmt.Errorf("digesting policy %q: %w", p.Name(), err)
	}
	p.digest = earshot.DigestOf(text)
	p.prepareReasons()
	return p, nil
}

// clone makes a copy that the caller cannot change, in canonical form: what does not change the
// meaning (space around values, the default fill) does not change the digest.
func (d *Document) clone() Document {
	out := *d
	out.Spec.Rules, out.Spec.Rows = slices.Clone(d.Spec.Rules), cloneRows(d.Spec.Rows)
	for i := range out.Spec.Rules {
		r := &out.Spec.Rules[i]
		r.When, r.Because = strings.TrimSpace(r.When), strings.TrimSpace(r.Because)
		r.Spans, r.Companions = slices.Clone(r.Spans), maps.Clone(r.Companions)
		if r.Then == "redact" && r.Fill == "" {
			r.Fill = string(earshot.FillSilence)
		}
		if r.Keep != nil {
			k := *r.Keep
			r.Keep = &k
		}
	}
	out.Spec.Schedule = strings.Join(strings.Fields(d.Spec.Schedule), " ")
	out.places = nil
	return out
}

// Name is the policy's name.
func (p *Policy) Name() string { return p.doc.Metadata.Name }

// Owner is who answers for the policy.
func (p *Policy) Owner() string { return p.doc.Metadata.Owner }

// Digest names the policy's meaning: a digest over the document in canonical form and the version
// of the language. Comments, layout and the order of keys do not count.
func (p *Policy) Digest() earshot.Digest { return p.digest }

// Scope is the part of a bucket that the policy speaks of.
func (p *Policy) Scope() Scope { return p.doc.Spec.Scope }

// Schedule is when to run, as written; empty where the policy does not say.
func (p *Policy) Schedule() string { return p.doc.Spec.Schedule }

// Limits is what a run may do without approval.
func (p *Policy) Limits() Limits { return p.limits }

// Document is the document that was compiled, in canonical form.
func (p *Policy) Document() Document { return p.doc.clone() }

// Pools reports whether a rule asks what a session's recordings tell together.
func (p *Policy) Pools() bool {
	for i := range p.rules {
		if c := p.rules[i].when; c != nil && c.reads&only(childPooled) != 0 {
			return true
		}
	}
	return false
}

// InScope reports whether the policy speaks of the recording.
func (p *Policy) InScope(r earshot.Recording) bool {
	s := &p.doc.Spec.Scope
	return s.Bucket == r.ID.Bucket && s.Class == r.Class && strings.HasPrefix(r.ID.Key, s.Prefix)
}

// compiler checks one document.
type compiler struct {
	*faults
	doc *Document
}

// add notes a fault at a path of the document.
func (c *compiler) add(path, format string, args ...any) {
	if !c.doc.doubtful(path) {
		c.faults.add(c.doc.at(path), format, args...)
	}
}

// doubtful reports whether what is wrong at a path may only follow from something in the mapping round it
// that could not be understood.
func (d *Document) doubtful(path string) bool {
	for {
		if _, written := d.places[path]; written || path == "" {
			return d.doubt[path]
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

func elem(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (c *compiler) header(p *Policy) {
	d := c.doc
	if d.APIVersion != APIVersion {
		c.add("apiVersion", "apiVersion is %q: want %q", d.APIVersion, APIVersion)
	}
	if d.Kind != Kind {
		c.add("kind", "kind is %q: want %q", d.Kind, Kind)
	}
	if !isName(d.Metadata.Name) {
		c.add("metadata.name", "metadata.name is %q: want lower-case letters, digits and hyphens, at most 63", d.Metadata.Name)
	}
	if d.Spec.Scope.Bucket == "" {
		c.add("spec.scope", "spec.scope.bucket is missing: say which bucket the policy speaks of")
	}
	if d.Spec.Schedule != "" {
		var err error
		if p.cron, err = parseSchedule(d.Spec.Schedule); err != nil {
			c.add("spec.schedule", "%s", err)
		}
	}
	switch d.Spec.Otherwise {
	case "keep":
		p.otherwise = earshot.Keep
	case "review":
		p.otherwise = earshot.Review
	case "":
		c.add("spec", "spec.otherwise is missing: want keep or review, for recordings that no rule speaks of")
	default:
		c.add("spec.otherwise", "spec.otherwise is %q: want keep or review; deleting needs a rule", d.Spec.Otherwise)
	}
}

func (c *compiler) limits(p *Policy) {
	l := c.doc.Spec.Limits
	if l.MaxShare != "" {
		percent, ok := strings.CutSuffix(l.MaxShare, "%")
		share, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
		if !ok || err != nil || !(share > 0 && share <= 100) {
			c.add("spec.limits.maxShare", "maxShare is %q: want a percentage above 0%% and up to 100%%, such as 5%%", l.MaxShare)
		}
		p.limits.MaxShare = share / 100
	}
	if l.MaxCount < 0 {
		c.add("spec.limits.maxCount", "maxCount is %d: want 0 (no limit) or more", l.MaxCount)
	}
	if l.Approvals < 0 || l.Approvals > 10 {
		c.add("spec.limits.approvals", "approvals is %d: want 0 to 10", l.Approvals)
	}
	p.limits.MaxCount, p.limits.Approvals = l.MaxCount, l.Approvals
}

func (c *compiler) rules(p *Policy) {
	written := p.doc.Spec.Rules
	if len(written) > maxRules {
		c.add("spec.rules", "%d rules are too many: at most %d", len(written), maxRules)
		return
	}
	first := map[string]int{}
	for i := range written {
		path := elem("spec.rules", i)
		name := written[i].Name
		switch before, twice := first[name]; {
		case !isName(name):
			c.add(path+".name", "the rule's name is %q: want lower-case letters, digits and hyphens, at most 63", name)
		case index(reserved, name) >= 0:
			c.add(path+".name", "the name %q is reserved for decisions that no rule makes", name)
		case twice:
			c.add(path+".name", "two rules are named %q, the first is rule %d", name, before+1)
		default:
			first[name] = i
		}
		p.rules = append(p.rules, c.rule(path, &written[i]))
	}
}

func (c *compiler) rule(path string, w *Rule) rule {
	r := rule{name: w.Name, because: w.Because, keep: c.period(path+".keep", w.Keep)}
	c.when(path+".when", w, &r)
	switch {
	case w.Then == "":
		c.add(path, "rule %q has no `then`: want delete, redact, keep or review", w.Name)
	case r.then.UnmarshalText([]byte(w.Then)) != nil:
		c.add(path+".then", "unknown disposition %q%s", w.Then, meant(w.Then, []string{"delete", "redact", "keep", "review"}))
	}
	if r.then == earshot.Delete && w.When == "" && w.Keep == nil {
		c.add(path, "rule %q deletes everything in scope: if that is meant, say `when: true`", w.Name)
	}
	if w.Then == "redact" && c.doc.Spec.Scope.Class != "" {
		c.add(path+".then", "companions of class %s have no sound to erase: want delete, keep or review", c.doc.Spec.Scope.Class)
	}
	if w.Then == "keep" && w.Keep != nil {
		c.add(path+".keep", "`keep` is for rules that act when the period is over: with `then: keep` it says nothing")
	}
	c.redaction(path, w, &r)
	for _, class := range slices.Sorted(maps.Keys(w.Companions)) {
		rule := earshot.CompanionRule(w.Companions[class])
		switch rule {
		case earshot.CompanionDelete, earshot.CompanionTrim, earshot.CompanionKeep, earshot.CompanionReview:
		default:
			c.add(path+".companions."+class, "companions of class %s: unknown rule %q%s", class, string(rule), meant(string(rule), []string{"delete", "trim", "keep", "review"}))
		}
		if r.companions == nil {
			r.companions = map[string]earshot.CompanionRule{}
		}
		r.companions[class] = rule
	}
	if len(w.Companions) > 0 && (w.Then == "keep" || w.Then == "review") {
		c.add(path+".companions", "`companions` goes with `then: delete` or `then: redact`")
	}
	return r
}

func (c *compiler) when(path string, w *Rule, r *rule) {
	if w.When == "" {
		return
	}
	if len(w.When) > maxCondition {
		c.add(path, "the condition has %d bytes: at most %d", len(w.When), maxCondition)
		return
	}
	cond, wrong := compileCondition(w.When)
	for _, f := range wrong {
		at := c.doc.at(path)
		if at.line > 0 {
			at.line, at.col = at.line+f.line-1, at.col+f.col
		}
		c.faults.add(at, "when: %s", f.msg)
	}
	r.when = cond
}

func (c *compiler) redaction(path string, w *Rule, r *rule) {
	if w.Then != "redact" {
		for key, set := range map[string]bool{"spans": len(w.Spans) > 0, "pad": w.Pad != "", "fill": w.Fill != ""} {
			if set {
				c.add(path+"."+key, "`%s` goes with `then: redact`", key)
			}
		}
		return
	}
	if len(w.Spans) == 0 {
		c.add(path, "rule %q redacts and has no `spans`: want %s, or such as 1s-2.5s", w.Name, oneOf(spanNames))
	}
	r.spans = c.spans(path+".spans", w.Spans)
	r.fill = earshot.FillSilence
	if w.Fill != "" {
		if r.fill = earshot.Fill(w.Fill); index(fills, w.Fill) < 0 {
			c.add(path+".fill", "unknown fill %q%s", w.Fill, meant(w.Fill, fills))
		}
	}
	if w.Pad != "" {
		var err error
		if r.pad, err = ParseLength(w.Pad); err == nil && r.pad > time.Hour {
			err = fmt.Errorf("pad %q is longer than an hour", w.Pad)
		}
		if err != nil {
			c.add(path+".pad", "%s", err)
		}
	}
}

// isName checks a name: ^[a-z0-9][a-z0-9-]{0,62}$.
func isName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
