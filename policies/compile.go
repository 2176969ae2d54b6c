package policies

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot"

	"github.com/robfig/cron/v3"
)

// The names that decisions give to what is law in the code, and to the end of the rules.
const (
	RuleHold      = "hold"
	RuleLock      = "object-lock"
	RuleErasure   = "erasure-request"
	RuleFault     = "fault"
	RuleOtherwise = "otherwise"
)

// language is part of every digest: a change of what documents mean changes it.
const language = "earshot/v1 language 1"

// Policy is a compiled document. It is immutable and safe for concurrent use.
type Policy struct {
	doc       *Document
	rules     []rule
	limits    Limits
	otherwise earshot.Disposition
	digest    earshot.Digest
}

// rule is one compiled rule.
type rule struct {
	name, because string
	when          *condition // nil: always
	period        *period    // nil: at once
	then          earshot.Disposition
	spans         []spanExpr
	pad           time.Duration
	fill          earshot.Fill
	companions    map[string]earshot.CompanionRule
}

// period is a rule's keep.
type period struct {
	fixed   time.Duration
	fact    string // subject.autoDelete, where fixed is 0
	from    string
	purpose string
}

var (
	nameForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	spanNames = []string{"before-wake-word", "wake-word", "after-wake-word", "after-command", "child-speech", "everything"}
	anchors   = []string{"captured", "stored", "subject.lastActive", "consent.withdrawn"}
	reserved  = []string{RuleHold, RuleLock, RuleErasure, RuleFault, RuleOtherwise}
)

// Compile checks what a document says and makes a policy of it. All errors come at once, as
// [Errors].
func Compile(doc *Document) (*Policy, error) {
	c := &compiler{doc: doc}
	p := c.compile()
	if len(c.errs) > 0 {
		r := reader{errs: c.errs}
		return nil, r.sorted()
	}
	return p, nil
}

type compiler struct {
	doc  *Document
	errs Errors
}

func (c *compiler) fail(path, format string, args ...any) {
	p, ok := c.doc.pos[path]
	for !ok && path != "" {
		if p, ok = c.doc.pos[path+"#"]; ok {
			break
		}
		i := strings.LastIndexAny(path, ".[")
		path = path[:max(0, i)]
		p, ok = c.doc.pos[path]
	}
	if !ok {
		p = Pos{1, 1}
	}
	c.errs = append(c.errs, Error{c.doc.file, p.Line, p.Col, fmt.Sprintf(format, args...)})
}

func (c *compiler) oneOf(path, value string, known ...string) bool {
	if slices.Contains(known, value) {
		return true
	}
	if value == "" {
		key := path[strings.LastIndex(path, ".")+1:]
		c.fail(path, "%s is missing: want %s", key, strings.Join(known, ", "))
	} else {
		c.fail(path, "%q is not known here%s", value, suggest(value, known))
	}
	return false
}

func (c *compiler) compile() *Policy {
	d := c.doc
	p := &Policy{doc: d}
	c.oneOf("apiVersion", d.APIVersion, "earshot/v1")
	c.oneOf("kind", d.Kind, "Policy")
	if !nameForm.MatchString(d.Metadata.Name) {
		c.fail("metadata.name", "name %q: want small letters, digits and hyphens", d.Metadata.Name)
	}
	if d.Spec.Scope.Bucket == "" {
		c.fail("spec.scope.bucket", "scope.bucket is missing: a policy speaks of one bucket")
	}
	if c.oneOf("spec.otherwise", d.Spec.Otherwise, "keep", "review") && d.Spec.Otherwise == "review" {
		p.otherwise = earshot.Review
	}
	if err := checkSchedule(d.Spec.Schedule); err != nil {
		c.fail("spec.schedule", "%s", err)
	}
	p.limits = c.limits()
	env, err := newEnv()
	if err != nil {
		c.fail("", "%s", err)
		return p
	}
	seen := map[string]bool{}
	for i, r := range d.Spec.Rules {
		path := fmt.Sprintf("spec.rules[%d]", i)
		if seen[r.Name] {
			c.fail(path+".name", "another rule is named %q already", r.Name)
		}
		seen[r.Name] = true
		p.rules = append(p.rules, c.rule(env, path, r))
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // plain strings always marshal
	}
	p.digest = earshot.DigestOf(append([]byte(language+"\n"), text...))
	return p
}

// checkSchedule validates a cron spec. The empty one means: by hand only.
func checkSchedule(spec string) error {
	if spec == "" {
		return nil
	}
	fields := strings.Fields(spec)
	if strings.HasPrefix(spec, "CRON_TZ=") || strings.HasPrefix(spec, "TZ=") {
		fields = fields[1:]
	} else {
		spec = "CRON_TZ=UTC " + spec
	}
	if len(fields) != 5 {
		return fmt.Errorf("schedule: want five fields, such as 15 3 * * *, after an optional CRON_TZ=ZONE")
	}
	s, err := cron.ParseStandard(spec)
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	if s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("schedule: %q never comes round", spec)
	}
	return nil
}

func (c *compiler) limits() Limits {
	l := c.doc.Spec.Limits
	out := Limits{MaxCount: l.MaxCount, Approvals: l.Approvals}
	if l.MaxShare != "" {
		percent, ok := strings.CutSuffix(l.MaxShare, "%")
		v, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
		if !ok || err != nil || !(v > 0 && v <= 100) {
			c.fail("spec.limits.maxShare", "maxShare %q: want a share such as 5%%", l.MaxShare)
		}
		out.MaxShare = v / 100
	}
	if l.Approvals > 20 {
		c.fail("spec.limits.approvals", "approvals: %d people are more than will ever approve", l.Approvals)
	}
	return out
}

func (c *compiler) rule(env *environment, path string, r Rule) rule {
	out := rule{name: r.Name, because: r.Because, fill: earshot.FillSilence}
	if !nameForm.MatchString(r.Name) || slices.Contains(reserved, r.Name) {
		c.fail(path+".name", "rule name %q: want small letters, digits and hyphens, and none of %s", r.Name, strings.Join(reserved, ", "))
	}
	if c.oneOf(path+".then", r.Then, "keep", "review", "redact", "delete") {
		_ = out.then.UnmarshalText([]byte(r.Then))
	}
	if r.When != "" {
		cond, err := env.compile(r.When)
		if err != nil {
			at := c.doc.pos[path+".when"]
			c.errs = append(c.errs, celErrors(c.doc.file, at, err)...)
		}
		out.when = cond
	} else if r.Keep == nil && r.Then == "delete" {
		c.fail(path, "rule %q would delete every recording at once: give it when or keep", r.Name)
	}
	if r.Keep != nil {
		out.period = c.period(path+".keep", r)
	}
	c.redaction(path, r, &out)
	for class, text := range r.Companions {
		if c.oneOf(path+".companions."+class, text, "delete", "trim", "keep", "review") {
			if out.companions == nil {
				out.companions = map[string]earshot.CompanionRule{}
			}
			out.companions[class] = earshot.CompanionRule(text)
		}
	}
	return out
}

func (c *compiler) period(path string, r Rule) *period {
	k := r.Keep
	out := &period{from: k.From, purpose: k.Purpose}
	c.oneOf(path+".from", k.From, anchors...)
	if k.From == "consent.withdrawn" && k.Purpose == "" {
		c.fail(path, "from: consent.withdrawn needs purpose: which consent")
	}
	if k.For == "subject.autoDelete" {
		out.fact = k.For
	} else if d, err := ParsePeriod(k.For); err != nil {
		c.fail(path+".for", "for: %s, or the fact subject.autoDelete", err)
	} else {
		out.fixed = d
	}
	if r.Then == "keep" {
		c.fail(path, "keep: with then: keep says nothing; a period ends in delete, redact or review")
	}
	return out
}

func (c *compiler) redaction(path string, r Rule, out *rule) {
	if r.Then != "redact" {
		if len(r.Spans) > 0 || r.Fill != "" || r.Pad != "" {
			c.fail(path, "spans, pad and fill go with then: redact")
		}
		return
	}
	if len(r.Spans) == 0 {
		c.fail(path, "redact needs spans: %s, or START-END", strings.Join(spanNames, ", "))
	}
	for i, text := range r.Spans {
		at := fmt.Sprintf("%s.spans[%d]", path, i)
		if slices.Contains(spanNames, text) {
			out.spans = append(out.spans, spanExpr{name: text})
			continue
		}
		span, err := earshot.ParseSpan(text)
		if err != nil {
			c.fail(at, "span %q is not known%s", text, suggest(text, spanNames))
			continue
		}
		out.spans = append(out.spans, spanExpr{fixed: span})
	}
	if r.Fill != "" && c.oneOf(path+".fill", r.Fill, "silence", "tone", "cut") {
		out.fill = earshot.Fill(r.Fill)
	}
	if r.Pad != "" {
		d, err := time.ParseDuration(r.Pad)
		if err != nil || d < 0 || d > time.Hour {
			c.fail(path+".pad", "pad %q: want a duration such as 200ms", r.Pad)
		}
		out.pad = d
	}
}

// Name of the policy.
func (p *Policy) Name() string { return p.doc.Metadata.Name }

// Owner of the policy: who answers for it.
func (p *Policy) Owner() string { return p.doc.Metadata.Owner }

// Scope is the part of a bucket that the policy speaks of.
func (p *Policy) Scope() Scope { return p.doc.Spec.Scope }

// Schedule is the cron spec, empty for a policy that is run by hand.
func (p *Policy) Schedule() string { return p.doc.Spec.Schedule }

// Limits are the policy's guard rails.
func (p *Policy) Limits() Limits { return p.limits }

// Digest is over everything that the document says, and the language's version.
func (p *Policy) Digest() earshot.Digest { return p.digest }

// InScope reports whether the policy speaks of the recording.
func (p *Policy) InScope(r earshot.Recording) bool {
	s := p.doc.Spec.Scope
	return r.ID.Bucket == s.Bucket && strings.HasPrefix(r.ID.Key, s.Prefix)
}
