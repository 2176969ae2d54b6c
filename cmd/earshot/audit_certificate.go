package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention"

	"github.com/spf13/cobra"
)

func newAuditCertificate(a *app) *cobra.Command {
	var d drawing
	c := command("certificate [s3://BUCKET/KEY]", "Draw certificates of destruction or redaction",
		`For one recording (the last thing that was done to it), for everything that a run did, or for everything that was
done to a data subject's recordings since a request was filed. With --out a folder is filled with a file each, as JSON
and as a page to print; the JSON is the certificate. A certificate names the recording; the log does not.`, cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if d.recording != "" {
					return fmt.Errorf("%w: the recording is named twice", errUsage)
				}
				d.recording = args[0]
			}
			given := 0
			for _, s := range []string{d.recording, d.run, d.request} {
				if s != "" {
					given++
				}
			}
			if given != 1 {
				return fmt.Errorf("%w: name a recording, a run with --run or a request with --request", errUsage)
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			actions, err := d.actions(cmd.Context(), i)
			if err != nil {
				return err
			}
			for _, action := range actions {
				if d.seq >= 0 && action.Seq != d.seq {
					continue
				}
				if err := a.drawCertificate(cmd.Context(), i, action, d); err != nil {
					return err
				}
			}
			return nil
		})
	f := c.Flags()
	f.StringVar(&d.recording, "recording", "", "the recording, as s3://BUCKET/KEY")
	f.StringVar(&d.run, "run", "", "certificates of everything that this run did")
	f.IntVar(&d.seq, "seq", -1, "of the run only the action with this number")
	f.StringVar(&d.request, "request", "", "certificates of everything done to the data subject's recordings since this request")
	f.StringVar(&d.out, "out", "", "folder for the files (default: one certificate to stdout)")
	f.BoolVar(&d.open, "open", false, "put the data subject's key in, so that a certificate proves which recording it is about (for the person's own hands)")
	f.StringVar(&d.issuer, "issuer", "", "who issues the certificates, for people to read")
	return c
}

// drawing says of what certificates are to be drawn.
type drawing struct {
	recording, run, request, out, issuer string
	seq                                  int
	open                                 bool
}

func (d *drawing) actions(ctx context.Context, i *installation) ([]earshot.Action, error) {
	switch {
	case d.recording != "":
		return i.lastAction(ctx, d.recording)
	case d.run != "":
		actions, err := i.db.Actions(ctx, earshot.RunID(d.run), earshot.ActionDone, 0, 1<<30)
		if err == nil && len(actions) == 0 {
			_, err = i.db.Run(ctx, earshot.RunID(d.run))
		}
		return actions, err
	}
	q, err := i.db.Request(ctx, d.request)
	if err != nil {
		return nil, err
	}
	var out []earshot.Action
	for a, err := range i.db.Acted(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if a.State == earshot.ActionDone && a.Recording.Subject == q.Subject && !a.SettledAt.Before(q.MadeAt) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("nothing has been done to that person's recordings since %s: there is nothing to certify", q.MadeAt.Format(time.DateTime))
	}
	return out, nil
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

func (i *installation) certify(ctx context.Context, action earshot.Action, d drawing) (audit.Certificate, error) {
	intent, outcome, ok, err := i.db.Places(ctx, action.Run, action.Seq)
	if err != nil {
		return audit.Certificate{}, err
	}
	if !ok {
		return audit.Certificate{}, fmt.Errorf("action %s has no intent and outcome in the log yet", action.ID())
	}
	then, trust, first, err := i.at(ctx, intent)
	if err != nil {
		return audit.Certificate{}, err
	}
	base := intent - first
	s := audit.Subject{
		VKey: then.keys.VKey, Issuer: d.issuer, Intent: first, Outcome: outcome - base, Residuals: i.cfg.Residuals,
		Opening: &audit.Opening{Bucket: action.Recording.ID.Bucket, Key: action.Recording.ID.Key},
	}
	if d.open {
		if action.Recording.Subject == "" {
			return audit.Certificate{}, fmt.Errorf("%w: --open: that recording has no data subject, and so no key of its own", errUsage)
		}
		if s.Opening.TagKey, err = i.runner.DiscloseKey(ctx, action.Recording.Subject, "certificate"); err != nil {
			return audit.Certificate{}, err
		}
	}
	for _, verifier := range []string{sameCredentials, ownCredentials} {
		for _, id := range retention.VerificationIDs(action, verifier) {
			at, ok, err := i.db.Head().Index(ctx, id)
			if err != nil {
				return audit.Certificate{}, err
			}
			if ok && base == i.shard.Base { // one from a later shard has another log's proof
				s.Verification = &at
				break
			}
		}
	}
	tiles, err := then.tiles(ctx)
	if err != nil {
		return audit.Certificate{}, err
	}
	return audit.Certify(ctx, tiles, trust, time.Now(), s)
}

func (a *app) drawCertificate(ctx context.Context, i *installation, action earshot.Action, d drawing) error {
	out := d.out
	c, err := i.certify(ctx, action, d)
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
	keys, err := readVKeys(c.VKey)
	if err != nil {
		return err
	}
	trust, err := i.cfg.trust(keys...)
	if err != nil {
		return err
	}
	page, err := c.HTML(trust)
	if err != nil {
		return err
	}
	if err := os.WriteFile(strings.TrimSuffix(name, ".json")+".html", page, 0o600); err != nil {
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
