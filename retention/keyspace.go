package retention

import (
	"sort"
	"unicode/utf8"
)

// The keys that are looked for when a stretch of a listing is cut in two are made of printable ASCII:
// they need not exist, they only have to sort between those that do.
const (
	lowest  = 0x20
	highest = 0x7e
)

// cutSpace looks for a key behind low and before high (empty: the end of all keys) beyond which `much` says
// that there is enough. It goes through the places of low, from left to right: a key that differs from low
// there sorts behind all that share what stands before. Empty where there is none.
func cutSpace(prefix, low, high string, much func(at string) (bool, error)) (string, error) {
	var failed error
	enough := func(at string) bool {
		if failed != nil || at <= low || high != "" && at >= high {
			return false
		}
		ok, err := much(at)
		failed = err
		return ok
	}
	var places []int // where a character has another behind it
	for i := len(prefix); i < len(low); i++ {
		if low[i] >= lowest-1 && low[i] < highest && utf8.ValidString(low[:i]) {
			places = append(places, i)
		}
	}
	// The further left, the less lies beyond: the first place beyond which there is enough.
	n := sort.Search(len(places), func(n int) bool { return enough(low[:places[n]] + string(rune(low[places[n]]+1))) })
	if failed != nil || n == len(places) {
		return "", failed
	}
	i := places[n]
	first := int(low[i]) + 1
	// How many more characters there have enough beyond them; the middle one of these.
	more := sort.Search(highest-first, func(k int) bool { return !enough(low[:i] + string(rune(first+k+1))) })
	return low[:i] + string(rune(first+(more+1)/2)), failed
}

// keyEnd is a key that sorts behind all that begin with the prefix; empty where there is none.
func keyEnd(prefix string) string {
	b := []byte(prefix)
	if len(b) == 0 || b[len(b)-1] >= highest {
		return ""
	}
	b[len(b)-1]++
	return string(b)
}
