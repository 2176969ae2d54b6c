package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"earshot/policies"
	"earshot/retention"
	"earshot/retention/notify"
)

// ScanConfig says how the catalog is kept up to date between full scans.
type ScanConfig struct {
	// Recent (2d) has scheduled runs list only the folders of that many recent days, where the date is in
	// the recordings' keys, and everything once in Full (7d). Default: everything each time.
	Recent string `yaml:"recent"`
	Full   string `yaml:"full"`
	// WebhookTokenFile holds the secret of those who may send events to POST /events of earshot serve, as
	// S3 and MinIO write them; or $EARSHOT_WEBHOOK_TOKEN, but for a tenant. Without one nobody may.
	WebhookTokenFile string `yaml:"webhook_token_file"`

	recent, full time.Duration
}

func (c *ScanConfig) check(dir string) error {
	for _, f := range []struct {
		name, text string
		to         *time.Duration
	}{{"recent", c.Recent, &c.recent}, {"full", c.Full, &c.full}} {
		if f.text == "" {
			continue
		}
		var err error
		if *f.to, err = policies.ParseLength(f.text); err != nil {
			return fmt.Errorf("scan.%s: %w", f.name, err)
		}
		if *f.to <= 0 {
			return fmt.Errorf("scan.%s: %q is no time at all", f.name, f.text)
		}
	}
	if c.Full != "" && c.Recent == "" {
		return errors.New("scan.full: without scan.recent everything is listed each time")
	}
	if p := c.WebhookTokenFile; p != "" && !filepath.IsAbs(p) {
		c.WebhookTokenFile = filepath.Join(dir, p)
	}
	return nil
}

// leastToken is how long the webhook's secret must be: it keeps strangers from having us ask the store.
const leastToken = 16

// token reads the webhook's secret. A tenant's comes from its own file only: with one in an environment that all
// share, the senders of one tenant could send events to the others.
func (c *ScanConfig) token(ofMany bool) (string, error) {
	token := ""
	if !ofMany {
		token = os.Getenv("EARSHOT_WEBHOOK_TOKEN")
	}
	if token == "" && c.WebhookTokenFile != "" {
		text, err := os.ReadFile(c.WebhookTokenFile)
		if err != nil {
			return "", fmt.Errorf("reading scan.webhook_token_file: %w", err)
		}
		if token = strings.TrimSpace(string(text)); token == "" {
			return "", errors.New("scan.webhook_token_file: the file is empty")
		}
	}
	if token != "" && len(token) < leastToken {
		return "", fmt.Errorf("the webhook's token has %d characters, and at least %d keep strangers out", len(token), leastToken)
	}
	return token, nil
}

// events follows what the store tells, until stop is called.
func (a *app) events(ctx context.Context, i *installation, runner *retention.Runner) (inbox *notify.Inbox, stop func(), err error) {
	token, err := i.cfg.Scan.token(i.cfg.ofMany)
	if err != nil {
		return nil, nil, err
	}
	buckets := runner.Buckets()
	inbox = notify.New(notify.Options{
		Look: runner.Look, Token: token, Logger: a.logger(),
		Known: func(bucket string) bool { return slices.Contains(buckets, bucket) },
	})
	// It goes on while runs come to their end; who still waits when it stops is told to send again.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		inbox.Run(inner)
	}()
	return inbox, func() { cancel(); <-done }, nil
}
