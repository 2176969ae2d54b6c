package redact

// Hearing is what the decode check of [Verify] found: the part of the proof in which a decoder that
// is not ours listens to input and output round each edge of what was erased. The re-parse proves
// the whole file without it; the decode check would notice a misunderstanding of the format that
// edit and re-parse share.
type Hearing struct {
	Decoder string `json:"decoder,omitempty"` // go-mp3, mewkiz/flac or pion/opus; empty where none is right
	Windows int    `json:"windows"`           // stretches that were decoded and compared
	Skipped int    `json:"skipped,omitempty"` // stretches that the decoder could not be asked about
	// Why says what was not decoded: the whole stream, or the stretches skipped.
	Why string `json:"why,omitempty"`
}

// skip notes a stretch that was not decoded.
func (h *Hearing) skip(why string) {
	h.Skipped++
	if h.Why == "" {
		h.Why = why
	}
}

// deaf notes that no decoder is asked at all.
func (h *Hearing) deaf(why string) { *h = Hearing{Why: why} }

// mostWindows is how many stretches are decoded at most; then it is enough.
const mostWindows = 1000

// enough reports whether no more stretches are to be decoded, and notes that.
func (h *Hearing) enough() bool {
	if h.Windows < mostWindows {
		return false
	}
	h.skip("more edges than are decoded")
	return true
}
