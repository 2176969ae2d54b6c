package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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
			trees, err := q.choose(ctx, i, trust, true)
			if err != nil {
				return err
			}
			if t := trees[0]; q.shard == "" {
				if all, err := i.trees(ctx, trust); err == nil && len(all) > 1 {
					a.say("earshot: only the tree %s is exported; the log has %d closed ones before it: --shard %s, for one", t.name(), len(all)-1, all[len(all)-2].name())
				}
			}
			m, size, err := a.export(ctx, trees[0].installation, trees[0].trust, &q, export.Format(format), out)
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
	w, err := export.Begin(out, format, signed, q.asked())
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
	var q query
	var compare bool
	c := command("verify-export DIR", "Check an export against the signed checkpoint in its manifest",
		`Checks the file's sum, each row's leaf hash and columns against the entry's bytes, and for a complete export that
the rows give the signed root. A filtered export proves that its rows are unchanged; with --compare the query of the
manifest is asked again of the log, up to the manifest's checkpoint, so that a row that is missing is found. Where it was
one recording's or person's entries, name whose: the manifest does not.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			trust, err := b.trust()
			if err != nil {
				return err
			}
			var ask func(export.Manifest) (export.Truth, error)
			if trust == nil || compare {
				i, t, err := a.openLog(ctx, b)
				if err != nil {
					return err
				}
				defer i.close()
				m, err := export.ReadManifest(args[0])
				if err != nil {
					return err
				}
				of, err := i.treeOf(ctx, t, m.Origin())
				if err != nil {
					return err
				}
				trust = of.trust
				if compare {
					whole, closeWhole := a.lazily(ctx)
					defer closeWhole()
					if err := q.prepare(ctx, whole); err != nil {
						return err
					}
					ask = func(m export.Manifest) (export.Truth, error) { return q.truth(ctx, of, m) }
				}
			}
			got, err := export.Check(args[0], trust, ask)
			if err != nil {
				return err
			}
			if err := a.emit(got, func(w io.Writer) {
				for _, f := range got.Findings {
					fmt.Fprintf(w, "FOUND: %s\n", f)
				}
				switch {
				case len(got.Findings) > 0:
				case got.Complete:
					fmt.Fprintf(w, "the %d rows are entries of the signed log, nothing was changed, and none that was asked for is missing\n", got.Manifest.Rows)
				case got.Proved:
					fmt.Fprintf(w, "the %d rows are entries of the signed log, and nothing was changed; that none is missing is not shown: name the %s\n", got.Manifest.Rows, got.Manifest.Query.Of)
				default:
					fmt.Fprintf(w, "the %d rows are as they were exported; that they are the log's, and that none that fits %s is missing, takes --compare\n", got.Manifest.Rows, got.Manifest.Query)
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
	c.Flags().BoolVar(&compare, "compare", false, "ask the export's query of the log again")
	c.Flags().StringVar(&q.recording, "recording", "", "with --compare: whose entries were exported, s3://BUCKET/KEY")
	c.Flags().StringVar(&q.subject, "subject", "", "with --compare: the same, a data subject (pseudonym)")
	c.Flags().StringVar(&q.keyFor, "subject-key", "", "with --compare: the same, by the file of earshot audit disclose")
	return c
}

// treeOf gives the tree of that name.
func (i *installation) treeOf(ctx context.Context, trust *audit.Trust, origin string) (tree, error) {
	all, err := i.trees(ctx, trust)
	if err != nil {
		return tree{}, err
	}
	at := slices.IndexFunc(all, func(t tree) bool { return t.name() == origin })
	if at < 0 {
		return tree{}, fmt.Errorf("%w: the export is of the log %q, which this one does not lead back to", errUnverified, origin)
	}
	return all[at], nil
}

// truth asks the query of an export again of the log, up to the tree that the export is of. That tree
// must be one that the log still holds.
func (q *query) truth(ctx context.Context, t tree, m export.Manifest) (export.Truth, error) {
	out := export.Truth{Leaves: map[int64]string{}}
	c, err := t.trust.Open([]byte(m.Checkpoint))
	if err != nil {
		return out, err
	}
	out.All = m.Query.Of != "" && q.tags == nil
	if err := q.ask(m.Query); err != nil {
		return out, err
	}
	tiles, err := t.tiles(ctx)
	if err != nil {
		return out, err
	}
	report, err := audit.VerifyAll(ctx, tiles, t.trust, audit.VerifyOptions{LastSeen: []byte(m.Checkpoint), Visit: func(index int64, body []byte) error {
		e, err := audit.Parse(body)
		if err != nil || index >= c.Size {
			return nil //nolint:nilerr // VerifyAll reports it
		}
		if out.All || q.chooses(index, e) && (q.limit == 0 || q.given < q.limit) {
			q.given++
			h := audit.LeafHash(body)
			out.Leaves[index] = hex.EncodeToString(h[:])
		}
		return nil
	}})
	if err == nil && !report.OK() {
		err = fmt.Errorf("%w: %s", errUnverified, strings.Join(report.Findings, "; "))
	}
	return out, err
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
			sent, err := a.send(ctx, i, trust, to, cursor)
			if err != nil {
				return err
			}
			a.say("%d entries sent", sent.entries)
			if sent.news > 0 && b.bucket == "" {
				whole, done := a.lazily(ctx)
				defer done()
				a.sayRead(ctx, whole, audit.KindExport, audit.Read{Entries: sent.entries, Size: sent.size, Format: "cloudevents"}, "")
			}
			return nil
		})
	b.flags(c)
	c.Flags().StringVar(&to, "to", "", "address of the receiver; mandatory")
	c.Flags().StringVar(&cursor, "cursor", "", "file that keeps how far it came (default: beside the keys)")
	return c
}

// sending counts what was sent.
type sending struct{ entries, news, size int64 }

// send sends what lies behind the cursor, of one tree after the other.
func (a *app) send(ctx context.Context, i *installation, trust *audit.Trust, to, cursor string) (out sending, err error) {
	from, err := readCursor(cursor)
	if err != nil {
		return out, err
	}
	trees, err := i.trees(ctx, trust)
	if err != nil {
		return out, err
	}
	if from.log != "" {
		at := slices.IndexFunc(trees, func(t tree) bool { return t.name() == from.log })
		if at < 0 {
			return out, fmt.Errorf("the cursor %s is of the log %q, which this one does not lead back to: remove it to send everything again", cursor, from.log)
		}
		trees = trees[at:]
	}
	for _, t := range trees {
		q := query{after: -1, intents: map[string]bool{}}
		if t.name() == from.log {
			q.after = from.next - 1
		}
		hook := &export.Webhook{URL: to, Origin: t.name()}
		last := q.after + 1
		report, err := q.read(ctx, t.installation, t.trust, func(index int64, e audit.Entry, body []byte) error {
			if out.entries, last = out.entries+1, index+1; e.Kind != audit.KindExport { // or each sending would be news to the next
				out.news++
			}
			sent, err := hook.Add(ctx, index, body)
			if err != nil || sent == 0 {
				return err
			}
			return position{t.name(), sent}.write(cursor)
		})
		if err == nil {
			err = t.is(report.Checkpoint)
		}
		if err == nil {
			err = hook.Flush(ctx)
		}
		if err == nil {
			err = position{t.name(), last}.write(cursor)
		}
		if err != nil {
			return out, err
		}
		out.size += report.Checkpoint.Size
	}
	return out, nil
}

// position is how far a receiver has come: the tree, and the index of the next entry in it.
type position struct {
	log  string
	next int64
}

func (p position) write(path string) error {
	if err := audit.ReplaceFile(path, fmt.Appendf(nil, "%s %d\n", p.log, p.next)); err != nil {
		return fmt.Errorf("keeping how far it came: %w", err)
	}
	return nil
}

func readCursor(path string) (position, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return position{}, nil
	}
	if err != nil {
		return position{}, fmt.Errorf("reading the cursor: %w", err)
	}
	f := strings.Fields(string(text))
	if len(f) == 2 {
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n >= 0 {
			return position{f[0], n}, nil
		}
	}
	return position{}, fmt.Errorf("the cursor %s does not hold a log's name and a number: remove it to send everything again", path)
}
