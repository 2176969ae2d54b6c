package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"earshot"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// showRun shows a run and up to limit of its actions (0: all).
func (a *app) showRun(ctx context.Context, i *installation, run earshot.Run, limit int) error {
	if a.json {
		if err := json.NewEncoder(a.out).Encode(run); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	if !a.json {
		fmt.Fprintln(w, "RECORDING\tACTION\tRULE\tWHY\tSTATE")
	}
	shown := 0
	for from := 0; ; {
		page, err := i.db.Actions(ctx, run.ID, "", from, 500)
		if err != nil {
			return err
		}
		for _, action := range page {
			from = action.Seq + 1
			if limit > 0 && shown >= limit {
				break
			}
			shown++
			if a.json {
				if err := json.NewEncoder(a.out).Encode(action); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", action.Recording.ID.Key, actionText(action), action.Decision.Rule, reasonText(action.Decision), stateText(action))
		}
		if len(page) < 500 || limit > 0 && shown >= limit {
			break
		}
	}
	if a.json {
		return nil
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if shown < run.Actions {
		fmt.Fprintf(a.out, "... and %d more\n", run.Actions-shown)
	}
	printRun(a.out, run)
	return nil
}

// showReviews lists what is for a person to decide.
func (a *app) showReviews(ctx context.Context, i *installation) error {
	seen := map[string]bool{}
	for _, p := range i.policies {
		s := p.Scope()
		for after := ""; ; {
			rows, err := i.db.Decided(ctx, s.Bucket, s.Prefix, earshot.Review.String(), after, 500)
			if err != nil {
				return err
			}
			for _, r := range rows {
				after = r.Recording.ID.Key
				name := s.Bucket + "/" + after // scopes may overlap
				if seen[name] {
					continue
				}
				seen[name] = true
				if err := a.emit(r, func(w io.Writer) { fmt.Fprintf(w, "s3://%s/%s  %s: %s\n", s.Bucket, after, r.Rule, r.Reason) }); err != nil {
					return err
				}
			}
			if len(rows) < 500 {
				break
			}
		}
	}
	return nil
}

func printRun(w io.Writer, run earshot.Run) {
	fmt.Fprintf(w, "\nrun     %s (%s), as of %s\npolicy  %s\ndigest  %s\n", run.ID, run.State, run.AsOf.Format("2006-01-02 15:04:05 MST"), run.Policy, run.Digest)
	fmt.Fprintf(w, "of %d recordings: %d actions, %d kept, %d held, %d for review\n", run.Considered, run.Actions, run.Kept, run.Held, run.ForReview)
	switch run.State {
	case earshot.RunSealed:
		fmt.Fprintf(w, "needs %d approval(s): %s\nnext: earshot approve %s %s\n", run.ApprovalsNeeded, run.WhyApproval, run.ID, run.Digest.Short())
	case earshot.RunApproved, earshot.RunApplying:
		fmt.Fprintf(w, "next: earshot apply %s\n", run.ID)
	case earshot.RunDraft, earshot.RunDone, earshot.RunAbandoned:
	}
}

func actionText(a earshot.Action) string {
	text := a.Decision.Disposition.String()
	for _, red := range a.Decision.Redactions {
		text += " " + spansText(red.Spans)
		if red.Fill != earshot.FillSilence && red.Fill != "" {
			text += " (" + string(red.Fill) + ")"
		}
	}
	if e := a.Decision.Rows; e != nil {
		text += fmt.Sprintf(" rows: %d go, %d change", e.Go, e.Change)
	}
	if n := len(a.Companions); n > 0 {
		text += fmt.Sprintf(" +%d", n)
	}
	return text
}

func spansText(spans earshot.Spans) string {
	parts := make([]string, len(spans))
	for i, s := range spans {
		parts[i] = s.String()
	}
	return strings.Join(parts, ",")
}

func reasonText(d earshot.Decision) string {
	for _, why := range d.Reasons {
		if why.Rule == d.Rule {
			if why.Because != "" {
				return why.Text + " [" + why.Because + "]"
			}
			return why.Text
		}
	}
	if len(d.Reasons) > 0 {
		return d.Reasons[0].Text
	}
	return ""
}

func stateText(a earshot.Action) string {
	if a.Why != "" {
		return string(a.State) + ": " + a.Why
	}
	return string(a.State)
}

// progress draws a bar for each stage on stderr where that is a terminal, and nothing elsewhere.
func (a *app) progress() func(stage string, done, total int) {
	f, ok := a.err.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return bars(f)
}

// bars draws one bar at a time. It is called from one goroutine.
func bars(w io.Writer) func(stage string, done, total int) {
	var p *mpb.Progress
	var bar *mpb.Bar
	current := ""
	return func(stage string, done, total int) {
		if total == 0 {
			return // a listing: nobody knows how long it is
		}
		if stage != current || bar == nil {
			if bar != nil {
				bar.Abort(false)
				p.Wait()
			}
			p = mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
			bar = p.AddBar(int64(total), mpb.PrependDecorators(decor.Name(stage+" ")), mpb.AppendDecorators(decor.CountersNoUnit("%d/%d")))
			current = stage
		}
		bar.SetCurrent(int64(done))
		if done >= total {
			p.Wait()
			bar, current = nil, ""
		}
	}
}
