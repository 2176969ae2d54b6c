package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"earshot"
	"earshot/retention"

	"github.com/spf13/cobra"
)

// demoBucket is the bucket that the demo fills.
const demoBucket = "voice"

func newDemo(a *app) *cobra.Command {
	var dir string
	var once bool
	c := command("demo", "Run the whole of earshot on sample recordings of its own",
		`Starts an S3 server and a catalog in a folder, fills a versioned bucket, then scans, plans, approves, applies,
verifies the log from the bucket alone and draws a certificate. With --dir the folder stays: it is a working
installation, to be used with --config DIR/earshot.yaml. Without --once the demo then serves until Ctrl-C.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				tmp, err := os.MkdirTemp("", "earshot-demo-")
				if err != nil {
					return fmt.Errorf("making a folder for the demo: %w", err)
				}
				defer os.RemoveAll(tmp)
				dir = filepath.Join(tmp, "demo")
			}
			return a.demo(cmd.Context(), dir, once)
		})
	c.Flags().StringVar(&dir, "dir", "", "folder to work in, and to leave behind (default: a temporary one)")
	c.Flags().BoolVar(&once, "once", false, "exit when done, with a non-zero status if any check failed")
	return c
}

func (a *app) step(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.out, "\n== "+format+"\n", args...)
	}
}

func (a *app) demo(ctx context.Context, dir string, once bool) error {
	began := time.Now()
	if _, err := os.Stat(filepath.Join(dir, "earshot.yaml")); err == nil {
		return fmt.Errorf("%s holds an installation already; the demo needs a folder of its own", dir)
	}
	if a.as == "" {
		a.as = "demo-planner"
	}
	a.step("a new installation in %s", dir)
	o := initOptions{origin: "demo.earshot.local/log", bucket: demoBucket, packs: []string{"child-voice-coppa", "storage-limitation-gdpr", "voice-assistant"}, deaf: true} // its recordings are tones, whose events tell the rest
	if err := a.initialise(ctx, dir, o); err != nil {
		return err
	}
	i, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	a.step("filling the bucket %q with recordings of earshot's own making", demoBucket)
	fill := &filling{app: a, inst: i, now: time.Now().UTC()}
	if err := fill.run(ctx); err != nil {
		return err
	}
	applied, failures, err := a.demoRun(ctx, i, fill)
	if err != nil {
		return err
	}
	a.demoSummary(ctx, i, applied, failures, time.Since(began))
	if len(failures) > 0 {
		return fmt.Errorf("%w: %d check(s) of the demo failed", errUnverified, len(failures))
	}
	if once {
		return nil
	}
	a.say("\nserving until Ctrl-C; try earshot --config %s audit log", filepath.Join(dir, "earshot.yaml"))
	return a.serve(ctx, i, "127.0.0.1:0")
}

// demoRun is the main job, and the checks of what came of it.
func (a *app) demoRun(ctx context.Context, i *installation, fill *filling) (retention.Applied, []string, error) {
	var none retention.Applied
	a.step("scan and plan")
	if _, err := i.runner.Scan(ctx); err != nil {
		return none, nil, err
	}
	p, err := i.runner.Plan(ctx)
	if err != nil {
		return none, nil, err
	}
	if _, err := i.log.Publish(ctx); err != nil {
		return none, nil, err
	}
	if err := a.showRun(ctx, i, p.Run, 0); err != nil {
		return none, nil, err
	}
	if p.Run.State == earshot.RunSealed {
		a.step("approval by a second person")
		if _, err := i.runner.Approve(ctx, p.Run.ID, p.Run.Digest, earshot.Principal{Kind: earshot.Person, Name: "demo-approver"}); err != nil {
			return none, nil, err
		}
	}
	a.step("apply")
	before, err := fill.etags(ctx)
	if err != nil {
		return none, nil, err
	}
	applied, err := i.runner.Apply(ctx, p.Run.ID)
	if err != nil {
		return none, nil, err
	}
	if !a.json {
		printApplied(a.out, applied)
	}
	failures, err := a.demoChecks(ctx, i, fill, p.Run, before)
	return applied, failures, err
}

func (a *app) demoChecks(ctx context.Context, i *installation, fill *filling, run earshot.Run, before map[string]string) ([]string, error) {
	var failures []string
	check := func(what string, err error) {
		if err != nil {
			failures = append(failures, what+": "+oneLine(err))
			what = "FAILED " + what + ": " + oneLine(err)
		}
		if !a.json {
			fmt.Fprintf(a.out, "%s\n", what)
		}
	}
	a.step("checks")
	check("the store holds what it should and nothing else", fill.check(ctx, run, before))
	report, err := i.verify(ctx, i.trust, filepath.Join(i.cfg.Keys, seenFile))
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		err = errors.New(report.Findings[0])
	} else if report.Open > 0 || report.Intents == 0 {
		err = fmt.Errorf("%d intents, %d without an outcome", report.Intents, report.Open)
	}
	check(fmt.Sprintf("the log verifies from the bucket alone: %d entries, %d intents, %d outcomes", report.Entries, report.Intents, report.Outcomes), err)
	check("a certificate of destruction verifies offline", a.demoCertificate(ctx, i, run))
	again, err := i.runner.Plan(ctx)
	if err != nil {
		return nil, err
	}
	if again.Run.Actions > 0 {
		err = fmt.Errorf("it would do %d things", again.Run.Actions)
	}
	check("a second run finds nothing to do", err)
	_, pubErr := i.log.Publish(ctx)
	return failures, pubErr
}

// demoCertificate draws the certificate of the first deletion and verifies the file with the
// public key alone.
func (a *app) demoCertificate(ctx context.Context, i *installation, run earshot.Run) error {
	actions, err := i.db.Actions(ctx, run.ID, earshot.ActionDone, 0, 1000)
	if err != nil {
		return err
	}
	for _, action := range actions {
		if action.Decision.Disposition != earshot.Delete {
			continue
		}
		c, err := i.certify(ctx, action, drawing{issuer: issuerNamed("earshot demo")})
		if err != nil {
			return err
		}
		text, err := c.JSON()
		if err != nil {
			return err
		}
		file := filepath.Join(i.cfg.dir, "certificate.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		quiet := *a
		quiet.out, quiet.err = discard{}, discard{}
		return quiet.verifyCertificate(file, believing{vkey: filepath.Join(i.cfg.Keys, "log.vkey")})
	}
	return errors.New("the run deleted nothing")
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// demoResult is the summary that --json prints last.
type demoResult struct {
	Recordings int      `json:"recordings"`
	Kept       int      `json:"kept"`
	Redacted   int      `json:"redacted"`
	Deleted    int      `json:"deleted"`
	Held       int      `json:"held"`
	ForReview  int      `json:"for_review"`
	BytesFreed int64    `json:"bytes_freed"`
	SecondRun  int      `json:"second_run_actions"`
	Failures   []string `json:"failures"`
	Seconds    float64  `json:"seconds"`
}

func (a *app) demoSummary(ctx context.Context, i *installation, d retention.Applied, failures []string, took time.Duration) {
	r := demoResult{
		Recordings: d.Run.Considered, Kept: d.Run.Kept, Redacted: d.Redacted, Deleted: d.Deleted, Held: d.Run.Held, ForReview: d.Run.ForReview,
		BytesFreed: d.BytesFreed, Failures: failures, Seconds: took.Seconds(),
	}
	if runs, err := i.db.Runs(ctx, 1); err == nil && len(runs) == 1 {
		r.SecondRun = runs[0].Actions
	}
	if a.json {
		_ = a.emit(r, nil)
		return
	}
	a.step("summary")
	fmt.Fprintf(a.out, "%d recordings: %d kept, %d redacted, %d deleted, %d held, %d for review; %s freed, in %.1f s\n",
		r.Recordings, r.Kept, r.Redacted, r.Deleted, r.Held, r.ForReview, bytesText(r.BytesFreed), r.Seconds)
	fmt.Fprintf(a.out, "a second run would do %d things\n", r.SecondRun)
}
