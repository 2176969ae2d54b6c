package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"earshot/audit"

	"github.com/spf13/cobra"
)

func newAudit(a *app) *cobra.Command {
	return group("audit", "Read and verify the log, and draw certificates",
		newAuditLog(a), newAuditVerify(a), newAuditCertificate(a), newAuditExport(a), newAuditVerifyExport(a), newAuditSend(a),
		newAuditReconcile(a), newAuditConfirm(a), newAuditDisclose(a), newAuditWitness(a), newAuditRotate(a), newAuditNewShard(a), newAuditRecover(a))
}

func newAuditLog(a *app) *cobra.Command {
	var b believing
	var q query
	c := command("log", "Print the log's entries, one a line",
		`The entries are read from the log's bucket and the whole log is verified on the way, with its closed trees: the oldest
comes first. Page through a long one with --limit and --after, within one tree. That somebody read it is an entry too, except with --bucket, where an auditor reads without the
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
			last := trust.Origin()
			size, err := q.readAll(ctx, i, trust, func(t tree, index int64, e audit.Entry, body []byte) error {
				if t.name() != last {
					last = t.name()
					a.say("in %s:", last)
				}
				return a.printEntry(last, index, e, body)
			})
			if err != nil || b.bucket != "" {
				return err
			}
			a.sayRead(ctx, whole, audit.KindRead, audit.Read{Entries: q.given, Size: size}, q.text())
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

func (a *app) printEntry(log string, index int64, e audit.Entry, body []byte) error {
	return a.emit(struct {
		Log   string          `json:"log"`
		Index int64           `json:"index"`
		Entry json.RawMessage `json:"entry"`
	}{log, index, body}, func(w io.Writer) {
		fmt.Fprintf(w, "%8d  %s  %-16s %s\n", index, e.Time().Format("2006-01-02 15:04:05.000"), e.Kind, entryText(e))
	})
}

func entryText(e audit.Entry) string {
	switch {
	case e.Intent != nil:
		return fmt.Sprintf("%s rec %.8s by %s, %s", e.Intent.Action, e.Intent.Recording, e.Intent.Rule, e.Run)
	case e.Outcome != nil:
		rows := ""
		if o := e.Outcome; o.RowsGone+o.RowsChanged > 0 {
			rows = fmt.Sprintf("%d rows gone, %d changed, ", o.RowsGone, o.RowsChanged)
		}
		return fmt.Sprintf("%s %s, %d copies gone, %s%s", e.Outcome.Result, e.Outcome.Code, e.Outcome.CopiesGone, rows, e.Run)
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
