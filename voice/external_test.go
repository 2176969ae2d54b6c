package voice_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"earshot"
	"earshot/voice"
)

func span(from, to int) earshot.Span {
	return earshot.Span{Start: time.Duration(from) * ms, End: time.Duration(to) * ms}
}

// Another engine's word confirms ours, or stands by itself. A word that is known only to be near a moment
// takes no boundaries away, wherever in the recording it is, and no name is lost to another.
func TestJoinConfirmsOrAdds(t *testing.T) {
	word := func(name string, from, to int, score float64) voice.Wake {
		w := voice.Wake{Word: name, Span: span(from, to), Erase: span(from, to), Score: score, Verdict: voice.Found}
		if score < 0.5 {
			w.Verdict = voice.Uncertain
		}
		return w
	}
	loose := func(name string, moment int) voice.Wake {
		w := word(name, max(0, moment-2500), min(10000, moment+200), 1)
		w.Loose, w.Moment = true, time.Duration(moment)*ms
		return w
	}
	untimed := word("alexa", 0, 10000, 1)
	untimed.Loose = true
	sure := func(w voice.Wake, from, to int) voice.Wake {
		w.Score, w.Verdict, w.Erase = 1, voice.Found, span(from, to)
		return w
	}
	alexa, doubtful := word("alexa", 600, 1500, 0.9), word("alexa", 1000, 1600, 0.3)
	jarvis := word("jarvis", 200, 500, 0.25)
	type wakes = []voice.Wake
	for name, c := range map[string]struct{ heard, found, want wakes }{
		"anEarlyMoment":         {wakes{alexa}, wakes{loose("alexa", 1520)}, wakes{sure(alexa, 600, 1500)}},
		"aLateMoment":           {wakes{word("alexa", 8900, 9700, 0.9)}, wakes{loose("alexa", 9900)}, wakes{sure(word("alexa", 8900, 9700, 0), 8900, 9700)}},
		"aMomentInTheMiddle":    {wakes{doubtful}, wakes{loose("alexa", 1760)}, wakes{sure(doubtful, 1000, 1600)}},
		"aMomentBeforeItsEnd":   {wakes{doubtful}, wakes{loose("alexa", 1440)}, wakes{sure(doubtful, 1000, 1600)}},
		"aMomentLongAfter":      {wakes{jarvis}, wakes{loose("jarvis", 2600)}, wakes{loose("jarvis", 2600), jarvis}},
		"noMoment":              {wakes{doubtful}, wakes{untimed}, wakes{sure(doubtful, 1000, 1600)}},
		"theMomentOfAnother":    {wakes{jarvis}, wakes{loose("hey nabu", 600)}, wakes{loose("hey nabu", 600), jarvis}},
		"twoMoments":            {nil, wakes{loose("alexa", 3000), loose("alexa", 4500)}, wakes{loose("alexa", 3000), loose("alexa", 4500)}},
		"oneMomentTwice":        {nil, wakes{loose("alexa", 3000), loose("alexa", 3080)}, wakes{loose("alexa", 3000)}},
		"aPlaceForAMoment":      {wakes{loose("alexa", 1700)}, wakes{word("alexa", 900, 1500, 0.8)}, wakes{sure(word("alexa", 900, 1500, 0), 900, 1500)}},
		"anExactPlace":          {wakes{doubtful}, wakes{word("alexa", 850, 1550, 1)}, wakes{sure(doubtful, 850, 1600)}},
		"aLongExactPlace":       {wakes{doubtful}, wakes{word("alexa", 0, 2700, 1)}, wakes{sure(doubtful, 0, 2700)}},
		"anExactPlaceBefore":    {wakes{doubtful}, wakes{word("alexa", 300, 800, 1)}, wakes{word("alexa", 300, 800, 1), doubtful}},
		"writtenOtherwise":      {wakes{word("smart mirror", 1000, 1600, 0.3)}, wakes{word("smart_mirror", 1000, 1600, 1)}, wakes{word("smart mirror", 1000, 1600, 1)}},
		"anotherWordInItsPlace": {wakes{word("alexa", 600, 1500, 0.3)}, wakes{word("hey nabu", 500, 1600, 1)}, wakes{word("hey nabu", 500, 1600, 1), sure(word("alexa", 600, 1500, 0), 500, 1600)}},
		"anotherWordTouches":    {wakes{jarvis}, wakes{word("hey nabu", 450, 1600, 1)}, wakes{jarvis, word("hey nabu", 450, 1600, 1)}},
		"noSpan":                {wakes{jarvis}, wakes{{Word: "none", Span: span(5, 5)}}, wakes{jarvis}},
	} {
		t.Run(name, func(t *testing.T) {
			h := voice.Heard{Length: 10 * time.Second, Wakes: c.heard}
			h.Join(c.found)
			if diff := cmp.Diff(c.want, h.Wakes); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			want := false
			for _, w := range c.want {
				want = want || w.Loose
			}
			if l := h.Listenings(time.Time{}, voice.Reading{})[0]; l.Loose != want {
				t.Errorf("the fact is loose: %t, want %t", l.Loose, want)
			}
		})
	}
}
