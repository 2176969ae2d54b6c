package wake

import (
	"math"

	"earshot/voice/internal/net"
	"earshot/voice/internal/sound"
)

// Matcher finds one word by comparing with a few takes of it: the layer before the answer of a
// network of other words is the figure, and time may run slower or faster. One Matcher serves one
// goroutine.
type Matcher struct {
	Word      Word
	Templates []Template
	nets      []*net.Runner
	models    []*net.Model
	level     leveller
	input     []float32
	rows      []float32
	width     int
	steps     int
	cost      []float32
	start     []int32
	distance  [2][]float32
	from      [2][]int32
}

// Template is the figures of one take: Width per step of 20 ms, each row of length 1.
type Template struct {
	Width int       `json:"width"`
	Rows  []float32 `json:"rows"`
}

// NewMatcher makes a matcher with the figures of one or more networks.
func NewMatcher(w Word, templates []Template, models ...*net.Model) *Matcher {
	m := &Matcher{Word: w, Templates: templates, models: models}
	for _, model := range models {
		m.nets = append(m.nets, net.NewRunner(model))
	}
	return m
}

// Clone makes a matcher of the same networks and templates for another goroutine.
func (m *Matcher) Clone() *Matcher { return NewMatcher(m.Word, m.Templates, m.models...) }

// Known lists the one word.
func (m *Matcher) Known() []Word { return []Word{m.Word} }

// figures computes the rows for power mel spectra.
func (m *Matcher) figures(powers []float32) {
	frames := len(powers) / sound.Bands
	m.input = sized(m.input, len(powers))
	m.level.level(powers, m.input)
	m.steps = (frames + Step - 1) / Step
	m.width = 0
	outs := m.rows[:0]
	for _, n := range m.nets {
		out, rows := n.Embed(m.input, frames, nil)
		width := len(out) / rows
		if m.width == 0 {
			outs = sized(outs, rows*width*len(m.nets))
		}
		for r := range rows {
			row := outs[r*width*len(m.nets)+m.width:]
			sum := 1e-9
			for _, v := range out[r*width : (r+1)*width] {
				sum += float64(v) * float64(v)
			}
			g := float32(1 / math.Sqrt(sum*float64(len(m.nets))))
			for k, v := range out[r*width : (r+1)*width] {
				row[k] = v * g
			}
		}
		m.width += width
	}
	m.rows = outs
}

// Take makes a template of frames onset to offset.
func (m *Matcher) Take(powers []float32, onset, offset int) Template {
	m.figures(powers)
	a, b := min(m.steps-1, onset/Step), min(m.steps, max(onset/Step+1, offset/Step))
	return Template{Width: m.width, Rows: append([]float32(nil), m.rows[a*m.width:b*m.width]...)}
}

// Scan compares the templates with every place. Each step gets the lowest cost of a match that
// ends there, the mean over the better half of the templates.
func (m *Matcher) Scan(powers []float32) {
	m.figures(powers)
	m.cost, m.start = sized(m.cost, m.steps), sizedInts(m.start, m.steps)
	for s := range m.cost {
		m.cost[s] = 2
	}
	for i := range m.Templates {
		m.match(&m.Templates[i])
	}
}

func sizedInts(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	return s[:n]
}

// match runs one template over all steps: rows of the template down, time along; a path may stay
// in a row, go on by one or skip one.
func (m *Matcher) match(t *Template) {
	rows := len(t.Rows) / t.Width
	if t.Width != m.width || rows < 3 {
		return
	}
	for k := range m.distance {
		m.distance[k], m.from[k] = sized(m.distance[k], rows), sizedInts(m.from[k], rows)
		for i := range rows {
			m.distance[k][i] = 1e9
		}
	}
	for s := range m.steps {
		cur, prev := m.distance[s&1], m.distance[s&1^1]
		curFrom, prevFrom := m.from[s&1], m.from[s&1^1]
		x := m.rows[s*m.width : (s+1)*m.width]
		for i := range rows {
			dot := float32(0)
			for k, v := range t.Rows[i*t.Width : (i+1)*t.Width] {
				dot += v * x[k]
			}
			d := 1 - dot
			if i == 0 {
				cur[0], curFrom[0] = d, int32(s)
				if stay := prev[0] + d; s > 0 && stay < 0.5*d {
					cur[0], curFrom[0] = stay, prevFrom[0]
				}
				continue
			}
			best, from := prev[i-1]+d, prevFrom[i-1]
			if v := prev[i] + 0.7*d + 0.02; v < best {
				best, from = v, prevFrom[i]
			}
			if i > 1 {
				if v := prev[i-2] + 2*d; v < best {
					best, from = v, prevFrom[i-2]
				}
			}
			cur[i], curFrom[i] = best, from
		}
		if c := cur[rows-1] / float32(rows); c < m.cost[s] {
			m.cost[s], m.start[s] = c, curFrom[rows-1]
		}
	}
}

// score turns a cost into 0 to 1.
func matchScore(cost float32) float32 { return max(0, 1-cost) }

// Best is the best match, whatever the thresholds.
func (m *Matcher) Best() Hit {
	at := 0
	for s := range m.cost {
		if m.cost[s] < m.cost[at] {
			at = s
		}
	}
	return m.hit(at)
}

func (m *Matcher) hit(at int) Hit {
	h := Hit{Onset: int(m.start[at]) * Step, Offset: (at + 1) * Step, Score: matchScore(m.cost[at])}
	h.WideOn, h.WideOff = max(0, h.Onset-10), h.Offset+10
	return h
}

// Hits lists the occurrences from the Uncertain threshold on, by time.
func (m *Matcher) Hits() []Hit {
	var all []Hit
	for len(m.cost) > 0 {
		h := m.Best()
		if h.Score < max(m.Word.Uncertain, 0.01) {
			break
		}
		all = append(all, h)
		for s := max(0, h.Onset/Step); s < min(m.steps, h.Offset/Step+(h.Offset-h.Onset)/Step); s++ {
			m.cost[s] = 2
		}
	}
	return settle(all, []Word{m.Word})
}
