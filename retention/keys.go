package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage/catalog"
)

// ErrNoKey means: the data subject has no key. It was destroyed, or no entry speaks of the subject.
var ErrNoKey = errors.New("the data subject has no key: it was destroyed, or no entry of the log speaks of the subject")

// ForgetKey destroys the key behind a data subject's tags, after an entry that says so: from then on
// nobody can tell by the log which entries speak of that person. The inventories are taken anew before,
// while what has gone can still be explained, and the catalog no longer says whose recordings its actions
// were about; scrubbed is false where it goes on saying so, since recordings of the person are there or
// a run that has to do with them is not over. Called again it is [ErrNoKey], and scrubs what was left.
func (r *Runner) ForgetKey(ctx context.Context, subject earshot.SubjectID) (scrubbed bool, err error) {
	if _, err := r.SubjectTagger(ctx, subject); errors.Is(err, ErrNoKey) { // what was left to do then?
		return r.scrub(ctx, subject) == nil, err
	} else if err != nil {
		return false, err
	}
	if err := r.reconcileAll(ctx, subject); err != nil {
		return false, err
	}
	if _, err := r.sayKey(ctx, audit.KindKeyGone, subject, ""); err != nil {
		return false, err
	}
	scrubErr := r.scrub(ctx, subject)
	if scrubErr != nil && !errors.Is(scrubErr, catalog.ErrStale) {
		return false, scrubErr
	}
	_, err = r.o.SubjectKeys.Destroy(ctx, subject)
	return scrubErr == nil && err == nil, err
}

// reconcileAll brings the inventories up to date with what was done about a person. What it finds amiss it has written
// down.
func (r *Runner) reconcileAll(ctx context.Context, subject earshot.SubjectID) error {
	if r.o.Inventory == "" {
		return nil
	}
	for _, bucket := range r.Buckets() {
		if err := r.renewFor(ctx, bucket, subject); err != nil {
			return fmt.Errorf("taking an inventory: %w", err)
		}
	}
	return nil
}

// DiscloseKey hands out the key behind a data subject's tags, after an entry that says so. to names
// who gets it.
func (r *Runner) DiscloseKey(ctx context.Context, subject earshot.SubjectID, to string) ([]byte, error) {
	if to == "" {
		return nil, errors.New("who is the key handed to? It must be named, since the log says so")
	}
	return r.sayKey(ctx, audit.KindDisclosed, subject, to)
}

// SubjectTagger makes the tags of a data subject, to find entries by; [ErrNoKey] where there is no
// key any more.
func (r *Runner) SubjectTagger(ctx context.Context, subject earshot.SubjectID) (*audit.Tagger, error) {
	if subject == "" || r.o.SubjectKeys == nil {
		return r.o.Tagger, nil
	}
	key, ok, err := r.o.SubjectKeys.Existing(ctx, subject)
	if err == nil && !ok {
		err = ErrNoKey
	}
	if err != nil {
		return nil, err
	}
	return r.o.Tagger.Of(key), nil
}

func (r *Runner) sayKey(ctx context.Context, kind audit.Kind, subject earshot.SubjectID, to string) ([]byte, error) {
	if r.o.SubjectKeys == nil {
		return nil, ErrNoKey
	}
	key, ok, err := r.o.SubjectKeys.Existing(ctx, subject)
	if err == nil && !ok {
		err = ErrNoKey
	}
	if err != nil {
		return nil, err
	}
	e := r.entry(kind, r.now().Format(time.RFC3339Nano)) // not of the subject: an id can be guessed at
	e.SubjectKey = &audit.SubjectKey{Subject: r.o.Tagger.Of(key).Tag("subject", e.ID, string(subject))}
	if to != "" {
		e.SubjectKey.To = r.o.Tagger.Tag("actor", e.ID, to)
	}
	return key, r.say(ctx, e)
}

// say writes an entry that goes with no other change, and publishes it.
func (r *Runner) say(ctx context.Context, e audit.Entry) error {
	leaf, err := e.Leaf()
	if err != nil {
		return err
	}
	if err := r.o.Catalog.Say(ctx, leaf); err != nil {
		return err
	}
	_, err = r.o.Log.Publish(ctx)
	return err
}

// SayRead writes an entry that says that somebody read or exported the log. What was asked for is in
// it as a tag, since it may name a person.
func (r *Runner) SayRead(ctx context.Context, kind audit.Kind, read audit.Read, query string) error {
	e := r.entry(kind, r.now().Format(time.RFC3339Nano))
	if query != "" {
		read.Query = r.o.Tagger.Tag("query", e.ID, query)
	}
	e.Read = &read
	return r.say(ctx, e)
}
