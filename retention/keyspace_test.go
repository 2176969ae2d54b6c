package retention

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// beyondIn tells whether at least n of some keys lie behind a place and not behind high, and counts how often
// it is asked.
func beyondIn(keys []string, high string, n int, asked *int) func(string) (bool, error) {
	return func(at string) (bool, error) {
		*asked++
		i, found := slices.BinarySearch(keys, at)
		if found {
			i++
		}
		return i+n <= len(keys) && (high == "" || keys[i+n-1] <= high), nil
	}
}

func TestCutSpace(t *testing.T) {
	numbered := func(format string, n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf(format, i))
		}
		return out
	}
	for _, c := range []struct {
		name string
		keys []string
		from int // index of the key that was listed last
		high string
	}{
		{"numbers", numbered("clips/s7/r%06d.wav", 40_000), 12_000, ""},
		{"up to a key", numbered("clips/s7/r%06d.wav", 40_000), 12_000, "clips/s7/r030000.wav"},
		{"hexadecimal", numbered("%08x", 1<<20), 4000, ""},
		{"beyond ASCII", numbered("clips/ü/%05d", 30_000), 100, ""},
	} {
		asked := 0
		low := c.keys[c.from]
		at, err := cutSpace("", low, c.high, beyondIn(c.keys, c.high, 1000, &asked))
		if err != nil || at <= low || c.high != "" && at >= c.high {
			t.Errorf("%s: %q, %v", c.name, at, err)
			continue
		}
		end := len(c.keys)
		if c.high != "" {
			end, _ = slices.BinarySearch(c.keys, c.high)
		}
		i, _ := slices.BinarySearch(c.keys, at)
		if share := float64(end-i) / float64(end-c.from); share < 0.1 || share > 0.95 {
			t.Errorf("%s: behind %q lies %.0f %% of what is left", c.name, at, 100*share)
		}
		if asked > 16 {
			t.Errorf("%s: asked %d times", c.name, asked)
		}
	}
	asked := 0
	if at, err := cutSpace("", "r39500", "", beyondIn(numbered("r%05d", 40_000), "", 1000, &asked)); at != "" || err != nil {
		t.Errorf("half a page is left and was cut at %q, %v", at, err)
	}
	broken := errors.New("broken")
	if _, err := cutSpace("", "r1", "", func(string) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("an error went lost: %v", err)
	}
}

func FuzzCutSpace(f *testing.F) {
	f.Add("a/1", "a/2", uint8(3))
	f.Add("clips/s1/2026/000123", "clips0", uint8(9))
	f.Add("ü~\x1f", "", uint8(0))
	f.Fuzz(func(t *testing.T, low, high string, mood uint8) {
		n := 0
		at, err := cutSpace("", low, high, func(string) (bool, error) { n++; return mood>>(n%8)&1 == 0, nil })
		if err != nil || at != "" && (at <= low || high != "" && at >= high) {
			t.Errorf("%q does not lie between %q and %q, %v", at, low, high, err)
		}
	})
}
