package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"earshot"
	"earshot/audit"
)

// announcements are what the published log says of a bucket.
type announcements struct {
	// keys names objects of which the log says that something was done to them; the value is true for
	// recordings that were redacted last, and are to be there.
	keys map[string]bool
	// stay gives the keys of those that are to be there.
	stay  map[string]string
	root  string // of the last inventory in this shard; empty if there is none
	entry string // its id
}

// announcedBefore is how many entries before the last inventory are looked at for intents whose
// outcome came after it.
const announcedBefore = 100_000

// announcement is what the log says of one intent.
type announcement struct {
	recording, companions string // tags
	redact                bool
	result                string // of the outcome; empty while there is none
}

// announced gives the keys of which the published log says, from that entry on, that something was
// done to them: recordings, and the companions that went with them. The whole log is verified on
// the way, and the tags of each entry are compared with the recording, and the companions, that the
// catalog claims it is about: what the catalog alone says explains nothing, nor what nobody can tell
// any more because the person's key is destroyed, nor an action that the log says did not take place.
func (r *Runner) announced(ctx context.Context, bucket string, from int64) (said announcements, err error) {
	shard, err := r.o.Catalog.Shard(ctx)
	if err != nil {
		return said, err
	}
	intents := map[string]*announcement{}
	report, err := r.o.Log.Verify(ctx, audit.VerifyOptions{Visit: func(index int64, body []byte) error {
		e, err := audit.Parse(body)
		if err != nil {
			return nil //nolint:nilerr // the report tells of it
		}
		if e.Inventory != nil && e.Inventory.Scope == r.o.Tagger.Tag("bucket", e.ID, bucket) {
			said.root, said.entry = e.Inventory.Root, e.ID
		}
		// An intent from before may have its outcome after: all that are not long over are kept.
		if shard.Base+index < from-announcedBefore {
			return nil
		}
		if e.Intent != nil {
			intents[e.ID] = &announcement{recording: e.Intent.Recording, companions: e.Intent.CompanionsTag, redact: e.Intent.Action == earshot.Redact.String()}
		} else if e.Outcome != nil && intents[e.Outcome.IntentID] != nil {
			intents[e.Outcome.IntentID].result = e.Outcome.Result
		}
		return nil
	}})
	if err != nil {
		return said, err
	}
	if !report.OK() {
		return said, fmt.Errorf("%w: %s", audit.ErrUnverified, report.Findings[0])
	}
	said.keys, said.stay = map[string]bool{}, map[string]string{}
	for a, err := range r.o.Catalog.Acted(ctx, from) {
		if err == nil {
			err = r.explain(ctx, a, intents, &said)
		}
		if err != nil {
			return said, err
		}
	}
	open, err := r.o.Catalog.Unfinished(ctx, 1<<20)
	if err != nil {
		return said, err
	}
	for _, a := range open {
		if err := r.explain(ctx, a, intents, &said); err != nil {
			return said, err
		}
	}
	return said, nil
}

// explain notes what an action explains, if the log says that it took place, or is under way.
func (r *Runner) explain(ctx context.Context, a earshot.Action, intents map[string]*announcement, said *announcements) error {
	t := intents[intentID(a)]
	if t == nil || !slices.Contains([]string{"", "ok", "already_absent", "stopped"}, t.result) {
		return nil
	}
	tags, err := r.SubjectTagger(ctx, a.Recording.Subject)
	if errors.Is(err, ErrNoKey) {
		return nil
	}
	if err != nil {
		return err
	}
	if tags.Tag("recording", intentID(a), recordingName(a.Recording.ID)) != t.recording {
		return nil // the log speaks of another recording
	}
	name := objectName(a.Recording.ID.Bucket, a.Recording.ID.Key)
	said.keys[name] = t.redact && t.result == "ok"
	if said.keys[name] {
		said.stay[name] = a.Recording.ID.Key
	} else {
		delete(said.stay, name)
	}
	if len(a.Companions) == 0 || companionsTag(tags, a) != t.companions {
		return nil // and of other companions
	}
	for _, c := range a.Companions {
		if c.Fate != earshot.CompanionKeep {
			said.keys[objectName(c.ID.Bucket, c.ID.Key)] = false
		}
	}
	return nil
}

// companionsTag stands for all companions of an action, with what is to become of each.
func companionsTag(tags *audit.Tagger, a earshot.Action) string {
	var lines []string
	for _, c := range a.Companions {
		lines = append(lines, recordingName(c.ID)+"\n"+string(c.Fate)+"\n")
	}
	slices.Sort(lines)
	text := ""
	for _, l := range lines {
		text += l
	}
	return tags.Tag("companions", intentID(a), text)
}
