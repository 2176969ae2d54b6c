package policies_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"earshot"
)

// This file makes random facts and policies for the tests of laws. Values come from small sets, so
// that conditions meet them.

var origin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomTime(r *rand.Rand) time.Time {
	switch r.IntN(12) {
	case 0:
		return time.Time{}
	case 1:
		return pick(r, time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	return origin.Add(time.Duration(r.IntN(40)-20) * 24 * time.Hour).Add(time.Duration(r.IntN(3)) * time.Nanosecond)
}

func randomSpan(r *rand.Rand) earshot.Span {
	start := time.Duration(r.IntN(8)) * 250 * time.Millisecond
	return earshot.Span{Start: start, End: start + time.Duration(r.IntN(6)-1)*250*time.Millisecond}
}

func randomFacts(r *rand.Rand) earshot.Facts {
	words := func() string { return pick(r, "", "alexa", "kitchen", "de-DE", "x") }
	f := earshot.Facts{
		Recording: earshot.Recording{
			ID:   earshot.RecordingID{Bucket: pick(r, "voice", "voice", "other"), Key: pick(r, "clips/a.wav", "clips/b.wav", "kitchen", "")},
			Size: int64(r.IntN(3)) * 1000, StoredAt: randomTime(r), CapturedAt: randomTime(r), Coding: earshot.Coding(words()),
			Subject: earshot.SubjectID(words()), Device: words(), Locale: words(), Source: words(),
		},
		HeadKnown: r.IntN(4) > 0,
		Length:    time.Duration(r.IntN(4)) * time.Second,
		Fault:     pick(r, "", "", "", "", "", "a date in the future"),
	}
	for range r.IntN(3) {
		if f.Recording.Labels == nil {
			f.Recording.Labels = map[string]string{}
		}
		f.Recording.Labels[pick(r, "room", "alexa", "x")] = words()
	}
	for _, kind := range []earshot.Kind{earshot.KindWake, earshot.KindChild, earshot.KindSpeech} {
		switch r.IntN(6) {
		case 0:
		case 1:
			if f.Deaf == nil {
				f.Deaf = map[earshot.Kind]string{}
			}
			f.Deaf[kind] = pick(r, "", "no detector")
		default:
			if f.Heard == nil {
				f.Heard = map[earshot.Kind]earshot.Listening{}
			}
			l := earshot.Listening{Kind: kind, Score: pick(r, 0, 0.5, 0.8, 1, 2), CommandEnd: time.Duration(r.IntN(3)) * time.Second}
			for range r.IntN(3) {
				l.Findings = append(l.Findings, earshot.Finding{Kind: pick(r, kind, kind, ""), Span: randomSpan(r), Score: pick(r, 0, 0.5, 0.8), Word: words()})
			}
			f.Heard[kind] = l
		}
	}
	if r.IntN(3) > 0 {
		f.Subject = randomSubject(r)
	}
	switch r.IntN(4) {
	case 0:
	case 1:
		f.Pooled = &earshot.Pooled{Why: pick(r, "", "nothing was heard")}
	default:
		f.Pooled = &earshot.Pooled{Probability: pick(r, 0, 0.5, 0.8, 1, 2), Of: 1 + r.IntN(3)}
	}
	for range r.IntN(2) {
		f.Erased = append(f.Erased, randomSpan(r))
	}
	switch r.IntN(8) {
	case 0:
		f.Lock.RetainUntil = randomTime(r)
	case 1:
		f.Requests = []earshot.Request{{Kind: pick(r, earshot.RequestErasure, earshot.RequestAccess), ClosedAt: pick(r, time.Time{}, origin)}}
	}
	return f
}

func randomSubject(r *rand.Rand) *earshot.Subject {
	s := &earshot.Subject{
		ID: "s", LastActive: randomTime(r), AutoDelete: time.Duration(r.IntN(3)) * 24 * time.Hour,
		DontSave: r.IntN(2) == 0, NoHumanReview: r.IntN(2) == 0,
	}
	if r.IntN(2) == 0 {
		minor := r.IntN(2) == 0
		s.DeclaredMinor = &minor
	}
	if r.IntN(2) == 0 {
		age := r.IntN(20)
		s.DeclaredAge = &age
	}
	for range r.IntN(3) {
		s.Consents = append(s.Consents, earshot.Consent{Purpose: pick(r, "parental", "training", "alexa"), WithdrawnAt: pick(r, time.Time{}, origin, randomTime(r))})
	}
	return s
}

// atoms are simple conditions that read every fact.
var atoms = []string{
	`true`, `false`, `wake.listened`, `wake.found`, `child.listened`, `child.declared`, `speech.listened`, `speech.found`, `subject.known`,
	`subject.declaredMinor`, `subject.dontSave`, `subject.noHumanReview`,
	`has(wake.start)`, `has(wake.word)`, `has(child.probability)`, `has(child.pooled)`, `has(child.declared)`, `has(speech.end)`, `has(subject.autoDelete)`,
	`has(subject.consents)`, `has(subject.lastActive)`, `has(recording.captured)`, `has(recording.device)`, `has(recording.labels)`,
	`has(recording.labels.room)`, `has(subject.declaredAge)`, `has(recording.length)`, `has(wake.listened)`, `has(recording.size)`,
	`wake.start > duration("300ms")`, `wake.end <= duration("1s")`, `speech.start == duration("0s")`, `speech.end != wake.end`,
	`wake.word == "alexa"`, `wake.score >= 0.5`, `wake.score < 1`, `child.probability > 0.79`, `0.5 <= child.probability`, `1 > child.probability`, `child.pooled >= 0.5`,
	`recording.bucket == "voice"`, `recording.key.startsWith("clips/")`, `recording.key.endsWith(".wav")`, `recording.key.contains(recording.device)`,
	`recording.size > 500`, `recording.size == 0`, `recording.coding != "alexa"`, `recording.subject == "x"`, `recording.device in ["kitchen", "x"]`,
	`recording.locale in []`, `recording.source < "kitchen"`, `recording.labels["room"] == "kitchen"`, `recording.labels.room != recording.device`,
	`"room" in recording.labels`, `recording.device in recording.labels`, `"parental" in subject.consents`, `wake.word in subject.consents`,
	`recording.captured < timestamp("2026-01-01T00:00:00Z")`, `recording.stored >= recording.captured`, `subject.lastActive == recording.stored`,
	`recording.captured != timestamp("2026-01-02T00:00:00.000000001Z")`, `recording.length > duration("1s")`,
	`subject.autoDelete >= duration("24h")`, `subject.declaredAge < 13`, `13 > subject.declaredAge`, `subject.declaredAge in [9, 10, 11]`,
	`child.declared == true`, `subject.dontSave != subject.noHumanReview`, `wake.score in [0.5, 0.8]`, `wake == wake`,
	// Beyond the fast evaluator.
	`subject.consents.exists(c, c.startsWith("par"))`, `recording.labels.all(k, k != "x")`, `size(subject.consents) > 1`,
	`recording.stored - recording.captured < duration("48h")`, `recording.key.matches("^clips/[ab]")`, `recording.captured.getFullYear() == 2026`,
	`wake.end - wake.start > duration("250ms")`, `10 / subject.declaredAge > 1`, `size(recording.key) > 5`, `recording.labels == {}`,
}

// randomCondition makes a tree of atoms.
func randomCondition(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(4) == 0 {
		return pick(r, atoms...)
	}
	a, b := randomCondition(r, depth-1), randomCondition(r, depth-1)
	switch r.IntN(6) {
	case 0:
		return "!(" + a + ")"
	case 1:
		return "(" + a + ") ? (" + b + ") : (" + randomCondition(r, depth-1) + ")"
	case 2, 3:
		return "(" + a + ") && (" + b + ")"
	}
	return "(" + a + ") || (" + b + ")"
}

// randomPolicy writes a policy.
func randomPolicy(r *rand.Rand) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: earshot/v1\nkind: Policy\nmetadata: {name: random}\nspec:\n  scope: {bucket: voice}\n  otherwise: %s\n  rules:\n", pick(r, "keep", "review"))
	for i := range 1 + r.IntN(6) {
		fmt.Fprintf(&b, "    - name: rule-%d\n      when: >-\n        %s\n", i, randomCondition(r, 2))
		then := pick(r, "delete", "delete", "redact", "redact", "keep", "review")
		fmt.Fprintf(&b, "      then: %s\n", then)
		if then != "keep" && r.IntN(2) == 0 {
			fmt.Fprintf(&b, "      keep: {for: %s, from: %s}\n", pick(r, "1d", "3d", "10d", "subject.autoDelete"),
				pick(r, "captured", "stored", "subject.lastActive", "consent.withdrawn, purpose: parental"))
		}
		if then == "redact" {
			fmt.Fprintf(&b, "      spans: [%s, %s]\n      fill: %s\n      pad: %s\n",
				pick(r, "before-wake-word", "wake-word", "after-wake-word", "child-speech"), pick(r, "after-command", "250ms-1s", "everything", "wake-word"),
				pick(r, "silence", "tone", "cut"), pick(r, "0s", "200ms"))
		}
		if (then == "delete" || then == "redact") && r.IntN(3) == 0 {
			fmt.Fprintf(&b, "      companions: {transcript: %s}\n", pick(r, "keep", "trim", "delete", "review"))
		}
	}
	return b.String()
}
