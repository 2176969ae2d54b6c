package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"earshot"
	"earshot/audit"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

func newAudit(a *app) *cobra.Command {
	return group("audit", "Read and verify the log, and draw certificates", newAuditLog(a), newAuditVerify(a), newAuditCertificate(a))
}

func newAuditLog(a *app) *cobra.Command {
	var kind, run string
	c := command("log", "Print the log's entries, one a line", "The entries are read from the log's bucket and verified on the way.", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			i, verifier, err := a.openLog(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			tiles, err := i.tiles(cmd.Context())
			if err != nil {
				return err
			}
			report, err := audit.VerifyAll(cmd.Context(), tiles, verifier, audit.VerifyOptions{Visit: func(index int64, body []byte) error {
				return a.printEntry(index, body, kind, run)
			}})
			if err != nil {
				return err
			}
			if !report.OK() {
				return fmt.Errorf("%w: %s", errUnverified, strings.Join(report.Findings, "; "))
			}
			return nil
		})
	c.Flags().StringVar(&kind, "kind", "", "only entries of this kind (intent, outcome, ...)")
	c.Flags().StringVar(&run, "run", "", "only entries of this run")
	return c
}

func (a *app) printEntry(index int64, body []byte, kind, run string) error {
	e, err := audit.Parse(body)
	if err != nil {
		return nil // VerifyAll reports it
	}
	if kind != "" && string(e.Kind) != kind || run != "" && e.Run != run {
		return nil
	}
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
		return fmt.Sprintf("%s rec %s by %s, %s", e.Intent.Action, e.Intent.Recording[:8], e.Intent.Rule, e.Run)
	case e.Outcome != nil:
		return fmt.Sprintf("%s %s, %d copies gone, %s", e.Outcome.Result, e.Outcome.Code, e.Outcome.CopiesGone, e.Run)
	case e.Skip != nil:
		return fmt.Sprintf("rec %s skipped: %s, %s", e.Skip.Recording[:8], e.Skip.Code, e.Run)
	case e.Plan != nil:
		return fmt.Sprintf("%d delete, %d redact of %d, digest %.12s, %s", e.Plan.Delete, e.Plan.Redact, e.Plan.Considered, e.Plan.Digest, e.Run)
	case e.Finished != nil:
		return fmt.Sprintf("%d done, %d skipped, %d failed, %s", e.Finished.Done, e.Finished.Skipped, e.Finished.Failed, e.Run)
	case e.Policy != nil:
		return fmt.Sprintf("%s %.12s", e.Policy.Name, e.Policy.SHA256)
	case e.Approval != nil:
		return fmt.Sprintf("digest %.12s, %s", e.Approval.Digest, e.Run)
	}
	return ""
}

// openLog connects to the store and reads the log's public key: all that verifying takes.
func (a *app) openLog(ctx context.Context) (*installation, note.Verifier, error) {
	i, err := a.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(filepath.Join(i.cfg.Keys, "log.vkey"))
	if err != nil {
		i.close()
		return nil, nil, fmt.Errorf("reading the log's public key: %w", err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		i.close()
		return nil, nil, fmt.Errorf("reading the log's public key: %w", err)
	}
	return i, verifier, nil
}

// seenFile keeps the checkpoint that audit verify saw last, so that a history that was rewritten
// or shortened since is found out.
const seenFile = "last-seen.checkpoint"

func newAuditVerify(a *app) *cobra.Command {
	var vkey, state string
	c := command("verify [CERTIFICATE.json]", "Verify the whole log from its bucket alone, or one certificate offline",
		`Without an argument every entry, tile and checkpoint in the log's bucket is checked, and that the log still
holds what was seen at the last visit. With a certificate nothing but the file is needed, and the log's public
key by --vkey: a key, or a file that holds it. Without --vkey the key that the certificate itself states is
used; compare it with the one that you were given.`, cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.verifyCertificate(args[0], vkey)
			}
			return a.verifyLog(cmd.Context(), vkey, state)
		})
	c.Flags().StringVar(&vkey, "vkey", "", "the log's public key, or a file that holds it")
	c.Flags().StringVar(&state, "state", "", "file that keeps the checkpoint seen last (default: beside the keys)")
	return c
}

func readVKey(vkey string) (note.Verifier, error) {
	if text, err := os.ReadFile(vkey); err == nil {
		vkey = string(text)
	}
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return nil, fmt.Errorf("%w: --vkey is neither a key nor a file that holds one: %w", errUsage, err)
	}
	return v, nil
}

func (a *app) verifyLog(ctx context.Context, vkey, state string) error {
	i, verifier, err := a.openLog(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	if vkey != "" {
		if verifier, err = readVKey(vkey); err != nil {
			return err
		}
	}
	if state == "" {
		state = filepath.Join(i.cfg.Keys, seenFile)
	}
	report, err := i.verify(ctx, verifier, state)
	if err != nil {
		return err
	}
	if err := a.emit(report, func(w io.Writer) { printReport(w, report) }); err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("%w: %d finding(s)", errUnverified, len(report.Findings))
	}
	return nil
}

// verify checks the log and keeps its checkpoint for the next time.
func (i *installation) verify(ctx context.Context, verifier note.Verifier, state string) (*audit.Report, error) {
	tiles, err := i.tiles(ctx)
	if err != nil {
		return nil, err
	}
	last, err := os.ReadFile(state)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the checkpoint seen last: %w", err)
	}
	report, err := audit.VerifyAll(ctx, tiles, verifier, audit.VerifyOptions{LastSeen: last})
	if err != nil || !report.OK() {
		return report, err
	}
	return report, os.WriteFile(state, report.Signed, 0o600)
}

func printReport(w io.Writer, r *audit.Report) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "FOUND: %s\n", f)
	}
	if !r.OK() {
		fmt.Fprintln(w, "the log does NOT verify: believe nothing in it, and find out who could write to its bucket")
		return
	}
	fmt.Fprintf(w, "the log %s verifies: %d entries under one signed checkpoint, %d objects compared\n", r.Checkpoint.Origin, r.Entries, r.Objects)
	fmt.Fprintf(w, "%d intents, %d outcomes, %d intents without an outcome yet\n", r.Intents, r.Outcomes, r.Open)
}

func (a *app) verifyCertificate(file, vkey string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	c, err := audit.ParseCertificate(text)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnverified, err)
	}
	stated := vkey == ""
	if stated {
		vkey = c.VKey
	}
	verifier, err := readVKey(vkey)
	if err != nil {
		return err
	}
	v, err := c.Verify(verifier)
	if err != nil {
		return err
	}
	return a.emit(map[string]any{"verified": true, "title": v.Title(), "wording": v.Wording(), "log": c.Log, "entries": v.Checkpoint.Size, "vkey_from_certificate": stated}, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n%s\n", v.Title(), v.Wording())
		fmt.Fprintf(w, "the log %s holds both entries under its checkpoint of %d entries\n", c.Log, v.Checkpoint.Size)
		if stated {
			fmt.Fprintf(w, "the key is the one that the certificate states: compare it with the one that you were given\n  %s\n", c.VKey)
		}
	})
}

func newAuditCertificate(a *app) *cobra.Command {
	var run, out, issuer string
	var seq int
	c := command("certificate [s3://BUCKET/KEY]", "Draw certificates of destruction or redaction",
		`For one recording (the last thing that was done to it), or with --run for a whole run (a file each, into
--out). A certificate names the recording; the log does not.`, cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (run != "") {
				return fmt.Errorf("%w: name a recording, or a run with --run", errUsage)
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			var actions []earshot.Action
			if run != "" {
				actions, err = i.db.Actions(cmd.Context(), earshot.RunID(run), earshot.ActionDone, 0, 1<<30)
				if err == nil && len(actions) == 0 {
					_, err = i.db.Run(cmd.Context(), earshot.RunID(run))
				}
			} else {
				actions, err = i.lastAction(cmd.Context(), args[0])
			}
			if err != nil {
				return err
			}
			for _, action := range actions {
				if seq >= 0 && action.Seq != seq {
					continue
				}
				if err := a.drawCertificate(cmd.Context(), i, action, issuer, out); err != nil {
					return err
				}
			}
			return nil
		})
	c.Flags().StringVar(&run, "run", "", "certificates of everything that this run did")
	c.Flags().IntVar(&seq, "seq", -1, "of the run only the action with this number")
	c.Flags().StringVar(&out, "out", "", "folder for the files (default: one certificate to stdout)")
	c.Flags().StringVar(&issuer, "issuer", "", "who issues the certificates, for people to read")
	return c
}

func (i *installation) lastAction(ctx context.Context, url string) ([]earshot.Action, error) {
	bucket, key, err := parseS3URL(url)
	if err != nil {
		return nil, err
	}
	history, err := i.db.History(ctx, bucket, key)
	if err != nil {
		return nil, err
	}
	for n := len(history) - 1; n >= 0; n-- {
		if history[n].State == earshot.ActionDone {
			return history[n : n+1], nil
		}
	}
	return nil, fmt.Errorf("nothing was done to that recording by a run: there is nothing to certify")
}

func (i *installation) certify(ctx context.Context, action earshot.Action, issuer string) (audit.Certificate, error) {
	intent, outcome, ok, err := i.db.Places(ctx, action.Run, action.Seq)
	if err != nil {
		return audit.Certificate{}, err
	}
	if !ok {
		return audit.Certificate{}, fmt.Errorf("action %s has no intent and outcome in the log yet", action.ID())
	}
	return i.log.Certify(ctx, i.keys.VKey, issuer, intent, outcome, &audit.Opening{Bucket: action.Recording.ID.Bucket, Key: action.Recording.ID.Key})
}

func (a *app) drawCertificate(ctx context.Context, i *installation, action earshot.Action, issuer, out string) error {
	c, err := i.certify(ctx, action, issuer)
	if err != nil {
		return err
	}
	text, err := c.JSON()
	if err != nil {
		return err
	}
	if out == "" {
		_, err = a.out.Write(text)
		return err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return fmt.Errorf("making the folder of certificates: %w", err)
	}
	name := filepath.Join(out, fmt.Sprintf("%s-%d.json", action.Run, action.Seq))
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	return a.emit(map[string]string{"file": name}, func(w io.Writer) { fmt.Fprintln(w, name) })
}

// parseS3URL splits s3://BUCKET/KEY.
func parseS3URL(url string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(url, "s3://")
	bucket, key, found := strings.Cut(rest, "/")
	if !ok || !found || bucket == "" || key == "" {
		return "", "", fmt.Errorf("%w: %q: want s3://BUCKET/KEY", errUsage, url)
	}
	return bucket, key, nil
}
