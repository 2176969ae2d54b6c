// Package picture draws a recording with what is heard in it, so that a person can see why.
//
// From top to bottom: the waveform, the spectrogram (0 to 8 kHz, 70 dB), and a lane each for wake
// words (what a redaction erases is pale, the word itself dark), for speech, and for how childlike
// each stretch of speech is. It must not know where the recording comes from, and writes nothing of
// it but what is drawn.
package picture

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"math/cmplx"
	"strings"
	"time"

	"earshot/voice"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// The layout, in pixels.
const (
	width     = 1000 // of the time axis, whatever the length
	left      = 90
	top       = 24
	waveHigh  = 120
	specHigh  = 200
	laneHigh  = 28
	gap       = 6
	fullWidth = left + width + 20
)

// colours of what is drawn.
func paper() color.RGBA  { return color.RGBA{255, 255, 255, 255} }
func ink() color.RGBA    { return color.RGBA{40, 40, 48, 255} }
func faint() color.RGBA  { return color.RGBA{226, 228, 232, 255} }
func word() color.RGBA   { return color.RGBA{200, 60, 40, 255} }
func erase() color.RGBA  { return color.RGBA{246, 200, 190, 255} }
func speech() color.RGBA { return color.RGBA{60, 120, 180, 255} }
func child() color.RGBA  { return color.RGBA{150, 60, 170, 255} }
func adult() color.RGBA  { return color.RGBA{190, 200, 190, 255} }

// canvas is what both formats are drawn on.
type canvas interface {
	box(x, y, w, h int, c color.RGBA)
	text(x, y int, s string, c color.RGBA)
	picture(x, y int, m image.Image) error
}

// PNG draws the recording as a raster picture. sound is mono at [voice.Rate].
func PNG(w io.Writer, sound []float32, h voice.Heard) error {
	c := raster{image.NewRGBA(image.Rect(0, 0, fullWidth, height(h)))}
	draw.Draw(c.m, c.m.Bounds(), image.NewUniform(paper()), image.Point{}, draw.Src)
	if err := compose(c, sound, h); err != nil {
		return err
	}
	return png.Encode(w, c.m)
}

// SVG draws the same as a vector picture; the spectrogram in it is a raster.
func SVG(w io.Writer, sound []float32, h voice.Heard) error {
	c := &vector{}
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", fullWidth, height(h))
	c.box(0, 0, fullWidth, height(h), paper())
	if err := compose(c, sound, h); err != nil {
		return err
	}
	c.b.WriteString("</svg>\n")
	_, err := c.b.WriteTo(w)
	return err
}

func height(voice.Heard) int { return top + waveHigh + specHigh + 3*laneHigh + 6*gap + 60 }

func compose(c canvas, sound []float32, h voice.Heard) error {
	length := h.Length
	if length <= 0 {
		length = time.Duration(len(sound)) * time.Second / voice.Rate
	}
	length = max(length, time.Millisecond)
	x := func(t time.Duration) int {
		return left + int(int64(width)*int64(min(max(t, 0), length))/int64(length))
	}
	y := top
	c.text(4, y+waveHigh/2, "waveform", ink())
	wave(c, y, sound)
	y += waveHigh + gap
	c.text(4, y+14, "8 kHz", ink())
	c.text(4, y+specHigh, "0", ink())
	if err := c.picture(left, y, spectrogram(sound)); err != nil {
		return err
	}
	y += specHigh + gap
	c.text(4, y+18, "wake word", ink())
	c.box(left, y, width, laneHigh, faint())
	for _, w := range h.Wakes {
		c.box(x(w.Erase.Start), y, max(1, x(w.Erase.End)-x(w.Erase.Start)), laneHigh, erase())
		c.box(x(w.Span.Start), y+6, max(1, x(w.Span.End)-x(w.Span.Start)), laneHigh-12, word())
		c.text(x(w.Erase.End)+4, y+18, fmt.Sprintf("%s %.2f %s", w.Word, w.Score, w.Verdict), ink())
	}
	y += laneHigh + gap
	c.text(4, y+18, "speech", ink())
	c.box(left, y, width, laneHigh, faint())
	for _, s := range h.Speech {
		c.box(x(s.Start), y+4, max(1, x(s.End)-x(s.Start)), laneHigh-8, speech())
	}
	if h.CommandEnd > 0 {
		c.box(x(h.CommandEnd), y, 2, laneHigh, ink())
		c.text(x(h.CommandEnd)+5, y+18, "command ends", ink())
	}
	y += laneHigh + gap
	c.text(4, y+18, "child?", ink())
	c.box(left, y, width, laneHigh, faint())
	for _, s := range h.Segments {
		segment(c, x, y, s)
	}
	y += laneHigh + gap
	axis(c, y, length)
	verdict := "too little voice to judge"
	if h.Voice.Known {
		verdict = fmt.Sprintf("a child with probability %.2f (protective: %s, evidential: %s)", h.Voice.Probability, h.Voice.Protective, h.Voice.Evidential)
	}
	c.text(left, y+36, "whole recording: "+verdict, ink())
	c.text(left, y+52, "heard by "+h.Version+"; a score is no proof of who spoke", ink())
	return nil
}

func segment(c canvas, x func(time.Duration) int, y int, s voice.Segment) {
	shade, label := adult(), fmt.Sprintf("%.2f", s.Probability)
	switch {
	case !s.Known:
		label = "?"
	case s.Protective == voice.Child:
		shade = child()
	case s.Protective == voice.Uncertain:
		shade = erase()
	}
	from, wide := x(s.Span.Start), max(1, x(s.Span.End)-x(s.Span.Start))
	c.box(from, y+4, wide, laneHigh-8, shade)
	if wide > 34 {
		c.text(from+4, y+18, label, ink())
	}
}

// axis writes the seconds, at most about ten of them.
func axis(c canvas, y int, length time.Duration) {
	step := time.Second / 10
	for i := 0; length/step > 10; i++ {
		step = step * []time.Duration{2, 5, 2}[i%3] / []time.Duration{1, 2, 1}[i%3]
	}
	for t := time.Duration(0); t <= length; t += step {
		at := left + int(int64(width)*int64(t)/int64(length))
		c.box(at, y, 1, 5, ink())
		c.text(at+2, y+14, fmt.Sprintf("%gs", t.Seconds()), ink())
	}
}

// wave draws the least and the greatest sample of each column.
func wave(c canvas, y int, sound []float32) {
	c.box(left, y, width, waveHigh, faint())
	for i := range width {
		from, to := i*len(sound)/width, (i+1)*len(sound)/width
		var low, high float32
		for _, v := range sound[from:max(from, to)] {
			low, high = min(low, v), max(high, v)
		}
		a := y + waveHigh/2 - int(min(1, high)*waveHigh/2)
		b := y + waveHigh/2 - int(max(-1, low)*waveHigh/2)
		c.box(left+i, a, 1, max(1, b-a), ink())
	}
}

// window is the length of a spectrum in samples: 32 ms.
const window = 512

// spectrogram has one spectrum for each column, a Hann window over its middle.
func spectrogram(sound []float32) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, width, specHigh))
	levels := make([][]float64, width)
	peak := -200.0
	for i := range width {
		middle := (2*i + 1) * len(sound) / (2 * width)
		levels[i] = spectrum(sound, middle-window/2)
		for _, v := range levels[i] {
			peak = max(peak, v)
		}
	}
	for i, column := range levels {
		for row := range specHigh {
			v := column[(specHigh-1-row)*(window/2)/specHigh]
			m.SetRGBA(i, row, heat(1+(v-peak)/70))
		}
	}
	return m
}

// spectrum gives the levels of the bins up to 8 kHz in dB.
func spectrum(sound []float32, from int) []float64 {
	x := make([]complex128, window)
	for i := range x {
		if at := from + i; at >= 0 && at < len(sound) {
			x[i] = complex(float64(sound[at])*(0.5-0.5*math.Cos(2*math.Pi*float64(i)/window)), 0)
		}
	}
	fft(x)
	out := make([]float64, window/2)
	for i := range out {
		out[i] = 20 * math.Log10(cmplx.Abs(x[i])+1e-6)
	}
	return out
}

// fft is the radix-2 transform in place.
func fft(x []complex128) {
	n := len(x)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		if j ^= bit; i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= n; size *= 2 {
		turn := cmplx.Rect(1, -2*math.Pi/float64(size))
		for at := 0; at < n; at += size {
			w := complex(1, 0)
			for k := range size / 2 {
				a, b := x[at+k], x[at+k+size/2]*w
				x[at+k], x[at+k+size/2] = a+b, a-b
				w *= turn
			}
		}
	}
}

// heat goes from dark over red to pale yellow for 0 to 1; its lightness grows steadily.
func heat(v float64) color.RGBA {
	v = min(1, max(0, v))
	part := func(from, to float64) uint8 { return uint8(255 * min(1, max(0, (v-from)/(to-from)))) }
	return color.RGBA{part(0.05, 0.6), part(0.45, 1), uint8(min(255, 40+int(part(0.8, 1.05))+int(60*math.Sin(math.Pi*min(1, v*1.6))))), 255}
}

type raster struct{ m *image.RGBA }

func (r raster) box(x, y, w, h int, c color.RGBA) {
	draw.Draw(r.m, image.Rect(x, y, x+w, y+h), image.NewUniform(c), image.Point{}, draw.Src)
}

func (r raster) text(x, y int, s string, c color.RGBA) {
	d := font.Drawer{Dst: r.m, Src: image.NewUniform(c), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(s)
}

func (r raster) picture(x, y int, m image.Image) error {
	draw.Draw(r.m, m.Bounds().Add(image.Pt(x, y)), m, m.Bounds().Min, draw.Src)
	return nil
}

type vector struct{ b bytes.Buffer }

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

func (v *vector) box(x, y, w, h int, c color.RGBA) {
	fmt.Fprintf(&v.b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", x, y, w, h, hex(c))
}

func (v *vector) text(x, y int, s string, c color.RGBA) {
	fmt.Fprintf(&v.b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", x, y, hex(c), html.EscapeString(strings.Map(inXML, s)))
}

// inXML drops the characters that XML forbids, escaped or not.
func inXML(r rune) rune {
	if r < ' ' || r == 0xFFFE || r == 0xFFFF {
		return -1
	}
	return r
}

func (v *vector) picture(x, y int, m image.Image) error {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		return err
	}
	fmt.Fprintf(&v.b, `<image x="%d" y="%d" width="%d" height="%d" href="data:image/png;base64,%s"/>`+"\n",
		x, y, m.Bounds().Dx(), m.Bounds().Dy(), base64.StdEncoding.EncodeToString(b.Bytes()))
	return nil
}
