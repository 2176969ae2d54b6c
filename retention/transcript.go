package retention

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"earshot"
	"earshot/redact"
	"earshot/storage"
)

// trimmedText is a transcript without the words, and which one it was made from.
type trimmedText struct {
	text []byte
	from string // ETag
}

// trimmedAreLocked looks at what the store protects of the transcripts, whose old versions will go.
func (w *redaction) trimmedAreLocked(ctx context.Context) (bool, error) {
	for _, c := range w.a.Companions {
		if c.Fate != earshot.CompanionTrim && c.Fate != earshot.CompanionReview {
			continue
		}
		versions, err := w.b.Versions(ctx, c.ID.Key)
		if err != nil {
			return false, err
		}
		if locked, err := standing(ctx, w.b, versions, w.r.now()); locked || err != nil {
			return locked, err
		}
	}
	return false, nil
}

// canTrim reports whether a transcript's shape is one that words can be taken out of.
func (r *Runner) canTrim(ctx context.Context, b *storage.Bucket, c earshot.Companion) bool {
	text, _, err := b.Folder("", nil).Get(ctx, c.ID.Key)
	if err != nil {
		return false
	}
	_, err = redact.TrimTranscript(io.Discard, bytes.NewReader(text), nil, false)
	return err == nil
}

// trim prepares the transcripts. One that cannot be trimmed is left out, and will be deleted.
func (w *redaction) trim(ctx context.Context) error {
	w.trims = map[string]trimmedText{}
	for _, c := range w.a.Companions {
		if c.Fate != earshot.CompanionTrim && c.Fate != earshot.CompanionReview {
			continue
		}
		if err := w.trimOne(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (w *redaction) trimOne(ctx context.Context, c earshot.Companion) error {
	delete(w.trims, c.ID.Key)
	text, etag, err := w.b.Folder("", nil).Get(ctx, c.ID.Key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, step := range w.steps {
		var out bytes.Buffer
		if _, err := redact.TrimTranscript(&out, bytes.NewReader(text), step.Erased, step.Fill == earshot.FillCut); err != nil {
			if c.Fate == earshot.CompanionReview && !w.replaced {
				return fmt.Errorf("a transcript has no shape that words can be taken out of: %w", redact.ErrOpaque)
			}
			return nil
		}
		text = out.Bytes()
	}
	w.trims[c.ID.Key] = trimmedText{text, etag}
	return nil
}

// companion trims or keeps one companion; one that cannot be trimmed is deleted.
func (w *redaction) companion(ctx context.Context, c earshot.Companion, v *verdict) error {
	if c.Fate == earshot.CompanionKeep {
		v.outcome.CompanionsLeft++
		return nil
	}
	for range 4 { // the service may still be writing it
		versions, err := w.b.Versions(ctx, c.ID.Key)
		if err != nil {
			return err
		}
		trimmed, ok := w.trims[c.ID.Key]
		if !ok {
			return doomed{key: c.ID.Key, versions: versions, derived: true}.destroy(ctx, w.b, v)
		}
		head, err := w.b.Head(ctx, c.ID.Key, "")
		if errors.Is(err, storage.ErrNotFound) {
			return doomed{key: c.ID.Key, versions: versions, derived: true}.destroy(ctx, w.b, v)
		}
		if err != nil {
			return err
		}
		if head.Metadata[metaRedacted] != redactedMark(w.a) {
			if head.ETag == trimmed.from {
				head, err = w.b.Replace(ctx, head, bytes.NewReader(trimmed.text), int64(len(trimmed.text)), map[string]string{metaRedacted: redactedMark(w.a)})
			} else {
				err = storage.ErrChanged
			}
			if errors.Is(err, storage.ErrChanged) { // take the words out of what is there now
				if err := w.trimOne(ctx, c); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			v.freed -= head.Size
		}
		v.outcome.CompanionsLeft++
		versions = slices.DeleteFunc(versions, func(x storage.Version) bool { return x.ID == head.ID })
		return doomed{key: c.ID.Key, versions: versions, successor: true}.destroy(ctx, w.b, v)
	}
	return fmt.Errorf("trimming a transcript: %w", storage.ErrChanged)
}
