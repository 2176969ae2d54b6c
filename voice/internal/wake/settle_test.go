package wake

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of two words in one place the found one stays, though an uncertain one has the higher score.
func TestAFoundWordIsNotOustedByAnUncertainOne(t *testing.T) {
	words := []Word{{Name: "low", Found: 0.5, Uncertain: 0.2}, {Name: "high", Found: 0.9, Uncertain: 0.3}}
	hit := func(word, from, to int, score float32) Hit {
		return Hit{Word: word, Onset: from, Offset: to, Score: score}
	}
	for name, c := range map[string]struct{ hits, want []Hit }{
		"foundAndUncertain": {[]Hit{hit(1, 0, 100, 0.8), hit(0, 0, 100, 0.6)}, []Hit{hit(0, 0, 100, 0.6)}},
		"bothFound":         {[]Hit{hit(0, 0, 100, 0.6), hit(1, 0, 100, 0.95)}, []Hit{hit(1, 0, 100, 0.95)}},
		"bothUncertain":     {[]Hit{hit(0, 0, 100, 0.4), hit(1, 0, 100, 0.8)}, []Hit{hit(1, 0, 100, 0.8)}},
		"apart":             {[]Hit{hit(1, 200, 300, 0.8), hit(0, 0, 100, 0.6)}, []Hit{hit(0, 0, 100, 0.6), hit(1, 200, 300, 0.8)}},
	} {
		if diff := cmp.Diff(c.want, settle(c.hits, words)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}
