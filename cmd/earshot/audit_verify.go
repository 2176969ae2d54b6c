package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"earshot/audit"
	"earshot/storage"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// seenFile keeps the checkpoint that audit verify saw last, so that a history that was rewritten
// or shortened since is found out.
const seenFile = "last-seen.checkpoint"

// believing is what the flags say of whom to believe and where the log is.
type believing struct {
	vkey, policy, state      string
	bucket, endpoint, region string
	unlocked                 bool // objects that are not locked are no finding
}

func (b *believing) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&b.vkey, "vkey", "", "the log's public key, or a file that holds it")
	f.StringVar(&b.policy, "policy", "", "file that names the log's keys and its witnesses (C2SP tlog-policy)")
	f.StringVar(&b.state, "state", "", "file that keeps the checkpoint seen last (default: beside the keys)")
	f.StringVar(&b.bucket, "bucket", "", "the log, as s3://BUCKET/PREFIX: no configuration is needed then")
	f.StringVar(&b.endpoint, "endpoint", "", "with --bucket: the S3 endpoint; credentials come from $EARSHOT_ACCESS_KEY and $EARSHOT_SECRET_KEY")
	f.StringVar(&b.region, "region", "", "with --bucket: the endpoint's region")
}

// trust is whom the flags say to believe; nil where they say nothing.
func (b *believing) trust() (*audit.Trust, error) {
	switch {
	case b.vkey != "" && b.policy != "":
		return nil, fmt.Errorf("%w: --vkey and --policy exclude one another: a policy names the keys", errUsage)
	case b.policy != "":
		text, err := os.ReadFile(b.policy)
		if err != nil {
			return nil, fmt.Errorf("reading --policy: %w", err)
		}
		return audit.ParseTrust(b.policy, text)
	case b.vkey != "":
		keys, err := readVKeys(b.vkey)
		if err != nil {
			return nil, err
		}
		return audit.TrustKey(keys...), nil
	}
	return nil, nil //nolint:nilnil // nil says that nothing was said
}

// readVKeys reads one or several keys of a log, one a line.
func readVKeys(vkey string) ([]note.Verifier, error) {
	if text, err := os.ReadFile(vkey); err == nil {
		vkey = string(text)
	}
	var out []note.Verifier
	for _, line := range strings.Fields(vkey) {
		v, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("%w: --vkey is neither a key nor a file that holds one: %w", errUsage, err)
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: --vkey is empty", errUsage)
	}
	return out, nil
}

// openLog connects to the store and finds out whom to believe: all that verifying takes.
func (a *app) openLog(ctx context.Context, b believing) (*installation, *audit.Trust, error) {
	trust, err := b.trust()
	if err != nil {
		return nil, nil, err
	}
	if b.bucket != "" {
		if trust == nil {
			return nil, nil, fmt.Errorf("%w: --bucket needs --vkey or --policy, which must have reached you by another way than the bucket", errUsage)
		}
		i, err := b.connect()
		return i, trust, err
	}
	i, err := a.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err = i.locate(ctx); err == nil && trust == nil {
		trust, err = i.ownTrust()
	}
	if err != nil {
		i.close()
		return nil, nil, err
	}
	return i, trust, nil
}

// ownTrust believes the installation's own public keys and the policy of its configuration.
func (i *installation) ownTrust() (*audit.Trust, error) {
	var keys []note.Verifier
	for _, name := range []string{"log.vkey", "former.vkey"} {
		text, err := os.ReadFile(filepath.Join(i.keyDir(), name))
		if errors.Is(err, os.ErrNotExist) && name != "log.vkey" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the log's public key: %w", err)
		}
		for _, line := range strings.Fields(string(text)) {
			v, err := note.NewVerifier(line)
			if err != nil {
				return nil, fmt.Errorf("reading the log's public key: %w", err)
			}
			keys = append(keys, v)
		}
	}
	return i.cfg.trust(keys...)
}

// connect opens the log's bucket alone, as an auditor has it.
func (b *believing) connect() (*installation, error) {
	rest, ok := strings.CutPrefix(b.bucket, "s3://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return nil, fmt.Errorf("%w: --bucket %q: want s3://BUCKET or s3://BUCKET/PREFIX", errUsage, b.bucket)
	}
	if b.endpoint == "" {
		return nil, fmt.Errorf("%w: --bucket needs --endpoint", errUsage)
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	c := &Config{Store: StoreConfig{Endpoint: b.endpoint, Region: b.region}, Log: LogConfig{Bucket: bucket, Prefix: prefix}}
	access, secret, err := c.credentials()
	if err != nil {
		return nil, err
	}
	i := &installation{cfg: c, options: storage.Options{Endpoint: b.endpoint, Region: b.region, AccessKey: access, SecretKey: secret}}
	if i.store, err = storage.Connect(i.options); err != nil {
		return nil, err
	}
	if b.state == "" {
		b.state = seenFile
	}
	return i, nil
}

func newAuditVerify(a *app) *cobra.Command {
	var b believing
	c := command("verify [CERTIFICATE.json]", "Verify the whole log from its bucket alone, or one certificate offline",
		`Without an argument every entry, tile and checkpoint in the log's bucket is checked, with the signatures of log
and witnesses, and that the log still holds what was seen at the last visit. Older versions of its objects are
looked at too: what was laid over a locked object is a finding, and so is a larger tree that was signed before. With
--bucket, or where log.retain is set, objects that are not under COMPLIANCE retention are findings. An auditor needs no configuration: --bucket,
--endpoint and --policy (or --vkey) are enough, with credentials that may read.

With a certificate nothing but the file is needed, and --policy or --vkey. Without them the key that the
certificate itself states is used; compare it with the one that you were given.`, cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.verifyCertificate(args[0], b)
			}
			return a.verifyLog(cmd.Context(), b)
		})
	b.flags(c)
	c.Flags().BoolVar(&b.unlocked, "allow-unlocked", false, "with --bucket: objects that are not under COMPLIANCE retention are a note and no finding")
	return c
}

func (a *app) verifyLog(ctx context.Context, b believing) error {
	i, trust, err := a.openLog(ctx, b)
	if err != nil {
		return err
	}
	defer i.close()
	if b.state == "" {
		b.state = seenFile
		if i.cfg.Keys != "" {
			b.state = filepath.Join(i.keyDir(), seenFile)
		}
	}
	report, err := i.examine(ctx, trust, b.state, b.mayBeUnlocked(i), a.counting("verify"))
	if err != nil {
		return err
	}
	if err := a.verifyPrevious(ctx, i, trust, report, b.mayBeUnlocked(i)); err != nil {
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

// mayBeUnlocked: an auditor expects that nothing can be deleted; the operator who has configured no
// retention knows.
func (b *believing) mayBeUnlocked(i *installation) bool {
	return b.unlocked || b.bucket == "" && i.cfg.Log.retain == 0
}

// verifyPrevious follows the log back through its closed shards: each must be the tree that the
// genesis of the next one holds the head of.
func (a *app) verifyPrevious(ctx context.Context, i *installation, trust *audit.Trust, report *audit.Report, unlocked bool) error {
	t, link := tree{i, trust, nil}, report.Genesis
	for link != nil && report.OK() {
		var err error
		if t, err = t.previous(link); err != nil {
			return err
		}
		tiles, err := t.tiles(ctx)
		if err != nil {
			return err
		}
		r, err := audit.Examine(ctx, archive{tiles}, t.trust, audit.VerifyOptions{MayBeUnlocked: unlocked})
		if err != nil {
			return err
		}
		for _, f := range r.Findings {
			report.Findings = append(report.Findings, "closed shard "+link.Previous+": "+f)
		}
		if err := t.is(r.Checkpoint); err != nil {
			report.Findings = append(report.Findings, oneLine(err))
		}
		a.say("closed shard %s: %d entries", link.Previous, r.Entries)
		link = r.Genesis
	}
	return nil
}

// counting shows how far a stage has come; nil where nobody watches.
func (a *app) counting(stage string) func(done, total int64) {
	progress := a.progress()
	if progress == nil {
		return nil
	}
	return func(done, total int64) { progress(stage, int(done), int(total)) }
}

// verify checks the log and keeps its checkpoint for the next time.
func (i *installation) verify(ctx context.Context, trust *audit.Trust, state string) (*audit.Report, error) {
	return i.examine(ctx, trust, state, true, nil)
}

func (i *installation) examine(ctx context.Context, trust *audit.Trust, state string, unlocked bool, progress func(done, total int64)) (*audit.Report, error) {
	tiles, err := i.tiles(ctx)
	if err != nil {
		return nil, err
	}
	last, err := os.ReadFile(state)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the checkpoint seen last: %w", err)
	}
	report, err := audit.Examine(ctx, archive{tiles}, trust, audit.VerifyOptions{LastSeen: last, Progress: progress, MayBeUnlocked: unlocked})
	if err != nil || !report.OK() {
		return report, err
	}
	return report, audit.ReplaceFile(state, report.Signed)
}

// archive is a folder as those see it who look below its newest versions.
type archive struct{ *storage.Folder }

func (f archive) Objects(ctx context.Context) iter.Seq2[audit.Object, error] {
	return func(yield func(audit.Object, error) bool) {
		for v, err := range f.Folder.Objects(ctx) {
			if !yield(audit.Object{Key: v.ID.Key, Version: v.ID.Version, Marker: v.Marker, Latest: v.Latest}, err) {
				return
			}
		}
	}
}

func printReport(w io.Writer, r *audit.Report) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "FOUND: %s\n", f)
	}
	if r.Uncosigned && len(r.Findings) == 1 {
		fmt.Fprintln(w, "the log is NOT PROVED: it is signed with its own key, and your witnesses have not seen this tree. They may be out of reach: verify again when they are back, and rely on nothing until then. If it stays so, ask the operator why")
		return
	}
	if r.Unlocked && len(r.Findings) == 1 {
		fmt.Fprintln(w, "the log is NOT KEPT SAFE: what is there reads right, and whoever runs the bucket can still delete it for good. Ask the operator for object lock and log.retain, or accept it with --allow-unlocked")
		return
	}
	if !r.OK() {
		fmt.Fprintln(w, "the log does NOT verify: believe nothing in it, and find out who could write to its bucket")
		return
	}
	fmt.Fprintf(w, "the log %s verifies: %d entries under one signed checkpoint, %d objects compared\n", r.Checkpoint.Origin, r.Entries, r.Objects)
	fmt.Fprintf(w, "%d intents, %d outcomes, %d intents without an outcome yet\n", r.Intents, r.Outcomes, r.Open)
	for _, c := range r.Checkpoint.Cosigned {
		fmt.Fprintf(w, "cosigned by witness %s at %s\n", c.Witness, c.At.Format("2006-01-02 15:04:05 MST"))
	}
	fmt.Fprintf(w, "witnesses: %s\n", r.Quorum)
	for _, k := range r.NewKeys {
		fmt.Fprintf(w, "note: the log's key was replaced, signed by both keys; add this one to your policy: %s\n", k)
	}
	if r.Next != nil {
		fmt.Fprintf(w, "note: this tree is CLOSED: the log goes on in %s, under the key %s; verify that one\n", r.Next.Next, r.Next.NextVKey)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
}

func (a *app) verifyCertificate(file string, b believing) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	c, err := audit.ParseCertificate(text)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnverified, err)
	}
	trust, err := b.trust()
	if err != nil {
		return err
	}
	stated := trust == nil
	if stated {
		keys, err := readVKeys(c.VKey)
		if err != nil {
			return err
		}
		trust = audit.TrustKey(keys...)
	}
	v, err := c.Verify(trust)
	if err != nil {
		return err
	}
	if err := a.emit(map[string]any{
		"verified": true, "contradicted": v.Contradicted(), "cert_id": v.ID(), "title": v.Title(), "wording": v.Wording(), "log": c.Log, "entries": v.Checkpoint.Size,
		"vkey_from_certificate": stated, "cosigned": v.Checkpoint.Cosigned, "verification": v.Second(), "recording": v.Recording,
		"limits": v.Limits(), "approvals": len(v.Approvals), "policies": len(v.Policies),
		"stated": map[string]any{"issued_at": c.IssuedAt, "issuer": c.Issuer, "place": c.Place, "residuals": c.Residuals, "policy_file_sha256": c.Trust},
	}, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n%s\n", v.Title(), v.Wording())
		if s := v.Second(); s != "" {
			fmt.Fprintln(w, s)
		}
		switch {
		case v.Recording != "":
			fmt.Fprintf(w, "it is about s3://%s: the key in it proves that\n", v.Recording)
		case c.Opening != nil:
			fmt.Fprintf(w, "that it is about s3://%s/%s is the issuer's word: a certificate drawn with --open proves it\n", c.Opening.Bucket, c.Opening.Key)
		}
		fmt.Fprintf(w, "the log %s holds these entries under its checkpoint of %d entries\n", c.Log, v.Checkpoint.Size)
		fmt.Fprintf(w, "witnesses: %s\n", trust.Quorum())
		if stated {
			fmt.Fprintf(w, "the key is the one that the certificate states: compare it with the one that you were given\n  %s\n", c.VKey)
		}
		fmt.Fprintf(w, "stated by the issuer, and not proved: issued at %s", c.IssuedAt.Format("2006-01-02 15:04:05 MST"))
		if c.Issuer.Name != "" {
			fmt.Fprintf(w, " by %s", c.Issuer.Name)
		}
		fmt.Fprintln(w)
		for _, r := range c.Residuals {
			fmt.Fprintf(w, "  copies may remain: %s\n", r)
		}
	}); err != nil {
		return err
	}
	if v.Contradicted() {
		return fmt.Errorf("%w: the certificate is genuine, and a later look at the store contradicts what it certifies", errUnverified)
	}
	return nil
}
