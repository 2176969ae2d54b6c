package retention

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/policies"
	"earshot/storage"
	"earshot/storage/catalog"
)

// Options of a Runner.
type Options struct {
	Store   *storage.Store
	Catalog *catalog.DB
	Log     *audit.Log
	Tagger  *audit.Tagger
	// SubjectKeys gives every data subject a key of their own for the tags in the log. Nil: all tags
	// are made with the Tagger's key.
	SubjectKeys SubjectKeys
	Policies    []*policies.Policy
	Layout      Layout
	By          earshot.Principal // who runs this
	// Ear hears what nobody wrote down. Nil: it stays unknown.
	Ear Ear
	// Renew, if not nil, is asked for the Ear at the beginning of each plan, application and listening, since
	// words may be enrolled while a process runs: what it gives serves the whole of it.
	Renew func() (Ear, error)
	// Session is how far apart recordings of one device may follow one another to be of one session, whose
	// voices policies may judge together. 0: each recording has a session of its own.
	Session   time.Duration
	Inventory string // folder of the last inventories, to be named in entries; may be empty
	Producer  string // program and version, for the log
	Spool     string // folder for sound under redaction; default os.TempDir
	// Workers is how many recordings are handled at once, most of them waiting for the store; default
	// four for each core, and at least eight. Sound is rewritten on one core each.
	Workers int
	Now     func() time.Time // default time.Now
	Logger  *slog.Logger     // default: silent
	// Wake, if not nil, is told of a run that is about to be carried out, so that other processes on a
	// shared catalog may help; urgent says that people have asked for it. It must not wait for them.
	Wake func(ctx context.Context, run earshot.Run, urgent bool)
	// WakeScan, if not nil, is told of a scan that is about to be made, in the same way.
	WakeScan func(ctx context.Context, s Scope)
	// WakeHearing, if not nil, is told of recordings that are to be listened to, in the same way.
	WakeHearing func(ctx context.Context, recordings int)
	Lists       int // lists of one scan side by side; default 4
	// Recent, if not 0, has Refresh list only the folders of that many recent days; FullEvery is how often
	// it lists everything all the same. Default of the latter: a week.
	Recent, FullEvery time.Duration
	// Progress, if not nil, is told how a stage gets on; total is 0 where it is not known.
	Progress func(stage string, done, total int)
}

// Runner makes and applies plans. It is safe for concurrent use. One process at a time plans; on a
// shared catalog any number applies.
type Runner struct {
	o      Options
	layout *layout
	rules  ruleset
	*met
}

// met is what a Runner has come across: its copies with another Ear share it.
type met struct {
	mu      sync.Mutex // guards what follows
	buckets map[string]*storage.Bucket
	sealed  map[earshot.RunID]earshot.Digest // the run whose actions were found to be as sealed
	cores   chan struct{}                    // one place for each rewriting at a time
}

// SubjectKeys keeps the keys that data subjects' tags are made with.
type SubjectKeys interface {
	Keys(ctx context.Context, subjects []earshot.SubjectID) (map[earshot.SubjectID][]byte, error)
	Existing(ctx context.Context, subject earshot.SubjectID) (key []byte, ok bool, err error)
	Destroy(ctx context.Context, subject earshot.SubjectID) (bool, error)
}

// Sentinels that callers branch on.
var (
	// ErrNotApproved: the run needs more approvals.
	ErrNotApproved = errors.New("not approved")
	// ErrStaleRun: the run was made under other policies, too long ago, or is over. Plan again.
	ErrStaleRun = errors.New("stale")
	// ErrPartly: some of the work could not be brought to an end. Doing it again goes on.
	ErrPartly = errors.New("not everything was brought to an end")
)

// New checks the options and makes a Runner. Without a log there is none: nothing may be destroyed
// that is not written down.
func New(o Options) (*Runner, error) {
	switch {
	case o.Log == nil || o.Tagger == nil:
		return nil, errors.New("retention needs an audit log: nothing is done that is not written down")
	case o.Store == nil || o.Catalog == nil:
		return nil, errors.New("retention needs a store and a catalog")
	case o.By.Name == "":
		return nil, errors.New("retention needs to know who is running it")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Workers <= 0 {
		o.Workers = max(8, 4*runtime.GOMAXPROCS(0))
	}
	if o.Spool == "" {
		o.Spool = os.TempDir()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Wake == nil {
		o.Wake = func(context.Context, earshot.Run, bool) {}
	}
	if o.WakeScan == nil {
		o.WakeScan = func(context.Context, Scope) {}
	}
	if o.WakeHearing == nil {
		o.WakeHearing = func(context.Context, int) {}
	}
	if o.Lists == 0 {
		o.Lists = 4
	}
	if o.FullEvery == 0 {
		o.FullEvery = 7 * day
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	l, err := compileLayout(o.Layout)
	if err == nil {
		err = l.own(o.Policies)
	}
	if err != nil {
		return nil, err
	}
	return &Runner{o: o, layout: l, rules: newRuleset(o.Policies), met: &met{
		buckets: map[string]*storage.Bucket{}, sealed: map[earshot.RunID]earshot.Digest{}, cores: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}}, nil
}

// renewed is the Runner with what hears now.
func (r *Runner) renewed() (*Runner, error) {
	if r.o.Renew == nil {
		return r, nil
	}
	hears, err := r.o.Renew()
	if err != nil {
		return nil, err
	}
	c := *r
	c.o.Ear = hears
	return &c, nil
}

// By is who plans and applies here.
func (r *Runner) By() earshot.Principal { return r.o.By }

// PolicyDigest is the digest over all policies of this Runner, as plans name it.
func (r *Runner) PolicyDigest() earshot.Digest { return r.rules.digest }

func (r *Runner) now() time.Time { return r.o.Now().UTC() }

// bucket opens a bucket once.
func (r *Runner) bucket(ctx context.Context, name string) (*storage.Bucket, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.buckets[name]; b != nil {
		return b, nil
	}
	b, err := r.o.Store.Bucket(ctx, name)
	if err != nil {
		return nil, err
	}
	r.buckets[name] = b
	return b, nil
}

// Scope is a part of a bucket that policies speak of.
type Scope = policies.Scope

// ruleset is the policies of a Runner together: several may speak of one recording.
type ruleset struct {
	policies []*policies.Policy
	digest   earshot.Digest
	pooled   bool // one of them asks what a session's recordings tell together
}

func newRuleset(ps []*policies.Policy) ruleset {
	s := ruleset{policies: slices.Clone(ps)}
	slices.SortFunc(s.policies, func(a, b *policies.Policy) int { return strings.Compare(a.Name(), b.Name()) })
	var all []byte
	for _, p := range s.policies {
		d := p.Digest()
		all = append(all, d[:]...)
		s.pooled = s.pooled || p.Pools()
	}
	s.digest = earshot.DigestOf(all)
	return s
}

func (s ruleset) names() string {
	var names []string
	for _, p := range s.policies {
		names = append(names, p.Name())
	}
	return strings.Join(names, ",")
}

// decide asks every policy in whose scope the recording lies. Where none speaks, it is kept.
func (s ruleset) decide(f earshot.Facts, at time.Time) earshot.Decision {
	if f.Log != "" {
		return s.decideLog(f, at)
	}
	var ds []earshot.Decision
	for _, p := range s.policies {
		if p.InScope(f.Recording) {
			ds = append(ds, p.Decide(f, at))
		}
	}
	if len(ds) == 0 {
		return earshot.Decision{Disposition: earshot.Keep, Rule: "no-policy",
			Reasons: []earshot.Reason{{Rule: "no-policy", Text: "no policy speaks of this recording"}}}
	}
	d := policies.Combine(ds...)
	d.Policy = s.digest
	return d
}

// scopes gives the scopes of the named policies (all, if none is named), each once, those that
// lie within another left out.
func (s ruleset) scopes(names []string) ([]Scope, error) {
	var all []Scope
	for _, name := range names {
		if !slices.ContainsFunc(s.policies, func(p *policies.Policy) bool { return p.Name() == name }) {
			return nil, fmt.Errorf("no policy is named %q: there are %s", name, s.names())
		}
	}
	for _, p := range s.policies {
		if len(names) == 0 || slices.Contains(names, p.Name()) {
			s := p.Scope()
			s.Class = "" // what is listed is listed for all
			all = append(all, s)
		}
	}
	within := func(a, b Scope) bool { return a.Bucket == b.Bucket && strings.HasPrefix(a.Prefix, b.Prefix) }
	var out []Scope
	for i, a := range all {
		covered := slices.ContainsFunc(out, func(b Scope) bool { return within(a, b) })
		for _, b := range all[i+1:] {
			covered = covered || within(a, b) && a != b
		}
		if !covered {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no policy: add one to the folder of policies (earshot policy packs lists ready-made ones)")
	}
	return out, nil
}

// Activate writes to the log which policies are in force, those that it has not named yet.
func (r *Runner) Activate(ctx context.Context) error {
	for _, p := range r.rules.policies {
		digest := p.Digest()
		e := r.entry(audit.KindPolicy, "policy", digest.String())
		e.Policy = &audit.Policy{Name: p.Name(), SHA256: digest.String()}
		leaf, err := e.Leaf()
		if err != nil {
			return err
		}
		if _, err := r.o.Catalog.Activated(ctx, p.Name(), digest, r.now(), leaf); err != nil {
			return err
		}
	}
	return nil
}

// newRunID sorts by time and cannot be guessed.
func newRunID(now time.Time) earshot.RunID {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return earshot.RunID("run-" + now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:]))
}

// objectHash names a recording in our own log messages: never by its key.
func objectHash(id earshot.RecordingID) string {
	return earshot.DigestOf([]byte(id.Bucket + "/" + id.Key)).Short()
}
