package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os/exec"
	"slices"

	"earshot/voice/internal/sound"
)

// mixture is a recording made for the measurement.
type mixture struct {
	word          string // empty: no wake word
	cluster       string // of the word's speaker, or the speaker of the sentence
	onset, offset int    // frames
	pcm           []float32
	again         variant
}

// variant is a sentence heard again: at another speed, of another colour. It is made when it is heard, for
// hours of them would not fit into memory.
type variant struct {
	speed float64 // 0: as it was said
	seed  uint64
}

// sound is the recording.
func (m mixture) sound() []float32 {
	if m.again.speed == 0 {
		return m.pcm
	}
	return sound.Colour(sound.Speed(m.pcm, m.again.speed), 6, rand.New(rand.NewPCG(m.again.seed, 34)))
}

// composite is speech, pause, wake word, pause, speech, as a device would record it.
func composite(w spoken, speech []sentence, r *rand.Rand) mixture {
	m := mixture{word: w.word, cluster: w.cluster}
	from := max(0, w.onset-120) * sound.Rate / 1000
	to := min(len(w.pcm), (w.offset+120)*sound.Rate/1000)
	key := w.pcm[from:to]
	loud := float32(sound.Loudness(key)) + 1e-6
	add := func(x []float32, db float64) {
		g := loud / (float32(sound.Loudness(x)) + 1e-6) * float32(pow10(db/20))
		for _, v := range x {
			m.pcm = append(m.pcm, v*g)
		}
	}
	pause := func() { m.pcm = append(m.pcm, make([]float32, int((0.05+0.4*r.Float64())*sound.Rate))...) }
	add(some(speech, 0.5, 3, r), 6*r.Float64()-3)
	pause()
	at := len(m.pcm)
	m.pcm = append(m.pcm, key...)
	m.onset = (at + w.onset*sound.Rate/1000 - from) / sound.Hop
	m.offset = (at + w.offset*sound.Rate/1000 - from) / sound.Hop
	pause()
	add(some(speech, 1, 4, r), 6*r.Float64()-3)
	return m
}

// some is a stretch of a random sentence, from lo to hi seconds.
func some(speech []sentence, lo, hi float64, r *rand.Rand) []float32 {
	x := speech[r.IntN(len(speech))].pcm
	n := min(len(x), int((lo+(hi-lo)*r.Float64())*sound.Rate))
	from := r.IntN(len(x) - n + 1)
	return x[from : from+n]
}

// composites makes about copies mixtures of each take that keep allows.
func composites(words []spoken, speech []sentence, copies int, keep func(spoken) bool, seed uint64) []mixture {
	r := rand.New(rand.NewPCG(seed, 31))
	var out []mixture
	for range copies {
		for _, w := range words {
			if keep(w) {
				out = append(out, composite(w, speech, r))
			}
		}
	}
	return out
}

// without makes versions of each sentence: another speed, another colour, all without the words.
func without(speech []sentence, versions int, seed uint64) []mixture {
	r := rand.New(rand.NewPCG(seed, 32))
	var out []mixture
	for v := range versions {
		for _, s := range speech {
			m := mixture{cluster: s.speaker, pcm: s.pcm}
			if v > 0 {
				m.again = variant{0.88 + 0.24*r.Float64(), r.Uint64()}
			}
			out = append(out, m)
		}
	}
	return out
}

// under gives the recording under a condition. What is called clean has pink noise 42 dB down, as a
// quiet room.
func under(kind string, m mixture, babble []float32, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 33))
	x := m.sound()
	switch kind {
	case "noise10", "noise20":
		return damaged(kind, x, babble, r)
	}
	x = sound.AddNoise(x, sound.Noise(len(x), 1, r), 42)
	switch kind {
	case "mp3 32k":
		return coded(x, "mp3", "-b:a", "32k")
	case "opus 16k":
		return coded(x, "ogg", "-c:a", "libopus", "-b:a", "16k")
	}
	return damaged(kind, x, babble, r)
}

func babbleOf(speech []sentence) []float32 {
	var out []float32
	for i, s := range speech {
		if i%5 == 0 && s.age >= 18 {
			out = append(out, s.pcm...)
		}
	}
	return out
}

func only(all []sentence, part string) []sentence {
	return slices.DeleteFunc(slices.Clone(all), func(s sentence) bool { return s.part != part })
}

// coded sends pcm through ffmpeg's encoder and decoder. Where there is no ffmpeg it gives pcm: see
// canCode.
func coded(pcm []float32, format string, args ...string) []float32 {
	in := make([]byte, 0, 2*len(pcm))
	for _, v := range pcm {
		in = binary.LittleEndian.AppendUint16(in, uint16(int16(max(-1, min(1, v))*32767)))
	}
	raw := []string{"-f", "s16le", "-ar", "16000", "-ac", "1"}
	quiet := []string{"-v", "error"}
	middle, err := piped(in, slices.Concat(quiet, raw, []string{"-i", "-"}, args, []string{"-f", format, "-"}))
	if err != nil {
		return pcm
	}
	text, err := piped(middle, slices.Concat(quiet, []string{"-i", "-"}, raw, []string{"-"}))
	if err != nil {
		return pcm
	}
	out := make([]float32, 0, len(text)/2)
	for i := 0; i+1 < len(text); i += 2 {
		out = append(out, float32(int16(binary.LittleEndian.Uint16(text[i:])))/32768)
	}
	return out
}

func canCode() bool {
	_, err := exec.LookPath("ffmpeg")
	return err == nil
}

func piped(in []byte, args []string) ([]byte, error) {
	cmd := exec.Command("ffmpeg", args...)
	cmd.Stdin = bytes.NewReader(in)
	return cmd.Output()
}
