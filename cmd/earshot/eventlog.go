package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"earshot"
	"earshot/events"
	"earshot/policies"

	"github.com/spf13/cobra"
)

type eventlogOptions struct {
	shape                 events.Shape
	format, comma         string
	asOf, after, coarsen  string
	coarsenAfter, keyFile string
	drop, hash, erase     []string
}

func newEventlog(a *app) *cobra.Command {
	var o eventlogOptions
	c := command("eventlog IN [OUT]", "Apply retention to one file of events, or tell what would be done",
		`IN is JSON Lines or CSV, plain or gzipped. Without OUT nothing is written: what would be done is told, and when
more is due. OUT must not exist; it is read again and compared before it is left there. A row that cannot be read stops
the work, and the message names its line. Logs in the store are treated by policies instead (see docs/policies.md).`,
		cobra.RangeArgs(1, 2), func(_ *cobra.Command, args []string) error {
			e, err := o.edit()
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			r, err := a.rewriteFile(args, e)
			if err != nil {
				return err
			}
			return a.emit(r, func(w io.Writer) {
				fmt.Fprintf(w, "%d rows: %d too old, %d erased, %d changed, %d held, %d kept; %s -> %s\n",
					r.Rows, r.Deleted, r.Erased, r.Changed, r.Held, r.Kept, bytesText(r.BytesIn), bytesText(r.BytesOut))
				if !r.Next.IsZero() {
					fmt.Fprintf(w, "the next row is due on %s\n", r.Next.UTC().Format(time.RFC3339))
				}
			})
		})
	f := c.Flags()
	f.StringVar(&o.format, "format", "", "jsonl or csv (default: by IN's name)")
	f.StringVar(&o.comma, "comma", "", "what separates the fields of CSV (default a comma)")
	f.StringVar(&o.shape.Time, "time", "", "column that says when")
	f.StringVar(&o.shape.TimeLayout, "time-layout", "", "unix, unixms or a Go layout (default RFC 3339)")
	f.StringVar(&o.shape.Subject, "subject", "", "column that says whose")
	f.StringVar(&o.shape.Device, "device", "", "column that says where from")
	f.StringVar(&o.asOf, "as-of", "", "moment that ages are counted up to, RFC 3339 (default: now)")
	f.StringVar(&o.after, "delete-after", "", "age from which rows go, such as 30d")
	f.StringVar(&o.coarsen, "coarsen", "", "cut times down to minute, hour or day")
	f.StringVar(&o.coarsenAfter, "coarsen-after", "", "age from which times are cut down, such as 7d (default: at once)")
	f.StringSliceVar(&o.drop, "drop", nil, "columns whose values go")
	f.StringSliceVar(&o.hash, "hash", nil, "columns whose values become keyed pseudonyms")
	f.StringVar(&o.keyFile, "key-file", "", "file with the pseudonyms' key, at least 16 bytes")
	f.StringSliceVar(&o.erase, "erase", nil, "subjects whose rows go")
	return c
}

func (o *eventlogOptions) edit() (events.Edit, error) {
	e := events.Edit{Shape: o.shape}
	e.Format = events.Format(o.format)
	if len(o.comma) > 1 {
		o.comma = map[string]string{"tab": "\t", `\t`: "\t"}[o.comma]
	}
	if o.comma != "" {
		e.Comma = o.comma[0]
	}
	e.AsOf = time.Now().UTC()
	var err error
	if o.asOf != "" {
		if e.AsOf, err = time.Parse(time.RFC3339, o.asOf); err != nil {
			return e, fmt.Errorf("--as-of: %w", err)
		}
	}
	length := func(name, text string) (d time.Duration) {
		if text != "" && err == nil {
			if d, err = policies.ParseLength(text); err != nil {
				err = fmt.Errorf("--%s: %w", name, err)
			}
		}
		return d
	}
	if o.after != "" {
		e.Rules = append(e.Rules, earshot.RowRule{Name: "delete", After: length("delete-after", o.after), Delete: true})
	}
	if o.coarsen != "" {
		e.Rules = append(e.Rules, earshot.RowRule{Name: "coarsen", After: length("coarsen-after", o.coarsenAfter), Coarsen: earshot.Coarseness(o.coarsen)})
	}
	if len(o.drop)+len(o.hash) > 0 {
		e.Rules = append(e.Rules, earshot.RowRule{Name: "columns", Drop: o.drop, Hash: o.hash})
	}
	for _, s := range o.erase {
		e.Erase = append(e.Erase, earshot.SubjectID(s))
	}
	if o.keyFile != "" && err == nil {
		e.Key, err = os.ReadFile(o.keyFile)
	}
	return e, err
}

// rewriteFile tells, or does and proves.
func (a *app) rewriteFile(args []string, e events.Edit) (r events.Report, err error) {
	if e.Format == "" {
		e.Format = formatOf(args[0])
	}
	in, err := os.Open(args[0])
	if err != nil {
		return r, fmt.Errorf("reading an event log: %w", err)
	}
	defer in.Close()
	if len(args) == 1 {
		return events.Survey(in, e)
	}
	info, err := in.Stat()
	if err != nil {
		return r, fmt.Errorf("reading an event log: %w", err)
	}
	out, err := os.OpenFile(args[1], os.O_CREATE|os.O_EXCL|os.O_RDWR, info.Mode().Perm())
	if err != nil {
		return r, fmt.Errorf("writing an event log: %w", err)
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(args[1])) // half a log is none
		}
	}()
	buffered := bufio.NewWriter(out)
	if r, err = events.Rewrite(buffered, in, e); err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = events.Verify(in, out, e)
	}
	return r, err
}

func formatOf(name string) events.Format {
	name = strings.TrimSuffix(strings.ToLower(name), ".gz")
	if strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".tsv") {
		return events.CSV
	}
	return events.JSONLines
}
