package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/audit"

	"github.com/spf13/cobra"
)

func newHold(a *app) *cobra.Command {
	return group("hold", "Place, lift and list legal holds", newHoldPlace(a), newHoldLift(a), newHoldList(a), newHoldMirror(a))
}

func newHoldPlace(a *app) *cobra.Command {
	var h earshot.Hold
	var subject, from, to string
	c := command("place", "Place a legal hold",
		`Nothing that a hold covers is redacted or deleted while it stands, not even if a run that says so has been
approved already. Several conditions narrow a hold. The command waits until what was under way on what it covers has
ended, and then tells what it protects. Where the bucket has object lock, the store's own legal hold is put on it too.
Only another person can lift it.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if h.Matter == "" {
				return fmt.Errorf("%w: --matter is mandatory: what is the hold for?", errUsage)
			}
			var err error
			for text, to := range map[*string]*time.Time{&from: &h.From, &to: &h.To} {
				if *text == "" {
					continue
				}
				if *to, err = time.Parse(time.DateOnly, *text); err != nil {
					return fmt.Errorf("%w: %q is not a date such as 2026-01-31", errUsage, *text)
				}
			}
			h.Subject = earshot.SubjectID(subject)
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			placed, err := i.runner.Protect(cmd.Context(), h)
			if errors.Is(err, audit.ErrUncosigned) || errors.Is(err, audit.ErrDisputed) {
				return fmt.Errorf("%w: %s is placed, and protects; its entry in the log waits: %w", errPartly, placed.ID, err)
			}
			if err != nil {
				return err
			}
			return a.emit(placed, func(w io.Writer) {
				fmt.Fprintf(w, "%s is placed and protects %d recordings, %d of which would be deleted or redacted now", placed.ID, placed.Covers, placed.Keeps)
				if placed.Waited > 0 {
					fmt.Fprintf(w, "; it waited for %d actions that were under way", placed.Waited)
				}
				if n := placed.Mirrored.Set; n > 0 {
					fmt.Fprintf(w, "; %d versions were put under the store's own legal hold", n)
				}
				fmt.Fprintln(w)
			})
		})
	f := c.Flags()
	f.StringVar(&h.Matter, "matter", "", "what the hold is for (case number); mandatory")
	f.StringVar(&h.Reason, "reason", "", "why, in words")
	f.StringSliceVar(&h.Keys, "key", nil, "single recordings of --bucket, by key; may be repeated")
	f.StringVar(&h.Bucket, "bucket", "", "recordings of this bucket")
	f.StringVar(&h.Prefix, "prefix", "", "recordings whose key begins so")
	f.StringVar(&subject, "subject", "", "recordings of this data subject (pseudonym)")
	f.StringVar(&h.Device, "device", "", "recordings of this device")
	f.StringVar(&from, "from", "", "captured (or stored) on or after this day, UTC")
	f.StringVar(&to, "to", "", "captured (or stored) before this day, UTC")
	return c
}

func newHoldMirror(a *app) *cobra.Command {
	return command("mirror", "Bring the store's own legal holds in line with those that stand",
		`Placing and lifting do this by themselves. Run it after recordings came that a standing hold covers, or when placing
was cut off. What others put under the store's legal hold is left alone.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			got, err := i.runner.MirrorHolds(cmd.Context())
			if err != nil {
				return err
			}
			return a.emit(got, func(w io.Writer) {
				fmt.Fprintf(w, "%d versions put under the store's legal hold, %d taken out, %d under it\n", got.Set, got.Lifted, got.Standing)
			})
		})
}

func newHoldLift(a *app) *cobra.Command {
	return command("lift HOLD", "Lift a legal hold", "A hold is lifted by another person than the one who placed it.", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			h, err := i.runner.LiftHold(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(h, func(w io.Writer) { fmt.Fprintf(w, "%s is lifted\n", h.ID) })
		})
}

func newHoldList(a *app) *cobra.Command {
	var all, effects bool
	c := command("list", "List legal holds", "", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		i, err := a.open(cmd.Context())
		if err != nil {
			return err
		}
		defer i.close()
		if effects {
			found, err := i.runner.HoldEffects(cmd.Context())
			if err != nil {
				return err
			}
			for _, h := range found {
				if err := a.emit(h, func(w io.Writer) {
					fmt.Fprintf(w, "%s  %s  since %s by %s  %s\n", h.ID, h.Matter, h.PlacedAt.Format(time.DateOnly), h.PlacedBy, holdScope(h.Hold))
					fmt.Fprintf(w, "    covers %d recordings; keeps %d from being deleted or redacted", h.Covers, h.Keeps)
					if h.Keeps > 0 {
						fmt.Fprintf(w, ", the first since %s", h.KeptSince.Format(time.DateOnly))
					}
					if h.Rows > 0 {
						fmt.Fprintf(w, "; keeps %d rows of event logs", h.Rows)
					}
					if h.Unseen > 0 {
						fmt.Fprintf(w, "; %d event logs were not looked into since: earshot plan does", h.Unseen)
					}
					fmt.Fprintln(w)
				}); err != nil {
					return err
				}
			}
			return nil
		}
		holds, err := i.db.Holds(cmd.Context(), all)
		if err != nil {
			return err
		}
		for _, h := range holds {
			if err := a.emit(h, func(w io.Writer) {
				fmt.Fprintf(w, "%s  %s  since %s by %s  %s\n", h.ID, h.Matter, h.PlacedAt.Format(time.DateOnly), h.PlacedBy, holdScope(h))
			}); err != nil {
				return err
			}
		}
		return nil
	})
	c.Flags().BoolVar(&all, "all", false, "those that were lifted too")
	c.Flags().BoolVar(&effects, "effects", false, "what each standing hold keeps from being deleted, and since when")
	return c
}

func holdScope(h earshot.Hold) string {
	var parts []string
	for name, v := range map[string]string{"bucket": h.Bucket, "device": h.Device, "prefix": h.Prefix, "subject": string(h.Subject)} {
		if v != "" {
			parts = append(parts, name+"="+v)
		}
	}
	slices.Sort(parts)
	if len(h.Keys) > 0 {
		parts = append(parts, fmt.Sprintf("%d recordings", len(h.Keys)))
	}
	if !h.From.IsZero() {
		parts = append(parts, "from="+h.From.Format(time.DateOnly))
	}
	if !h.To.IsZero() {
		parts = append(parts, "to="+h.To.Format(time.DateOnly))
	}
	if h.Reason != "" {
		parts = append(parts, "("+h.Reason+")")
	}
	if !h.LiftedAt.IsZero() {
		parts = append(parts, "lifted "+h.LiftedAt.Format(time.DateOnly))
	}
	return strings.Join(parts, " ")
}

func newSubject(a *app) *cobra.Command {
	return group("subject", "Tell earshot what is known of data subjects, and what they ask for",
		newSubjectImport(a), newSubjectShow(a), newSubjectConsent(a), newSubjectChoose(a), newSubjectAccess(a), newSubjectErase(a),
		newSubjectRestrict(a), newSubjectRequests(a), newSubjectExtend(a), newSubjectClose(a), newSubjectReadmit(a), newSubjectForget(a))
}

func newSubjectImport(a *app) *cobra.Command {
	var table bool
	c := command("import", "Read data subjects from standard input, one JSON object a line, or as CSV",
		`Fields: id (a pseudonym, never a name), declared_minor, declared_age, last_active, auto_delete (such as 90d),
dont_save, no_human_review, consents [{purpose, given_at, withdrawn_at, proof}] (in CSV: purpose=2026-01-31 ...). A line
replaces what was known of the subject; each change is an entry in the log. If any line is wrong nothing is stored, and
all wrong lines are named.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			read := readSubjects
			if table {
				read = readSubjectsCSV
			}
			subjects, err := read(a.in)
			if err != nil {
				return err
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			changed := 0
			for _, s := range subjects {
				did, err := i.runner.PutSubject(cmd.Context(), s, "imported")
				if err != nil {
					return err
				}
				if did {
					changed++
				}
			}
			if _, err := i.log.Publish(cmd.Context()); err != nil {
				return err
			}
			a.say("%d data subjects stored, %d of them changed", len(subjects), changed)
			return nil
		})
	c.Flags().BoolVar(&table, "csv", false, "the input is CSV with a header")
	return c
}

func newSubjectShow(a *app) *cobra.Command {
	return command("show ID", "Show what is known of a data subject", "", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		i, err := a.open(cmd.Context())
		if err != nil {
			return err
		}
		defer i.close()
		s, err := i.db.Subject(cmd.Context(), earshot.SubjectID(args[0]))
		if err != nil {
			return err
		}
		if s == nil {
			return fmt.Errorf("nothing is known of data subject %q", args[0])
		}
		return json.NewEncoder(a.out).Encode(s)
	})
}

func newSubjectAccess(a *app) *cobra.Command {
	var out string
	c := command("access ID", "Write everything that is held on a data subject into a zip file",
		`Recordings with what was made from them, what was inferred, the person's settings, what the policies will do and
when, in words, and the log's entries about the person, with a manifest of sums. That it was done is an entry. All
recordings must have been planned at least once, so that it is known whose they are. Identify the person first, and
hand the file over safely: it is all that there is.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return fmt.Errorf("%w: --out is mandatory: the zip file to write", errUsage)
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("writing the answer: %w", err)
			}
			got, err := i.runner.Access(cmd.Context(), earshot.SubjectID(args[0]), f)
			if err = errors.Join(err, f.Close()); err != nil {
				return errors.Join(err, os.Remove(out)) // half an answer is none
			}
			if err := a.emit(got, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d recordings, %d companions, %d events, %d log entries; %d recordings under a legal hold\n", out, got.Recordings, got.Companions, got.Events, got.LogEntries, got.Held)
			}); err != nil {
				return err
			}
			if got.Recordings+got.Companions == 0 && got.Events == 0 && got.LogEntries == 0 {
				a.say("nothing is held on %s: if somebody should be known, see that it is the pseudonym that the store has", args[0])
			}
			if len(got.Missing) > 0 {
				return fmt.Errorf("%w: %d recording(s) could not be read; the answer names them", errPartly, len(got.Missing))
			}
			return nil
		})
	c.Flags().StringVar(&out, "out", "", "zip file to write; mandatory, must not exist")
	return c
}

func newSubjectClose(a *app) *cobra.Command {
	return command("close ID", "Close a data subject's open requests",
		`A request for erasure is closed when everything is erased that nothing keeps. What a legal hold keeps is refused, in
part, in words for the answer. Where nothing is left the person is taken out of what earshot itself keeps: catalog and
inventories. The pseudonym stays, by which what arrives late is caught.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			got, err := i.runner.CloseRequests(cmd.Context(), earshot.SubjectID(args[0]))
			i.close()
			if err != nil {
				return err
			}
			if got.Scrubbed {
				a.sweep(cmd.Context(), i.cfg)
			}
			if len(got.Closed) == 0 && !got.Scrubbed {
				a.say("%s has no open request: earshot subject requests lists those that are open", args[0])
			}
			return a.emit(got, func(w io.Writer) { printClosing(w, got) })
		})
}
