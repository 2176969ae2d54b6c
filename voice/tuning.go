package voice

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"

	"earshot/voice/internal/child"
	"earshot/voice/internal/net"
	"earshot/voice/internal/trees"
	"earshot/voice/internal/wake"
)

//go:embed models/*.net models/tuning.json
var models embed.FS

// tuning is models/tuning.json, written by the training command: everything that was measured and
// not learned.
type tuning struct {
	Version   string        `json:"version"`
	Words     []wake.Word   `json:"words"`
	MarginMS  int           `json:"erase_margin_ms"`
	Scaling   child.Scaling `json:"scaling"`
	Recording calibration   `json:"recording"`
	Segment   calibration   `json:"segment"`
	Own       ownTuning     `json:"own"`
	// Figures names the networks for wake words alone: templates of an operator's words are made with them.
	Figures string `json:"-"`
}

// calibration turns a score (a logit) into a probability, and a probability into verdicts.
type calibration struct {
	Slope  float64 `json:"slope"`
	Offset float64 `json:"offset"`
	// Adult is the probability under which a voice is an adult's; from Protective or Evidential on
	// it is a child's at that operating point.
	Adult      float64 `json:"adult"`
	Protective float64 `json:"protective"`
	Evidential float64 `json:"evidential"`
}

func (c calibration) probability(logit float64) float64 {
	return child.Probability(c.Slope*logit + c.Offset)
}

func (c calibration) verdict(p, from float64) Verdict {
	switch {
	case p >= from:
		return Child
	case p < c.Adult:
		return Adult
	}
	return Uncertain
}

func (t tuning) margin() time.Duration { return time.Duration(t.MarginMS) * time.Millisecond }

// pool judges a recording: as it was judged as a whole, or else from its segments.
func (t tuning) pool(segments []Segment, v Voice) Voice {
	seconds, sum := 0.0, 0.0
	for _, s := range segments {
		if s.Known {
			d := s.Span.Len().Seconds()
			seconds, sum = seconds+d, sum+d*s.logit
		}
	}
	if !v.Known && seconds > 0 {
		v.Known, v.logit = true, sum/seconds
	}
	return t.Recording.judge(v)
}

// judge fills in probability and verdicts.
func (c calibration) judge(v Voice) Voice {
	v.Protective, v.Evidential = Uncertain, Uncertain
	if v.Known {
		v.Probability = c.probability(v.logit)
		v.Protective = c.verdict(v.Probability, c.Protective)
		v.Evidential = c.verdict(v.Probability, c.Evidential)
	}
	return v
}

// PoolVoices judges the recordings of one speaker together, those of a device or a session say. It
// is right only as far as it is one speaker.
func (l *Listener) PoolVoices(heard ...Heard) Voice {
	var out Voice
	n := 0.0
	for _, h := range heard {
		if h.Voice.Known {
			out.Known = true
			out.logit += h.Voice.logit
			n++
		}
	}
	out.logit /= math.Max(1, n)
	return l.tuning.Recording.judge(out)
}

// built is the embedded networks with their tuning.
type built struct {
	tuning tuning
	wake   []*net.Model
	child  child.Models
}

func load() (built, error) {
	var b built
	text, err := models.ReadFile("models/tuning.json")
	if err != nil {
		return b, fmt.Errorf("loading the built-in networks: %w", err)
	}
	if err := json.Unmarshal(text, &b.tuning); err != nil {
		return b, fmt.Errorf("loading the built-in tuning: %w", err)
	}
	names, err := fs.Glob(models, "models/*.net")
	if err != nil {
		return b, fmt.Errorf("loading the built-in networks: %w", err)
	}
	figures := sha256.New()
	for _, name := range names { // sorted
		text, err := models.ReadFile(name)
		if err != nil {
			return b, fmt.Errorf("loading the built-in networks: %w", err)
		}
		if strings.HasPrefix(name, "models/child-trees-") {
			if b.child.Trees, err = trees.Decode(text); err != nil {
				return b, fmt.Errorf("loading %s: %w", name, err)
			}
			continue
		}
		m, err := net.Decode(text)
		if err != nil {
			return b, fmt.Errorf("loading %s: %w", name, err)
		}
		switch {
		case strings.HasPrefix(name, "models/wake-"):
			b.wake = append(b.wake, m)
			figures.Write(text)
		case strings.HasPrefix(name, "models/child-timed-"):
			b.child.Timed = append(b.child.Timed, m)
		case strings.HasPrefix(name, "models/child-pooled-"):
			b.child.Pooled = append(b.child.Pooled, m)
		}
	}
	b.child.Scaling = b.tuning.Scaling
	b.tuning.Figures = hex.EncodeToString(figures.Sum(nil)[:4])
	return b, nil
}
