package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"earshot/audit"
	"earshot/audit/export"

	"github.com/spf13/cobra"
)

func newAuditExport(a *app) *cobra.Command {
	var b believing
	var q query
	var format, out string
	c := command("export", "Write entries as CSV, JSON Lines or Parquet, or as OCSF events for a SIEM",
		`Writes the entries and a manifest into a new folder: every row carries its index, its leaf hash and the entry's
exact bytes, so that earshot audit verify-export, or anyone, can check them against the signed checkpoint in the
manifest. Filters are those of earshot audit log. That somebody exported the log is an entry too.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return fmt.Errorf("%w: --out is mandatory: a folder that does not hold an export yet", errUsage)
			}
			ctx := cmd.Context()
			whole, closeWhole := a.lazily(ctx)
			defer closeWhole()
			if err := q.prepare(ctx, whole); err != nil {
				return err
			}
			i, trust, err := a.openLog(ctx, b)
			if err != nil {
				return err
			}
			defer i.close()
			m, size, err := a.export(ctx, i, trust, &q, export.Format(format), out)
			if err != nil {
				return err
			}
			if err := a.emit(m, func(w io.Writer) {
				fmt.Fprintf(w, "%d entries of %d in %s\n", m.Rows, size, filepath.Join(out, m.File))
			}); err != nil || b.bucket != "" {
				return err
			}
			a.sayRead(ctx, whole, audit.KindExport, audit.Read{Entries: m.Rows, Size: size, Format: format, SHA256: m.SHA256}, q.text())
			return nil
		})
	q.flags(c)
	b.flags(c)
	c.Flags().StringVar(&format, "format", "csv", "csv, jsonl, parquet or ocsf")
	c.Flags().StringVar(&out, "out", "", "folder to make; mandatory")
	return c
}

// export writes the entries that are asked for. The checkpoint is taken first: entries that come
// meanwhile are not of that tree.
func (a *app) export(ctx context.Context, i *installation, trust *audit.Trust, q *query, format export.Format, out string) (export.Manifest, int64, error) {
	tiles, err := i.tiles(ctx)
	if err != nil {
		return export.Manifest{}, 0, err
	}
	signed, _, err := tiles.Get(ctx, "checkpoint")
	if err != nil {
		return export.Manifest{}, 0, fmt.Errorf("reading the checkpoint: %w", err)
	}
	c, err := trust.Open(signed)
	if err != nil {
		return export.Manifest{}, 0, err
	}
	w, err := export.Begin(out, format, signed, q.text())
	if err != nil {
		return export.Manifest{}, 0, err
	}
	_, readErr := q.read(ctx, i, trust, func(index int64, _ audit.Entry, body []byte) error {
		if index >= c.Size {
			return nil
		}
		return w.Add(index, body)
	})
	m, err := w.Finish(c.Size)
	if readErr != nil {
		return m, c.Size, readErr
	}
	return m, c.Size, err
}

func newAuditVerifyExport(a *app) *cobra.Command {
	var b believing
	var compare bool
	c := command("verify-export DIR", "Check an export against the signed checkpoint in its manifest",
		`Checks the file's sum, each row's leaf hash and columns against the entry's bytes, and for a complete export that
the rows give the signed root. A filtered export proves that its rows are unchanged; with --compare each is also
compared with the log itself.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			trust, err := b.trust()
			if err != nil {
				return err
			}
			var entry func(int64) ([]byte, error)
			if trust == nil || compare {
				i, t, err := a.openLog(ctx, b)
				if err != nil {
					return err
				}
				defer i.close()
				trust = t
				if compare {
					if entry, err = i.entries(ctx, t); err != nil {
						return err
					}
				}
			}
			got, err := export.Check(args[0], trust, entry)
			if err != nil {
				return err
			}
			if err := a.emit(got, func(w io.Writer) {
				for _, f := range got.Findings {
					fmt.Fprintf(w, "FOUND: %s\n", f)
				}
				switch {
				case len(got.Findings) > 0:
				case got.Proved:
					fmt.Fprintf(w, "the %d rows are entries of the signed log, and nothing was changed\n", got.Manifest.Rows)
				default:
					fmt.Fprintf(w, "the %d rows are as they were exported; that they are the log's, and that none that fits %q is missing, takes --compare\n", got.Manifest.Rows, got.Manifest.Query)
				}
			}); err != nil {
				return err
			}
			if len(got.Findings) > 0 {
				return fmt.Errorf("%w: %d finding(s)", errUnverified, len(got.Findings))
			}
			return nil
		})
	b.flags(c)
	c.Flags().BoolVar(&compare, "compare", false, "compare each row with the log")
	return c
}

// entries gives the log's entries by index. Each is proved against the checkpoint.
func (i *installation) entries(ctx context.Context, trust *audit.Trust) (func(int64) ([]byte, error), error) {
	tiles, err := i.tiles(ctx)
	if err != nil {
		return nil, err
	}
	return func(index int64) ([]byte, error) {
		p, err := audit.Prove(ctx, tiles, trust, index)
		if err != nil {
			return nil, err
		}
		if _, _, err := p.Verify(trust); err != nil {
			return nil, err
		}
		return []byte(p.Entry), nil
	}, nil
}

func newAuditSend(a *app) *cobra.Command {
	var b believing
	var to, cursor string
	c := command("send", "Send new entries to a webhook as CloudEvents",
		`Sends every entry that the receiver has not had yet, in batches of 100 (application/cloudevents-batch+json), and
tries again for about a minute when it fails. A file keeps how far it came, so that a timer can call this for ever;
after a crash the last batch may come twice, with the same ids.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if u, err := url.Parse(to); err != nil || u.Scheme != "http" && u.Scheme != "https" {
				return fmt.Errorf("%w: --to %q is not an http or https address", errUsage, to)
			}
			ctx := cmd.Context()
			i, trust, err := a.openLog(ctx, b)
			if err != nil {
				return err
			}
			defer i.close()
			if cursor == "" {
				cursor = filepath.Join(i.cfg.Keys, "sent.cursor")
			}
			from, err := readCursor(cursor)
			if err != nil {
				return err
			}
			hook := &export.Webhook{URL: to, Origin: trust.Origin()}
			q := query{after: from - 1}
			q.intents = map[string]bool{}
			n, news, last := 0, 0, from
			report, err := q.read(ctx, i, trust, func(index int64, e audit.Entry, body []byte) error {
				if n, last = n+1, index+1; e.Kind != audit.KindExport { // or each sending would be news to the next
					news++
				}
				sent, err := hook.Add(ctx, index, body)
				if err != nil || sent == 0 {
					return err
				}
				return audit.ReplaceFile(cursor, fmt.Appendf(nil, "%d\n", sent))
			})
			if err == nil {
				err = hook.Flush(ctx)
			}
			if err != nil {
				return err
			}
			a.say("%d entries sent", n)
			if err := audit.ReplaceFile(cursor, fmt.Appendf(nil, "%d\n", last)); err != nil {
				return fmt.Errorf("keeping how far it came: %w", err)
			}
			if news > 0 && b.bucket == "" {
				whole, done := a.lazily(ctx)
				defer done()
				a.sayRead(ctx, whole, audit.KindExport, audit.Read{Entries: int64(n), Size: report.Checkpoint.Size, Format: "cloudevents"}, "")
			}
			return nil
		})
	b.flags(c)
	c.Flags().StringVar(&to, "to", "", "address of the receiver; mandatory")
	c.Flags().StringVar(&cursor, "cursor", "", "file that keeps how far it came (default: beside the keys)")
	return c
}

func readCursor(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the cursor: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the cursor %s does not hold a number: remove it to send everything again", path)
	}
	return n, nil
}
