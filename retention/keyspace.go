package retention

import "unicode/utf8"

// The keys that are looked for when a stretch of a listing is cut in two are made of printable ASCII:
// they need not exist, they only have to sort between those that do.
const (
	lowest  = 0x20
	highest = 0x7e
)

// between gives a key that sorts behind low and before high, about in the middle of the space between
// them; an empty high is the end of all keys. It is empty where there is no simple one.
func between(low, high string) string {
	i := 0
	for i < len(low) && i < len(high) && low[i] == high[i] {
		i++
	}
	for ; i <= len(low); i++ {
		x, y := lowest-1, highest+1
		if i < len(low) {
			x = int(low[i])
		}
		if high != "" && i < len(high) && low[:i] == high[:i] {
			y = min(int(high[i]), highest+1)
		} else if high != "" && len(high) <= i && low[:min(i, len(low))] >= high {
			return ""
		}
		if y-x > 1 {
			mid := low[:i] + string(rune((x+y)/2))
			if mid > low && (high == "" || mid < high) && utf8.ValidString(mid) {
				return mid
			}
		}
	}
	return ""
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
