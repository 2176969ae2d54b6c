package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"earshot"
	"earshot/redact"
	"earshot/voice"
)

// inspection is what inspect tells of a recording. What could not be heard has the verdict "unheard".
type inspection struct {
	File       string         `json:"file,omitempty"` // where several are inspected
	Coding     earshot.Coding `json:"coding"`
	Format     string         `json:"format"`
	Duration   json.Number    `json:"duration_ms"`
	SampleRate int            `json:"sample_rate"`
	Channels   int            `json:"channels"`
	Leaks      []redact.Leak  `json:"leaks"`
	Speech     []spanJSON     `json:"speech"`
	CommandEnd json.Number    `json:"command_end_ms,omitempty"`
	Wake       wakeJSON       `json:"wake"`
	Child      childJSON      `json:"child"`
	Detectors  []detectorJSON `json:"detectors"`
	Unheard    string         `json:"unheard,omitempty"` // why, of the whole recording
}

type spanJSON struct {
	Start json.Number `json:"start_ms"`
	End   json.Number `json:"end_ms"`
}

// wakeJSON is found, uncertain, not_found or unheard. The fields of one word are those of the first that
// was found, or else of the likeliest.
type wakeJSON struct {
	Verdict string `json:"verdict"`
	*wordJSON
	Words []wordJSON `json:"words,omitempty"` // all of them
	Why   string     `json:"why,omitempty"`   // it is unheard, or which other detector failed besides
}

type wordJSON struct {
	Word string `json:"word"`
	spanJSON
	Score float64 `json:"score"`
	// Of the list only: what a redaction takes out, and what the score amounts to.
	Erase *spanJSON `json:"erase,omitempty"`
	Means string    `json:"means,omitempty"`
	// Loose: a detector told only that it was sure of the word, which is somewhere in there.
	Loose bool `json:"loose,omitempty"`
}

// childJSON is child, uncertain, adult or unheard, as the protective operating point has it, and as the
// evidential one does.
type childJSON struct {
	Verdict     string        `json:"verdict"`
	Probability *float64      `json:"probability,omitempty"`
	Evidential  string        `json:"evidential,omitempty"`
	Segments    []segmentJSON `json:"segments"`
	Why         string        `json:"why,omitempty"` // it is unheard
}

type segmentJSON struct {
	spanJSON
	Verdict     string   `json:"verdict"`
	Probability *float64 `json:"probability,omitempty"`
}

type detectorJSON struct {
	Kind    earshot.Kind `json:"kind"`
	Name    string       `json:"name"`
	Version string       `json:"version"`
}

const unheardVerdict = "unheard"

func millis(d time.Duration) json.Number {
	return json.Number(fmt.Sprintf("%g", float64(d.Microseconds())/1000))
}

func spanOf(s earshot.Span) spanJSON { return spanJSON{millis(s.Start), millis(s.End)} }

// hear puts what is heard into the inspection.
func (x *inspection) hear(l lookedAt) {
	if l.unheard != "" {
		x.Unheard, x.Wake.Why, x.Child.Why = l.unheard, l.unheard, l.unheard
		return
	}
	h := l.heard
	for _, kind := range []earshot.Kind{earshot.KindWake, earshot.KindChild, earshot.KindSpeech} {
		x.Detectors = append(x.Detectors, detectorJSON{kind, "earshot-voice", strings.TrimPrefix(h.Version, "earshot-voice/")})
	}
	for _, d := range l.others {
		x.Detectors = append(x.Detectors, detectorJSON{Kind: earshot.KindWake, Name: d})
	}
	for _, s := range h.Speech {
		x.Speech = append(x.Speech, spanOf(s))
	}
	if h.CommandEnd > 0 {
		x.CommandEnd = millis(h.CommandEnd)
	}
	x.hearWords(h.Wakes, l.failed)
	x.hearVoices(h)
}

func (x *inspection) hearWords(wakes []voice.Wake, failed string) {
	x.Wake = wakeJSON{Verdict: "not_found"}
	var best *voice.Wake
	for i := range wakes {
		w := &wakes[i]
		erase := spanOf(w.Erase)
		x.Wake.Words = append(x.Wake.Words, wordJSON{w.Word, spanOf(w.Span), w.Score, &erase, string(w.Verdict), w.Loose})
		if best == nil || best.Verdict != voice.Found && (w.Verdict == voice.Found || w.Score > best.Score) {
			best = w
		}
	}
	switch {
	case best != nil:
		x.Wake.Verdict = string(best.Verdict)
		x.Wake.wordJSON = &wordJSON{Word: best.Word, spanJSON: spanOf(best.Span), Score: best.Score}
		x.Wake.Why = failed
	case failed != "":
		x.Wake = wakeJSON{Verdict: unheardVerdict, Why: failed}
	}
}

func (x *inspection) hearVoices(h voice.Heard) {
	switch {
	case h.Voice.Known:
		x.Child.Verdict, x.Child.Evidential, x.Child.Probability = string(h.Voice.Protective), string(h.Voice.Evidential), &h.Voice.Probability
	case len(h.Speech) == 0 && len(h.Wakes) == 0:
		x.Child.Why = "nobody speaks"
	default:
		x.Child.Why = "too little voice to judge"
	}
	for i := range h.Segments {
		s := &h.Segments[i]
		out := segmentJSON{spanJSON: spanOf(s.Span), Verdict: unheardVerdict}
		if s.Known {
			out.Verdict, out.Probability = string(s.Protective), &s.Probability
		}
		x.Child.Segments = append(x.Child.Segments, out)
	}
}

func (x *inspection) print(w io.Writer, length time.Duration) {
	if x.File != "" {
		fmt.Fprintf(w, "%s\n", x.File)
	}
	fmt.Fprintf(w, "%s (%s), %s, %d Hz, %d channel(s)\n", x.Coding, x.Format, length, x.SampleRate, x.Channels)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	for _, l := range x.Leaks {
		fmt.Fprintf(t, "would leak\t%s\t%s\n", l.Where, l.What)
	}
	if len(x.Leaks) == 0 {
		fmt.Fprintln(t, "would leak\tnothing besides the sound")
	}
	if x.Unheard != "" {
		fmt.Fprintf(t, "unheard\t%s\n", x.Unheard)
		return
	}
	x.printSound(t)
}

func (x *inspection) printSound(t io.Writer) {
	fmt.Fprintf(t, "wake word\t%s\t%s\n", strings.ReplaceAll(x.Wake.Verdict, "_", " "), x.Wake.Why)
	for _, k := range x.Wake.Words {
		where := ""
		if k.Loose {
			where = "somewhere in "
		}
		fmt.Fprintf(t, "\t%s\t%s%s to %s ms\tscore %.2f\t%s (a redaction erases %s to %s ms)\n", k.Word, where, k.Start, k.End, k.Score, k.Means, k.Erase.Start, k.Erase.End)
	}
	if len(x.Speech) == 0 {
		fmt.Fprintln(t, "speech\tnone is heard")
	}
	for _, s := range x.Speech {
		fmt.Fprintf(t, "speech\t%s to %s ms\n", s.Start, s.End)
	}
	if x.CommandEnd != "" {
		fmt.Fprintf(t, "command ends\tat %s ms\n", x.CommandEnd)
	}
	if x.Child.Probability == nil {
		fmt.Fprintf(t, "child\t%s\t%s\n", x.Child.Verdict, x.Child.Why)
	} else {
		fmt.Fprintf(t, "child\t%s\tprobability %.2f\tevidential: %s\n", x.Child.Verdict, *x.Child.Probability, x.Child.Evidential)
	}
	for _, s := range x.Child.Segments {
		if s.Probability == nil {
			fmt.Fprintf(t, "\t%s to %s ms\ttoo little voice\n", s.Start, s.End)
			continue
		}
		fmt.Fprintf(t, "\t%s to %s ms\t%s\t%.2f\n", s.Start, s.End, s.Verdict, *s.Probability)
	}
	by := ""
	for _, d := range x.Detectors {
		if text := strings.TrimSpace(d.Name + " " + d.Version); text != by {
			fmt.Fprintf(t, "heard by\t%s\n", text)
			by = text
		}
	}
}
