package retention

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/redact"
	"earshot/storage"
	"earshot/storage/catalog"
)

// Metadata that a redacted object carries: whose work it is, and what was erased, in the timeline
// of the recording as it was first stored.
const (
	metaRedacted = "earshot-redacted"
	metaErased   = "earshot-erased"
	metaSeal     = "earshot-seal" // keeps others from saying what was erased
)

// seal ties what was erased to the object's bytes (their MD5, which is the ETag of an object stored
// in one piece), so that metadata that somebody wrote or copied is not believed.
func (r *Runner) seal(id earshot.RecordingID, erased, md5Hex string) string {
	return r.o.Tagger.Tag("seal", md5Hex, recordingName(id)+"\n"+erased)
}

// redacted marks an object as the work of one action.
func redactedMark(a earshot.Action) string { return earshot.DigestOf([]byte(a.ID())).Short() }

// redact replaces the recording by one without the sound, its transcripts by ones without the
// words, and destroys what came before.
func (r *Runner) redact(ctx context.Context, b *storage.Bucket, a earshot.Action, held, recovering bool) (verdict, error) {
	row, err := r.o.Catalog.Recording(ctx, b.Name(), a.Recording.ID.Key)
	if err != nil {
		return verdict{}, err
	}
	w := &redaction{r: r, b: b, a: a, known: row.Known}
	defer w.close()
	found, newer, err := w.look(ctx, recovering)
	switch {
	case err != nil:
		return verdict{}, err
	case found != "":
		return abandoned(found), nil
	case w.replaced && held:
		// The old versions are evidence now, and the new one is out: the action stays open until the
		// hold is lifted.
		return verdict{}, fmt.Errorf("%w: a hold covers the recording", errBegun)
	case held:
		return abandoned("hold"), nil
	}
	all, locked, err := r.gather(ctx, b, doomed{key: a.Recording.ID.Key, versions: w.older, successor: true}, a)
	if err == nil && !locked {
		locked, err = w.trimmedAreLocked(ctx)
	}
	switch {
	case err != nil:
		return verdict{}, w.broken(err)
	case locked && w.replaced:
		return verdict{}, fmt.Errorf("%w: the store protects an older version", errBegun)
	case locked:
		return abandoned("locked"), nil
	}
	if w.replaced {
		err = w.resume(ctx)
	} else {
		err = w.replace(ctx)
	}
	if errors.Is(err, storage.ErrChanged) && !w.replaced {
		return abandoned("changed"), nil
	}
	if err != nil {
		return verdict{}, w.broken(err)
	}
	return w.conclude(ctx, all, newer)
}

// look finds out how things stand: found is why the action cannot be begun; newer counts versions
// that came after ours, when a crash and another upload came between.
func (w *redaction) look(ctx context.Context, recovering bool) (found string, newer int, err error) {
	key := w.a.Recording.ID.Key
	before, err := w.b.Versions(ctx, key)
	if err != nil {
		return "", 0, err
	}
	if w.head, err = w.b.Head(ctx, key, ""); errors.Is(err, storage.ErrNotFound) && !recovering {
		return "gone", 0, nil
	} else if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return "", 0, err
	}
	mark := redactedMark(w.a)
	if err == nil && w.head.Metadata[metaRedacted] != mark && w.head.ETag == w.a.Recording.ETag && w.head.ID.Version == w.a.Recording.ID.Version {
		w.older = before
		return "", 0, nil
	}
	for i, v := range before {
		if v.Marker || i > 0 && !recovering {
			continue
		}
		head, err := w.b.Head(ctx, key, v.ID.Version)
		if err != nil {
			return "", 0, err
		}
		if head.Metadata[metaRedacted] == mark {
			w.head, w.older, w.replaced = head, before[i+1:], true
			return "", i, nil
		}
	}
	return "changed", 0, nil
}

// broken marks an error that came after the recording was replaced.
func (w *redaction) broken(err error) error {
	if w.replaced {
		return fmt.Errorf("%w: %w", errBegun, err)
	}
	return err
}

// redaction is one recording being redacted.
type redaction struct {
	r     *Runner
	b     *storage.Bucket
	a     earshot.Action
	known catalog.Known
	head  storage.Head      // of the object before, then of the one after
	older []storage.Version // what is to go
	// replaced: the redacted recording is out, in this life or an earlier one.
	replaced bool
	files    []*os.File
	// erased is what was taken out in this action, in the timeline of the recording as first
	// stored; steps the same in the timeline before each step, for the transcripts.
	erased []earshot.Redaction
	steps  []redact.Report
	trims  map[string]trimmedText // transcripts without the words, by key
	after  earshot.Digest
	length time.Duration
	left   *earshot.RowFacts // of an event log that was rewritten
}

func (w *redaction) close() {
	for _, f := range w.files {
		f.Close()
	}
}

// spool makes a file that has no name: sound on disk goes with the process.
func (w *redaction) spool() (*os.File, error) {
	f, err := os.CreateTemp(w.r.o.Spool, "earshot-spool-")
	if err != nil {
		return nil, fmt.Errorf("making a spool file: %w", err)
	}
	w.files = append(w.files, f)
	return f, os.Remove(f.Name())
}

// replace makes the redacted recording and its transcripts, proves them, and only then stores the
// recording over the old one. If we die before the last line nothing has changed; after it the
// object carries our mark, and the recovery goes on from resume.
func (w *redaction) replace(ctx context.Context) error {
	src, err := w.spool()
	if err != nil {
		return err
	}
	err = w.b.Fetch(ctx, w.head.ID, w.head.ETag, src, func() error { return rewind(src) })
	if err != nil {
		return err
	}
	w.r.cores <- struct{}{} // more at once would only hold more memory
	out, err := w.rewritten(src)
	<-w.r.cores
	if err != nil {
		return err
	}
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := w.trim(ctx); err != nil {
		return err
	}
	all := append(slices.Clone(w.known.Erased), w.erased...)
	add := map[string]string{metaRedacted: redactedMark(w.a)}
	if text := formatErased(all); text != "" {
		sum := md5.New() // what S3 calls an ETag; the strength of the seal is that of the HMAC
		if _, err := io.Copy(sum, io.NewSectionReader(out, 0, size)); err != nil {
			return err
		}
		add[metaErased], add[metaSeal] = text, w.r.seal(w.head.ID, text, hex.EncodeToString(sum.Sum(nil)))
	}
	if err := ours(ctx); err != nil {
		return err
	}
	if w.head, err = w.b.Replace(ctx, w.head, out, size, add); err != nil {
		return err
	}
	w.replaced = true
	return nil
}

func rewind(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// rewritten makes what is to take the recording's place.
func (w *redaction) rewritten(src *os.File) (*os.File, error) {
	if w.a.Decision.Rows != nil {
		return w.rows(src)
	}
	return w.erase(src)
}

func digestOf(f *os.File) (d earshot.Digest, err error) {
	sum := sha256.New()
	if _, err = io.Copy(sum, f); err == nil {
		sum.Sum(d[:0])
	}
	return d, err
}

// resume takes up a redaction whose recording was already replaced when we died. The transcripts
// are trimmed by what the object says was erased.
func (w *redaction) resume(ctx context.Context) error {
	w.erased = parseErased(w.head.Metadata[metaErased])
	if n := len(w.known.Erased); len(w.erased) >= n {
		w.erased = w.erased[n:]
	}
	history := cuts(w.known.Erased)
	for _, e := range w.erased {
		w.steps = append(w.steps, redact.Report{Erased: history.toCurrent(e.Spans), Fill: e.Fill})
	}
	if len(w.erased) == 0 { // too many spans for the metadata: no transcript can be trimmed safely
		w.erased = slices.Clone(w.a.Decision.Redactions)
		w.trims = map[string]trimmedText{}
		return nil
	}
	return w.trim(ctx)
}

// conclude brings the companions in line, destroys every earlier version and looks afresh. newer
// counts versions that somebody stored over ours meanwhile: they are another recording's.
func (w *redaction) conclude(ctx context.Context, all []doomed, newer int) (verdict, error) {
	v := verdict{begun: true, state: earshot.ActionDone, outcome: audit.Outcome{Result: "ok", VersionsBefore: len(w.older), VersionsAfter: 1 + newer}}
	for _, c := range w.a.Companions {
		if c.Fate == earshot.CompanionDelete {
			continue // it is among all
		}
		if err := w.companion(ctx, c, &v); err != nil {
			return verdict{}, v.broken(err)
		}
	}
	for _, d := range all {
		if d.successor && d.place == nil {
			// An unversioned bucket has one version of each key, and that is the new one now.
			d.versions = slices.DeleteFunc(slices.Clone(d.versions), func(x storage.Version) bool { return x.ID == w.head.ID })
		}
		if err := d.destroy(ctx, w.b, &v); err != nil {
			return verdict{}, err
		}
	}
	v.freed -= w.head.Size
	if w.after != (earshot.Digest{}) {
		tags, err := w.r.tagger(ctx, w.a.Recording.Subject)
		if err != nil {
			return verdict{}, v.broken(err)
		}
		v.outcome.After = tags.Tag("content", intentID(w.a), w.after.String())
	}
	for _, e := range w.erased {
		v.outcome.Erased = append(v.outcome.Erased, audit.Spans(e.Spans)...)
	}
	v.outcome.Erased = fewSpans(v.outcome.Erased)
	if newer > 0 {
		v.outcome.Code = "newer_version"
		return v, nil // what lies there now is for the next scan
	}
	known := w.known
	known.Recording.ETag, known.Recording.Size, known.Recording.StoredAt = w.head.ETag, w.head.Size, w.head.StoredAt
	known.Recording.ID, known.Rows = w.head.ID, w.left
	known.Erased = append(slices.Clone(known.Erased), w.erased...)
	if known.Length == 0 {
		known.Length = w.length
	}
	v.effect.Known = &known
	return v, nil
}

// formatErased writes redactions for an object's metadata, such as "0s-1.5s/silence,7s-/cut".
// It is empty where they do not fit.
func formatErased(rs []earshot.Redaction) string {
	var parts []string
	for _, red := range rs {
		var spans []string
		for _, s := range red.Spans {
			spans = append(spans, s.String())
		}
		parts = append(parts, strings.Join(spans, " ")+"/"+string(red.Fill))
	}
	text := strings.Join(parts, ",")
	if len(text) > 1500 { // S3 allows 2 kB of metadata in all
		return ""
	}
	return text
}

// parseErased reads what formatErased wrote, and nil where it cannot.
func parseErased(text string) []earshot.Redaction {
	var out []earshot.Redaction
	for part := range strings.SplitSeq(text, ",") {
		spans, fill, ok := strings.Cut(part, "/")
		if !ok {
			return nil
		}
		red := earshot.Redaction{Fill: earshot.Fill(fill)}
		for s := range strings.FieldsSeq(spans) {
			span, err := earshot.ParseSpan(s)
			if err != nil {
				return nil
			}
			red.Spans = append(red.Spans, span)
		}
		out = append(out, red)
	}
	return out
}
