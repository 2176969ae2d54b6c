package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"earshot"

	"github.com/spf13/cobra"
)

func newHold(a *app) *cobra.Command {
	return group("hold", "Place, lift and list legal holds", newHoldPlace(a), newHoldLift(a), newHoldList(a))
}

func newHoldPlace(a *app) *cobra.Command {
	var h earshot.Hold
	var subject, from, to string
	c := command("place", "Place a legal hold",
		`Nothing that a hold covers is redacted or deleted while it stands, not even if a run that says so has been
approved already. Several conditions narrow a hold.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
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
			placed, err := i.runner.PlaceHold(cmd.Context(), h)
			if err != nil {
				return err
			}
			return a.emit(placed, func(w io.Writer) { fmt.Fprintf(w, "%s is placed\n", placed.ID) })
		})
	f := c.Flags()
	f.StringVar(&h.Matter, "matter", "", "what the hold is for (case number); mandatory")
	f.StringVar(&h.Bucket, "bucket", "", "recordings of this bucket")
	f.StringVar(&h.Prefix, "prefix", "", "recordings whose key begins so")
	f.StringVar(&subject, "subject", "", "recordings of this data subject (pseudonym)")
	f.StringVar(&h.Device, "device", "", "recordings of this device")
	f.StringVar(&from, "from", "", "captured (or stored) on or after this day, UTC")
	f.StringVar(&to, "to", "", "captured (or stored) before this day, UTC")
	return c
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
	var all bool
	c := command("list", "List legal holds", "", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		i, err := a.open(cmd.Context())
		if err != nil {
			return err
		}
		defer i.close()
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
	return c
}

func holdScope(h earshot.Hold) string {
	var parts []string
	for name, v := range map[string]string{"bucket": h.Bucket, "device": h.Device, "prefix": h.Prefix, "subject": string(h.Subject)} {
		if v != "" {
			parts = append(parts, name+"="+v)
		}
	}
	if !h.LiftedAt.IsZero() {
		parts = append(parts, "lifted "+h.LiftedAt.Format(time.DateOnly))
	}
	return strings.Join(parts, " ")
}

func newSubject(a *app) *cobra.Command {
	return group("subject", "Tell earshot what is known of data subjects", newSubjectImport(a), newSubjectShow(a))
}

// subjectLine is a data subject as JSON Lines have it, with periods that people can write.
type subjectLine struct {
	earshot.Subject
	AutoDelete string `json:"auto_delete,omitempty"` // 90d, 2160h
}

func newSubjectImport(a *app) *cobra.Command {
	return command("import", "Read data subjects from standard input, one JSON object a line",
		`Fields: id (a pseudonym, never a name), declared_minor, declared_age, last_active, auto_delete (such as 90d),
dont_save, no_human_review, consents [{purpose, given_at, withdrawn_at, proof}]. A line replaces what was known
of the subject. Lines that are wrong are named and left out; nothing is half read.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			subjects, err := readSubjects(a.in)
			if err != nil {
				return err
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			for _, s := range subjects {
				if err := i.db.PutSubject(cmd.Context(), s); err != nil {
					return err
				}
			}
			a.say("%d data subjects stored", len(subjects))
			return nil
		})
}

// readSubjects reads all lines before anything is stored.
func readSubjects(r io.Reader) ([]earshot.Subject, error) {
	var out []earshot.Subject
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		var s subjectLine
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&s); err != nil {
			return nil, fmt.Errorf("line %d: %w; nothing was stored", n, err)
		}
		if s.ID == "" {
			return nil, fmt.Errorf("line %d: id is missing; nothing was stored", n)
		}
		if s.AutoDelete != "" {
			d, err := parsePeriod(s.AutoDelete)
			if err != nil {
				return nil, fmt.Errorf("line %d: auto_delete: %w; nothing was stored", n, err)
			}
			s.Subject.AutoDelete = d
		}
		for i := range s.Consents {
			s.Consents[i].Subject = s.ID
		}
		out = append(out, s.Subject)
	}
	return out, lines.Err()
}

func parsePeriod(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		if err != nil || d <= 0 || d > 100*365*time.Hour {
			return 0, fmt.Errorf("%q is not a number of days", text)
		}
		return 24 * d, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not a period", text)
	}
	return d, err
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
