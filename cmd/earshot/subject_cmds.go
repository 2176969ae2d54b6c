package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"earshot"
	"earshot/retention"
	"earshot/storage/embedded"

	"github.com/spf13/cobra"
)

func newSubjectConsent(a *app) *cobra.Command {
	var purpose, at, proof string
	var withdraw bool
	c := command("consent ID", "Write down that a data subject consents to a purpose, or no longer does",
		`Purposes are those that the policies ask for: parental, voiceprint, human-review, ... The change is an entry in the
log; what becomes of the subject's recordings is told at once, and the next plan goes by it.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if purpose == "" {
				return fmt.Errorf("%w: --purpose is mandatory: what for?", errUsage)
			}
			if !withdraw && proof == "" {
				return fmt.Errorf("%w: --proof is mandatory: where is the proof of the consent kept?", errUsage)
			}
			when, err := momentOf(at)
			if err != nil {
				return err
			}
			what := "consent given: " + purpose
			if withdraw {
				what = "consent withdrawn: " + purpose
			}
			return a.changeSubject(cmd.Context(), args[0], what, func(s *earshot.Subject) error {
				if !withdraw {
					retention.Give(s, purpose, when, proof)
				} else if retention.Withdraw(s, purpose, when) == 0 {
					return fmt.Errorf("%s has no consent to %s in force", s.ID, purpose)
				}
				if err := completeSubject(s, time.Now()); err != nil {
					return fmt.Errorf("%w: %w", errUsage, err)
				}
				return nil
			})
		})
	c.Flags().StringVar(&purpose, "purpose", "", "what for; mandatory")
	c.Flags().StringVar(&at, "at", "", "when it was given or withdrawn, RFC 3339 or a day (default: now)")
	c.Flags().StringVar(&proof, "proof", "", "where the proof is kept; mandatory for a consent")
	c.Flags().BoolVar(&withdraw, "withdraw", false, "the consent is withdrawn")
	return c
}

func momentOf(text string) (time.Time, error) {
	if text == "" {
		return time.Now().UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: %q is not a moment such as 2026-01-31 or 2026-01-31T12:00:00Z", errUsage, text)
}

func newSubjectChoose(a *app) *cobra.Command {
	return command("choose ID CHOICE...", "Write down what a data subject chose",
		`Choices: autoDelete=3mo (or 90d, 18mo, ...; autoDelete=never takes it back), dontSave, noHumanReview, each also with
=false. Each change is an entry in the log; what becomes of the subject's recordings is told at once, and the next plan
goes by it.`, cobra.MinimumNArgs(2),
		func(cmd *cobra.Command, args []string) error {
			return a.changeSubject(cmd.Context(), args[0], "choice", func(s *earshot.Subject) error {
				for _, choice := range args[1:] {
					if err := choose(s, choice); err != nil {
						return fmt.Errorf("%w: %w", errUsage, err)
					}
				}
				return nil
			})
		})
}

func choose(s *earshot.Subject, choice string) error {
	name, value, given := strings.Cut(choice, "=")
	switch name {
	case "autoDelete":
		if value == "never" {
			s.AutoDelete = 0
			return nil
		}
		if strings.HasSuffix(value, "m") { // people mean months, and nobody chooses minutes
			value += "o"
		}
		d, err := ownPeriod(value)
		if err != nil || !given {
			return fmt.Errorf("autoDelete=%s: want a period such as 3mo or 90d, or never; dontSave where nothing is to be saved", value)
		}
		s.AutoDelete = d
		return nil
	case "dontSave", "noHumanReview":
		on := true
		if given {
			var err error
			if on, err = strconv.ParseBool(value); err != nil {
				return fmt.Errorf("%s: want true or false", choice)
			}
		}
		if name == "dontSave" {
			s.DontSave = on
		} else {
			s.NoHumanReview = on
		}
		return nil
	}
	return fmt.Errorf("unknown choice %q: want autoDelete=PERIOD, dontSave or noHumanReview", choice)
}

// changeSubject changes what is known of a subject, and tells what becomes of the recordings now.
func (a *app) changeSubject(ctx context.Context, id, what string, change func(*earshot.Subject) error) error {
	i, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	s, err := i.runner.Subject(ctx, earshot.SubjectID(id))
	if err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	changed, err := i.runner.PutSubject(ctx, s, what)
	if err != nil {
		return err
	}
	if _, err := i.log.Publish(ctx); err != nil {
		return err
	}
	f, err := i.runner.ForesaySubject(ctx, s.ID)
	if err != nil {
		return err
	}
	if !changed {
		a.say("nothing changed: it was so already")
	}
	return a.emit(f, func(w io.Writer) {
		fmt.Fprintf(w, "%s: of %d recordings, the next plan deletes %d and redacts %d; %d are held, %d are for review or hang on facts", f.Subject, f.Recordings, f.Deletes, f.Redacts, f.Held, f.ForReview)
		if !f.Next.IsZero() {
			fmt.Fprintf(w, "; the next of the others is due on %s", f.Next.Format(time.DateOnly))
		}
		fmt.Fprintln(w)
	})
}

// askFlags are what is written down of every request.
type askFlags struct {
	law, identity string
	days          int
}

func (f *askFlags) bind(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&f.law, "law", "gdpr", "whose deadline: gdpr (30 days) or ccpa (45 days)")
	c.Flags().StringVar(&f.identity, "identity", "", "where it is kept how the person was identified (no document itself)")
	c.Flags().IntVar(&f.days, "days", 0, "days within which an answer is due (default: as the law has it)")
	return c
}

func (a *app) ask(ctx context.Context, kind earshot.RequestKind, id string, f askFlags, next string) error {
	i, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer i.close()
	q, err := i.runner.Ask(ctx, retention.Asked{
		Kind: kind, Subject: earshot.SubjectID(id), Law: f.law, Identity: f.identity, Within: time.Duration(f.days) * 24 * time.Hour,
	})
	if err != nil {
		return err
	}
	return a.emit(q, func(w io.Writer) {
		fmt.Fprintf(w, "%s is filed, to be answered by %s%s\n", q.ID, q.DueAt.Format(time.DateOnly), next)
	})
}

func newSubjectErase(a *app) *cobra.Command {
	var f askFlags
	return f.bind(command("erase ID", "File a data subject's request for erasure",
		`Every recording of the subject becomes due at once, and the next plan deletes it with everything derived from
it, and the subject's rows in event logs; only legal holds and object locks come before that. From then on the person is
known by a pseudonym: what arrives late goes too, also after the request was closed, until earshot subject readmit.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), earshot.RequestErasure, args[0], f, "; next: earshot plan")
		}))
}

func newSubjectRestrict(a *app) *cobra.Command {
	var f askFlags
	return f.bind(command("restrict ID", "File a data subject's request for restriction",
		`The subject's recordings and rows are stored, and nothing else is done with them: no rule deletes or redacts them,
nobody listens to them (GDPR art. 18). A request for erasure, or the end of this one, ends that.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), earshot.RequestRestriction, args[0], f, "; it stands from now on")
		}))
}

func newSubjectRequests(a *app) *cobra.Command {
	return command("requests", "List the open requests of all data subjects, the most urgent first",
		"The exit status is 3 if one is overdue.", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			open, err := i.runner.Deadlines(cmd.Context())
			if err != nil {
				return err
			}
			overdue := 0
			for _, d := range open {
				state := fmt.Sprintf("%d days left", d.Days)
				if d.Overdue {
					overdue++
					state = fmt.Sprintf("OVERDUE by %d days", -d.Days)
				}
				if err := a.emit(d, func(w io.Writer) {
					fmt.Fprintf(w, "%s  %-11s  %s  due %s (%s, %s)\n", d.ID, d.Kind, d.Subject, d.DueAt.Format(time.DateOnly), orText(d.Law, "gdpr"), state)
				}); err != nil {
					return err
				}
			}
			if overdue > 0 {
				return fmt.Errorf("%w: %d request(s) are overdue", errPartly, overdue)
			}
			return nil
		})
}

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func newSubjectExtend(a *app) *cobra.Command {
	var because string
	c := command("extend REQUEST", "Put off the deadline of a request by what its law allows, once",
		"Two months (GDPR) or 45 days (CCPA). The person must be told why.", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			q, err := i.runner.Extend(cmd.Context(), args[0], because)
			if err != nil {
				return err
			}
			return a.emit(q, func(w io.Writer) { fmt.Fprintf(w, "%s is to be answered by %s\n", q.ID, q.DueAt.Format(time.DateOnly)) })
		})
	c.Flags().StringVar(&because, "because", "", "why, as the person is told; mandatory")
	return c
}

func newSubjectReadmit(a *app) *cobra.Command {
	return command("readmit ID", "Let a person who was erased come back", "What arrives of the person from now on is treated by the policies.", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			was, err := i.runner.Readmit(cmd.Context(), earshot.SubjectID(args[0]))
			if err == nil && !was {
				err = errors.New("no person of that pseudonym was erased")
			}
			return err
		})
}

func printClosing(w io.Writer, c retention.Closing) {
	fmt.Fprintf(w, "%d request(s) closed\n", len(c.Closed))
	if c.Refused != "" {
		fmt.Fprintf(w, "refused in part: %s\nholds: %s\n", c.Refused, strings.Join(c.Holds, ", "))
	}
	if c.Scrubbed {
		fmt.Fprintln(w, "nothing that earshot keeps names the person any more, but for the key behind the log's entries: earshot subject forget")
	}
}

// sweepWait is how long it is waited until nobody uses the embedded store.
const sweepWait = 5 * time.Second

// sweep removes what the embedded store leaves of deleted objects.
func (a *app) sweep(ctx context.Context, c *Config) {
	if c.Store.Embedded == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sweepWait)
	defer cancel()
	if _, err := embedded.Sweep(ctx, c.Store.Embedded); err != nil {
		a.say("earshot: the embedded store still has metadata files of deleted objects, whose names are their keys: %s; stop earshot serve and close the request again", oneLine(err))
	}
}
