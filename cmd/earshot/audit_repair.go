package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/storage"

	"github.com/spf13/cobra"
)

func newAuditWitness(a *app) *cobra.Command {
	var dir, name, listen string
	var logs []string
	c := command("witness", "Run a witness that cosigns the checkpoints of logs",
		`A C2SP tlog-witness: it cosigns a checkpoint only if it extends the one that it cosigned before, and writes that
down before it answers. Another department or the auditor runs it, on a machine that the operator of the log cannot
write to; it sees sizes and hashes only. The first start makes its key and needs --name. Give its public key, which
is printed, to the operator and to those who verify, for their policy files.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			var keys []string
			for _, l := range logs {
				if text, err := os.ReadFile(l); err == nil {
					keys = append(keys, strings.Fields(string(text))...)
				} else {
					keys = append(keys, l)
				}
			}
			show := func(vkey string) error {
				return a.emit(map[string]string{"vkey": vkey}, func(out io.Writer) { fmt.Fprintln(out, vkey) })
			}
			if vkey, err := audit.WitnessVKey(dir); err == nil && listen == "" && name == "" {
				return show(vkey) // the witness itself may be at work
			}
			w, err := audit.OpenWitness(dir, name, keys...)
			if err != nil {
				return err
			}
			if err := show(w.VKey()); err != nil || listen == "" {
				return err
			}
			if len(keys) == 0 {
				return fmt.Errorf("%w: a witness that listens needs the key of a log: --log", errUsage)
			}
			return a.listen(cmd.Context(), listen, w)
		})
	f := c.Flags()
	f.StringVar(&dir, "dir", "witness", "folder of the witness's key and of what it has cosigned")
	f.StringVar(&name, "name", "", "name of a new witness, such as witness.example.org")
	f.StringVar(&listen, "listen", "", "address to listen on (default: print the public key and end)")
	f.StringArrayVar(&logs, "log", nil, "public key of a log, or a file that holds it; may be repeated")
	return c
}

// listen serves until ctx ends.
func (a *app) listen(ctx context.Context, addr string, h http.Handler) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	a.say("the witness listens on http://%s", l.Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(stop)
}

func newAuditRotate(a *app) *cobra.Command {
	var retire, atOnce bool
	c := command("rotate-key", "Replace the log's signing key, announced under both keys",
		`The new key is announced in an entry that both keys have signed, and both sign checkpoints until
--retire ends that, a week later at the earliest. Hand the new public key to those who verify before you retire the old one.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			i, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer i.close()
			if retire {
				if err := audit.RetireKeys(i.keyDir(), time.Now(), atOnce); err != nil {
					return fmt.Errorf("retiring former keys: %w", err)
				}
				a.say("only the current key signs from now on")
				return nil
			}
			e, err := audit.PrepareRotation(i.keyDir(), time.Now())
			if err != nil {
				return err
			}
			leaf, err := e.Leaf()
			if err != nil {
				return err
			}
			if err := i.db.Say(ctx, leaf); err != nil {
				return err
			}
			if _, err := i.log.Publish(ctx); err != nil {
				return err
			}
			if err := audit.FinishRotation(i.keyDir()); err != nil {
				return err
			}
			return a.emit(map[string]string{"vkey": e.Rotation.New}, func(w io.Writer) { fmt.Fprintln(w, e.Rotation.New) })
		})
	c.Flags().BoolVar(&retire, "retire", false, "let former keys no longer sign; refused within a week of the rotation")
	c.Flags().BoolVar(&atOnce, "at-once", false, "with --retire: within the week too, as when a key was stolen")
	return c
}

func newAuditReconcile(a *app) *cobra.Command {
	var takeOver bool
	c := command("reconcile [BUCKET...]", "Find what vanished from the store without an entry in the log",
		`Lists every version of every object in the buckets of the policies (or those named), compares that with the last
time, with what scans have seen since, and with what the published log says was done. What is gone, changed or hidden
without an entry is named, and is itself an entry; so is a list of the last inventory that is not the one which the log
names. The exit status is 5 then. earshot serve does it every night.

Where several machines share a catalog, the one that took the last inventory takes the next: its list lies there. If that
machine is no more, --take-over begins anew on this one, and the log says that the last inventory is lost.`, cobra.ArbitraryArgs,
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			if len(args) == 0 {
				args = i.runner.Buckets()
			}
			return a.reconcile(cmd.Context(), i, args, takeOver)
		})
	c.Flags().BoolVar(&takeOver, "take-over", false, "take the inventories over from another machine that is no more")
	return c
}

// reconcile goes through all buckets: one that is away, or whose inventories another machine has, does not keep the
// others from it.
func (a *app) reconcile(ctx context.Context, i *installation, buckets []string, takeOver bool) error {
	var faults int64
	lost := 0
	var failed error
	for _, bucket := range buckets {
		if takeOver {
			if err := i.runner.TakeOver(ctx, bucket, i.cfg.Inventory); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
		}
		got, err := i.runner.Reconcile(ctx, bucket, i.cfg.Inventory)
		if err != nil && !errors.Is(err, retention.ErrVanished) {
			failed = errors.Join(failed, err)
			continue
		}
		if faults += got.Faults(); got.Lost {
			lost++
		}
		if err := a.emit(got, func(w io.Writer) { printReconciled(w, bucket, got) }); err != nil {
			return err
		}
	}
	switch {
	case lost > 0:
		return errors.Join(fmt.Errorf("%w: the last inventory of %d bucket(s) is not the one that the log names", errUnverified, lost), failed)
	case faults > 0:
		return errors.Join(fmt.Errorf("%w: %d object version(s) vanished or changed without an entry", errUnverified, faults), failed)
	}
	return failed
}

func printReconciled(w io.Writer, bucket string, got retention.Reconciled) {
	fmt.Fprintf(w, "bucket %s: %d versions, %d bytes, root %.16s\n", bucket, got.Inventory.Versions, got.Inventory.Bytes, got.Inventory.Root)
	switch {
	case got.First:
		fmt.Fprintln(w, "there was no inventory before: the next reconcile compares with this one")
	case got.Lost:
		fmt.Fprintln(w, "LOST: the list of the last inventory is not there, or is not the one that the log names: what vanished since cannot be told")
	default:
		fmt.Fprintf(w, "%d appeared, %d went as the log says, %d vanished without an entry, %d changed, %d hidden\n", got.Appeared, got.Explained, got.Vanished, got.Changed, got.Hidden)
	}
	for _, m := range got.Missing {
		fmt.Fprintf(w, "%s: s3://%s/%s version %q, %d bytes\n", strings.ToUpper(m.What), bucket, m.Key, m.Version, m.Size)
	}
}

func newAuditConfirm(a *app) *cobra.Command {
	c := command("confirm RUN", "Look with other credentials at what a run says it did",
		`Lists the versions of everything that the run deleted or redacted, with the credentials of verifier: in the
configuration, which should be able to read and nothing else, and writes an entry for each outcome: confirmed or
contradicted. The exit status is 5 if any is contradicted.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			eyes, name, err := i.verifierStore()
			if err != nil {
				return err
			}
			if name == sameCredentials {
				a.say("no credentials of verifier: are configured: this looks with those that acted, and the entries say so")
			}
			got, err := i.runner.Confirm(cmd.Context(), earshot.RunID(args[0]), eyes, name)
			if err != nil {
				return err
			}
			if err := a.emit(got, func(w io.Writer) {
				fmt.Fprintf(w, "%d outcomes confirmed, %d contradicted, %d could not be looked at\n", got.Confirmed, got.Contradicted, got.Unknown)
			}); err != nil {
				return err
			}
			switch {
			case got.Contradicted > 0:
				return fmt.Errorf("%w: %d outcome(s) are contradicted by the store: %s", errUnverified, got.Contradicted, strings.Join(got.Actions, " "))
			case got.Unknown > 0:
				return fmt.Errorf("%w: %d outcome(s) could not be looked at", errPartly, got.Unknown)
			}
			return nil
		})
	return c
}

// The names that a second look has in the log.
const (
	ownCredentials  = "earshot-confirm/own-credentials"
	sameCredentials = "earshot-confirm/same-credentials"
)

// verifierStore opens the store with the verifier's credentials.
func (i *installation) verifierStore() (*storage.Store, string, error) {
	v := i.cfg.Verifier
	if v.AccessKey == "" && v.AccessKeyFile == "" {
		return i.store, sameCredentials, nil
	}
	o := i.options
	o.AccessKey, o.SecretKey = v.AccessKey, ""
	for _, f := range []struct {
		path string
		to   *string
	}{{v.AccessKeyFile, &o.AccessKey}, {v.SecretKeyFile, &o.SecretKey}} {
		if f.path == "" {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			return nil, "", fmt.Errorf("reading the verifier's credentials: %w", err)
		}
		*f.to = strings.TrimSpace(string(text))
	}
	s, err := storage.Connect(o)
	return s, ownCredentials, err
}

// disclosure is a data subject's key as it is handed to somebody.
type disclosure struct {
	Schema  string `json:"schema"`
	Subject string `json:"subject"`
	Key     []byte `json:"key"`
	Log     string `json:"log"`
}

const disclosureSchema = "earshot.subject-key/v1"

func newAuditDisclose(a *app) *cobra.Command {
	var to string
	c := command("disclose SUBJECT", "Hand out the key with which a data subject's entries are found",
		`Prints a file with which earshot audit log --subject-key finds the entries that speak of this person, and no
others. That it was handed out, and to whom, is an entry of the log (by tag).`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			key, err := i.runner.DiscloseKey(cmd.Context(), earshot.SubjectID(args[0]), to)
			if err != nil {
				return err
			}
			enc := json.NewEncoder(a.out)
			enc.SetIndent("", "  ")
			return enc.Encode(disclosure{Schema: disclosureSchema, Subject: args[0], Key: key, Log: i.keys.Signer.Name()})
		})
	c.Flags().StringVar(&to, "to", "", "who gets it; mandatory")
	return c
}

func newSubjectForget(a *app) *cobra.Command {
	return command("forget ID", "Destroy the key behind a data subject's entries in the log",
		`From then on nobody can tell by the log which entries speak of that person. The catalog no longer says either whose
recordings its actions were about, once none of the person's are there: as long as there are (and until the next scan has
missed those that went) the catalog must know whose they are, and call this again afterwards. Backups of the catalog from
before still say it. Do it when the answers to the person's requests have been given: certificates that were drawn stay
valid, and new ones can no longer be drawn. It cannot be undone.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			scrubbed, err := i.runner.ForgetKey(cmd.Context(), earshot.SubjectID(args[0]))
			if err != nil && !(scrubbed && errors.Is(err, retention.ErrNoKey)) {
				return err
			}
			if scrubbed {
				a.say("the key is destroyed, and nothing in the catalog names the person")
			} else {
				a.say("the key is destroyed; the catalog goes on naming the person: recordings of theirs are there, or a run that has to do with them is not over")
			}
			return nil
		})
}
