package picture_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"testing"
	"time"

	"earshot"
	"earshot/voice"
	"earshot/voice/picture"
)

func heard(length time.Duration) voice.Heard {
	return voice.Heard{
		Version: "test <1>\x00\uffff\xff", Length: length, CommandEnd: length / 2,
		Wakes:    []voice.Wake{{Word: "alexa\x1b[2J", Span: earshot.Span{Start: length / 8, End: length / 4}, Erase: earshot.Span{Start: length / 9, End: length / 3}, Score: 0.8, Verdict: voice.Found}},
		Speech:   earshot.Spans{{Start: length / 8, End: length / 2}},
		Segments: []voice.Segment{{Span: earshot.Span{Start: length / 8, End: length / 2}, Voice: voice.Voice{Known: true, Probability: 0.7, Protective: voice.Child}}},
	}
}

func tone(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(0.5 * math.Sin(2*math.Pi*2000*float64(i)/voice.Rate))
	}
	return out
}

func TestPicturesAreWholeAndTheSameEachTime(t *testing.T) {
	for name, n := range map[string]int{"empty": 0, "oneSample": 1, "short": 4000, "usual": 5 * voice.Rate, "tenMinutes": 600 * voice.Rate} {
		t.Run(name, func(t *testing.T) {
			sound, h := tone(n), heard(time.Duration(n)*time.Second/voice.Rate)
			var a, b, s bytes.Buffer
			for _, w := range []io.Writer{&a, &b} {
				if err := picture.PNG(w, sound, h); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Error("two pictures of the same differ")
			}
			m, err := png.Decode(&a)
			if err != nil || m.Bounds().Dx() < 1000 {
				t.Fatal(err)
			}
			if err := picture.SVG(&s, sound, h); err != nil {
				t.Fatal(err)
			}
			if s.Len() > 2<<20 {
				t.Errorf("%d bytes of SVG", s.Len())
			}
			d := xml.NewDecoder(&s)
			for {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestATonesLineStandsWhereItBelongs looks for the brightest row: 2 kHz of 8 are a quarter from below.
func TestATonesLineStandsWhereItBelongs(t *testing.T) {
	var b bytes.Buffer
	if err := picture.PNG(&b, tone(voice.Rate), heard(time.Second)); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	best, row := uint32(0), 0
	for y := 150; y < 350; y++ {
		r, g, _, _ := m.At(600, y).RGBA()
		if r+g > best {
			best, row = r+g, y
		}
	}
	if row < 293 || row > 307 {
		t.Errorf("the brightest row is %d, want about 300", row)
	}
}
