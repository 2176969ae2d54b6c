package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"strings"

	"earshot"
	"earshot/audit"
	"earshot/redact"
	"earshot/retention"
	"earshot/storage"
	"earshot/storage/catalog"

	"github.com/spf13/cobra"
)

// The exit statuses, the same for all commands.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitPartly     = 3
	exitStale      = 4
	exitUnverified = 5
)

const exitHelp = `
Exit status: 0 done, 1 failed, 2 usage, 3 partly done, 4 stale or not approved, 5 verification failed.
`

// Errors that say with which status to exit.
var (
	errUsage      = errors.New("usage")
	errPartly     = errors.New("partly done")
	errUnverified = errors.New("verification failed")
)

// app is what every command has: where to write, and the flags that all of them know.
type app struct {
	in         io.Reader
	out, err   io.Writer
	configPath string
	as         string
	tenant     string // where the configuration is of several
	ofMany     bool   // the configuration is one tenant's
	json       bool
	verbose    bool
}

func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if a.json && !errors.Is(err, errSaid) {
		_ = json.NewEncoder(a.out).Encode(map[string]string{"error": oneLine(err)})
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintf(a.err, "earshot: %s\n", oneLine(err))
	}
	return status(err)
}

// errSaid marks an error whose message has been shown already.
var errSaid = errors.New("")

func oneLine(err error) string {
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	for _, s := range []error{errUsage, errPartly, errUnverified} {
		text = strings.TrimPrefix(text, s.Error()+": ")
	}
	return text
}

// status chooses the exit status of an error, in this one place.
func status(err error) int {
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errUnverified), errors.Is(err, audit.ErrUnverified), errors.Is(err, audit.ErrHalted), errors.Is(err, redact.ErrUnproved):
		return exitUnverified
	case errors.Is(err, retention.ErrStaleRun), errors.Is(err, retention.ErrNotApproved), errors.Is(err, catalog.ErrStale), errors.Is(err, storage.ErrChanged):
		return exitStale
	case errors.Is(err, errPartly), errors.Is(err, retention.ErrPartly), errors.Is(err, context.Canceled):
		return exitPartly
	}
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "earshot",
		Short: "Retention, redaction and proof for voice recordings in S3-compatible storage",
		Long: `Earshot scans voice recordings in S3-compatible storage, applies retention and
child-voice policies, redacts or deletes recordings with everything derived from
them, and writes a log that an outsider can verify.

Try it:            earshot demo
Begin for real:    earshot init DIR, then earshot --config DIR/earshot.yaml doctor
A run:             earshot scan, plan, show RUN, approve RUN DIGEST, apply RUN

Data goes to stdout, everything else to stderr; --json gives JSON Lines.` + "\n" + exitHelp,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: earshot has no command %q; see earshot --help", errUsage, args[0])
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.configPath, "config", envOr("EARSHOT_CONFIG", "earshot.yaml"), "configuration file (or $EARSHOT_CONFIG)")
	flags.StringVar(&a.as, "as", envOr("EARSHOT_AS", ""), "who is acting, for the log (or $EARSHOT_AS; default: the login name)")
	flags.StringVar(&a.tenant, "tenant", envOr("EARSHOT_TENANT", ""), "which tenant, where the configuration is of several (or $EARSHOT_TENANT)")
	flags.BoolVar(&a.json, "json", false, "write JSON Lines to stdout")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "say more on stderr")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.AddCommand(
		newDemo(a), newInit(a), newServe(a), newWorker(a), newQueue(a), newScan(a), newPlan(a), newShow(a), newApprove(a), newApply(a),
		newInspect(a), newRedact(a), newWakeword(a), newEventlog(a), newPolicy(a), newHold(a), newSubject(a), newAudit(a), newDoctor(a), newStatus(a), newAttention(a), newTenants(a), newBackup(a), newVersion(a), newStore(),
	)
	return root
}

// command makes a command whose help ends with the exit statuses and whose arguments are checked.
func command(use, short, long string, args cobra.PositionalArgs, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: strings.TrimSpace(short+".\n\n"+long) + "\n" + exitHelp,
		Args: func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return fmt.Errorf("%w: %w; see %s --help", errUsage, err, cmd.CommandPath())
			}
			return nil
		},
		RunE: run,
	}
}

// group makes a command that only has others below it.
func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: short + ".\n" + exitHelp, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("%w: earshot %s has no command %q; see earshot %s --help", errUsage, use, args[0], use)
		}
		return cmd.Help()
	}}
	c.AddCommand(sub...)
	return c
}

// principal is who is acting: a person, unless the name says service:NAME.
func (a *app) principal() (earshot.Principal, error) {
	name := a.as
	if name == "" {
		u, err := user.Current()
		if err != nil {
			return earshot.Principal{}, fmt.Errorf("who is acting? use --as NAME (%w)", err)
		}
		name = u.Username
	}
	if service, ok := strings.CutPrefix(name, "service:"); ok {
		return earshot.Principal{Kind: earshot.Service, Name: service}, nil
	}
	return earshot.Principal{Kind: earshot.Person, Name: name}, nil
}

func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}

// emit writes one item: as JSON, or as its human form.
func (a *app) emit(v any, human func(w io.Writer)) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(v)
	}
	human(a.out)
	return nil
}

func (a *app) say(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// hint says what to do about a configuration that is not there.
func hint(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (earshot init DIR makes a configuration; --config names one)", err)
	}
	return err
}
