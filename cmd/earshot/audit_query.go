package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/audit/export"
	"earshot/storage/catalog"

	"github.com/spf13/cobra"
)

// query chooses entries of the log.
type query struct {
	kind, run, rule, action    string
	since, until               string
	recording, subject, keyFor string
	shard                      string
	after                      int64
	limit                      int64

	from, to time.Time
	given    int64 // entries that were handed on
	tags     *audit.Tagger
	name     string // what the tags are of: a recording's name or a subject's id
	label    string
	intents  map[string]bool // that were chosen, so that their outcomes are too
}

func (q *query) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&q.kind, "kind", "", "only entries of this kind (intent, outcome, ...)")
	f.StringVar(&q.run, "run", "", "only entries of this run")
	f.StringVar(&q.rule, "rule", "", "only intents by this rule, with their outcomes")
	f.StringVar(&q.action, "disposition", "", "only intents to delete, or to redact, with their outcomes")
	f.StringVar(&q.since, "since", "", "only from this time on (2026-01-31, or RFC 3339)")
	f.StringVar(&q.until, "until", "", "only before this time")
	f.StringVar(&q.recording, "recording", "", "only what was done to s3://BUCKET/KEY")
	f.StringVar(&q.subject, "subject", "", "only what speaks of this data subject (pseudonym)")
	f.StringVar(&q.keyFor, "subject-key", "", "only what speaks of the data subject whose key is in this file (earshot audit disclose)")
	f.StringVar(&q.shard, "shard", "", "only the tree of this name (default: all of them, or with --after the current one)")
	f.Int64Var(&q.after, "after", -1, "only entries behind this index: to page on within one tree")
	f.Int64Var(&q.limit, "limit", 0, "at most so many entries")
}

// prepare reads what the flags say. open gives the installation, for what takes more than the log.
func (q *query) prepare(ctx context.Context, open func() (*installation, error)) error {
	q.intents = map[string]bool{}
	if q.kind != "" && !slices.Contains(audit.Kinds(), audit.Kind(q.kind)) {
		return fmt.Errorf("%w: --kind %q: there are %s", errUsage, q.kind, strings.Trim(fmt.Sprint(audit.Kinds()), "[]"))
	}
	if q.action != "" && q.action != earshot.Delete.String() && q.action != earshot.Redact.String() {
		return fmt.Errorf("%w: --disposition %q: want delete or redact", errUsage, q.action)
	}
	for text, to := range map[*string]*time.Time{&q.since: &q.from, &q.until: &q.to} {
		if *text == "" {
			continue
		}
		at, err := time.Parse(time.DateOnly, *text)
		if err != nil {
			at, err = time.Parse(time.RFC3339, *text)
		}
		if err != nil {
			return fmt.Errorf("%w: %q is neither a date such as 2026-01-31 nor a time of RFC 3339", errUsage, *text)
		}
		*to = at
	}
	if q.limit < 0 {
		return fmt.Errorf("%w: --limit %d: want a number of entries, or 0 for all", errUsage, q.limit)
	}
	given := 0
	for _, s := range []string{q.recording, q.subject, q.keyFor} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return fmt.Errorf("%w: --recording, --subject and --subject-key exclude one another", errUsage)
	case given == 0:
		return nil
	case q.keyFor != "":
		return q.readDisclosure()
	}
	i, err := open()
	if err != nil {
		return err
	}
	if q.subject != "" {
		q.name, q.label = q.subject, "subject"
		q.tags, err = i.runner.SubjectTagger(ctx, earshot.SubjectID(q.subject))
		return err
	}
	bucket, key, err := parseS3URL(q.recording)
	if err != nil {
		return err
	}
	subject, err := i.subjectOf(ctx, bucket, key)
	if err != nil {
		return err
	}
	q.name, q.label = bucket+"/"+key, "recording"
	q.tags, err = i.runner.SubjectTagger(ctx, subject)
	return err
}

// subjectOf is the data subject under whose key a recording's tags are made. The row of one that was
// deleted has no facts any more; what was done to it says whose it was.
func (i *installation) subjectOf(ctx context.Context, bucket, key string) (earshot.SubjectID, error) {
	row, err := i.db.Recording(ctx, bucket, key)
	if err != nil || row.GoneAt.IsZero() {
		return row.Known.Recording.Subject, err
	}
	history, err := i.db.History(ctx, bucket, key)
	if err != nil || len(history) == 0 {
		return row.Known.Recording.Subject, err
	}
	return history[len(history)-1].Recording.Subject, nil
}

func (q *query) readDisclosure() error {
	text, err := os.ReadFile(q.keyFor)
	if err != nil {
		return fmt.Errorf("reading --subject-key: %w", err)
	}
	var d disclosure
	if err := json.Unmarshal(text, &d); err != nil || d.Schema != disclosureSchema || len(d.Key) < 32 {
		return fmt.Errorf("%w: --subject-key: that file is not of earshot audit disclose", errUsage)
	}
	t, err := audit.NewTagger(d.Key)
	if err != nil {
		return err
	}
	q.tags, q.name, q.label = t.Of(d.Key), d.Subject, "subject"
	return nil
}

// chooses reports whether an entry is asked for. It must see the entries in order.
func (q *query) chooses(index int64, e audit.Entry) bool {
	switch {
	case index <= q.after, q.kind != "" && string(e.Kind) != q.kind, q.run != "" && e.Run != q.run,
		!q.from.IsZero() && e.Time().Before(q.from), !q.to.IsZero() && !e.Time().Before(q.to):
		q.follow(e)
		return false
	}
	return q.follow(e)
}

// follow applies the conditions that an outcome inherits from its intent.
func (q *query) follow(e audit.Entry) bool {
	if q.rule == "" && q.action == "" && q.tags == nil {
		return true
	}
	switch {
	case e.Outcome != nil:
		return q.intents[e.Outcome.IntentID]
	case e.Verification != nil:
		return q.intents[e.Verification.OutcomeID]
	case q.tags != nil && !q.speaksOf(e):
		return false
	case e.Intent == nil:
		return q.rule == "" && q.action == ""
	case q.rule != "" && e.Intent.Rule != q.rule, q.action != "" && e.Intent.Action != q.action:
		return false
	}
	q.intents[e.ID] = true
	return true
}

func (q *query) speaksOf(e audit.Entry) bool {
	tag := q.tags.Tag(q.label, e.ID, q.name)
	switch {
	case e.Intent != nil:
		return e.Intent.Recording == tag || e.Intent.Subject == tag
	case e.Skip != nil:
		return e.Skip.Recording == tag
	case e.Request != nil:
		return e.Request.Subject == tag
	case e.SubjectKey != nil:
		return e.SubjectKey.Subject == tag
	}
	return false
}

// asked is the query as exports keep it: whose entries were asked for is not said.
func (q *query) asked() export.Query {
	out := export.Query{Kind: q.kind, Run: q.run, Rule: q.rule, Disposition: q.action, Behind: q.after + 1, Limit: q.limit}
	if !q.from.IsZero() {
		out.Since = q.from.UTC().Format(time.RFC3339)
	}
	if !q.to.IsZero() {
		out.Until = q.to.UTC().Format(time.RFC3339)
	}
	if q.tags != nil {
		out.Of = q.label
	}
	return out
}

// ask takes what an export was asked for; whose entries, the flags of q must say.
func (q *query) ask(e export.Query) error {
	q.kind, q.run, q.rule, q.action, q.after, q.limit = e.Kind, e.Run, e.Rule, e.Disposition, e.Behind-1, e.Limit
	for _, f := range []struct {
		text string
		to   *time.Time
	}{{e.Since, &q.from}, {e.Until, &q.to}} {
		if f.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, f.text)
		if err != nil {
			return fmt.Errorf("%w: the manifest's query: %w", errUsage, err)
		}
		*f.to = at
	}
	if q.tags != nil && q.label != e.Of {
		return fmt.Errorf("%w: the export was not asked for the entries of one %s", errUsage, q.label)
	}
	return nil
}

func (q *query) text() string {
	if a := q.asked(); a != (export.Query{}) {
		return a.String()
	}
	return ""
}

// tree is one shard of a log, with whom to believe of it.
type tree struct {
	*installation
	trust *audit.Trust
	link  *audit.ShardNote // what the genesis of the next one says of it; nil for the current one
}

// name is the tree's origin.
func (t tree) name() string { return t.trust.Origin() }

// previous gives the tree before one, from what its genesis says. The key of a closed tree is vouched
// for by that, which the current key has signed for.
func (t tree) previous(link *audit.ShardNote) (tree, error) {
	then := *t.installation
	then.shard = catalog.Shard{N: -1, Prefix: link.Prefix}
	then.cfg = &Config{Store: t.cfg.Store, Log: LogConfig{Bucket: t.cfg.Log.Bucket, Prefix: link.Prefix}}
	keys, err := readVKeys(link.VKey)
	if err != nil {
		return tree{}, err
	}
	old, err := t.trust.Of(link.Previous, keys...)
	return tree{&then, old, link}, err
}

// is checks that the tree is the one that the next one's genesis holds the head of.
func (t tree) is(c audit.Checkpoint) error {
	if t.link != nil && (c.Size != t.link.Size || hex.EncodeToString(c.Root[:]) != t.link.Root) {
		return fmt.Errorf("%w: closed shard %s: it has %d entries, and is not the tree that the next shard's genesis holds the head of", errUnverified, t.link.Previous, c.Size)
	}
	return nil
}

// trees follows a log back through its closed shards: the oldest first.
func (i *installation) trees(ctx context.Context, trust *audit.Trust) ([]tree, error) {
	out := []tree{{i, trust, nil}}
	for {
		tiles, err := out[0].tiles(ctx)
		if err != nil {
			return nil, err
		}
		signed, _, err := tiles.Get(ctx, "checkpoint")
		if err != nil {
			return nil, fmt.Errorf("reading the checkpoint: %w", err)
		}
		c, err := out[0].trust.Open(signed)
		if err != nil || c.Size == 0 {
			return out, err
		}
		p, err := audit.Prove(ctx, tiles, out[0].trust, 0)
		if err != nil {
			return nil, err
		}
		e, _, err := p.Verify(out[0].trust)
		if err != nil || e.Kind != audit.KindGenesis || e.Shard == nil {
			return out, err
		}
		before, err := out[0].previous(e.Shard)
		if err != nil {
			return nil, err
		}
		out = append([]tree{before}, out...)
	}
}

// choose gives the trees that are asked for.
func (q *query) choose(ctx context.Context, i *installation, trust *audit.Trust, single bool) ([]tree, error) {
	all, err := i.trees(ctx, trust)
	if err != nil {
		return nil, err
	}
	if q.shard == "" {
		if q.after >= 0 || single {
			return all[len(all)-1:], nil
		}
		return all, nil
	}
	var names []string
	for n, t := range all {
		if names = append(names, t.name()); t.name() == q.shard {
			return all[n : n+1], nil
		}
	}
	return nil, fmt.Errorf("%w: --shard %q: the log's trees are %s", errUsage, q.shard, strings.Join(names, ", "))
}

// readAll reads the trees that are asked for, the oldest first, and hands on their entries. It returns
// how many entries the trees have.
func (q *query) readAll(ctx context.Context, i *installation, trust *audit.Trust, each func(t tree, index int64, e audit.Entry, body []byte) error) (size int64, err error) {
	trees, err := q.choose(ctx, i, trust, false)
	if err != nil {
		return 0, err
	}
	for _, t := range trees {
		report, err := q.read(ctx, t.installation, t.trust, func(index int64, e audit.Entry, body []byte) error { return each(t, index, e, body) })
		if err == nil {
			err = t.is(report.Checkpoint)
		}
		if err != nil {
			return size, err
		}
		size += report.Checkpoint.Size
	}
	return size, nil
}

// read verifies the log and hands on the entries that are asked for. It returns what was found.
func (q *query) read(ctx context.Context, i *installation, trust *audit.Trust, each func(index int64, e audit.Entry, body []byte) error) (*audit.Report, error) {
	tiles, err := i.tiles(ctx)
	if err != nil {
		return nil, err
	}
	report, err := audit.VerifyAll(ctx, tiles, trust, audit.VerifyOptions{Visit: func(index int64, body []byte) error {
		e, err := audit.Parse(body)
		if err != nil || !q.chooses(index, e) || q.limit > 0 && q.given >= q.limit {
			return nil //nolint:nilerr // VerifyAll reports it
		}
		q.given++
		return each(index, e, body)
	}})
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return report, fmt.Errorf("%w: %s", errUnverified, strings.Join(report.Findings, "; "))
	}
	return report, nil
}
