package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"earshot"

	"golang.org/x/mod/sumdb/note"
)

// CertificateSchema names the form of a certificate.
const CertificateSchema = "earshot.certificate/v1"

// Certificate proves offline that the log holds an intent and its outcome: what was going to be
// done to one recording, and what became of it. The entries' bytes are the evidence, title, wording
// and limits are functions of them; everything else is the issuer's word.
type Certificate struct {
	Schema   string    `json:"schema"`
	ID       string    `json:"cert_id"` // a function of the outcome: drawn again it is the same
	IssuedAt time.Time `json:"issued_at"`
	Issuer   Issuer    `json:"issuer,omitzero"`
	Log      string    `json:"log"`  // origin
	VKey     string    `json:"vkey"` // as the issuer states it; compare with the one you were given
	Title    string    `json:"title"`
	Wording  string    `json:"wording"`
	Limits   []string  `json:"limits"` // what the certificate does not say
	Intent   Proved    `json:"intent"`
	Outcome  Proved    `json:"outcome"`
	// Verification is the entry of a second look at the store, by another component.
	Verification *Proved `json:"verification,omitempty"`
	// Plan is the entry of the run, with its digest and policies; Approvals are consents to that digest;
	// Policies are the entries that name the texts which the plan's digest of policies is over.
	Plan      *Proved  `json:"plan,omitempty"`
	Approvals []Proved `json:"approvals,omitempty"`
	Policies  []Proved `json:"policies,omitempty"`
	// Request is the entry of the data subject's request that led to it.
	Request *Proved `json:"request,omitempty"`
	// Rotations are those of the log's key: who trusts one of the keys can follow them to the others.
	Rotations []Rotation `json:"key_rotations,omitempty"`
	// Place is where the recording was.
	Place *Place `json:"place,omitempty"`
	// Residuals say where copies may still be, and until when, as the operator states it.
	Residuals []string `json:"residuals,omitempty"`
	// Opening is what ties the tags to a recording, for those entitled to know. It is not proved by
	// the log unless the tag key is disclosed too.
	Opening *Opening `json:"opening,omitempty"`
	// Trust is the SHA-256 of the policy file that the issuer verified it with, and Command how to.
	Trust   string `json:"policy_file_sha256,omitempty"`
	Command string `json:"command"`
}

// Issuer is who issues a certificate, by their own word.
type Issuer struct {
	Name    string `json:"name,omitempty"`
	Contact string `json:"contact,omitempty"`
	DPO     string `json:"dpo,omitempty"` // data protection officer
}

// Place is where a recording was, by the issuer's word.
type Place struct {
	Endpoint string   `json:"endpoint"`
	Region   string   `json:"region,omitempty"`
	Bucket   string   `json:"bucket"`
	Copies   []string `json:"copies,omitempty"` // other buckets in which it was looked for
}

// Opening names what the tags of a certificate stand for.
type Opening struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// TagKey is the data subject's key. With it the certificate proves which recording it is about;
	// whoever has it finds all entries of that person in the log.
	TagKey []byte `json:"tag_key,omitempty"`
}

const certificateCommand = "earshot audit verify CERTIFICATE.json --policy POLICY"

// Subject is what a certificate is to be about: places in the log, and what stands beside them.
type Subject struct {
	VKey                        string
	Issuer                      Issuer
	Intent, Outcome             int64
	Verification, Plan, Request *int64 // nil where there is none
	Approvals, Policies         []int64
	Rotations                   []Rotation
	Place                       *Place
	Opening                     *Opening
	Residuals                   []string
	Trust                       string // SHA-256 of the policy file
}

// Certify draws the certificate of the entries at the given places in the log.
func (l *Log) Certify(ctx context.Context, s Subject) (Certificate, error) {
	return Certify(ctx, l.opts.Tiles, l.opts.Trust, l.opts.Now(), s)
}

// Certify draws a certificate from a log's objects alone, as of a closed shard. All proofs are under
// one checkpoint.
func Certify(ctx context.Context, tiles Tiles, trust *Trust, now time.Time, s Subject) (Certificate, error) {
	c := Certificate{
		Schema: CertificateSchema, IssuedAt: now.UTC().Truncate(time.Second), Issuer: s.Issuer, Log: trust.Origin(), VKey: s.VKey,
		Opening: s.Opening, Residuals: s.Residuals, Place: s.Place, Trust: s.Trust, Command: certificateCommand, Rotations: s.Rotations,
	}
	signed, head, err := current(ctx, tiles, trust)
	if err != nil {
		return Certificate{}, fmt.Errorf("drawing a certificate: %w", err)
	}
	prove := func(at int64, to *Proved) {
		if err == nil {
			*to, err = proveUnder(ctx, tiles, head, signed, at)
		}
	}
	prove(s.Intent, &c.Intent)
	prove(s.Outcome, &c.Outcome)
	for _, one := range []struct {
		at *int64
		to **Proved
	}{{s.Verification, &c.Verification}, {s.Plan, &c.Plan}, {s.Request, &c.Request}} {
		if one.at != nil {
			*one.to = &Proved{}
			prove(*one.at, *one.to)
		}
	}
	for _, many := range []struct {
		at []int64
		to *[]Proved
	}{{s.Approvals, &c.Approvals}, {s.Policies, &c.Policies}} {
		for _, at := range many.at {
			var p Proved
			prove(at, &p)
			*many.to = append(*many.to, p)
		}
	}
	if err != nil {
		return Certificate{}, fmt.Errorf("drawing a certificate: %w", err)
	}
	v, err := c.proved(trust)
	if err != nil {
		return Certificate{}, err
	}
	c.ID, c.Title, c.Wording, c.Limits = v.ID(), v.Title(), v.Wording(), v.Limits()
	return c, nil
}

// Verdict is what a certificate proves.
type Verdict struct {
	Intent, Outcome     Entry
	Verification        *Entry
	Plan, Request       *Entry
	Approvals, Policies []Entry
	Checkpoint          Checkpoint
	// Recording is what the entries are proved to be about, as bucket/key; empty where the certificate
	// does not carry the key that proves it.
	Recording string
}

// ID of the certificate: the same for the same outcome.
func (v Verdict) ID() string { return EntryID("certificate", v.Checkpoint.Origin, v.Outcome.ID) }

// errUnrelated is wrapped in ErrUnverified.
var errUnrelated = errors.New("its entries do not belong together")

func unverified(format string, args ...any) error {
	return fmt.Errorf("certificate: %w: %w", ErrUnverified, fmt.Errorf(format, args...))
}

// Verify checks the certificate against the log's key. Nothing but the certificate is needed. Its own
// title, wording and limits must be what its entries say.
func (c Certificate) Verify(trust *Trust) (Verdict, error) {
	v, err := c.proved(trust)
	if err != nil {
		return Verdict{}, err
	}
	if c.ID != v.ID() || c.Title != v.Title() || c.Wording != v.Wording() || !slices.Equal(c.Limits, v.Limits()) || c.Command != certificateCommand {
		return Verdict{}, unverified("its wording is not what its entries say")
	}
	return v, nil
}

// proved checks everything but the words.
func (c Certificate) proved(trust *Trust) (Verdict, error) {
	if c.Schema != CertificateSchema {
		return Verdict{}, fmt.Errorf("certificate of schema %q: this program reads %s", c.Schema, CertificateSchema)
	}
	trust, err := c.follow(trust)
	if err != nil {
		return Verdict{}, err
	}
	p := prover{trust: trust}
	v := Verdict{Plan: p.maybe(c.Plan), Request: p.maybe(c.Request), Approvals: p.all(c.Approvals), Policies: p.all(c.Policies)}
	intent, outcome := 0, 0
	v.Intent, intent = p.one(c.Intent)
	v.Outcome, outcome = p.one(c.Outcome)
	if c.Verification != nil {
		e, at := p.one(*c.Verification)
		v.Verification = &e
		if p.err == nil && (e.Verification == nil || e.Verification.OutcomeID != v.Outcome.ID || at <= outcome) {
			p.err = unverified("%w", errUnrelated)
		}
	}
	if p.err != nil {
		return Verdict{}, p.err
	}
	v.Checkpoint = p.under
	if v.Intent.Intent == nil || v.Outcome.Outcome == nil || v.Outcome.Outcome.IntentID != v.Intent.ID || intent >= outcome || c.Log != trust.Origin() {
		return Verdict{}, unverified("%w", errUnrelated)
	}
	if err := v.relate(); err != nil {
		return Verdict{}, err
	}
	return v, c.open(&v)
}

// follow extends the trust by the log's other keys, of which rotations tell that are signed by one
// that is trusted. The certificate must not state a key that is none of them.
func (c Certificate) follow(trust *Trust) (*Trust, error) {
	knows := func(t *Trust, k note.Verifier) bool {
		return slices.ContainsFunc(t.logs, func(l note.Verifier) bool { return l.Name() == k.Name() && l.KeyHash() == k.KeyHash() })
	}
	for range c.Rotations { // in whatever order they come
		for _, r := range c.Rotations {
			before, after, err := r.check(c.Log)
			if err != nil {
				return nil, fmt.Errorf("certificate: %w", err)
			}
			if knows(trust, before) != knows(trust, after) {
				if trust, err = trust.Of(c.Log, before, after); err != nil {
					return nil, fmt.Errorf("certificate: %w", err)
				}
			}
		}
	}
	if c.VKey == "" {
		return trust, nil
	}
	k, err := note.NewVerifier(c.VKey)
	if err != nil || !knows(trust, k) {
		return nil, unverified("it states a key of the log that is not one of those that are to be believed")
	}
	return trust, nil
}

// relate checks what the further entries have to do with the intent.
func (v Verdict) relate() error {
	if v.Plan != nil && (v.Plan.Plan == nil || v.Plan.Run != v.Intent.Run) {
		return unverified("%w: the plan is of another run", errUnrelated)
	}
	said := map[string]bool{} // one consent shown twice would look like two persons'
	for _, a := range v.Approvals {
		if said[a.ID] {
			return unverified("%w: an approval comes twice", errUnrelated)
		}
		said[a.ID] = true
		if v.Plan == nil || a.Approval == nil || a.Run != v.Intent.Run || a.Approval.Digest != v.Plan.Plan.Digest {
			return unverified("%w: an approval is of another plan", errUnrelated)
		}
	}
	if v.Request != nil && (v.Request.Request == nil || v.Request.Kind != KindRequest) {
		return unverified("%w: that is no request", errUnrelated)
	}
	if len(v.Policies) == 0 {
		return nil
	}
	var all []byte
	sorted := slices.SortedFunc(slices.Values(v.Policies), func(a, b Entry) int { return strings.Compare(policyName(a), policyName(b)) })
	for _, p := range sorted {
		if p.Policy == nil || p.Kind != KindPolicy {
			return unverified("%w: that is no policy", errUnrelated)
		}
		var d earshot.Digest
		if err := d.UnmarshalText([]byte(p.Policy.SHA256)); err != nil {
			return unverified("a policy's digest: %w", err)
		}
		all = append(all, d[:]...)
	}
	if v.Plan == nil || v.Plan.Policy == nil || v.Plan.Policy.SHA256 != earshot.DigestOf(all).String() {
		return unverified("%w: the plan was made under other policies", errUnrelated)
	}
	return nil
}

func policyName(e Entry) string {
	if e.Policy == nil {
		return ""
	}
	return e.Policy.Name
}

// open checks the name of the recording against the tags, where the key is there.
func (c Certificate) open(v *Verdict) error {
	o := c.Opening
	if o == nil {
		return nil
	}
	if strings.Contains(o.Bucket, "/") || o.Bucket == "" {
		return unverified("%q is no bucket", o.Bucket)
	}
	if len(o.TagKey) == 0 {
		return nil
	}
	t, err := NewTagger(o.TagKey)
	if err != nil {
		return unverified("%w", err)
	}
	v.Recording = o.Bucket + "/" + o.Key
	if t.Of(o.TagKey).Tag("recording", v.Intent.ID, v.Recording) != v.Intent.Intent.Recording {
		return unverified("its entries are about another recording than the one it names")
	}
	return nil
}

// prover verifies proofs, all under one checkpoint, and keeps the first error.
type prover struct {
	trust *Trust
	under Checkpoint
	begun bool
	err   error
}

func (p *prover) one(proved Proved) (e Entry, index int) {
	if p.err != nil {
		return e, 0
	}
	e, c, at, err := proved.verify(p.trust)
	switch {
	case err != nil:
		p.err = fmt.Errorf("certificate: %w", err)
	case !p.begun:
		p.under, p.begun = c, true
	case c.Size != p.under.Size || c.Root != p.under.Root:
		p.err = unverified("its proofs are under different checkpoints")
	}
	return e, int(at)
}

func (p *prover) maybe(proved *Proved) *Entry {
	if proved == nil {
		return nil
	}
	e, _ := p.one(*proved)
	return &e
}

func (p *prover) all(proved []Proved) (out []Entry) {
	for _, one := range proved {
		e, _ := p.one(one)
		out = append(out, e)
	}
	return out
}

// ParseCertificate reads a certificate; unknown keys are refused.
func ParseCertificate(text []byte) (Certificate, error) {
	var c Certificate
	if err := strictJSON(text, &c); err != nil {
		return c, fmt.Errorf("reading the certificate: %w", err)
	}
	return c, nil
}

// JSON is the certificate as it is handed out.
func (c Certificate) JSON() ([]byte, error) {
	out, err := json.MarshalIndent(c, "", "  ")
	return append(out, '\n'), err
}
