package events

import (
	"strconv"
	"strings"
	"time"

	"earshot"
)

// firstTime is the earliest time that is believed, the year 2000, in seconds since 1970.
const firstTime = 946684800

// parseTime reads a time as the shape has it. text is without quotes.
func (s Shape) parseTime(text []byte) (time.Time, bool) {
	switch s.TimeLayout {
	case "":
		var t time.Time
		if len(text) > 64 || t.UnmarshalText(text) != nil {
			return t, false
		}
		return fixed(t), true
	case "unix":
		whole, fraction, _ := strings.Cut(string(text), ".")
		sec, err := strconv.ParseInt(whole, 10, 62)
		if err != nil || len(fraction) > 9 || sec < 0 {
			return time.Time{}, false
		}
		nanos := int64(0)
		if fraction != "" {
			n, err := strconv.ParseUint(fraction+"000000000"[len(fraction):], 10, 32)
			if err != nil {
				return time.Time{}, false
			}
			nanos = int64(n)
		}
		return time.Unix(sec, nanos).UTC(), true
	case "unixms":
		ms, err := strconv.ParseInt(string(text), 10, 62)
		if err != nil || ms < 0 {
			return time.Time{}, false
		}
		return time.UnixMilli(ms).UTC(), true
	}
	t, err := time.Parse(s.TimeLayout, string(text))
	return fixed(t), err == nil
}

// fixed takes a time out of this machine's zone, whose offset changes with the season: what is written
// must not depend on where it is written.
func fixed(t time.Time) time.Time {
	if t.Location() != time.Local {
		return t
	}
	_, offset := t.Zone()
	return t.In(time.FixedZone("", offset))
}

// formatTime writes a time as the shape has it.
func (s Shape) formatTime(t time.Time) string {
	switch s.TimeLayout {
	case "":
		return t.Format(time.RFC3339)
	case "unix":
		return strconv.FormatInt(t.Unix(), 10)
	case "unixms":
		return strconv.FormatInt(t.UnixMilli(), 10)
	}
	return t.Format(s.TimeLayout)
}

// cut cuts a time down, by the clock of its own zone.
func cut(t time.Time, to earshot.Coarseness) time.Time {
	h, m := t.Hour(), t.Minute()
	switch to {
	case earshot.ToMinute:
	case earshot.ToHour:
		m = 0
	case earshot.ToDay:
		h, m = 0, 0
	default:
		return t
	}
	return time.Date(t.Year(), t.Month(), t.Day(), h, m, 0, 0, t.Location())
}

// counted is the moment from which a row's age is counted. Where rules coarsen times it is the end of
// the coarsest step that the row lies in: so a row is as old before its time was cut down as after, and
// none goes early.
func counted(t time.Time, coarsest earshot.Coarseness) time.Time {
	return cut(t, coarsest).Add(coarsest.Unit())
}

func coarsest(rules []earshot.RowRule) (out earshot.Coarseness) {
	for _, r := range rules {
		if r.Coarsen.Unit() > out.Unit() {
			out = r.Coarsen
		}
	}
	return out
}

// believable reports whether a time can be true at asOf.
func believable(t, asOf time.Time) bool {
	return t.Unix() >= firstTime && (asOf.IsZero() || !t.After(asOf.Add(24*time.Hour)))
}
