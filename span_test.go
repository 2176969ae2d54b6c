package earshot_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"earshot"

	"github.com/google/go-cmp/cmp"
)

func TestParseSpan(t *testing.T) {
	for text, want := range map[string]earshot.Span{
		"1s-2.5s":    {Start: time.Second, End: 2500 * time.Millisecond},
		"250ms-1s":   {Start: 250 * time.Millisecond, End: time.Second},
		"7s-":        {Start: 7 * time.Second, End: earshot.ToEnd},
		"-2s":        {End: 2 * time.Second},
		"-":          {End: earshot.ToEnd},
		"1m30s-1h2m": {Start: 90 * time.Second, End: 62 * time.Minute},
	} {
		got, err := earshot.ParseSpan(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
		if again, err := earshot.ParseSpan(got.String()); err != nil || again != got {
			t.Errorf("%q does not survive being printed: %v, %v", text, again, err)
		}
	}
	for _, text := range []string{"", "1s", "2s-1s", "1s-1s", "x-1s", "1s-x", "-1s-2s"} {
		if got, err := earshot.ParseSpan(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// TestSpansAreSets holds the operations on spans against plain sets of milliseconds.
func TestSpansAreSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	random := func() (earshot.Spans, map[int]bool) {
		var s earshot.Spans
		set := map[int]bool{}
		for range rng.IntN(6) {
			a, n := rng.IntN(60), 1+rng.IntN(20)
			s = append(s, earshot.Span{Start: time.Duration(a), End: time.Duration(a + n)})
			for i := a; i < a+n; i++ {
				set[i] = true
			}
		}
		return s, set
	}
	for range 2000 {
		a, as := random()
		b, bs := random()
		m := a.Merge()
		for i := 1; i < len(m); i++ {
			if m[i].Start <= m[i-1].End {
				t.Fatalf("%v is not merged", m)
			}
		}
		if int(a.Total()) != len(as) {
			t.Fatalf("%v: total %d, want %d", a, a.Total(), len(as))
		}
		covers := true
		for i := range bs {
			covers = covers && as[i]
		}
		if a.Covers(b) != covers {
			t.Fatalf("%v covers %v: got %v", a, b, !covers)
		}
		if at := rng.IntN(80); a.Overlaps(time.Duration(at), time.Duration(at+1)) != as[at] {
			t.Fatalf("%v overlaps %d: got %v", a, at, !as[at])
		}
		if diff := cmp.Diff(m, m.Merge()); diff != "" {
			t.Fatal(diff)
		}
	}
}
