package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"earshot/redact"
	"earshot/voice"
	"earshot/voice/picture"

	"github.com/spf13/cobra"
)

// inspectOptions are the flags of inspect.
type inspectOptions struct {
	svg, png string
	force    bool
}

// together is the judgement on the voices of several recordings, which is worth more than any of them.
type together struct {
	Recordings int       `json:"recordings"` // in which there was voice enough to judge
	Child      childJSON `json:"child"`
}

func newInspect(a *app) *cobra.Command {
	var o inspectOptions
	c := command("inspect FILE|s3://BUCKET/KEY...", "Tell what a recording is, what is heard in it, and what it would leak besides its sound",
		`Format, length, and every chunk or tag that may hold something; where the wake word is, where anyone speaks, and
whether a child does (with the probability, and what each operating point makes of it). - reads standard input. With --svg
or --png the sound is drawn with all that, so that a person can see why. Of several recordings, of one device or session,
the voices are judged together besides, as one speaker's: that is surer than each alone, if it is one speaker; one that
cannot be looked at is named, and does not keep the others from it. A score is no proof of who spoke, or of anyone's age.`, cobra.MinimumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && (o.svg != "" || o.png != "") {
				return fmt.Errorf("%w: a picture is of one recording", errUsage)
			}
			i, err := a.maybeConnect(cmd.Context(), args...)
			if err != nil {
				return err
			}
			defer i.close()
			ears, err := a.looker()
			if err != nil {
				return err
			}
			var voices []voice.Heard
			bad := 0
			for _, name := range args {
				h, err := a.inspect(cmd.Context(), i, ears, name, len(args) > 1, o)
				if err != nil && (len(args) == 1 || cmd.Context().Err() != nil) {
					return err
				}
				if err != nil {
					bad++
					a.say(name + ": " + oneLine(err))
					continue
				}
				if h.Voice.Known {
					voices = append(voices, h)
				}
			}
			if len(args) == 1 {
				return nil
			}
			if bad < len(args) {
				if err := a.poolVoices(ears.Pool(voices...), len(voices)); err != nil || bad == 0 {
					return err
				}
			}
			return fmt.Errorf("%w: %d of %d recordings could not be looked at", errPartly, bad, len(args))
		})
	c.Flags().StringVar(&o.svg, "svg", "", "draw what is heard into this file")
	c.Flags().StringVar(&o.png, "png", "", "draw what is heard into this file")
	c.Flags().BoolVar(&o.force, "force", false, "replace the pictures if they exist")
	return c
}

// inspect tells of one recording.
func (a *app) inspect(ctx context.Context, i *installation, ears looker, name string, several bool, o inspectOptions) (h voice.Heard, err error) {
	src, err := a.openSource(ctx, i, name)
	if err != nil {
		return h, err
	}
	defer src.Close()
	info, err := redact.Inspect(src, src.size)
	if err != nil {
		return h, a.refused(err)
	}
	out := inspection{
		Coding: info.Coding, Format: info.Format, SampleRate: info.SampleRate, Channels: info.Channels, Leaks: info.Leaks, Duration: millis(info.Length),
		Speech: []spanJSON{}, Wake: wakeJSON{Verdict: unheardVerdict}, Child: childJSON{Verdict: unheardVerdict, Segments: []segmentJSON{}}, Detectors: []detectorJSON{},
	}
	if several {
		out.File = name
	}
	if out.Leaks == nil {
		out.Leaks = []redact.Leak{}
	}
	l, err := ears.at(ctx, src)
	if err != nil {
		return h, err
	}
	out.hear(l)
	if err := o.draw(l); err != nil {
		return h, err
	}
	return l.heard, a.emit(out, func(w io.Writer) { out.print(w, info.Length) })
}

// draw makes the pictures that are asked for.
func (o inspectOptions) draw(l lookedAt) error {
	for _, p := range []struct {
		path  string
		write func(io.Writer, []float32, voice.Heard) error
	}{{o.svg, picture.SVG}, {o.png, picture.PNG}} {
		switch {
		case p.path == "":
			continue
		case l.unheard != "":
			return fmt.Errorf("there is nothing to draw: %s", l.unheard)
		}
		if err := draw(p.path, o.force, func(f *os.File) error { return p.write(f, l.sound, l.heard) }); err != nil {
			return err
		}
	}
	return nil
}

// poolVoices tells the judgement on recordings together.
func (a *app) poolVoices(v voice.Voice, recordings int) error {
	out := together{Recordings: recordings, Child: childJSON{Verdict: unheardVerdict, Segments: []segmentJSON{}, Why: "too little voice to judge"}}
	if v.Known {
		out.Child = childJSON{Verdict: string(v.Protective), Probability: &v.Probability, Evidential: string(v.Evidential), Segments: []segmentJSON{}}
	}
	return a.emit(map[string]together{"together": out}, func(w io.Writer) {
		fmt.Fprintf(w, "together, if it is one speaker, of %d recording(s)\n", recordings)
		if !v.Known {
			fmt.Fprintf(w, "child  %s  %s\n", out.Child.Verdict, out.Child.Why)
			return
		}
		fmt.Fprintf(w, "child  %s  probability %.2f  evidential: %s\n", out.Child.Verdict, v.Probability, out.Child.Evidential)
	})
}
