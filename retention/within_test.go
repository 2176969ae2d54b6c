package retention

import (
	"testing"
	"time"
)

func TestATimeIsAsCloseAsItsFormat(t *testing.T) {
	const day = 24 * time.Hour
	for layout, want := range map[string]time.Duration{
		"2006": 366 * day, "2006/01": 31 * day, "2006/01/02": day, "20060102": day, "2006/01/02/15": time.Hour,
		"2006-01-02T15:04": time.Minute, "20060102T150405Z": 0, "2006/01/02/15-04-05": 0,
	} {
		if got := within(layout); got != want {
			t.Errorf("%s: %s, want %s", layout, got, want)
		}
	}
}
