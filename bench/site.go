package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// env is what all programs are given: where the server is, and the secret.
func (b *bench) env() []string {
	host := "http://" + accessKey + ":" + b.server.secret + "@" + b.server.addr
	return []string{
		"EARSHOT_ACCESS_KEY=" + accessKey, "EARSHOT_SECRET_KEY=" + b.server.secret, "EARSHOT_CONFIG=" + filepath.Join(b.dir, "site", "earshot.yaml"), "EARSHOT_AS=service:bench",
		"MC_CONFIG_DIR=" + filepath.Join(b.dir, "mc"), "MC_HOST_local=" + host,
		"RCLONE_CONFIG=" + filepath.Join(b.dir, "rclone.conf"),
	}
}

// tools writes rclone's configuration; mc has its own in the environment.
func (b *bench) tools() error {
	return os.WriteFile(filepath.Join(b.dir, "rclone.conf"), fmt.Appendf(nil, "[local]\ntype = s3\nprovider = Minio\nendpoint = http://%s\naccess_key_id = %s\nsecret_access_key = %s\n", b.server.addr, accessKey, b.server.secret), 0o600)
}

const benchPolicy = `apiVersion: earshot/v1
kind: Policy
metadata: {name: bench, owner: bench@example.org}
spec:
  scope: {bucket: %s, prefix: clips/}
  rules:
    - {name: child, when: 'has(subject.declaredAge) && subject.declaredAge < 13', then: delete}
    - {name: period, keep: {for: %s, from: captured}, then: delete}
  otherwise: keep
`

// period is how long the policy keeps recordings.
const period = "90d"

// site makes a new installation for a bucket, with an empty catalog and log.
func (b *bench) site(bucket string) error {
	dir := filepath.Join(b.dir, "site")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := b.server.fresh(b.ctx, "earshot-log", true); err != nil {
		return err
	}
	if _, _, err := b.run(b.cmd("earshot", "init", dir, "--endpoint", "http://"+b.server.addr, "--bucket", bucket, "--origin", "example.org/bench")); err != nil {
		return err
	}
	policies := filepath.Join(dir, "policies")
	if err := os.RemoveAll(policies); err != nil {
		return err
	}
	if err := os.Mkdir(policies, 0o700); err != nil {
		return err
	}
	if err := b.policy(bucket, period); err != nil {
		return err
	}
	return b.configure(b.server.addr, 8)
}

func (b *bench) policy(bucket, period string) error {
	return os.WriteFile(filepath.Join(b.dir, "site", "policies", "bench.yaml"), fmt.Appendf(nil, benchPolicy, bucket, period), 0o600)
}

func (b *bench) configure(addr string, workers int) error {
	return os.WriteFile(filepath.Join(b.dir, "site", "earshot.yaml"), fmt.Appendf(nil, `store: {endpoint: "http://%s"}
log: {origin: example.org/bench}
hearing: {detector: none}
workers: %d
layout: {recording: "clips/{subject}/{device}/{captured:2006/01/02}/{id}.{coding}"}
`, addr, workers), 0o600)
}

var runName = regexp.MustCompile(`run-[0-9TZ]+-[0-9a-f]+`)

// dispose plans from what the catalog knows and applies: two commands, measured together.
func (b *bench) dispose(want int) (measured, error) {
	plan, out, err := b.run(b.cmd("earshot", "--json", "plan", "--no-scan"))
	if err != nil {
		return plan, err
	}
	apply, said, err := b.run(b.cmd("earshot", "--json", "apply", runName.FindString(out)))
	if err == nil && !strings.Contains(said, fmt.Sprintf(`"deleted":%d,`, want)) {
		err = fmt.Errorf("apply did not delete %d: %s", want, said)
	}
	fmt.Fprintf(b.say, "    plan %.2f s, apply %.2f s\n", plan.wall.Seconds(), apply.wall.Seconds())
	return plan.plus(apply), err
}
