package retention

import "testing"

func TestBetweenSortsBetween(t *testing.T) {
	for _, c := range []struct{ low, high string }{
		{"", ""}, {"a", ""}, {"a", "b"}, {"a/1", "a/2"}, {"clips/s1/2026/000123", "clips0"}, {"clips/s1", "clips/s1/x"},
		{"clips/s1/0001", "clips/s1/0003"}, {"zzz~~~", ""}, {"a", "a "}, {"clips/ü/1", "clips/ü/3"}, {"k", "k\x01"}, {"b", "a"},
	} {
		mid := between(c.low, c.high)
		if mid == "" {
			t.Logf("%q to %q: none", c.low, c.high)
			continue
		}
		if mid <= c.low || c.high != "" && mid >= c.high {
			t.Errorf("%q does not lie between %q and %q", mid, c.low, c.high)
		}
	}
	for _, c := range []struct{ low, high string }{{"a/1", "a/2"}, {"clips/s1/2026/000123", "clips0"}, {"", ""}} {
		if between(c.low, c.high) == "" {
			t.Errorf("nothing between %q and %q", c.low, c.high)
		}
	}
}

func FuzzBetween(f *testing.F) {
	f.Add("a/1", "a/2")
	f.Add("clips/s1/2026/000123", "clips0")
	f.Add("ü", "")
	f.Fuzz(func(t *testing.T, low, high string) {
		mid := between(low, high)
		if mid != "" && (mid <= low || high != "" && mid >= high) {
			t.Errorf("%q does not lie between %q and %q", mid, low, high)
		}
	})
}
