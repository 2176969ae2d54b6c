package main

import (
	"context"
	"errors"
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
			drawn, against := 0, 0
			for _, action := range actions {
				if d.seq >= 0 && action.Seq != d.seq {
					continue
				}
				contradicted, err := a.drawCertificate(cmd.Context(), i, action, d)
				if err != nil {
					return err
				}
				if drawn++; contradicted {
					against++
				}
			}
			switch {
			case drawn == 0:
				return fmt.Errorf("%w: there is nothing to certify: the run brought no such action to its end", errUsage)
			case against > 0:
				return fmt.Errorf("%w: %d of %d action(s) are contradicted by a later look at the store, and the documents say so", errUnverified, against, drawn)
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
	f.StringVar(&d.issuer.Name, "issuer", "", "who issues the certificates, for people to read")
	f.StringVar(&d.issuer.Contact, "contact", "", "how to reach the issuer")
	f.StringVar(&d.issuer.DPO, "dpo", "", "the issuer's data protection officer")
	return c
}

// drawing says of what certificates are to be drawn.
type drawing struct {
	recording, run, request, out string
	issuer                       audit.Issuer
	seq                          int
	open                         bool
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
		VKey: then.keys.VKey, Issuer: d.issuer, Intent: first, Outcome: outcome - base, Residuals: i.cfg.Residuals, Trust: i.cfg.trustDigest(),
		Opening: &audit.Opening{Bucket: action.Recording.ID.Bucket, Key: action.Recording.ID.Key},
		Place: &audit.Place{
			Endpoint: i.options.Endpoint, Region: i.options.Region, Bucket: action.Recording.ID.Bucket, Copies: i.cfg.Layout.Copies[action.Recording.ID.Bucket],
		},
	}
	if d.open {
		if action.Recording.Subject == "" {
			return audit.Certificate{}, fmt.Errorf("%w: --open: that recording has no data subject, and so no key of its own", errUsage)
		}
		if s.Opening.TagKey, err = i.runner.DiscloseKey(ctx, action.Recording.Subject, "certificate"); err != nil {
			return audit.Certificate{}, err
		}
	}
	tiles, err := then.tiles(ctx)
	if err != nil {
		return audit.Certificate{}, err
	}
	signed, _, err := tiles.Get(ctx, "checkpoint")
	if err != nil {
		return audit.Certificate{}, fmt.Errorf("reading the checkpoint: %w", err)
	}
	head, err := trust.Open(signed)
	if err != nil {
		return audit.Certificate{}, err
	}
	// Entries of other shards have another log's proof.
	within := func(id string) (*int64, error) {
		at, ok, err := i.db.Head().Place(ctx, id)
		if at -= base; err != nil || !ok || at < 0 || at >= head.Size {
			return nil, err
		}
		return &at, nil
	}
	if err := i.around(ctx, &s, action, d, within); err != nil {
		return audit.Certificate{}, err
	}
	if s.Rotations, err = then.rotations(ctx, tiles, trust, within); err != nil {
		return audit.Certificate{}, err
	}
	return audit.Certify(ctx, tiles, trust, time.Now(), s)
}

// around finds the entries that say how an action came about, and what a second look showed: the
// worst answer there is, and of two alike that of the component with credentials of its own.
func (i *installation) around(ctx context.Context, s *audit.Subject, action earshot.Action, d drawing, within func(string) (*int64, error)) (err error) {
	own, same := retention.VerificationIDs(action, ownCredentials), retention.VerificationIDs(action, sameCredentials)
	var looks []string
	for n := range own {
		looks = append(looks, own[n], same[n])
	}
	for _, id := range looks {
		if s.Verification, err = within(id); err != nil || s.Verification != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	e, err := i.runner.EvidenceOf(ctx, action)
	if err != nil {
		return err
	}
	if s.Plan, err = within(e.Plan); err != nil || s.Plan == nil {
		return err
	}
	if s.Approvals, err = all(e.Approvals, within); err != nil {
		return err
	}
	// Those that are in force may not be those of then: the plan's entry has a digest over them.
	run, err := i.db.Run(ctx, action.Run)
	if err != nil {
		return err
	}
	if run.PolicyDigest == i.runner.PolicyDigest() {
		if s.Policies, err = all(e.Policies, within); err != nil {
			return err
		}
		if len(s.Policies) != len(e.Policies) {
			s.Policies = nil
		}
	}
	if d.request == "" {
		return nil
	}
	s.Request, err = within(retention.RequestEntry(earshot.Request{ID: d.request}))
	return err
}

func all(ids []string, within func(string) (*int64, error)) (out []int64, err error) {
	for _, id := range ids {
		at, err := within(id)
		if err != nil {
			return nil, err
		}
		if at != nil {
			out = append(out, *at)
		}
	}
	return out, nil
}

// trustDigest is the SHA-256 of the policy on whom to believe; empty where there is none.
func (c *Config) trustDigest() string {
	text, err := os.ReadFile(c.Log.Trust)
	if c.Log.Trust == "" || err != nil {
		return ""
	}
	return earshot.DigestOf(text).String()
}

// rotations reads those of the log's key from its entries.
func (i *installation) rotations(ctx context.Context, tiles audit.Tiles, trust *audit.Trust, within func(string) (*int64, error)) (out []audit.Rotation, err error) {
	text, err := os.ReadFile(filepath.Join(i.keyDir(), "former.vkey"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log's former keys: %w", err)
	}
	for _, vkey := range append(strings.Fields(string(text)), i.keys.VKey) {
		at, err := within(audit.EntryID(string(audit.KindRotation), vkey))
		if err != nil {
			return nil, err
		}
		if at == nil {
			continue // the first key
		}
		p, err := audit.Prove(ctx, tiles, trust, *at)
		if err != nil {
			return nil, err
		}
		e, _, err := p.Verify(trust)
		if err != nil {
			return nil, err
		}
		if e.Rotation != nil {
			out = append(out, *e.Rotation)
		}
	}
	return out, nil
}

// drawCertificate reports whether the document says that a second look contradicts it.
func (a *app) drawCertificate(ctx context.Context, i *installation, action earshot.Action, d drawing) (contradicted bool, err error) {
	out := d.out
	c, err := i.certify(ctx, action, d)
	if err != nil {
		return false, err
	}
	keys, err := readVKeys(c.VKey)
	if err != nil {
		return false, err
	}
	trust, err := i.cfg.trust(keys...)
	if err != nil {
		return false, err
	}
	v, err := c.Verify(trust)
	if err != nil {
		return false, err
	}
	contradicted = v.Contradicted()
	text, err := c.JSON()
	if err != nil {
		return contradicted, err
	}
	if out == "" {
		_, err = a.out.Write(text)
		return contradicted, err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return contradicted, fmt.Errorf("making the folder of certificates: %w", err)
	}
	name := filepath.Join(out, fmt.Sprintf("%s-%d.json", action.Run, action.Seq))
	if err := audit.ReplaceFile(name, text); err != nil {
		return contradicted, fmt.Errorf("writing a certificate: %w", err)
	}
	page, err := c.HTML(trust)
	if err != nil {
		return contradicted, err
	}
	if err := audit.ReplaceFile(strings.TrimSuffix(name, ".json")+".html", page); err != nil {
		return contradicted, fmt.Errorf("writing a certificate: %w", err)
	}
	return contradicted, a.emit(map[string]string{"file": name}, func(w io.Writer) { fmt.Fprintln(w, name) })
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

func issuerNamed(name string) audit.Issuer { return audit.Issuer{Name: name} }
