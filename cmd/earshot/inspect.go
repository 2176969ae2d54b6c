package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"earshot"
	"earshot/redact"
	"earshot/voice"
	"earshot/voice/picture"

	"github.com/spf13/cobra"
)

// inspection is what inspect tells of a recording. What could not be heard has the verdict "unheard".
type inspection struct {
	Coding     earshot.Coding `json:"coding"`
	Format     string         `json:"format"`
	Duration   json.Number    `json:"duration_ms"`
	SampleRate int            `json:"sample_rate"`
	Channels   int            `json:"channels"`
	Leaks      []redact.Leak  `json:"leaks"`
	Speech     []spanJSON     `json:"speech"`
	CommandEnd json.Number    `json:"command_end_ms,omitempty"`
	Wake       verdictJSON    `json:"wake"`
	Child      verdictJSON    `json:"child"`
	Segments   []segmentJSON  `json:"segments"`
	Detectors  []string       `json:"detectors"`
	Unheard    string         `json:"unheard,omitempty"` // why
}

type spanJSON struct {
	Start json.Number `json:"start_ms"`
	End   json.Number `json:"end_ms"`
}

type verdictJSON struct {
	Verdict string `json:"verdict"`
	// Of a child: the calibrated probability, and both operating points.
	Probability *float64   `json:"probability,omitempty"`
	Evidential  string     `json:"evidential,omitempty"`
	Words       []wordJSON `json:"words,omitempty"`
}

type wordJSON struct {
	Word    string   `json:"word"`
	Span    spanJSON `json:"span"`
	Erase   spanJSON `json:"erase"` // what a redaction takes out
	Score   float64  `json:"score"`
	Verdict string   `json:"verdict"`
}

type segmentJSON struct {
	Span        spanJSON `json:"span"`
	Verdict     string   `json:"verdict"`
	Probability float64  `json:"probability"`
}

func millis(d time.Duration) json.Number {
	return json.Number(fmt.Sprintf("%g", float64(d.Microseconds())/1000))
}

func spanOf(s earshot.Span) spanJSON { return spanJSON{millis(s.Start), millis(s.End)} }

// hear puts what is heard into the inspection.
func (x *inspection) hear(l lookedAt) {
	if l.unheard != "" {
		x.Unheard = l.unheard
		return
	}
	h := l.heard
	x.Detectors = []string{"earshot-voice:" + h.Version}
	for _, s := range h.Speech {
		x.Speech = append(x.Speech, spanOf(s))
	}
	if h.CommandEnd > 0 {
		x.CommandEnd = millis(h.CommandEnd)
	}
	x.Wake.Verdict = "not found"
	for _, w := range h.Wakes {
		x.Wake.Words = append(x.Wake.Words, wordJSON{w.Word, spanOf(w.Span), spanOf(w.Erase), w.Score, string(w.Verdict)})
		if x.Wake.Verdict != string(voice.Found) {
			x.Wake.Verdict = string(w.Verdict)
		}
	}
	if h.Voice.Known {
		x.Child = verdictJSON{Verdict: string(h.Voice.Protective), Evidential: string(h.Voice.Evidential), Probability: &h.Voice.Probability}
	} else {
		x.Child.Verdict = "too little voice"
	}
	for _, s := range h.Segments {
		verdict := string(s.Protective)
		if !s.Known {
			verdict = "too little voice"
		}
		x.Segments = append(x.Segments, segmentJSON{spanOf(s.Span), verdict, s.Probability})
	}
}

func newInspect(a *app) *cobra.Command {
	var svg, png string
	var force bool
	c := command("inspect FILE|s3://BUCKET/KEY", "Tell what a recording is, what is heard in it, and what it would leak besides its sound",
		`Format, length, and every chunk or tag that may hold something; where the wake word is, where anyone speaks, and
whether a child does (with the probability, and what each operating point makes of it). - reads standard input. With --svg
or --png the sound is drawn with all that, so that a person can see why. A score is no proof of who spoke, or of anyone's
age.`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.maybeConnect(cmd.Context(), args...)
			if err != nil {
				return err
			}
			defer i.close()
			src, err := a.openSource(cmd.Context(), i, args[0])
			if err != nil {
				return err
			}
			defer src.Close()
			info, err := redact.Inspect(src, src.size)
			if err != nil {
				return a.refused(err)
			}
			out := inspection{
				Coding: info.Coding, Format: info.Format, SampleRate: info.SampleRate, Channels: info.Channels, Leaks: info.Leaks, Duration: millis(info.Length),
				Speech: []spanJSON{}, Segments: []segmentJSON{}, Wake: verdictJSON{Verdict: "unheard"}, Child: verdictJSON{Verdict: "unheard"}, Detectors: []string{},
			}
			if out.Leaks == nil {
				out.Leaks = []redact.Leak{}
			}
			l, err := a.lookAt(cmd.Context(), src)
			if err != nil {
				return err
			}
			out.hear(l)
			if svg != "" || png != "" {
				if l.unheard != "" {
					return fmt.Errorf("there is nothing to draw: %s", l.unheard)
				}
				if svg != "" {
					if err := draw(svg, force, func(f *os.File) error { return picture.SVG(f, l.sound, l.heard) }); err != nil {
						return err
					}
				}
				if png != "" {
					if err := draw(png, force, func(f *os.File) error { return picture.PNG(f, l.sound, l.heard) }); err != nil {
						return err
					}
				}
			}
			return a.emit(out, func(w io.Writer) { out.print(w, info.Length) })
		})
	c.Flags().StringVar(&svg, "svg", "", "draw what is heard into this file")
	c.Flags().StringVar(&png, "png", "", "draw what is heard into this file")
	c.Flags().BoolVar(&force, "force", false, "replace the pictures if they exist")
	return c
}

func (x *inspection) print(w io.Writer, length time.Duration) {
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
	fmt.Fprintf(t, "wake word\t%s\n", x.Wake.Verdict)
	for _, k := range x.Wake.Words {
		fmt.Fprintf(t, "\t%s\t%s to %s ms\tscore %.2f\t%s (a redaction erases %s to %s ms)\n", k.Word, k.Span.Start, k.Span.End, k.Score, k.Verdict, k.Erase.Start, k.Erase.End)
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
		fmt.Fprintf(t, "child\t%s\n", x.Child.Verdict)
	} else {
		fmt.Fprintf(t, "child\t%s\tprobability %.2f\tevidential: %s\n", x.Child.Verdict, *x.Child.Probability, x.Child.Evidential)
	}
	for _, s := range x.Segments {
		fmt.Fprintf(t, "\t%s to %s ms\t%s\t%.2f\n", s.Span.Start, s.Span.End, s.Verdict, s.Probability)
	}
	for _, d := range x.Detectors {
		fmt.Fprintf(t, "heard by\t%s\n", d)
	}
}
