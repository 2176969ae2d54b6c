package policies

// What a document must say it is.
const (
	APIVersion = "earshot/v1"
	Kind       = "Policy"
)

// language names the meaning that this package gives to a document. It is part of every policy's
// digest: a change of meaning makes another policy of the same text.
const language = "earshot-policy/1"

// Document is a policy as written. It may also be made or changed in Go before [Compile].
type Document struct {
	APIVersion string   `yaml:"apiVersion" json:"apiVersion" jsonschema:"required,enum=earshot/v1"`
	Kind       string   `yaml:"kind" json:"kind" jsonschema:"required,enum=Policy"`
	Metadata   Metadata `yaml:"metadata" json:"metadata" jsonschema:"required"`
	Spec       Spec     `yaml:"spec" json:"spec" jsonschema:"required"`

	file   string
	places map[string]place // by path, such as spec.rules[2].when
	doubt  map[string]bool  // see decoder; empty in a document that was read whole
}

// Metadata says whose policy it is.
type Metadata struct {
	Name        string `yaml:"name" json:"name" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]*$,maxLength=63" jsonschema_description:"Name of the policy: lower-case letters, digits and hyphens."`
	Owner       string `yaml:"owner" json:"owner,omitempty" jsonschema_description:"Who answers for the policy, such as a mail address."`
	Description string `yaml:"description" json:"description,omitempty" jsonschema_description:"What the policy is for, and its sources."`
}

// Spec is what the policy says.
type Spec struct {
	Scope     Scope      `yaml:"scope" json:"scope" jsonschema:"required" jsonschema_description:"Which recordings the policy speaks of."`
	Schedule  string     `yaml:"schedule" json:"schedule,omitempty" jsonschema:"example=15 3 * * *,example=CRON_TZ=Europe/Berlin 15 3 * * *" jsonschema_description:"When to run: five cron fields in UTC, or with CRON_TZ=Zone in front."`
	Limits    LimitsSpec `yaml:"limits" json:"limits,omitzero" jsonschema_description:"What a run may do without a second person."`
	Rules     []Rule     `yaml:"rules" json:"rules,omitempty" jsonschema:"maxItems=64" jsonschema_description:"The rules, asked in order."`
	Rows      []RowsRule `yaml:"rows" json:"rows,omitempty" jsonschema:"maxItems=64" jsonschema_description:"What becomes of the rows of event logs in scope."`
	Otherwise string     `yaml:"otherwise" json:"otherwise" jsonschema:"required,enum=keep,enum=review" jsonschema_description:"What becomes of a recording that no rule speaks of."`
}

// Scope is a part of a bucket.
type Scope struct {
	Bucket string `yaml:"bucket" json:"bucket" jsonschema:"required"`
	Prefix string `yaml:"prefix" json:"prefix,omitempty" jsonschema_description:"Of the recordings' keys; empty for all."`
	Class  string `yaml:"class" json:"class,omitempty" jsonschema_description:"A class of companions, such as voiceprint: the policy speaks of those, each as a thing of its own, and not of recordings."`
}

// LimitsSpec is the limits as written.
type LimitsSpec struct {
	MaxShare  string `yaml:"maxShare" json:"maxShare,omitempty" jsonschema:"pattern=^[0-9]+(\\.[0-9]+)?%$,example=5%" jsonschema_description:"Most of the recordings in scope that a run may touch unapproved, in percent."`
	MaxCount  int    `yaml:"maxCount" json:"maxCount,omitempty" jsonschema:"minimum=0" jsonschema_description:"Most recordings that a run may touch unapproved; 0 for no limit."`
	Approvals int    `yaml:"approvals" json:"approvals,omitempty" jsonschema:"minimum=0,maximum=10" jsonschema_description:"How many people must approve a run beyond the limits."`
}

// Limits is what a run may do without approval.
type Limits struct {
	MaxShare  float64 // share of the recordings in scope, 0 to 1; 0 for no limit
	MaxCount  int     // 0 for no limit
	Approvals int     // people who must approve a run beyond the limits
}

// Rule is one rule as written.
type Rule struct {
	Name       string            `yaml:"name" json:"name" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]*$,maxLength=63"`
	Because    string            `yaml:"because" json:"because,omitempty" jsonschema_description:"The purpose or the legal source; printed with every decision."`
	When       string            `yaml:"when" json:"when,omitempty" jsonschema_description:"A CEL expression over the facts; absent: always."`
	Keep       *Period           `yaml:"keep" json:"keep,omitempty" jsonschema_description:"How long to keep before the rule acts."`
	Then       string            `yaml:"then" json:"then" jsonschema:"required,enum=delete,enum=redact,enum=keep,enum=review"`
	Spans      []string          `yaml:"spans" json:"spans,omitempty" jsonschema_description:"What to erase: before-wake-word, wake-word, after-wake-word, after-command, child-speech, everything, or 1s-2.5s."`
	Pad        string            `yaml:"pad" json:"pad,omitempty" jsonschema:"example=200ms" jsonschema_description:"Widens every span on both sides."`
	Fill       string            `yaml:"fill" json:"fill,omitempty" jsonschema:"enum=silence,enum=tone,enum=cut,default=silence"`
	Companions map[string]string `yaml:"companions" json:"companions,omitempty" jsonschema_description:"What becomes of companions, by class: delete, trim, keep or review."`
}

// Period is how long a rule waits, and from when.
type Period struct {
	For     string `yaml:"for" json:"for" jsonschema:"required,example=90d,example=subject.autoDelete" jsonschema_description:"A length such as 36h, 90d, 2w, 18mo (30 days each) or 3y (365 days each), or a fact that is one."`
	From    string `yaml:"from" json:"from" jsonschema:"required,enum=captured,enum=stored,enum=subject.lastActive,enum=consent.withdrawn"`
	Purpose string `yaml:"purpose" json:"purpose,omitempty" jsonschema_description:"Of the consent, for consent.withdrawn."`
}

// at finds where the value at a path stands, or what encloses it.
func (d *Document) at(path string) place {
	for path != "" {
		if p, ok := d.places[path]; ok {
			return p
		}
		cut := len(path) - 1
		for cut > 0 && path[cut] != '.' && path[cut] != '[' {
			cut--
		}
		path = path[:cut]
	}
	if p, ok := d.places[""]; ok {
		return p
	}
	return place{}
}
