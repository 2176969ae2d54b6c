package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/policies"
	"earshot/retention"

	"github.com/goccy/go-yaml"
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
	// Inventory is the folder of the lists of what the store held last; default inventory. Where several
	// machines share a catalog, the one that took the last inventory takes the next.
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
	set(&c.Log.Bucket, defaultLogBucket)
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
