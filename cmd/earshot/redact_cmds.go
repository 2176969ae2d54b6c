package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"earshot"
	"earshot/redact"
	"earshot/storage"

	"github.com/spf13/cobra"
)

// source is a recording to read: a file, an object, or standard input in a nameless file.
type source struct {
	*os.File
	size int64
	head *storage.Head // of an object
}

// openSource opens a local file, s3://BUCKET/KEY or - for standard input.
func (a *app) openSource(ctx context.Context, i *installation, name string) (*source, error) {
	if name != "-" && !strings.HasPrefix(name, "s3://") {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening the recording: %w", err)
		}
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			f.Close()
			return nil, errors.Join(fmt.Errorf("%s is not a regular file", name), err)
		}
		return &source{File: f, size: info.Size()}, nil
	}
	f, err := spoolFile("")
	if err != nil {
		return nil, err
	}
	s := &source{File: f}
	if name == "-" {
		s.size, err = io.Copy(f, a.in)
	} else {
		err = s.fetch(ctx, i, name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *source) fetch(ctx context.Context, i *installation, url string) error {
	bucket, key, err := parseS3URL(url)
	if err != nil {
		return err
	}
	b, err := i.store.Bucket(ctx, bucket)
	if err != nil {
		return err
	}
	head, err := b.Head(ctx, key, "")
	if err != nil {
		return err
	}
	s.head, s.size = &head, head.Size
	return b.Fetch(ctx, head.ID, head.ETag, s.File, func() error {
		_, err := s.Seek(0, io.SeekStart)
		return errors.Join(err, s.Truncate(0))
	})
}

// spoolFile makes a file without a name.
func spoolFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "earshot-spool-")
	if err != nil {
		return nil, fmt.Errorf("making a spool file: %w", err)
	}
	return f, os.Remove(f.Name())
}

// needsStore reports whether any of the names is an object's.
func needsStore(names ...string) bool {
	for _, n := range names {
		if strings.HasPrefix(n, "s3://") {
			return true
		}
	}
	return false
}

func (a *app) maybeConnect(ctx context.Context, names ...string) (*installation, error) {
	if !needsStore(names...) {
		return &installation{}, nil
	}
	return a.connect(ctx)
}

// refused says why a recording was refused, as {"error","offset"} with --json.
func (a *app) refused(err error) error {
	var opaque *redact.OpaqueError
	if !a.json || !errors.As(err, &opaque) {
		return err
	}
	if encErr := json.NewEncoder(a.out).Encode(map[string]any{"error": oneLine(err), "offset": opaque.Offset}); encErr != nil {
		return encErr
	}
	fmt.Fprintf(a.err, "earshot: %s\n", oneLine(err))
	return errors.Join(err, errSaid)
}

type redactOptions struct {
	spans []string
	fill  string
	force bool
	// Counted from the wake words that are heard.
	before, word, after bool
	command, child      bool
	sure                bool   // only words of the verdict found
	event               string // file with what the assistant wrote
}

func newRedact(a *app) *cobra.Command {
	var o redactOptions
	c := command("redact IN OUT", "Erase spans of sound from a recording and prove it",
		`IN and OUT are files, s3://BUCKET/KEY or - for standard input and output. Spans are START-END, such as
1s-2.5s, 250ms-1s, -2s (from the start) or 7s- (to the end), counted from the first sample. Metadata that could
tell what was said is dropped in any case. --before-wake-word and its like listen for the wake word, and erase nothing
where none is heard. OUT is written only after the result has been verified by a second,
independent reading.`, cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error { return a.redact(cmd.Context(), args[0], args[1], o) })
	c.Flags().StringArrayVar(&o.spans, "span", nil, "span to erase (may be repeated); none: only metadata is dropped")
	c.Flags().BoolVar(&o.before, "before-wake-word", false, "erase what comes before the first wake word that is heard")
	c.Flags().BoolVar(&o.word, "wake-word", false, "erase the wake words that are heard")
	c.Flags().BoolVar(&o.after, "after-wake-word", false, "erase what comes behind the last wake word that is heard")
	c.Flags().BoolVar(&o.command, "after-command", false, "erase what comes behind the command that follows the wake word")
	c.Flags().BoolVar(&o.child, "child-speech", false, "erase what a child is heard to say")
	c.Flags().StringVar(&o.event, "event", "", "what the assistant wrote of the wake word (Alexa, Home Assistant, Hermes or Wyoming): counts besides what is heard")
	c.Flags().BoolVar(&o.sure, "sure", false, "count from words whose verdict is found, not from uncertain ones")
	c.Flags().StringVar(&o.fill, "fill", "silence", "what takes its place: silence, tone or cut")
	c.Flags().BoolVar(&o.force, "force", false, "replace OUT if it exists")
	return c
}

func (a *app) redact(ctx context.Context, in, out string, o redactOptions) error {
	edit := redact.Edit{Fill: earshot.Fill(o.fill)}
	for _, text := range o.spans {
		span, err := earshot.ParseSpan(text)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		edit.Spans = append(edit.Spans, span)
	}
	if edit.Fill != earshot.FillSilence && edit.Fill != earshot.FillTone && edit.Fill != earshot.FillCut {
		return fmt.Errorf("%w: --fill %q: want silence, tone or cut", errUsage, o.fill)
	}
	if _, err := os.Lstat(out); err == nil && !o.force && out != "-" && !needsStore(out) {
		return fmt.Errorf("%s exists; --force replaces it", out)
	}
	if info, err := os.Lstat(out); err == nil && !info.Mode().IsRegular() && out != "-" && !needsStore(out) {
		return fmt.Errorf("%s is not a regular file; for standard output write -", out)
	}
	i, err := a.maybeConnect(ctx, in, out)
	if err != nil {
		return err
	}
	defer i.close()
	src, err := a.openSource(ctx, i, in)
	if err != nil {
		return err
	}
	defer src.Close()
	heard, err := a.beside(ctx, src, o)
	if err != nil {
		return err
	}
	edit.Spans = append(edit.Spans, heard...)
	dir := ""
	if out != "-" && !needsStore(out) {
		dir = filepath.Dir(out)
	}
	// The result has a name only once it is proved.
	tmp, err := os.CreateTemp(dir, ".earshot-redact-")
	if err != nil {
		return fmt.Errorf("making a temporary file beside %s: %w", out, err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	report, err := redact.Redact(tmp, src, src.size, edit)
	if err != nil {
		return a.refused(err)
	}
	size, err := tmp.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := redact.Verify(src, src.size, tmp, size, report); err != nil {
		return err
	}
	report.Verified = true
	if err := a.deliver(ctx, i, src, tmp, size, out, o.force); err != nil {
		return err
	}
	return a.reportRedaction(report, out)
}

// modeFor is who may read OUT: those who could read the file that it replaces, or the file that it was
// made from, and nobody whom the umask forbids.
func modeFor(src *source, out string) os.FileMode {
	if info, err := os.Stat(out); err == nil {
		return info.Mode().Perm()
	}
	mode := os.FileMode(0o600)
	if src.head == nil && src.File != nil && src.Name() != os.Stdin.Name() {
		if info, err := src.Stat(); err == nil && info.Mode().IsRegular() {
			mode = info.Mode().Perm()
		}
	}
	mask := syscall.Umask(0o077)
	syscall.Umask(mask)
	return mode &^ os.FileMode(mask)
}

// deliver puts the proved result where it was asked for.
func (a *app) deliver(ctx context.Context, i *installation, src *source, tmp *os.File, size int64, out string, force bool) error {
	if out != "-" && !needsStore(out) {
		if err := errors.Join(tmp.Sync(), os.Chmod(tmp.Name(), modeFor(src, out))); err != nil {
			return fmt.Errorf("writing %s: %w", out, err)
		}
		if !force {
			return os.Link(tmp.Name(), out) // fails if somebody made OUT meanwhile
		}
		return os.Rename(tmp.Name(), out)
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if out == "-" {
		_, err := io.Copy(a.out, tmp)
		return err
	}
	bucket, key, err := parseS3URL(out)
	if err != nil {
		return err
	}
	b, err := i.store.Bucket(ctx, bucket)
	if err != nil {
		return err
	}
	head, err := b.Head(ctx, key, "")
	switch {
	case errors.Is(err, storage.ErrNotFound):
		var all bytes.Buffer
		if _, err := io.Copy(&all, tmp); err != nil {
			return err
		}
		contentType := "application/octet-stream"
		if src.head != nil {
			contentType = src.head.ContentType
		}
		_, err = b.Put(ctx, key, all.Bytes(), contentType, nil, nil)
		return err
	case err != nil:
		return err
	case !force:
		return fmt.Errorf("%s exists; --force replaces it (its old versions stay: runs destroy them, this command does not)", out)
	}
	_, err = b.Replace(ctx, head, tmp, size, map[string]string{"earshot-redacted": "by-hand"})
	return err
}

func (a *app) reportRedaction(r redact.Report, out string) error {
	if len(r.Asked) > 0 && len(r.Erased) == 0 {
		a.say("earshot: the spans lie beyond the end of the recording (%s): nothing of the sound was erased", r.Length)
	}
	if a.json {
		if out == "-" {
			return json.NewEncoder(a.err).Encode(r)
		}
		return json.NewEncoder(a.out).Encode(r)
	}
	a.say("%s: asked %s, erased %s (%s), %d pieces of metadata dropped, verified", r.Coding, orNone(spansText(r.Asked)), orNone(spansText(r.Erased)), r.Fill, len(r.Stripped))
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
