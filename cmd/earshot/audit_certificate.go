package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"earshot"
	"earshot/audit"
	"earshot/retention"

	"github.com/spf13/cobra"
)

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
	s := audit.Subject{
		VKey: i.keys.VKey, Issuer: issuer, Intent: intent, Outcome: outcome, Residuals: i.cfg.Residuals,
		Opening: &audit.Opening{Bucket: action.Recording.ID.Bucket, Key: action.Recording.ID.Key},
	}
	for _, verifier := range []string{sameCredentials, ownCredentials} {
		at, ok, err := i.db.Head().Index(ctx, retention.VerificationID(action, verifier))
		if err != nil {
			return audit.Certificate{}, err
		}
		if ok {
			s.Verification = &at
		}
	}
	return i.log.Certify(ctx, s)
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
