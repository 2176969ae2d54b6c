package sound

import (
	"math"
	"slices"
)

// Analysis is all that the networks want to know of one recording, by frame. One Analysis serves
// one goroutine; Run may be called for one recording after the other and allocates only where one
// is longer than those before.
type Analysis struct {
	Powers   []float32 // frames * Bands
	Level    []float32 // decibels
	Active   []bool
	Octave   []float32 // log2 of the fundamental in hertz
	Strength []float32 // of the voicing, -1 to 1
	Formant  [][4]float32
	mel      *Mel
	pitch    *Pitch
	formants *Formants
	scratch  []float32
}

// NewAnalysis makes the tables.
func NewAnalysis() *Analysis {
	return &Analysis{mel: NewMel(), pitch: NewPitch(), formants: NewFormants()}
}

// Frames is the number of frames that were analysed.
func (a *Analysis) Frames() int { return len(a.Level) }

// Voiced tells whether frame t is active and voiced.
func (a *Analysis) Voiced(t int) bool { return a.Active[t] && a.Strength[t] > 0.5 }

// Run analyses pcm.
func (a *Analysis) Run(pcm []float32) {
	n := Frames(len(pcm))
	a.Powers = a.mel.Powers(pcm, a.Powers)
	a.Level, a.Octave, a.Strength = sized(a.Level, n), sized(a.Octave, n), sized(a.Strength, n)
	a.Active, a.Formant, a.scratch = sized(a.Active, n), sized(a.Formant, n), sized(a.scratch, n)
	Decibels(a.Powers, a.Level)
	Active(a.Level, a.Active, a.scratch)
	a.pitch.Track(pcm, a.Active, a.Octave, a.Strength)
	for t := range n {
		a.Formant[t] = [4]float32{}
		if a.Voiced(t) {
			a.formants.Frame(pcm, t, &a.Formant[t])
		}
	}
}

// LogPower is the logarithm of a band's power, with a floor.
func LogPower(p float32) float32 { return float32(math.Log(float64(p) + 1e-8)) }

// Copy keeps what was found, without the tables: it cannot Run.
func (a *Analysis) Copy() *Analysis {
	return &Analysis{
		Powers: slices.Clone(a.Powers), Level: slices.Clone(a.Level), Active: slices.Clone(a.Active),
		Octave: slices.Clone(a.Octave), Strength: slices.Clone(a.Strength), Formant: slices.Clone(a.Formant),
	}
}

// Spectra computes the power mel spectra alone.
func (a *Analysis) Spectra(pcm []float32) []float32 { return a.mel.Powers(pcm, a.Powers) }
