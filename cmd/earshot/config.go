package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/policies"
	"earshot/retention"
	"earshot/retention/work"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/embedded"

	"github.com/goccy/go-yaml"
	"golang.org/x/mod/sumdb/note"
)

// Config is the configuration file. Relative paths count from the file's folder. Only this file of
// the program knows the difference between the default installation and a larger one.
type Config struct {
	Store StoreConfig `yaml:"store"`
	// Catalog is an SQLite file (default catalog.db), or the URL of a PostgreSQL database for
	// installations of several machines; its password comes from PGPASSWORD or PGPASSFILE.
	Catalog string `yaml:"catalog"`
	// SubjectKeys is where data subjects' keys are: a file (default subjects.db beside the log's keys),
	// or the URL of a PostgreSQL database whose backups are not kept with the catalog's.
	SubjectKeys string    `yaml:"subject_keys"`
	Keys        string    `yaml:"keys"` // folder of the log's keys; default keys
	Log         LogConfig `yaml:"log"`
	// Policies is a folder; every .yaml in it that does not end in .test.yaml is a policy.
	Policies string `yaml:"policies"`
	// Verifier holds credentials of its own for `earshot audit confirm`, which looks at what those that
	// act claim. Only its keys are read.
	Verifier StoreConfig `yaml:"verifier"`
	// Inventory is the folder of the lists of what the store held last; default inventory.
	Inventory string       `yaml:"inventory"`
	Spool     string       `yaml:"spool"`   // folder for sound under redaction; default the system's
	Workers   int          `yaml:"workers"` // recordings handled at once; default four for each core, at least 8
	Layout    LayoutConfig `yaml:"layout"`
	// Scan is how the catalog is kept up to date between full scans.
	Scan ScanConfig `yaml:"scan"`
	// KeepMetadata lists further user metadata that survives a redaction, besides the names in
	// layout.metadata. A trailing * stands for any ending.
	KeepMetadata []string `yaml:"keep_metadata"`
	// Residuals are stated in certificates: where copies may still be that earshot does not reach, such
	// as "backups until 30 days after the deletion".
	Residuals []string `yaml:"residuals"`
	// Reconcile is when earshot serve compares the store with the log, cron; default every night at
	// half past two UTC; never switches it off.
	Reconcile string `yaml:"reconcile"`
	// Hearing is how recordings are listened to, where a policy asks for what nobody wrote down.
	Hearing HearingConfig `yaml:"hearing"`
	Listen  string        `yaml:"listen"` // of earshot serve; default 127.0.0.1:8470

	dir string
	// ofMany: it is one of several tenants, whose credentials are not in an environment that all share.
	ofMany bool
}

// StoreConfig says where the recordings are: embedded, or an S3 endpoint.
type StoreConfig struct {
	Embedded      string `yaml:"embedded"` // folder of the embedded S3 server
	Endpoint      string `yaml:"endpoint"` // http://HOST:PORT or https://HOST
	Region        string `yaml:"region"`
	AccessKey     string `yaml:"access_key"`      // or $EARSHOT_ACCESS_KEY
	AccessKeyFile string `yaml:"access_key_file"` // a file that holds it
	SecretKeyFile string `yaml:"secret_key_file"` // a file that holds it, or $EARSHOT_SECRET_KEY
	// Pace bounds how much is asked of the store, and when.
	Pace PaceConfig `yaml:"pace"`
}

// LogConfig says where the log is written.
type LogConfig struct {
	Bucket string `yaml:"bucket"` // default earshot-log
	Prefix string `yaml:"prefix"`
	Origin string `yaml:"origin"` // the log's name, such as example.org/earshot/2026
	// Retain puts what is written under COMPLIANCE retention for that long (2190d), where the bucket
	// has object lock. It cannot be shortened by anybody; empty means none.
	Retain string `yaml:"retain"`
	// Trust is a file that names the log's keys and its witnesses (C2SP tlog-policy); default: no
	// witness. Strict waits for their quorum before anything is done; otherwise the log goes on without
	// it for MaxUncosigned (24h), and says so.
	Trust         string `yaml:"trust"`
	Strict        bool   `yaml:"strict"`
	MaxUncosigned string `yaml:"max_uncosigned"`
	// Lock is store, where conditional writes keep two publishers apart, or database, for stores that
	// ignore conditions; certificates say so then.
	Lock string `yaml:"lock"`

	retain, uncosigned time.Duration
}

// LayoutConfig is retention.Layout as it is written down.
type LayoutConfig struct {
	Recording  string                     `yaml:"recording"`
	Companions map[string]CompanionConfig `yaml:"companions"`
	Events     map[string]EventLogConfig  `yaml:"events"` // event logs, by class
	Metadata   map[string]string          `yaml:"metadata"`
	// Copies names, for a bucket, others that hold copies of its objects under the same keys, where
	// replication puts them: what is deleted is deleted there too, and looked for afresh.
	Copies map[string][]string `yaml:"copies"`
}

// CompanionConfig is where the companions of a class lie, and what a redaction does to them.
type CompanionConfig struct {
	Key      string `yaml:"key"`
	OnRedact string `yaml:"on_redact"` // delete, trim, keep or review
}

func (a *app) config() (*Config, error) {
	site, err := a.site()
	switch {
	case err != nil:
		return nil, err
	case site == nil && a.tenant != "":
		return nil, fmt.Errorf("%w: --tenant: %s is the configuration of one installation, without tenants", errUsage, a.configPath)
	case site != nil && a.tenant == "":
		return nil, fmt.Errorf("%w: for which tenant? Use --tenant with one of %s", errUsage, strings.Join(site.names(), ", "))
	case site != nil:
		one, err := a.ofTenant(site, a.tenant)
		if err != nil {
			return nil, err
		}
		if err := a.apart(site); err != nil {
			return nil, err
		}
		return one.config()
	}
	text, err := os.ReadFile(a.configPath)
	if err != nil {
		return nil, hint(fmt.Errorf("reading the configuration: %w", err))
	}
	c := Config{ofMany: a.ofMany}
	dec := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField(), yaml.Strict())
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("configuration %s: %s", a.configPath, strings.Join(strings.Fields(firstLine(yaml.FormatError(err, false, false))), " "))
	}
	abs, err := filepath.Abs(a.configPath)
	if err != nil {
		return nil, err
	}
	c.dir = filepath.Dir(abs)
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", a.configPath, err)
	}
	return &c, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

func (c *Config) check() error {
	set := func(p *string, otherwise string) {
		if *p == "" {
			*p = otherwise
		}
	}
	set(&c.Catalog, "catalog.db")
	set(&c.Keys, "keys")
	set(&c.Inventory, "inventory")
	set(&c.Reconcile, "CRON_TZ=UTC 30 2 * * *")
	set(&c.Policies, "policies")
	set(&c.Log.Bucket, "earshot-log")
	set(&c.Listen, "127.0.0.1:8470")
	if c.SubjectKeys == "" && isURL(c.Catalog) {
		return errors.New("subject_keys is missing: with the catalog in PostgreSQL, give the URL of another database for data subjects' keys, one that is not backed up together with the catalog (a key that was destroyed must not come back)")
	}
	set(&c.SubjectKeys, filepath.Join(c.Keys, "subjects.db"))
	for _, p := range []*string{&c.Catalog, &c.SubjectKeys, &c.Keys, &c.Policies, &c.Spool, &c.Store.Embedded, &c.Store.AccessKeyFile, &c.Store.SecretKeyFile, &c.Log.Trust, &c.Verifier.AccessKeyFile, &c.Verifier.SecretKeyFile, &c.Inventory} {
		if *p != "" && !filepath.IsAbs(*p) && !isURL(*p) {
			*p = filepath.Join(c.dir, *p)
		}
	}
	switch {
	case c.Store.Embedded == "" && c.Store.Endpoint == "":
		return errors.New("store: give endpoint, or embedded with a folder")
	case c.Store.Embedded != "" && c.Store.Endpoint != "":
		return errors.New("store: embedded and endpoint exclude one another")
	case c.Log.Origin == "":
		return errors.New("log.origin is missing: a name of your own for the log, such as example.org/earshot/2026")
	case c.Log.Lock != "" && c.Log.Lock != "store" && c.Log.Lock != "database":
		return fmt.Errorf("log.lock: %q is neither store nor database", c.Log.Lock)
	case c.Workers < 0 || c.Workers > 256:
		return fmt.Errorf("workers: %d is not between 1 and 256", c.Workers)
	}
	if c.Log.MaxUncosigned != "" {
		var err error
		if c.Log.uncosigned, err = policies.ParseLength(c.Log.MaxUncosigned); err != nil {
			return fmt.Errorf("log.max_uncosigned: %w", err)
		}
	}
	if c.Log.Retain != "" {
		var err error
		if c.Log.retain, err = policies.ParseLength(c.Log.Retain); err != nil {
			return fmt.Errorf("log.retain: %w", err)
		}
	}
	if err := errors.Join(c.Hearing.check(), c.Store.Pace.check(), c.Scan.check(c.dir)); err != nil {
		return err
	}
	_, err := c.layout()
	return err
}

func isURL(s string) bool { return strings.Contains(s, "://") }

func (c *Config) layout() (retention.Layout, error) {
	l := retention.Layout{Recording: c.Layout.Recording, Copies: c.Layout.Copies, Metadata: retention.DefaultMetadata()}
	for class, k := range c.Layout.Companions {
		rule := earshot.CompanionRule(k.OnRedact)
		if !slices.Contains([]earshot.CompanionRule{"", earshot.CompanionDelete, earshot.CompanionTrim, earshot.CompanionKeep, earshot.CompanionReview}, rule) {
			return l, fmt.Errorf("layout.companions.%s.on_redact: %q is not delete, trim, keep or review", class, k.OnRedact)
		}
		l.Companions = append(l.Companions, retention.CompanionLayout{Class: class, Key: k.Key, OnRedact: rule})
	}
	var err error
	if l.Logs, err = c.Layout.logs(); err != nil {
		return l, err
	}
	m := &l.Metadata
	fields := map[string]*string{
		"captured": &m.Captured, "subject": &m.Subject, "device": &m.Device, "locale": &m.Locale, "source": &m.Source,
		"wake_start": &m.WakeStart, "wake_end": &m.WakeEnd, "wake_word": &m.WakeWord,
	}
	for name, v := range c.Layout.Metadata {
		to, ok := fields[name]
		if !ok {
			return l, fmt.Errorf("layout.metadata.%s: not a fact that metadata can carry (captured, subject, device, locale, source, wake_start, wake_end, wake_word)", name)
		}
		*to = strings.TrimPrefix(strings.ToLower(v), "x-amz-meta-")
	}
	return l, retention.CheckLayout(l)
}

// installation is everything that commands work with.
type installation struct {
	cfg      *Config
	server   *embedded.Server // nil with a store of one's own
	store    *storage.Store
	options  storage.Options
	db       *catalog.DB
	keys     *audit.Keys
	subjects *catalog.KeyRing
	trust    *audit.Trust
	shard    catalog.Shard
	log      *audit.Log
	policies []*policies.Policy
	runner   *retention.Runner
	queue    *work.Queue // nil where the catalog is not shared
}

func (i *installation) close() {
	if i.queue != nil {
		i.queue.Close()
	}
	if i.db != nil {
		_ = i.db.Close()
	}
	if i.subjects != nil {
		_ = i.subjects.Close()
	}
	if i.server != nil {
		_ = i.server.Close()
	}
}

// connect opens the store only.
func (a *app) connect(ctx context.Context) (*installation, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	return a.connectTo(ctx, c)
}

func (a *app) connectTo(ctx context.Context, c *Config) (*installation, error) {
	i := &installation{cfg: c}
	layout, err := c.layout()
	if err != nil {
		return nil, err
	}
	m := layout.Metadata
	i.options = storage.Options{
		Endpoint: c.Store.Endpoint, Region: c.Store.Region, Pace: c.Store.Pace.pace(),
		KeepMetadata: append([]string{m.Captured, m.Subject, m.Device, m.Locale, m.Source, m.WakeStart, m.WakeEnd, m.WakeWord, "earshot-*"}, c.KeepMetadata...),
	}
	if c.Store.Embedded != "" {
		if i.server, err = embedded.Start(ctx, c.Store.Embedded, "store"); err != nil {
			return nil, err
		}
		i.options.Endpoint, i.options.Region = i.server.Endpoint, embedded.Region
		i.options.AccessKey, i.options.SecretKey = i.server.AccessKey, i.server.SecretKey
	} else if i.options.AccessKey, i.options.SecretKey, err = c.credentials(); err != nil {
		return nil, err
	}
	if i.store, err = storage.Connect(i.options); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// credentials come from the environment or from files, never from flags.
func (c *Config) credentials() (access, secret string, err error) {
	access, secret = envOr("EARSHOT_ACCESS_KEY", c.Store.AccessKey), os.Getenv("EARSHOT_SECRET_KEY")
	if c.ofMany && c.Store.SecretKeyFile != "" {
		access, secret = c.Store.AccessKey, ""
	}
	for _, f := range []struct {
		path string
		to   *string
	}{{c.Store.AccessKeyFile, &access}, {c.Store.SecretKeyFile, &secret}} {
		if *f.to != "" || f.path == "" {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			return "", "", fmt.Errorf("reading the store's credentials: %w", err)
		}
		*f.to = strings.TrimSpace(string(text))
	}
	return access, secret, nil
}

// open opens the whole installation.
func (a *app) open(ctx context.Context) (*installation, error) {
	by, err := a.principal()
	if err != nil {
		return nil, err
	}
	return a.openAs(ctx, by, 0)
}

// openAs opens it for somebody; jobs is how many of the queue are worked at once.
func (a *app) openAs(ctx context.Context, by earshot.Principal, jobs int) (*installation, error) {
	i, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err = a.openRest(ctx, i, by); err == nil {
		err = a.openQueue(ctx, i, jobs)
	}
	if err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

func (a *app) openRest(ctx context.Context, i *installation, by earshot.Principal) error {
	o, err := a.openKeys(ctx, i)
	if err != nil {
		return err
	}
	if err := i.probe(ctx, o.Tiles); err != nil {
		return err
	}
	i.log, err = audit.Open(ctx, o)
	if errors.Is(err, fs.ErrNotExist) && i.shard.N > 0 { // we died between closing a shard and opening the next
		i.log, err = audit.Create(ctx, o)
	}
	if err != nil {
		return err
	}
	if i.policies, err = loadPolicies(i.cfg.Policies); err != nil {
		return err
	}
	i.runner, err = a.newRunner(i, by)
	return err
}

func (a *app) newRunner(i *installation, by earshot.Principal) (*retention.Runner, error) {
	layout, err := i.cfg.layout()
	if err != nil {
		return nil, err
	}
	if i.cfg.Spool != "" {
		if err := os.MkdirAll(i.cfg.Spool, 0o700); err != nil {
			return nil, fmt.Errorf("making the spool folder: %w", err)
		}
	}
	hears, err := i.cfg.ear()
	if err != nil {
		return nil, err
	}
	o := retention.Options{
		Ear: hears, Store: i.store, Catalog: i.db, Log: i.log, Tagger: i.keys.Tagger, SubjectKeys: i.subjects, Policies: i.policies, Layout: layout, Inventory: i.cfg.Inventory,
		Recent: i.cfg.Scan.recent, FullEvery: i.cfg.Scan.full,
		By: by, Producer: "earshot/" + version(), Spool: i.cfg.Spool, Workers: i.cfg.Workers, Logger: a.logger(), Progress: a.progress(),
	}
	i.wake(&o)
	return retention.New(o)
}

// openKeys opens the catalog and the keys, and says how the log is to be opened.
func (a *app) openKeys(ctx context.Context, i *installation) (o audit.Options, err error) {
	if i.db, err = catalog.Open(ctx, catalog.Options{Path: i.cfg.Catalog}); err != nil {
		return o, err
	}
	if i.shard, err = i.db.Shard(ctx); err != nil {
		return o, err
	}
	if i.keys, err = audit.OpenShardKeys(i.cfg.Keys, i.keyDir()); err != nil {
		return o, err
	}
	if i.subjects, err = catalog.OpenKeyRing(ctx, i.cfg.SubjectKeys, i.keys.KEK); err != nil {
		return o, err
	}
	if i.trust, err = i.cfg.trust(i.keys.Verifiers...); err != nil {
		return o, err
	}
	tiles, err := i.tiles(ctx)
	if err != nil {
		return o, err
	}
	return audit.Options{
		Tiles: tiles, Head: i.db.Head(), Signer: i.keys.Signer, Verifier: i.keys.Verifier, Former: i.keys.Former,
		Trust: i.trust, Strict: i.cfg.Log.Strict, MaxUncosigned: i.cfg.Log.uncosigned, Lock: i.logLock(),
	}, nil
}

// trust is the policy on whose signatures are believed, with the keys that we know to be ours.
func (c *Config) trust(own ...note.Verifier) (*audit.Trust, error) {
	if len(own) == 0 {
		return nil, errors.New("the log has no public key")
	}
	if c.Log.Trust == "" {
		return audit.TrustKey(own...), nil
	}
	text, err := os.ReadFile(c.Log.Trust)
	if err != nil {
		return nil, fmt.Errorf("reading log.trust: %w", err)
	}
	t, err := audit.ParseTrust(c.Log.Trust, text)
	if err != nil {
		return nil, err
	}
	return t.Of(own[0].Name(), own...)
}

func (i *installation) tiles(ctx context.Context) (*storage.Folder, error) {
	b, err := i.store.Bucket(ctx, i.cfg.Log.Bucket)
	if err != nil {
		return nil, fmt.Errorf("the log's bucket: %w", err)
	}
	return b.Folder(i.prefix(), audit.Retention(i.cfg.Log.retain)), nil
}

// prefix is where the current shard of the log lies.
func (i *installation) prefix() string {
	if i.shard.N > 0 {
		return i.shard.Prefix
	}
	return i.cfg.Log.Prefix
}

// keyDir holds the signing keys of the current shard.
func (i *installation) keyDir() string { return i.shardKeys(i.shard.N) }

func (i *installation) shardKeys(n int64) string {
	if n == 0 {
		return i.cfg.Keys
	}
	return filepath.Join(i.cfg.Keys, fmt.Sprintf("shard-%d", n))
}

// loadPolicies reads all policies of a folder; every error of every file is shown at once.
func loadPolicies(dir string) ([]*policies.Policy, error) {
	files, err := policyFiles(dir)
	if err != nil {
		return nil, err
	}
	var out []*policies.Policy
	var errs []error
	names := map[string]string{}
	for _, f := range files {
		p, err := loadPolicy(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, ok := names[p.Name()]; ok {
			errs = append(errs, fmt.Errorf("%s: the policy %q is in %s already", f, p.Name(), other))
		}
		names[p.Name()] = f
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

func policyFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the folder of policies: %w", err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".yaml") && !strings.HasSuffix(e.Name(), ".test.yaml") && !e.IsDir() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

func loadPolicy(file string) (*policies.Policy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading a policy: %w", err)
	}
	doc, err := policies.Parse(file, text)
	if err != nil {
		return nil, err
	}
	return policies.Compile(doc)
}
