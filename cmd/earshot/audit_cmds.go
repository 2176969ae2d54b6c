package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"earshot"
	"earshot/audit"

	"github.com/spf13/cobra"
)

func newAudit(a *app) *cobra.Command {
	return group("audit", "Read and verify the log, and draw certificates",
		newAuditLog(a), newAuditVerify(a), newAuditCertificate(a), newAuditExport(a), newAuditVerifyExport(a), newAuditSend(a),
		newAuditReconcile(a), newAuditConfirm(a), newAuditDisclose(a), newAuditWitness(a), newAuditRotate(a), newAuditNewShard(a), newAuditRecover(a))
}

// query chooses entries of the log.
type query struct {
	kind, run, rule, action    string
	since, until               string
	recording, subject, keyFor string
	after                      int64
	limit                      int64

	from, to time.Time
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
	f.Int64Var(&q.after, "after", -1, "only entries behind this index: to page on")
	f.Int64Var(&q.limit, "limit", 0, "at most so many entries")
}

// prepare reads what the flags say. open gives the installation, for what takes more than the log.
func (q *query) prepare(ctx context.Context, open func() (*installation, error)) error {
	q.intents = map[string]bool{}
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
	row, err := i.db.Recording(ctx, bucket, key)
	if err != nil {
		return err
	}
	q.name, q.label = bucket+"/"+key, "recording"
	q.tags, err = i.runner.SubjectTagger(ctx, row.Known.Recording.Subject)
	return err
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

func (q *query) text() string {
	var parts []string
	for _, f := range []struct{ name, value string }{
		{"kind", q.kind}, {"run", q.run}, {"rule", q.rule}, {"disposition", q.action}, {"since", q.since}, {"until", q.until},
	} {
		if f.value != "" {
			parts = append(parts, f.name+"="+f.value)
		}
	}
	if q.tags != nil {
		parts = append(parts, q.label+"=*") // whose is not said
	}
	return strings.Join(parts, " ")
}

// read verifies the log and hands on the entries that are asked for. It returns what was found.
func (q *query) read(ctx context.Context, i *installation, trust *audit.Trust, each func(index int64, e audit.Entry, body []byte) error) (*audit.Report, error) {
	tiles, err := i.tiles(ctx)
	if err != nil {
		return nil, err
	}
	n := int64(0)
	report, err := audit.VerifyAll(ctx, tiles, trust, audit.VerifyOptions{Visit: func(index int64, body []byte) error {
		e, err := audit.Parse(body)
		if err != nil || !q.chooses(index, e) || q.limit > 0 && n >= q.limit {
			return nil //nolint:nilerr // VerifyAll reports it
		}
		n++
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

func newAuditLog(a *app) *cobra.Command {
	var b believing
	var q query
	c := command("log", "Print the log's entries, one a line",
		`The entries are read from the log's bucket and the whole log is verified on the way. Page through a long one with
--limit and --after. That somebody read it is an entry too, except with --bucket, where an auditor reads without the
installation.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			whole, closeWhole := a.lazily(ctx)
			defer closeWhole()
			if err := q.prepare(ctx, whole); err != nil {
				return err
			}
			i, trust, err := a.openLog(ctx, b)
			if err != nil {
				return err
			}
			defer i.close()
			n := int64(0)
			report, err := q.read(ctx, i, trust, func(index int64, e audit.Entry, body []byte) error {
				n++
				return a.printEntry(index, e, body)
			})
			if err != nil || b.bucket != "" {
				return err
			}
			a.sayRead(ctx, whole, audit.KindRead, audit.Read{Entries: n, Size: report.Checkpoint.Size}, q.text())
			return nil
		})
	q.flags(c)
	b.flags(c)
	return c
}

// lazily opens the whole installation when it is first asked for.
func (a *app) lazily(ctx context.Context) (open func() (*installation, error), done func()) {
	var i *installation
	return func() (*installation, error) {
			var err error
			if i == nil {
				i, err = a.open(ctx)
			}
			return i, err
		}, func() {
			if i != nil {
				i.close()
			}
		}
}

// sayRead writes that somebody read the log. Where the log cannot be written (it halted, or another
// command writes) reading it must be possible all the same.
func (a *app) sayRead(ctx context.Context, open func() (*installation, error), kind audit.Kind, r audit.Read, query string) {
	i, err := open()
	if err == nil {
		err = i.runner.SayRead(ctx, kind, r, query)
	}
	if err != nil {
		a.say("earshot: that the log was read could not be written down: %s", oneLine(err))
	}
}

func (a *app) printEntry(index int64, e audit.Entry, body []byte) error {
	return a.emit(struct {
		Index int64           `json:"index"`
		Entry json.RawMessage `json:"entry"`
	}{index, body}, func(w io.Writer) {
		fmt.Fprintf(w, "%8d  %s  %-16s %s\n", index, e.Time().Format("2006-01-02 15:04:05.000"), e.Kind, entryText(e))
	})
}

func entryText(e audit.Entry) string {
	switch {
	case e.Intent != nil:
		return fmt.Sprintf("%s rec %.8s by %s, %s", e.Intent.Action, e.Intent.Recording, e.Intent.Rule, e.Run)
	case e.Outcome != nil:
		return fmt.Sprintf("%s %s, %d copies gone, %s", e.Outcome.Result, e.Outcome.Code, e.Outcome.CopiesGone, e.Run)
	case e.Skip != nil:
		return fmt.Sprintf("rec %.8s skipped: %s, %s", e.Skip.Recording, e.Skip.Code, e.Run)
	case e.Plan != nil:
		return fmt.Sprintf("%d delete, %d redact of %d, digest %.12s, %s", e.Plan.Delete, e.Plan.Redact, e.Plan.Considered, e.Plan.Digest, e.Run)
	case e.Finished != nil:
		return fmt.Sprintf("%d due, %d done, %d skipped, %d failed, %s", e.Finished.Due, e.Finished.Done, e.Finished.Skipped, e.Finished.Failed, e.Run)
	case e.Policy != nil:
		return fmt.Sprintf("%s %.12s", e.Policy.Name, e.Policy.SHA256)
	case e.Approval != nil:
		return fmt.Sprintf("digest %.12s, %s", e.Approval.Digest, e.Run)
	case e.Gap != nil:
		return fmt.Sprintf("no quorum of witnesses since the tree of %d entries", e.Gap.Cosigned)
	case e.Orphan != nil:
		return fmt.Sprintf("%s of an abandoned attempt was written over", e.Orphan.Tile)
	case e.Recovered != nil:
		return fmt.Sprintf("after a restore: %d taken over, %d numbered anew, %d lost intents closed, %d holds LOST", e.Recovered.Adopted, e.Recovered.Renumbered, e.Recovered.Answered, e.Recovered.HoldsLost)
	case e.Reviewed != nil:
		return fmt.Sprintf("%d lost things reviewed", len(e.Reviewed.Entries))
	case e.Shard != nil && e.Shard.Next != "":
		return "the log goes on in " + e.Shard.Next
	case e.Shard != nil:
		return fmt.Sprintf("the log goes on from %s, which closed with %d entries", e.Shard.Previous, e.Shard.Size)
	case e.Rotation != nil:
		return "new key " + e.Rotation.New
	case e.Read != nil:
		return fmt.Sprintf("%d entries of %d %s", e.Read.Entries, e.Read.Size, e.Read.Format)
	case e.Inventory != nil:
		return fmt.Sprintf("%d versions, %d bytes, root %.12s", e.Inventory.Versions, e.Inventory.Bytes, e.Inventory.Root)
	case e.Reconcile != nil && e.Reconcile.Lost:
		return "the last inventory is LOST or altered"
	case e.Reconcile != nil:
		return fmt.Sprintf("%d appeared, %d explained, %d VANISHED, %d changed, %d hidden", e.Reconcile.Appeared, e.Reconcile.Explained, e.Reconcile.Vanished, e.Reconcile.Changed, e.Reconcile.Hidden)
	case e.Verification != nil:
		return fmt.Sprintf("%s by %s, %d versions left, %s", e.Verification.Result, e.Verification.Verifier, e.Verification.Left, e.Run)
	}
	return ""
}
