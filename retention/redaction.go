package retention

import (
	"bytes"
	"context"
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
)

// redacted marks an object as the work of one action.
func redactedMark(a earshot.Action) string { return earshot.DigestOf([]byte(a.ID())).Short() }

// redact replaces the recording by one without the sound, its transcripts by ones without the
// words, and destroys what came before.
func (r *Runner) redact(ctx context.Context, b *storage.Bucket, a earshot.Action) (verdict, error) {
	key := a.Recording.ID.Key
	row, err := r.o.Catalog.Recording(ctx, b.Name(), key)
	if err != nil {
		return verdict{}, err
	}
	before, err := b.Versions(ctx, key)
	if err != nil {
		return verdict{}, err
	}
	head, err := b.Head(ctx, key, "")
	if errors.Is(err, storage.ErrNotFound) {
		return abandoned("gone"), nil
	}
	if err != nil {
		return verdict{}, err
	}
	work := &redaction{r: r, b: b, a: a, known: row.Known, head: head}
	defer work.close()
	if head.Metadata[metaRedacted] != redactedMark(a) {
		if head.ETag != a.Recording.ETag || head.ID.Version != a.Recording.ID.Version {
			return abandoned("changed"), nil
		}
		if err := checkLocks(ctx, b, work.keys(), r.now()); err != nil {
			if errors.Is(err, storage.ErrLocked) {
				return abandoned("locked"), nil
			}
			return verdict{}, err
		}
		if err := work.replace(ctx); err != nil {
			if errors.Is(err, storage.ErrChanged) {
				return abandoned("changed"), nil
			}
			return verdict{}, err
		}
	} else if err := work.resume(ctx); err != nil {
		return verdict{}, err
	}
	return work.conclude(ctx, len(before))
}

// redaction is one recording being redacted.
type redaction struct {
	r     *Runner
	b     *storage.Bucket
	a     earshot.Action
	known catalog.Known
	head  storage.Head // of the object before, then of the one after
	files []*os.File
	// erased is what was taken out in this action, in the timeline of the recording as first
	// stored; steps the same in the timeline before each step, for the transcripts.
	erased []earshot.Redaction
	steps  []redact.Report
	trims  map[string][]byte // transcripts without the words, by key
	after  earshot.Digest
	length time.Duration
}

func (w *redaction) close() {
	for _, f := range w.files {
		f.Close()
	}
}

// keys of everything that will be replaced or destroyed.
func (w *redaction) keys() []string {
	keys := []string{w.a.Recording.ID.Key}
	for _, c := range w.a.Companions {
		if w.r.companionRule(w.a.Decision, c.Class) != earshot.CompanionKeep {
			keys = append(keys, c.ID.Key)
		}
	}
	return keys
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
	out, err := w.erase(src)
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
		add[metaErased] = text
	}
	w.head, err = w.b.Replace(ctx, w.head, out, size, add)
	return err
}

func rewind(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// erase applies the decision's redactions, cuts last since they move what follows, and verifies
// each step.
func (w *redaction) erase(src *os.File) (*os.File, error) {
	order := slices.Clone(w.a.Decision.Redactions)
	slices.SortStableFunc(order, func(x, y earshot.Redaction) int { return rank(x.Fill) - rank(y.Fill) })
	history := cuts(w.known.Erased)
	for _, red := range order {
		size, err := src.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, err
		}
		dst, err := w.spool()
		if err != nil {
			return nil, err
		}
		report, err := redact.Redact(dst, src, size, redact.Edit{Spans: history.toCurrent(red.Spans), Fill: red.Fill})
		if err != nil {
			return nil, err
		}
		written, err := dst.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, err
		}
		if err := redact.Verify(src, size, dst, written, report); err != nil {
			return nil, err
		}
		if w.length == 0 && len(history) == 0 {
			w.length = report.Length
		}
		really := toTheEnd(report.Erased, report.Length)
		w.erased = append(w.erased, earshot.Redaction{Fill: red.Fill, Spans: append(history.toFirst(really), red.Spans...).Merge()})
		w.steps = append(w.steps, report)
		w.after = report.After
		src = dst
	}
	return src, nil
}

func rank(f earshot.Fill) int {
	if f == earshot.FillCut {
		return 1
	}
	return 0
}

// toTheEnd lets a span that ends with the sound reach to the end, however a later reader measures
// the length.
func toTheEnd(spans earshot.Spans, length time.Duration) earshot.Spans {
	out := slices.Clone(spans)
	for i := range out {
		if out[i].End >= length {
			out[i].End = earshot.ToEnd
		}
	}
	return out
}

// canTrim reports whether a transcript's shape is one that words can be taken out of.
func (r *Runner) canTrim(ctx context.Context, b *storage.Bucket, c earshot.Companion) bool {
	text, _, err := b.Folder("", 0).Get(ctx, c.ID.Key)
	if err != nil {
		return false
	}
	_, err = redact.TrimTranscript(io.Discard, bytes.NewReader(text), nil, false)
	return err == nil
}

// trim prepares the transcripts. One that cannot be trimmed is left out, and will be deleted.
func (w *redaction) trim(ctx context.Context) error {
	w.trims = map[string][]byte{}
	for _, c := range w.a.Companions {
		rule := w.r.companionRule(w.a.Decision, c.Class)
		if rule != earshot.CompanionTrim && rule != earshot.CompanionReview {
			continue
		}
		text, _, err := w.b.Folder("", 0).Get(ctx, c.ID.Key)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		for _, step := range w.steps {
			var out bytes.Buffer
			_, err := redact.TrimTranscript(&out, bytes.NewReader(text), step.Erased, step.Fill == earshot.FillCut)
			if err != nil {
				text = nil
				break
			}
			text = out.Bytes()
		}
		switch {
		case text != nil:
			w.trims[c.ID.Key] = text
		case rule == earshot.CompanionReview:
			return fmt.Errorf("a transcript has no shape that words can be taken out of: %w", redact.ErrOpaque)
		}
	}
	return nil
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
		w.trims = map[string][]byte{}
		return nil
	}
	return w.trim(ctx)
}

// conclude brings the companions in line, destroys every earlier version and looks afresh.
func (w *redaction) conclude(ctx context.Context, before int) (verdict, error) {
	v := verdict{state: earshot.ActionDone, outcome: audit.Outcome{Result: "ok", VersionsBefore: before, VersionsAfter: 1}}
	for _, c := range w.a.Companions {
		n, freed, left, err := w.companion(ctx, c)
		if err != nil {
			return verdict{}, err
		}
		v.outcome.CopiesGone, v.freed = v.outcome.CopiesGone+n, v.freed+freed
		if left {
			v.outcome.CompanionsLeft++
		}
	}
	n, freed, err := destroyKey(ctx, w.b, w.a.Recording.ID.Key, w.head.ID)
	if err != nil {
		return verdict{}, err
	}
	v.outcome.CopiesGone, v.freed = v.outcome.CopiesGone+n, v.freed+freed-w.head.Size
	id := intentID(w.a)
	if w.after != (earshot.Digest{}) {
		v.outcome.After = w.r.o.Tagger.Tag("content", id, w.after.String())
	}
	known := w.known
	known.Recording.ETag, known.Recording.Size, known.Recording.StoredAt = w.head.ETag, w.head.Size, w.head.StoredAt
	known.Recording.ID = w.head.ID
	known.Erased = append(slices.Clone(known.Erased), w.erased...)
	if known.Length == 0 {
		known.Length = w.length
	}
	for _, e := range w.erased {
		v.outcome.Erased = append(v.outcome.Erased, audit.Spans(e.Spans)...)
	}
	if len(v.outcome.Erased) > 40 { // an entry has 4 kB
		v.outcome.Erased = v.outcome.Erased[:40]
	}
	v.effect.Known = &known
	return v, nil
}

// companion trims, deletes or keeps one companion.
func (w *redaction) companion(ctx context.Context, c earshot.Companion) (n int, freed int64, left bool, err error) {
	rule := w.r.companionRule(w.a.Decision, c.Class)
	if rule == earshot.CompanionKeep {
		return 0, 0, true, nil
	}
	text, trimmed := w.trims[c.ID.Key]
	if !trimmed {
		n, freed, err = destroyKey(ctx, w.b, c.ID.Key, earshot.RecordingID{})
		return n, freed, false, err
	}
	head, err := w.b.Head(ctx, c.ID.Key, "")
	if errors.Is(err, storage.ErrNotFound) {
		n, freed, err = destroyKey(ctx, w.b, c.ID.Key, earshot.RecordingID{})
		return n, freed, false, err
	}
	if err != nil {
		return 0, 0, true, err
	}
	if head.Metadata[metaRedacted] != redactedMark(w.a) {
		head, err = w.b.Replace(ctx, head, bytes.NewReader(text), int64(len(text)), map[string]string{metaRedacted: redactedMark(w.a)})
		if err != nil {
			return 0, 0, true, err
		}
	}
	n, freed, err = destroyKey(ctx, w.b, c.ID.Key, head.ID)
	return n, freed - head.Size, true, err
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
