package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"earshot"
	"earshot/audit"
	"earshot/policies"
	"earshot/retention"
	"earshot/retention/work"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/embedded"

	"golang.org/x/mod/sumdb/note"
)

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
	sharing  *sharing    // nil where nothing bounds what is asked of the store
}

func (i *installation) close() {
	if i.queue != nil {
		i.queue.Close()
	}
	if i.sharing != nil {
		i.sharing.leave()
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

// credentials come from the environment or from files, never from flags. A tenant's come from files only, since all
// share the environment: another's keys may reach another's recordings.
func (c *Config) credentials() (access, secret string, err error) {
	access, secret = envOr("EARSHOT_ACCESS_KEY", c.Store.AccessKey), os.Getenv("EARSHOT_SECRET_KEY")
	if c.ofMany {
		if access, secret = c.Store.AccessKey, ""; c.Store.SecretKeyFile == "" || access == "" && c.Store.AccessKeyFile == "" {
			return "", "", errors.New("store credentials are missing: give a tenant's own as store.access_key (or access_key_file) and store.secret_key_file; $EARSHOT_ACCESS_KEY and $EARSHOT_SECRET_KEY are not used for tenants, which all share the environment")
		}
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
	o := retention.Options{
		Session: i.cfg.Hearing.session, Store: i.store, Catalog: i.db, Log: i.log, Tagger: i.keys.Tagger, SubjectKeys: i.subjects, Policies: i.policies, Layout: layout, Inventory: i.cfg.Inventory,
		Recent: i.cfg.Scan.recent, FullEvery: i.cfg.Scan.full,
		By: by, Producer: "earshot/" + version(), Spool: i.cfg.Spool, Workers: i.cfg.Workers, Logger: a.logger(), Progress: a.progress(),
	}
	if ears := i.cfg.ears(); ears != nil {
		o.Renew = ears.now
		if o.Ear, err = ears.now(); err != nil {
			return nil, err
		}
	}
	i.wake(&o)
	return retention.New(o)
}

// openKeys opens the catalog and the keys, and says how the log is to be opened.
func (a *app) openKeys(ctx context.Context, i *installation) (o audit.Options, err error) {
	if i.db, err = catalog.Open(ctx, catalog.Options{Path: i.cfg.Catalog}); err != nil {
		return o, err
	}
	if i.cfg.Store.Pace.bounded() {
		if i.sharing, err = joinSharing(ctx, i.db, i.options.Endpoint, i.store.Share, a.logger()); err != nil {
			return o, err
		}
	}
	if i.shard, err = i.db.Shard(ctx); err != nil {
		return o, err
	}
	if i.keys, err = audit.OpenShardKeys(i.cfg.Keys, i.keyDir()); err != nil {
		return o, err
	}
	if err = i.checkName(ctx); err != nil {
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

// checkName holds the names of the log's keys against the configuration and the catalog: with the keys of another
// installation, as in a copied folder, we would write to its log. log.origin may name any shard, not only the first.
func (i *installation) checkName(ctx context.Context) error {
	name := i.keys.Signer.Name()
	if i.shard.N > 0 && name != i.shard.Origin {
		return fmt.Errorf("the key in %s is of the log %q, and the catalog's current shard is %q: these keys belong to another installation, or are of another year", i.keyDir(), name, i.shard.Origin)
	}
	if i.cfg.Log.Origin == name {
		return nil
	}
	closed, err := i.db.Closed(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(closed, func(s catalog.Shard) bool { return s.Origin == i.cfg.Log.Origin }) {
		return nil
	}
	return fmt.Errorf("log.origin is %q, and the key in %s is of the log %q: a log keeps its name; if this folder is a copy, make an installation of its own with earshot init --origin %s", i.cfg.Log.Origin, i.keyDir(), name, i.cfg.Log.Origin)
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
