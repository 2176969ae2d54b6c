package pcm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"earshot/voice/pcm"
)

// waveHeader is a WAV file of 0.1 s at 16 kHz.
func waveHeader(tag, channels, block, bits int) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(tag))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, 16000)
	b = binary.LittleEndian.AppendUint32(b, uint32(16000*block))
	b = binary.LittleEndian.AppendUint16(b, uint16(block))
	b = binary.LittleEndian.AppendUint16(b, uint16(bits))
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(1600*block))
	return append(b, make([]byte, 1600*block)...)
}

// Where bits and bytes contradict each other the sound would be noise, in which no wake word is found: that is
// no finding.
func TestAHeaderThatContradictsItselfIsNotHeard(t *testing.T) {
	const integers, floats, aLaw, muLaw = 1, 3, 6, 7
	for name, c := range map[string]struct {
		tag, channels, block, bits int
		heard                      bool
	}{
		"16":               {integers, 1, 2, 16, true},
		"8":                {integers, 1, 1, 8, true},
		"12In2":            {integers, 2, 4, 12, true},
		"24In3":            {integers, 2, 6, 24, true},
		"24In4":            {integers, 1, 4, 24, true},
		"32":               {integers, 1, 4, 32, true},
		"float32":          {floats, 2, 8, 32, true},
		"float64":          {floats, 1, 8, 64, true},
		"aLaw":             {aLaw, 1, 1, 8, true},
		"muLaw":            {muLaw, 2, 2, 8, true},
		"16In1":            {integers, 1, 1, 16, false},
		"16In4":            {integers, 1, 4, 16, false},
		"16Of2ChannelsIn3": {integers, 2, 3, 16, false},
		"16Of2ChannelsIn2": {integers, 2, 2, 16, false},
		"noBits":           {integers, 1, 2, 0, false},
		"255Bits":          {integers, 1, 2, 255, false},
		"24In2":            {integers, 1, 2, 24, false},
		"8In2":             {integers, 1, 2, 8, false},
		"float16":          {floats, 1, 4, 16, false},
		"floatNoBits":      {floats, 1, 4, 0, false},
		"aLaw16":           {aLaw, 1, 1, 16, false},
		"muLawNoBits":      {muLaw, 1, 1, 0, false},
	} {
		text := waveHeader(c.tag, c.channels, c.block, c.bits)
		got, err := pcm.All(t.Context(), bytes.NewReader(text), int64(len(text)), time.Minute)
		if heard := err == nil && len(got) == 1600; heard != c.heard || !heard && !errors.Is(err, pcm.ErrUnheard) {
			t.Errorf("%s: %d samples, %v, want heard: %t", name, len(got), err, c.heard)
		}
	}
}

// Floats in the scale of integers, cut to what floats can be, would be noise. A few that are too loud are not.
func TestFloatsInTheScaleOfIntegersAreNotHeard(t *testing.T) {
	for name, c := range map[string]struct {
		scale float32
		every int // samples at that scale; the others are within 1
		heard bool
	}{
		"full scale": {1, 1, true}, "loud": {4, 1, true}, "integers": {32768, 1, false},
		"one in 10": {1e9, 10, false}, "one in 1000": {1e9, 1000, true}, "no numbers": {float32(math.NaN()), 2, false},
	} {
		text := waveHeader(3, 1, 4, 32)
		for i := range 1600 {
			v := float32(0.5 * math.Sin(float64(i)/9))
			if i%c.every == 0 {
				v *= c.scale
			}
			binary.LittleEndian.PutUint32(text[44+4*i:], math.Float32bits(v))
		}
		got, err := pcm.All(t.Context(), bytes.NewReader(text), int64(len(text)), time.Minute)
		if heard := err == nil && len(got) == 1600; heard != c.heard || !heard && !errors.Is(err, pcm.ErrUnheard) {
			t.Errorf("%s: %d samples, %v, want heard: %t", name, len(got), err, c.heard)
		}
	}
}

// A share is one of the whole recording: a click at the begin is no more of it than one in the middle.
func TestAClickOfFloatsIsNoScale(t *testing.T) {
	for _, at := range []int{0, 8000, 15900} {
		text := sine(16000, 440, 1)
		for i := at; i < at+100; i++ {
			binary.LittleEndian.PutUint32(text[44+4*i:], math.Float32bits(30))
		}
		if got, err := pcm.All(t.Context(), bytes.NewReader(text), int64(len(text)), time.Minute); err != nil || len(got) != 16000 {
			t.Errorf("a click at sample %d: %d samples, %v", at, len(got), err)
		}
	}
}

// A rate of which no multiple is near takes no tables of hundreds of megabytes, and is heard rightly.
func TestOddRatesTakeLittle(t *testing.T) {
	for _, rate := range []int{767999, 48001, 11127} {
		text := sine(rate, 440, 0.5)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := pcm.All(t.Context(), bytes.NewReader(text), int64(len(text)), time.Minute)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%d Hz: %d MB", rate, took>>20)
		}
		for i := pcm.Rate / 10; i < pcm.Rate*4/10; i++ { // away from the ends
			if want := 0.5 * math.Sin(2*math.Pi*440*float64(i)/pcm.Rate); math.Abs(float64(got[i])-want) > 1e-3 {
				t.Fatalf("%d Hz: sample %d is %v, want %v", rate, i, got[i], want)
			}
		}
	}
}

func TestChunksWithoutEndAreNotLookedThrough(t *testing.T) {
	text := waveHeader(1, 1, 2, 16)
	for _, c := range []struct {
		chunks int
		heard  bool
	}{{100, true}, {5000, false}} {
		many := append(bytes.Clone(text[:36]), bytes.Repeat([]byte("junk\x00\x00\x00\x00"), c.chunks)...)
		many = append(many, text[36:]...)
		got, err := pcm.All(t.Context(), bytes.NewReader(many), int64(len(many)), time.Minute)
		if heard := err == nil && len(got) == 1600; heard != c.heard || !heard && !errors.Is(err, pcm.ErrUnheard) {
			t.Errorf("%d chunks: %d samples, %v, want heard: %t", c.chunks, len(got), err, c.heard)
		}
	}
}
