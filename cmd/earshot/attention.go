package main

import (
	"fmt"
	"io"
	"strings"

	"earshot/storage/catalog"

	"github.com/spf13/cobra"
)

func newAttention(a *app) *cobra.Command {
	return group("attention", "Recordings that something failed on", newAttentionList(a), newAttentionRetry(a))
}

func newAttentionList(a *app) *cobra.Command {
	var only bool
	c := command("list", "List the recordings that something failed on, with the reason",
		`A recording that cannot be read, redacted or deleted does not hold up the others. It is left as it is and tried
again after an hour, six hours, a day and three days. Then it is blocked: it is listed here, earshot status exits with 3,
and nothing is tried until earshot attention retry says so, or until another object takes its place.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			n := 0
			for bucket, key := "", ""; ; {
				page, err := i.db.Attention(cmd.Context(), bucket, key, 1000)
				if err != nil {
					return err
				}
				for _, t := range page {
					bucket, key = t.ID.Bucket, t.ID.Key
					if only && !t.Blocked {
						continue
					}
					n++
					if err := a.emit(t, func(w io.Writer) { printTrouble(w, t) }); err != nil {
						return err
					}
				}
				if len(page) < 1000 {
					break
				}
			}
			if n == 0 && !a.json {
				a.say("nothing needs attention")
			}
			return nil
		})
	c.Flags().BoolVar(&only, "blocked", false, "only those that are not tried again by themselves")
	return c
}

// meanings of the codes that outcomes and plans give.
func meaning(code string) string {
	switch code {
	case "locked":
		return "the store protects it with an object lock or a legal hold"
	case "denied":
		return "the store's credentials may not do this: see earshot doctor"
	case "too_large":
		return "it is larger than 5 GiB, which cannot be replaced in one piece"
	case "opaque":
		return "its sound cannot be erased safely: see earshot inspect; a rule may delete it instead"
	case "unproved":
		return "what was made could not be proved to be free of the sound, so that it was not stored"
	case "still_present":
		return "a fresh listing still showed it"
	case "misplaced":
		return "what is to be erased lies behind its end: its event tells of another recording; see earshot inspect and earshot redact"
	case "unreadable":
		return "its metadata or its sound could not be read"
	}
	return code
}

func printTrouble(w io.Writer, t catalog.Trouble) {
	next := "tried again after " + t.NextAt.UTC().Format("2006-01-02 15:04")
	if t.Blocked {
		next = "BLOCKED"
	}
	fmt.Fprintf(w, "%s/%s\n    %s, %d time(s) since %s; %s\n", t.ID.Bucket, t.ID.Key, meaning(t.Code), t.Tries, t.FirstAt.UTC().Format("2006-01-02"), next)
}

func newAttentionRetry(a *app) *cobra.Command {
	var all bool
	c := command("retry [BUCKET/KEY...]", "Let recordings be tried again by the next plan",
		"Do this once the cause is mended. Each gets all its tries again. --all retries everything that earshot attention list shows.",
		cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return fmt.Errorf("%w: name recordings as BUCKET/KEY, or use --all", errUsage)
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			var n int64
			if all {
				n, err = i.db.Retry(cmd.Context(), "", "")
			}
			for _, arg := range args {
				bucket, key, ok := strings.Cut(strings.TrimPrefix(arg, "s3://"), "/")
				if !ok || bucket == "" || key == "" {
					return fmt.Errorf("%w: %q is not BUCKET/KEY", errUsage, arg)
				}
				one, err := i.db.Retry(cmd.Context(), bucket, key)
				if err != nil {
					return err
				}
				if n += one; one == 0 {
					a.say("%s is not on the list", arg)
				}
			}
			if err != nil {
				return err
			}
			a.say("%d recording(s) are tried again by the next plan", n)
			return nil
		})
	c.Flags().BoolVar(&all, "all", false, "retry everything")
	return c
}
