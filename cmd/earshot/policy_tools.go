package main

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"strings"
	"time"

	"earshot/policies"
	"earshot/retention"

	"github.com/spf13/cobra"
)

func newPolicyForecast(a *app) *cobra.Command {
	var weeks int
	var svg string
	c := command("forecast", "Tell what will be deleted and redacted in each week to come",
		`Asks the catalog only: scan first. What hangs on facts that nobody has asked for yet (the wake word, say) is
counted apart, and is known after a plan.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if weeks < 1 || weeks > 520 {
				return fmt.Errorf("%w: --weeks %d is not between 1 and 520", errUsage, weeks)
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			f, err := i.runner.Forecast(cmd.Context(), weeks)
			if err != nil {
				return err
			}
			if svg != "" {
				text, err := forecastSVG(f)
				if err != nil {
					return err
				}
				if err := os.WriteFile(svg, text, 0o600); err != nil {
					return fmt.Errorf("writing the chart: %w", err)
				}
			}
			return a.emit(f, func(w io.Writer) { printForecast(w, f) })
		})
	c.Flags().IntVar(&weeks, "weeks", 52, "how many weeks to look ahead")
	c.Flags().StringVar(&svg, "svg", "", "write a chart to this file")
	return c
}

func printForecast(w io.Writer, f retention.Forecast) {
	fmt.Fprintf(w, "%-12s %9s %9s %12s\n", "week from", "delete", "redact", "bytes")
	row := func(name string, k retention.Week) {
		if k.Deletes+k.Redacts > 0 {
			fmt.Fprintf(w, "%-12s %9d %9d %12s\n", name, k.Deletes, k.Redacts, byteText(k.Bytes))
		}
	}
	row("due now", f.Now)
	for _, k := range f.Weeks {
		row(k.From.Format(time.DateOnly), k)
	}
	fmt.Fprintf(w, "of %d recordings: %d later, %d never, %d for review, %d under a hold, %d hang on facts not asked for yet\n",
		f.Recordings, f.Later, f.Never, f.ForReview, f.Held, f.OnFacts)
}

const forecastChart = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{.Width}} 260" role="img" aria-labelledby="t d" font-family="sans-serif" font-size="11">
<title id="t">What will be deleted and redacted</title>
<desc id="d">One bar a week from {{.From}}; the highest stands for {{.Most}} recordings.</desc>
<rect width="100%" height="100%" fill="#fff"/>
<text x="10" y="18" font-size="13">Recordings deleted (dark) and redacted (light), by week from {{.From}}</text>
<line x1="40" y1="220" x2="{{.Width}}" y2="220" stroke="#444"/><text x="4" y="44">{{.Most}}</text><text x="28" y="224">0</text>
{{range .Bars}}<g><title>{{.Name}}: {{.Deletes}} deleted, {{.Redacts}} redacted</title><rect x="{{.X}}" y="{{.RY}}" width="9" height="{{.RH}}" fill="#8fb8de"/><rect x="{{.X}}" y="{{.DY}}" width="9" height="{{.DH}}" fill="#1d4e89"/></g>
{{end}}{{range .Labels}}<text x="{{.X}}" y="240">{{.Name}}</text>{{end}}
</svg>
`

type forecastBar struct {
	Name                  string
	X, DY, DH, RY, RH     int
	Deletes, Redacts, Sum int
}

func forecastSVG(f retention.Forecast) ([]byte, error) {
	weeks := append([]retention.Week{f.Now}, f.Weeks...)
	most := 1
	for _, k := range weeks {
		most = max(most, k.Deletes+k.Redacts)
	}
	const height, bottom = 180, 220
	data := struct {
		Width, Most  int
		From         string
		Bars, Labels []forecastBar
	}{Width: 60 + 12*len(weeks), Most: most, From: f.AsOf.Format(time.DateOnly)}
	for n, k := range weeks {
		name := k.From.Format(time.DateOnly)
		if n == 0 {
			name = "due now"
		}
		dh, rh := k.Deletes*height/most, k.Redacts*height/most
		b := forecastBar{Name: name, X: 44 + 12*n, DY: bottom - dh, DH: dh, RY: bottom - dh - rh, RH: rh, Deletes: k.Deletes, Redacts: k.Redacts}
		data.Bars = append(data.Bars, b)
		if n%8 == 1 {
			data.Labels = append(data.Labels, b)
		}
	}
	t, err := template.New("chart").Parse(forecastChart)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, data)
	return out.Bytes(), err
}

func byteText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func newPolicyDiff(a *app) *cobra.Command {
	return command("diff NEW.yaml...", "Tell what policies would treat otherwise than those in force, before they are",
		`Each file takes the place of the policy of the same name, or is added. Every recording of the catalog is decided
by both; nothing is written. The exit status is 4 if a first run would exceed the new policy's own limits, so that
somebody else would have to approve it.`, cobra.MinimumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			var changed []*policies.Policy
			var errs []error
			for _, f := range args {
				p, err := loadPolicy(f)
				errs = append(errs, err)
				changed = append(changed, p)
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			d, err := i.runner.Diff(cmd.Context(), changed...)
			if err != nil {
				return err
			}
			if err := a.emit(d, func(w io.Writer) { printDifference(w, d) }); err != nil {
				return err
			}
			if d.Exceeds != "" {
				return fmt.Errorf("%w: %d recordings (%.1f %%) would be deleted or redacted at once that are not as things are; that is beyond the limits of policy %s",
					retention.ErrNotApproved, d.Wider, 100*d.Share, d.Exceeds)
			}
			return nil
		})
}

func printDifference(w io.Writer, d retention.Difference) {
	fmt.Fprintf(w, "of %d recordings %d are treated as before, %d sooner, %d later or no longer\n", d.Recordings, d.Same, d.Sooner, d.Later)
	for _, c := range d.Changes {
		fmt.Fprintf(w, "%7d  %s -> %s  %s\n", c.Count, c.From, c.To, byteText(c.Bytes))
		for _, e := range c.Examples {
			fmt.Fprintf(w, "         %s\n", e)
		}
	}
	fmt.Fprintf(w, "%d more would be deleted or redacted by the next run (%.1f %%)\n", d.Wider, 100*d.Share)
}

func newPolicyLint(a *app) *cobra.Command {
	var catalogToo bool
	c := command("lint [FILE...]", "Point out what is allowed and probably not meant",
		`Rules that are never reached or say a thing twice, recordings of children that no rule ends, missing limits,
reasons and cases, scopes that overlap. With --catalog also rules that decided about no recording in the last 90 days.
The exit status is 1 if anything is pointed out.`, cobra.ArbitraryArgs,
		func(cmd *cobra.Command, args []string) error {
			files, err := a.policyArgs(args)
			if err != nil {
				return err
			}
			var ps []*policies.Policy
			var all []policies.Warning
			for _, f := range files {
				p, err := loadPolicy(f)
				if err != nil {
					return err
				}
				cases, err := casesOf(f)
				if err != nil {
					return err
				}
				ps, all = append(ps, p), append(all, policies.Lint(p, cases)...)
			}
			all = append(all, overlaps(ps)...)
			if catalogToo {
				more, err := a.unmatched(cmd, ps)
				if err != nil {
					return err
				}
				all = append(all, more...)
			}
			for _, w := range all {
				if err := a.emit(w, func(out io.Writer) { fmt.Fprintln(out, w) }); err != nil {
					return err
				}
			}
			if len(all) > 0 {
				return fmt.Errorf("%d thing(s) to look at", len(all))
			}
			return nil
		})
	c.Flags().BoolVar(&catalogToo, "catalog", false, "ask the catalog which rules decided about anything")
	return c
}

func casesOf(file string) (*policies.Cases, error) {
	name := strings.TrimSuffix(file, ".yaml") + ".test.yaml"
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // there are none, and that is what Lint tells
	}
	if err != nil {
		return nil, fmt.Errorf("reading cases: %w", err)
	}
	return policies.ParseCases(name, text)
}

// overlaps tells of policies that speak of the same recordings.
func overlaps(ps []*policies.Policy) []policies.Warning {
	var out []policies.Warning
	for i, p := range ps {
		for _, q := range ps[:i] {
			a, b := p.Scope(), q.Scope()
			if a.Bucket == b.Bucket && a.Class == b.Class && speaks(p, q) && (strings.HasPrefix(a.Prefix, b.Prefix) || strings.HasPrefix(b.Prefix, a.Prefix)) {
				out = append(out, policies.Warning{Policy: p.Name(), Text: fmt.Sprintf("its scope overlaps with that of policy %s: where both speak the stricter wins", q.Name())})
			}
		}
	}
	return out
}

// speaks reports whether two policies speak of the same kind of thing: recordings, or rows of logs.
func speaks(p, q *policies.Policy) bool {
	a, b := p.Document().Spec, q.Document().Spec
	return len(a.Rules) > 0 && len(b.Rules) > 0 || len(a.Rows) > 0 && len(b.Rows) > 0
}

// unmatchedFor is how long a rule may be of no use before that is pointed out.
const unmatchedFor = 90 * 24 * time.Hour

func (a *app) unmatched(cmd *cobra.Command, ps []*policies.Policy) ([]policies.Warning, error) {
	i, err := a.open(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer i.close()
	matched, err := i.db.Matched(cmd.Context(), time.Now().Add(-unmatchedFor))
	if err != nil {
		return nil, err
	}
	var out []policies.Warning
	for _, p := range ps {
		since, err := i.db.ActiveSince(cmd.Context(), p.Digest())
		if err != nil {
			return nil, err
		}
		if since.IsZero() || time.Since(since) < unmatchedFor {
			continue // it has not had its time yet
		}
		spec := p.Document().Spec
		var names []string
		for _, r := range spec.Rules {
			names = append(names, r.Name)
		}
		for _, r := range spec.Rows {
			if r.Then == "delete" {
				names = append(names, r.Name)
			}
		}
		for _, name := range names {
			if matched[name] == 0 {
				out = append(out, policies.Warning{Policy: p.Name(), Rule: name, Text: "it decided about no recording in the last 90 days"})
			}
		}
	}
	return out, nil
}

func newPolicyPublish(a *app) *cobra.Command {
	return command("publish [FILE...]", "Write the policies as a page in plain language",
		`Which recordings, what happens to them when, and why: the written retention policy that 16 CFR 312.10 and the
California Consumer Privacy Act ask for, made from the rules that are carried out. HTML, to stdout.`, cobra.ArbitraryArgs,
		func(_ *cobra.Command, args []string) error {
			files, err := a.policyArgs(args)
			if err != nil {
				return err
			}
			var ps []*policies.Policy
			for _, f := range files {
				p, err := loadPolicy(f)
				if err != nil {
					return err
				}
				ps = append(ps, p)
			}
			page, err := policies.Publish(ps...)
			if err != nil {
				return err
			}
			_, err = a.out.Write(page)
			return err
		})
}
