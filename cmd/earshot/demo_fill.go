package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"earshot"
	"earshot/storage"

	wavlib "github.com/go-audio/wav"
	"golang.org/x/sync/errgroup"
)

//go:embed samples/*.wav samples/manifest.tsv
var samples embed.FS

// sample is one shipped clip. Its places are in samples at 16 kHz, whatever its coding.
type sample struct {
	file, coding, language        string
	beforeEnd, wakeStart, wakeEnd int64
	commandStart, commandEnd      int64
	before, command               string
	key, id, subject              string
}

func ms(samples int64) float64 { return float64(samples) / 16 }

// loadSamples reads the manifest that scripts/samples.sh wrote.
func loadSamples() ([]sample, error) {
	text, err := samples.ReadFile("samples/manifest.tsv")
	if err != nil {
		return nil, err
	}
	var out []sample
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 10 {
			return nil, fmt.Errorf("samples/manifest.tsv: %d fields in a line", len(f))
		}
		s := sample{file: f[0], coding: f[1], language: f[2], before: f[8], command: f[9]}
		for i, to := range []*int64{&s.beforeEnd, &s.wakeStart, &s.wakeEnd, &s.commandStart, &s.commandEnd} {
			if *to, err = strconv.ParseInt(f[3+i], 10, 64); err != nil {
				return nil, fmt.Errorf("samples/manifest.tsv: %w", err)
			}
		}
		if s.before == "-" {
			s.before = ""
		}
		out = append(out, s)
	}
	return out, nil
}

// filling fills a bucket as an assistant's service would.
type filling struct {
	app   *app
	inst  *installation
	now   time.Time
	clips []sample
	b     *storage.Bucket
}

// people of the demo: what their accounts say. The index is the subject's number.
func (f *filling) subjects() []earshot.Subject {
	yes, no := true, false
	age := func(n int) *int { return &n }
	day := 24 * time.Hour
	out := make([]earshot.Subject, 10)
	for i := range out {
		out[i] = earshot.Subject{ID: earshot.SubjectID(fmt.Sprintf("s-%02d", i)), LastActive: f.now.Add(-10 * day), DeclaredMinor: &no, DeclaredAge: age(30 + i)}
	}
	out[3].DeclaredMinor, out[3].DeclaredAge = &yes, age(9) // a child, and nobody consented
	out[4].DeclaredMinor, out[4].DeclaredAge = &yes, age(11)
	out[4].Consents = []earshot.Consent{{Subject: out[4].ID, Purpose: "parental", GivenAt: f.now.Add(-300 * day), Proof: "form 4711"}}
	out[5].AutoDelete = 30 * day
	out[7].DontSave = true
	return out
}

func (f *filling) run(ctx context.Context) (err error) {
	if f.clips, err = loadSamples(); err != nil {
		return err
	}
	if err := f.inst.store.MakeBucket(ctx, demoBucket, true, true); err != nil {
		return err
	}
	if f.b, err = f.inst.store.Bucket(ctx, demoBucket); err != nil {
		return err
	}
	for _, s := range f.subjects() {
		if err := f.inst.db.PutSubject(ctx, s); err != nil {
			return err
		}
	}
	request := earshot.Request{ID: "request-1", Kind: earshot.RequestErasure, Subject: "s-06", MadeAt: f.now.Add(-48 * time.Hour), DueAt: f.now.Add(28 * 24 * time.Hour)}
	if err := f.inst.db.PutRequest(ctx, request); err != nil {
		return err
	}
	if _, err := f.inst.runner.PlaceHold(ctx, earshot.Hold{Matter: "case 12/345", Device: "hall"}); err != nil {
		return err
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range f.clips {
		group.Go(func() error { return f.store(inner, i) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("filling the bucket: %w", err)
	}
	if !f.app.json {
		fmt.Fprintf(f.app.out, "%d recordings of %d people in several codings, with events, transcripts and voiceprints;\none hold on a device, one on an object in the store itself, one open erasure request\n", len(f.clips), 10)
	}
	return nil
}

// store stores one clip with what belongs to it.
func (f *filling) store(ctx context.Context, i int) error {
	s := &f.clips[i]
	device := []string{"kitchen", "bedroom", "hall", "car"}[i%4]
	captured := f.now.Add(-time.Duration((i*37)%150) * 24 * time.Hour).Add(-time.Duration(i) * time.Minute)
	s.subject = fmt.Sprintf("s-%02d", (i*7)%10)
	s.id = fmt.Sprintf("r%04d", i)
	s.key = fmt.Sprintf("clips/%s/%s/%s/%s.wav", s.subject, device, captured.Format("2006/01/02"), s.id)
	meta := map[string]string{"captured-at": captured.Format(time.RFC3339), "locale": s.language, "source": "assistant", "firmware": "7.1"}
	if i == 40 {
		meta["captured-at"] = f.now.Add(90 * 24 * time.Hour).Format(time.RFC3339) // a device whose clock is wrong
	}
	sound, err := samples.ReadFile("samples/" + s.file)
	if err != nil {
		return err
	}
	tags := map[string]string{"household": fmt.Sprintf("h%d", i%5)}
	if i%6 == 1 { // it was stored twice: the older version is still there
		if _, err := f.b.Put(ctx, s.key, append(bytes.Clone(sound), 0, 0), "audio/wav", meta, tags); err != nil {
			return err
		}
	}
	if _, err := f.b.Put(ctx, s.key, sound, "audio/wav", meta, tags); err != nil {
		return err
	}
	if i == 20 { // the store's own legal hold
		head, err := f.b.Head(ctx, s.key, "")
		if err != nil {
			return err
		}
		if err := f.b.SetLegalHold(ctx, head.ID, true); err != nil {
			return err
		}
	}
	return f.companions(ctx, i, s)
}

func (f *filling) companions(ctx context.Context, i int, s *sample) error {
	objects := map[string][]byte{"transcripts/" + s.id + ".json": transcript(s)}
	if i%16 != 6 { // of some nobody wrote down where the wake word is
		objects["events/"+s.id+".json"] = recognizeEvent(s)
	}
	if i%3 == 0 {
		d := earshot.DigestOf([]byte(s.id))
		objects["voiceprints/"+s.subject+"/"+s.id+".bin"] = bytes.Repeat(d[:], 8)
	}
	for key, body := range objects {
		if _, err := f.b.Put(ctx, key, body, "application/octet-stream", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// recognizeEvent is what an Alexa-style device sends along with the sound.
func recognizeEvent(s *sample) []byte {
	text, _ := json.Marshal(map[string]any{"event": map[string]any{
		"header": map[string]string{"namespace": "SpeechRecognizer", "name": "Recognize", "messageId": s.id},
		"payload": map[string]any{"profile": "NEAR_FIELD", "format": "AUDIO_L16_RATE_16000_CHANNELS_1", "initiator": map[string]any{
			"type": "WAKEWORD", "payload": map[string]any{
				"wakeWord":        "COMPUTER",
				"wakeWordIndices": map[string]int64{"startIndexInSamples": s.wakeStart, "endIndexInSamples": s.wakeEnd},
			},
		}},
	}})
	return text
}

// transcript spreads the words of each part evenly over it.
func transcript(s *sample) []byte {
	type word struct {
		Word  string  `json:"word"`
		Start float64 `json:"start"` // seconds
		End   float64 `json:"end"`
	}
	var words []word
	var all []string
	add := func(text string, from, to int64) {
		parts := strings.Fields(text)
		for i, p := range parts {
			step := (ms(to) - ms(from)) / 1000 / float64(len(parts))
			words = append(words, word{p, ms(from)/1000 + step*float64(i), ms(from)/1000 + step*float64(i+1)})
			all = append(all, p)
		}
	}
	add(s.before, 0, s.beforeEnd)
	add("computer", s.wakeStart, s.wakeEnd)
	add(s.command, s.commandStart, s.commandEnd)
	text, _ := json.Marshal(map[string]any{"words": words, "text": strings.Join(all, " ")})
	return text
}

// etags tells what is stored under every clip's key now.
func (f *filling) etags(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for rec, err := range f.b.List(ctx, "", "") {
		if err != nil {
			return nil, err
		}
		out[rec.ID.Key] = rec.ETag
	}
	return out, nil
}

// check looks at the store itself: what the run deleted is gone with everything, what it redacted
// is silent where it should be and has lost the words, and nothing else has changed.
func (f *filling) check(ctx context.Context, run earshot.Run, before map[string]string) error {
	actions, err := f.inst.db.Actions(ctx, run.ID, "", 0, 1000)
	if err != nil {
		return err
	}
	touched := map[string]earshot.Action{}
	for _, a := range actions {
		if a.State != earshot.ActionDone {
			return fmt.Errorf("an action is %s (%s)", a.State, a.Why)
		}
		touched[a.Recording.ID.Key] = a
	}
	var errs []error
	for _, s := range f.clips {
		a, ok := touched[s.key]
		switch {
		case !ok:
			head, err := f.b.Head(ctx, s.key, "")
			if err != nil || head.ETag != before[s.key] {
				errs = append(errs, fmt.Errorf("clip %s should be untouched (%w)", s.id, err))
			}
		case a.Decision.Disposition == earshot.Delete:
			errs = append(errs, f.checkGone(ctx, append(companionKeys(a), s.key)))
		default:
			errs = append(errs, f.checkRedacted(ctx, s, a))
		}
	}
	return errors.Join(errs...)
}

func companionKeys(a earshot.Action) (keys []string) {
	for _, c := range a.Companions {
		keys = append(keys, c.ID.Key)
	}
	return keys
}

func (f *filling) checkGone(ctx context.Context, keys []string) error {
	for _, k := range keys {
		p, err := f.b.Present(ctx, k)
		if err != nil {
			return err
		}
		if !p.Gone() {
			return fmt.Errorf("%d versions are left of something that was deleted", len(p.Versions))
		}
	}
	return nil
}

func (f *filling) checkRedacted(ctx context.Context, s sample, a earshot.Action) error {
	p, err := f.b.Present(ctx, s.key)
	if err != nil {
		return err
	}
	if len(p.Versions) != 1 {
		return fmt.Errorf("clip %s was redacted and has %d versions", s.id, len(p.Versions))
	}
	text, _, err := f.b.Folder("", nil).Get(ctx, "transcripts/"+s.id+".json")
	if err == nil {
		if err := wordsErased(text, s.before, a.Decision.Redactions); err != nil {
			return fmt.Errorf("clip %s: %w", s.id, err)
		}
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if !strings.HasPrefix(s.coding, "pcm16") {
		return nil // apply has verified it; here only what another library reads is looked at
	}
	sound, _, err := f.b.Folder("", nil).Get(ctx, s.key)
	if err != nil {
		return err
	}
	d := wavlib.NewDecoder(bytes.NewReader(sound))
	pcm, err := d.FullPCMBuffer()
	if err != nil {
		return fmt.Errorf("clip %s: %w", s.id, err)
	}
	loud := false
	for i, v := range pcm.Data {
		at := time.Duration(i) * time.Second / time.Duration(d.SampleRate)
		erased := false
		for _, red := range a.Decision.Redactions {
			erased = erased || red.Spans.Overlaps(at, at+1)
		}
		if erased && v != 0 {
			return fmt.Errorf("clip %s: sound is left at %s", s.id, at)
		}
		loud = loud || v > 1000
	}
	if !loud {
		return fmt.Errorf("clip %s: nothing is left of the command", s.id)
	}
	return nil
}

// wordsErased looks for what was said where the sound was erased: by time, since the same word may have
// been said again later, and by text.
func wordsErased(transcript []byte, before string, erased []earshot.Redaction) error {
	var left struct {
		Text  string
		Words []struct{ Start, End float64 }
	}
	if err := json.Unmarshal(transcript, &left); err != nil {
		return fmt.Errorf("the transcript: %w", err)
	}
	if before != "" && strings.Contains(left.Text, before) {
		return errors.New("the transcript's text still has the erased words")
	}
	for _, w := range left.Words {
		middle := time.Duration((w.Start + w.End) / 2 * float64(time.Second))
		for _, red := range erased {
			if red.Spans.Overlaps(middle, middle+1) {
				return errors.New("the transcript still has a word where the sound was erased")
			}
		}
	}
	return nil
}
