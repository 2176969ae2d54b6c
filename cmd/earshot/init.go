package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"earshot/audit"
	"earshot/policies/packs"
	"earshot/storage"
	"earshot/storage/catalog"

	"github.com/spf13/cobra"
)

// configTemplate is the configuration that init writes; its comments are the manual.
const configTemplate = `# Configuration of earshot. Relative paths count from this file's folder.
store:
%s
%s
keys: keys            # the log's signing key and the key of its pseudonyms; keep backups of it, apart
log:
  bucket: %s # better in another account, with object lock
  origin: %s
  # retain: 2190d     # COMPLIANCE retention of everything written to it; nobody can shorten it
policies: policies    # every .yaml in it is in force
spool: spool          # sound under redaction; files there have no names and go with the process

# Which object is what. {id}, {subject}, {device}, {locale}, {source}, {coding} stand for one part of
# the path, {captured:2006/01/02} for a date in Go's notation, {any} for anything.
layout:
  recording: "clips/{subject}/{device}/{captured:2006/01/02}/{id}.{coding}"
  companions:
    event:      {key: "events/{id}.json"}
    transcript: {key: "transcripts/{id}.json"}
    voiceprint: {key: "voiceprints/{subject}/{id}.bin"}
  # Event logs: a row for each event, as JSON Lines or CSV, plain or gzipped. Rules on rows speak of them.
  # events:
  #   motion: {key: "eventlogs/motion/{any}.jsonl.gz", time: at, subject: household, device: device.id}
  #   app:    {key: "eventlogs/app/{any}.csv", time: when, subject: account, time_layout: unix}
  # Names of object metadata (x-amz-meta-...) or tags that carry facts; these are the defaults.
  metadata: {captured: captured-at, subject: subject, device: device, locale: locale, source: source}
# keep_metadata: [firmware]   # further metadata that survives a redaction
# workers: 8
# scan: {recent: 2d, full: 7d}   # scheduled runs list the folders of recent days, and everything once a week
# listen: 127.0.0.1:8470      # health and readiness of earshot serve
`

const defaultLogBucket = "earshot-log"

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

type initOptions struct {
	endpoint, region, origin, bucket string
	catalog, subjectKeys, lock       string
	logBucket                        string // default earshot-log
	deaf                             bool   // no detector: what devices wrote is all there is
	packs                            []string
}

func newInit(a *app) *cobra.Command {
	var o initOptions
	var ask bool
	c := command("init DIR", "Make an installation: configuration, catalog, keys, log and a first policy",
		`Without --endpoint the installation has its own S3 server on a folder. Nothing that exists is overwritten.
With --endpoint the credentials are read from $EARSHOT_ACCESS_KEY and $EARSHOT_SECRET_KEY, or later from the
files that the configuration names.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if ask {
				var err error
				if o.packs, err = askPacks(a.in, a.err); err != nil {
					return err
				}
			}
			if err := a.initialise(cmd.Context(), args[0], o); err != nil {
				return err
			}
			a.say("made %s\nnext: put your policies into %s, then earshot --config %s doctor",
				args[0], filepath.Join(args[0], "policies"), filepath.Join(args[0], "earshot.yaml"))
			return nil
		})
	c.Flags().BoolVar(&ask, "ask", false, "ask what applies and compose the first policies from packs")
	c.Flags().StringVar(&o.endpoint, "endpoint", "", "S3 endpoint, such as https://s3.example.org (default: an embedded store)")
	c.Flags().StringVar(&o.region, "region", "", "the endpoint's region")
	c.Flags().StringVar(&o.origin, "origin", "earshot.local/log", "name of the log, such as example.org/earshot/2026")
	c.Flags().StringVar(&o.logBucket, "log-bucket", defaultLogBucket, "bucket of the log; each installation on an endpoint has its own")
	c.Flags().StringVar(&o.lock, "log-lock", "", "database: for a store that ignores If-Match and If-None-Match; every certificate will say so")
	c.Flags().StringVar(&o.catalog, "catalog", "", "URL of a PostgreSQL database for the catalog (default: an SQLite file)")
	c.Flags().StringVar(&o.subjectKeys, "subject-keys", "", "URL of another PostgreSQL database, for data subjects' keys")
	c.Flags().StringVar(&o.bucket, "bucket", "voice", "bucket that the first policies speak of")
	c.Flags().StringSliceVar(&o.packs, "pack", []string{"voice-assistant"}, "policy packs to begin with (earshot policy packs lists them)")
	return c
}

func (a *app) initialise(ctx context.Context, dir string, o initOptions) error {
	if (o.catalog == "") != (o.subjectKeys == "") {
		return fmt.Errorf("%w: --catalog and --subject-keys go together: the keys of data subjects belong in a database that is not backed up with the catalog", errUsage)
	}
	if err := audit.CheckOrigin(o.origin); err != nil {
		return fmt.Errorf("%w: --origin: %w", errUsage, err)
	}
	if o.lock != "" && o.lock != "database" {
		return fmt.Errorf("%w: --log-lock %q: want database, or nothing", errUsage, o.lock)
	}
	if o.logBucket == "" {
		o.logBucket = defaultLogBucket
	}
	if !bucketName.MatchString(o.logBucket) {
		return fmt.Errorf("%w: --log-bucket: %q is no name of a bucket: 3 to 63 small letters, digits, dots and hyphens", errUsage, o.logBucket)
	}
	path := filepath.Join(dir, "earshot.yaml")
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s exists already; init changes nothing", path)
	}
	_, statErr := os.Stat(dir)
	existed := statErr == nil
	for _, d := range []string{dir, filepath.Join(dir, "policies"), filepath.Join(dir, "spool")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("making the installation's folder: %w", err)
		}
	}
	for _, name := range o.packs {
		policy, cases, err := packs.Open(name)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		text := withBucket(string(policy), o.bucket)
		if err := writeNew(filepath.Join(dir, "policies", name+".yaml"), text); err != nil {
			return err
		}
		if err := writeNew(filepath.Join(dir, "policies", name+".test.yaml"), string(cases)); err != nil {
			return err
		}
	}
	if err := writeNew(path, o.configText()); err != nil {
		return err
	}
	a.configPath = path
	if err := a.createLog(ctx, o.origin); err != nil {
		if !existed { // half an installation is none
			err = errors.Join(err, os.RemoveAll(dir))
		}
		if errors.Is(err, storage.ErrNotFound) {
			err = fmt.Errorf("%w: make the bucket %s first, with object lock and so with versions, and call init again", err, o.logBucket)
		}
		if errors.Is(err, audit.ErrExists) {
			err = fmt.Errorf("%w: the bucket %s is another installation's, whose log nobody else may write to: make a bucket of this one's own, and name it with --log-bucket", err, o.logBucket)
		}
		return err
	}
	return nil
}

// configText is the configuration of a new installation.
func (o initOptions) configText() string {
	store := "  embedded: store"
	if o.endpoint != "" {
		store = "  endpoint: " + o.endpoint + "\n  access_key_file: access.key\n  secret_key_file: secret.key"
		if o.region != "" {
			store += "\n  region: " + o.region
		}
	}
	database := "catalog: catalog.db"
	if o.catalog != "" {
		database = fmt.Sprintf("catalog: %q\nsubject_keys: %q", o.catalog, o.subjectKeys)
	}
	text := fmt.Sprintf(configTemplate, store, database, o.logBucket, o.origin)
	if o.lock != "" {
		text = strings.Replace(text, "  # retain:", "  lock: "+o.lock+"\n  # retain:", 1)
	}
	if o.deaf {
		text += "hearing: {detector: none}\n"
	} else {
		text += "# hearing: {detector: built-in, child: protective, longest: 30m, session: 2m}   # or none: only what devices wrote counts\n"
	}
	if slices.Contains(o.packs, "doorbell-events") {
		text = strings.NewReplacer("  # events:", "  events:", "  #   motion:", "    motion:", "  #   app:   ", "    app:   ").Replace(text)
	}
	return text
}

func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// createLog makes the keys, the catalog, the log's bucket and the empty log.
func (a *app) createLog(ctx context.Context, origin string) error {
	i, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	if i.keys, err = audit.CreateKeys(i.cfg.Keys, origin); err != nil {
		return err
	}
	if i.cfg.Store.Embedded != "" {
		if err := i.store.MakeBucket(ctx, i.cfg.Log.Bucket, true, true); err != nil {
			return err
		}
	}
	tiles, err := i.tiles(ctx)
	if err != nil {
		return err
	}
	if err := audit.Vacant(ctx, tiles); err != nil {
		return err
	}
	if i.cfg.Log.Lock != "database" {
		if err := audit.Probe(ctx, tiles); err != nil {
			return err
		}
	}
	// After all that may be amiss with the store: a database is not taken back, and init would not go on with it.
	if i.db, err = catalog.Create(ctx, catalog.Options{Path: i.cfg.Catalog}); err != nil {
		return err
	}
	_, err = audit.Create(ctx, audit.Options{Tiles: tiles, Head: i.db.Head(), Signer: i.keys.Signer, Verifier: i.keys.Verifier, Lock: i.logLock()})
	return err
}
