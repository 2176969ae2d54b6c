package retention

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/voice"
)

// Ear hears recordings.
type Ear interface {
	// Listen gives facts of every kind that can be told. ok is false where the recording cannot be
	// heard, and why says why; with ok, why says why a kind is missing or not complete, which is tried again
	// by the next plan. err is for what ended the listening and another try may mend.
	Listen(ctx context.Context, src io.ReaderAt, size int64, at time.Time) (facts []earshot.Listening, why string, ok bool, err error)
	// Version names all that answers hang on.
	Version() string
	// Words names what the operator has taught it; empty for nothing.
	Words() string
}

// judge names what decisions are made by: the policies, the words that the operator has taught, and, where policies
// judge sessions, how far those reach. With another one, every recording is decided anew; with other networks of
// earshot's own only when it is due, for to listen to all that is stored after each update would take days.
func (r *Runner) judge() string {
	by := ""
	if r.o.Ear != nil {
		by = r.o.Ear.Words()
	}
	if r.rules.pooled {
		by += " session " + r.o.Session.String()
	}
	if by == "" {
		return r.rules.digest.String()
	}
	return earshot.DigestOf([]byte(r.rules.digest.String() + by)).String()
}

// maxListen is the largest recording that is fetched to be heard, in bytes.
const maxListen = 512 << 20

// earMark stands before the ear's version in the name of a detector, so that what an earlier version
// heard can be told.
const earMark = "earshot-voice:"

// unanswered stands behind the version where another detector did not answer: at the next look it is asked
// again, as after a change of version.
const unanswered = ", another did not answer"

// forget drops what an ear of another version heard: with another version, listen again.
func (r *Runner) forget(k *catalog.Known) (forgot bool) {
	if r.o.Ear == nil || len(k.Erased) > 0 { // what was heard before something was erased is in the first timeline
		return false
	}
	now := earMark + r.o.Ear.Version()
	for kind, l := range k.Heard {
		if strings.Contains(l.Detector, earMark) && !strings.HasSuffix(l.Detector, now) {
			heard := map[earshot.Kind]earshot.Listening{}
			for other, x := range k.Heard {
				if other != kind {
					heard[other] = x
				}
			}
			k.Heard, forgot = heard, true
		}
	}
	if k.Unheard != nil && k.Unheard.Version != r.o.Ear.Version() {
		k.Unheard, forgot = nil, true
	}
	return forgot
}

// listen hears the recording once, for every kind of fact, and keeps what was heard with the version
// that heard it. What was written about the wake word is read first and joined with what is heard. What
// cannot be heard stays unknown, with the reason.
func (r *Runner) listen(ctx context.Context, b *storage.Bucket, out *resolved, at time.Time) error {
	k := &out.known
	said, err := r.written(ctx, b, k, at)
	if err != nil && !errors.Is(err, voice.ErrSilent) && !errors.Is(err, errUnreadable) {
		return err
	}
	unreadable := errors.Is(err, errUnreadable)
	switch {
	case k.Unheard != nil && k.Unheard.Why != "":
		r.unheard(k, k.Unheard.Why)
		return nil
	case k.Unheard != nil:
		r.unsure(k, said, unreadable)
		return nil
	case len(k.Erased) > 0:
		r.unheard(k, "part of it has been erased, and its times are no longer those of the recording")
		return nil
	case k.Recording.Size > maxListen:
		r.unheard(k, fmt.Sprintf("it has more than %d bytes", maxListen))
		return nil
	}
	if out.quiet {
		return errToHear
	}
	facts, why, ok, err := r.fetchAndHear(ctx, b, out, at)
	if err != nil {
		return err
	}
	if !ok {
		r.unheard(k, why)
		return nil
	}
	heard := maps.Clone(k.Heard)
	if heard == nil {
		heard = map[earshot.Kind]earshot.Listening{}
	}
	rest := &catalog.Unheard{Version: r.o.Ear.Version(), Kinds: map[earshot.Kind]string{}}
	for _, l := range facts {
		l.Detector = earMark + r.o.Ear.Version()
		if l.Kind == earshot.KindWake {
			if why != "" {
				l.Detector += unanswered
			}
			if _, placed := k.Heard[l.Kind]; !placed {
				rest.Wake = &l // until it is weighed
				continue
			}
			l = join(k.Heard[l.Kind], l)
		}
		heard[l.Kind] = l
	}
	k.Heard = heard
	for _, kind := range kinds {
		if _, ok := heard[kind]; ok || kind == earshot.KindWake && rest.Wake != nil {
			continue
		}
		rest.Kinds[kind] = "too little was heard to judge"
		if why != "" {
			rest.Kinds[kind] = why
		}
	}
	k.Unheard = rest
	r.unsure(k, said, unreadable)
	if why != "" {
		k.Unheard = nil // a detector that failed is asked again
		r.unanswered(k)
	}
	return nil
}

// unanswered marks a wake word that is only written, so that it does not pass for all that there is to know.
func (r *Runner) unanswered(k *catalog.Known) {
	l, ok := k.Heard[earshot.KindWake]
	if ok && !strings.Contains(l.Detector, earMark) {
		l.Detector += "+" + earMark + r.o.Ear.Version() + unanswered
		k.Heard[earshot.KindWake] = l
	}
}

// kinds are all kinds of listening.
var kinds = [...]earshot.Kind{earshot.KindWake, earshot.KindChild, earshot.KindSpeech}

// unsure weighs what was heard of the wake word alone, and gives the reasons for what is not known.
func (r *Runner) unsure(k *catalog.Known, said voice.Statement, unreadable bool) {
	u := *k.Unheard
	for kind, why := range u.Kinds {
		if _, ok := k.Heard[kind]; !ok {
			_ = deaf(k, kind, why)
		}
	}
	if u.Wake != nil {
		l, doubt := weigh(k.Heard[earshot.KindWake], said, unreadable, *u.Wake)
		if doubt != "" {
			_ = deaf(k, earshot.KindWake, doubt)
		} else {
			if k.Heard = maps.Clone(k.Heard); k.Heard == nil {
				k.Heard = map[earshot.Kind]earshot.Listening{}
			}
			k.Heard[earshot.KindWake], u.Wake = l, nil
		}
	}
	k.Unheard = &u
	if len(u.Kinds) == 0 && u.Wake == nil {
		k.Unheard = nil
	}
}

// weigh puts what was heard of the wake word against what was written: a place in a fact, or a statement
// without one. With a doubt nothing is known: silence is an accident only if nobody says otherwise.
func weigh(written earshot.Listening, said voice.Statement, unreadable bool, heard earshot.Listening) (l earshot.Listening, doubt string) {
	if written.Detector != "" && !strings.Contains(written.Detector, earMark) {
		return join(written, heard), ""
	}
	if why, ok := said.Against(heard); !ok {
		return heard, why
	}
	if unreadable && len(heard.Findings) == 0 {
		return heard, "no wake word is heard, and " + errUnreadable.Error()
	}
	return heard, ""
}

// fetchAndHear fetches the version that was seen, and no other, into a file without a name.
func (r *Runner) fetchAndHear(ctx context.Context, b *storage.Bucket, out *resolved, at time.Time) (facts []earshot.Listening, why string, ok bool, err error) {
	if out.head == nil {
		if err := r.askHead(ctx, b, out); err != nil {
			return nil, "", false, err
		}
	}
	f, err := os.CreateTemp(r.o.Spool, "earshot-spool-")
	if err != nil {
		return nil, "", false, fmt.Errorf("making a spool file: %w", err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, "", false, fmt.Errorf("making a spool file: %w", err)
	}
	reset := func() error {
		_, err := f.Seek(0, io.SeekStart)
		if err == nil {
			err = f.Truncate(0)
		}
		return err
	}
	if err := b.Fetch(ctx, out.head.ID, out.head.ETag, f, reset); err != nil {
		return nil, "", false, err
	}
	return r.o.Ear.Listen(ctx, f, out.head.Size, at)
}

// unheard makes every kind that nobody wrote about one that is not known.
func (r *Runner) unheard(k *catalog.Known, why string) {
	k.Unheard = &catalog.Unheard{Version: r.o.Ear.Version(), Why: why}
	for _, kind := range kinds {
		if _, ok := k.Heard[kind]; !ok {
			_ = deaf(k, kind, "it could not be listened to: "+why)
		}
	}
}

// written reads what was written about the wake word, once: metadata first, then events. A word with a
// place becomes a fact. [voice.ErrSilent] and [errUnreadable] say that there is none.
func (r *Runner) written(ctx context.Context, b *storage.Bucket, k *catalog.Known, at time.Time) (voice.Statement, error) {
	if _, ok := k.Heard[earshot.KindWake]; ok {
		return voice.Statement{}, nil
	}
	names, labels := r.layout.meta, k.Recording.Labels
	l, err := voice.WakeFromMilliseconds(labels[names.WakeStart], labels[names.WakeEnd], labels[names.WakeWord], at)
	var said voice.Statement
	if errors.Is(err, voice.ErrSilent) {
		if said, err = r.eventWake(ctx, b, k.Recording.ID.Key); err == nil {
			var placed bool
			if l, placed = said.Listening(at); !placed {
				return said, nil
			}
		}
	} else if err != nil {
		err = fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err != nil {
		return said, err
	}
	heard := maps.Clone(k.Heard)
	if heard == nil {
		heard = map[earshot.Kind]earshot.Listening{}
	}
	heard[earshot.KindWake] = l
	k.Heard = heard
	return said, nil
}

// join makes one listening of what was written about the recording and what was heard in it: words
// that overlap become one, as wide as both, so that erasing it erases the word wherever it is; and
// where one knows of a word that the other does not, that is said. What was written as a moment gives way
// to the places of that word that are heard around it; what is heard as a moment takes nothing from what was
// written.
func join(written, heard earshot.Listening) earshot.Listening {
	out := written
	out.Detector = written.Detector + "+" + heard.Detector
	out.Score = max(written.Score, heard.Score)
	if out.CommandEnd == 0 {
		out.CommandEnd = heard.CommandEnd
	}
	out.Findings = slices.Clone(written.Findings)
	agreed := 0
	for _, h := range heard.Findings {
		met := false
		for i := range written.Findings {
			w := &out.Findings[i]
			if h.Span.Start < w.Span.End && w.Span.Start < h.Span.End && (!out.Loose || alike(w.Word, h.Word)) {
				switch {
				case written.Loose && out.Loose && !heard.Loose:
					w.Span, out.Loose = h.Span, false
				case heard.Loose && h.Span.Start <= w.Span.Start && w.Span.End <= h.Span.End: // a window round it
				default:
					w.Span = earshot.Span{Start: min(w.Span.Start, h.Span.Start), End: max(w.Span.End, h.Span.End)}
				}
				met = true
			}
		}
		if !met {
			out.Findings = append(out.Findings, h)
			out.Loose = out.Loose || heard.Loose
		} else {
			agreed++
		}
	}
	slices.SortStableFunc(out.Findings, func(a, b earshot.Finding) int { return int(a.Span.Start - b.Span.Start) })
	switch {
	case agreed < len(written.Findings):
		out.Disagreement = "what was written names a wake word where none is heard"
	case len(out.Findings) > len(written.Findings):
		out.Disagreement = "a wake word is heard that was not written down"
	}
	return out
}

// alike tells whether a device's name for a word may mean the one that is heard: hey_jarvis for jarvis, or none.
func alike(written, heard string) bool {
	spaced := strings.NewReplacer("_", " ", "-", " ")
	written, heard = spaced.Replace(written), spaced.Replace(heard)
	return strings.Contains(written, heard) || strings.Contains(heard, written)
}
