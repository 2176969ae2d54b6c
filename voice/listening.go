package voice

import (
	"slices"
	"time"

	"earshot"
)

// Reading says how what was heard becomes facts.
type Reading struct {
	// Evidential takes a voice for a child's only where few adults would be accused. The default is
	// protective: a doubtful voice counts as a child's.
	Evidential bool
	// Close gives the wake word's own boundaries. The default are the wider ones, so that erasing
	// them erases the word.
	Close bool
}

// Listenings are the facts that follow from what was heard, one for each kind. Uncertain wake words
// are among the findings: their score tells. Of the voices only the stretches that count as a
// child's are. Where too little voice was heard to judge there is no listening for children: the
// fact stays missing.
func (h Heard) Listenings(at time.Time, r Reading) []earshot.Listening {
	wakes := earshot.Listening{Kind: earshot.KindWake, Detector: h.Version, At: at, CommandEnd: h.CommandEnd}
	for _, w := range h.Wakes {
		span := w.Erase
		if r.Close {
			span = w.Span
		}
		wakes.Findings = append(wakes.Findings, earshot.Finding{Kind: earshot.KindWake, Span: span, Score: w.Score, Word: w.Word})
		wakes.Score = max(wakes.Score, w.Score)
		wakes.Loose = wakes.Loose || w.Loose
	}
	speech := earshot.Listening{Kind: earshot.KindSpeech, Detector: h.Version, At: at, CommandEnd: h.CommandEnd}
	for _, s := range h.Speech {
		speech.Findings = append(speech.Findings, earshot.Finding{Kind: earshot.KindSpeech, Span: s, Score: 1})
		speech.Score = 1
	}
	out := []earshot.Listening{wakes, speech}
	if !h.Voice.Known && len(h.Speech) > 0 || h.spokenUnheard() {
		return out
	}
	child := earshot.Listening{Kind: earshot.KindChild, Detector: h.Version, At: at, Score: h.Voice.Probability}
	for _, s := range h.Segments {
		is := s.Protective != Adult // too little voice to judge is doubtful
		if r.Evidential {
			is = s.Evidential == Child
		}
		if is {
			span := earshot.Span{Start: max(0, s.Span.Start-speechMargin), End: min(h.Length, s.Span.End+speechMargin)}
			child.Findings = append(child.Findings, earshot.Finding{Kind: earshot.KindChild, Span: span, Score: s.Probability})
		}
	}
	return append(out, child)
}

// spokenUnheard tells that somebody spoke a wake word where no speech is heard, so that nobody can have judged
// that voice.
func (h Heard) spokenUnheard() bool {
	return slices.ContainsFunc(h.Wakes, func(w Wake) bool {
		return w.Verdict == Found && !h.Speech.Overlaps(w.Span.Start, w.Span.End)
	})
}
