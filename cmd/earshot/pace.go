package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot/storage"
)

// PaceConfig bounds what is asked of a store. Below the bounds earshot finds its own pace: it slows down
// where the store says so, or takes longer and longer to answer.
type PaceConfig struct {
	Requests  float64 `yaml:"requests"`  // a second, at most; default: no bound
	Bandwidth string  `yaml:"bandwidth"` // bytes a second in both directions, such as 20MB, at least 64KiB; default: no bound
	// Quiet are hours in which others need the store.
	Quiet []QuietConfig `yaml:"quiet"`
}

// QuietConfig is a stretch of the day.
type QuietConfig struct {
	Hours string `yaml:"hours"` // such as 07:00-22:00, or 22:00-06:00 over midnight
	Zone  string `yaml:"zone"`  // such as Europe/Berlin; default UTC
	// Requests is the bound on requests a second in these hours. 0, the default: earshot serve and workers begin
	// nothing, and stop a run that is under way behind what they have begun; it goes on when the hours are over.
	// What people do by command is done at once.
	Requests float64 `yaml:"requests"`

	from, to int // minutes since midnight
	zone     *time.Location
}

func (p *PaceConfig) check() error {
	if p.Requests < 0 {
		return fmt.Errorf("store.pace.requests: %g is negative", p.Requests)
	}
	if err := checkBandwidth(p.Bandwidth); err != nil {
		return fmt.Errorf("store.pace.bandwidth: %w", err)
	}
	for i := range p.Quiet {
		if err := p.Quiet[i].check(); err != nil {
			return fmt.Errorf("store.pace.quiet[%d]: %w", i, err)
		}
	}
	return nil
}

func (q *QuietConfig) check() (err error) {
	from, to, ok := strings.Cut(q.Hours, "-")
	if !ok {
		return fmt.Errorf("hours: %q is not like 07:00-22:00", q.Hours)
	}
	if q.from, err = minuteOf(from); err == nil {
		q.to, err = minuteOf(to)
	}
	if err != nil {
		return fmt.Errorf("hours: %q is not like 07:00-22:00", q.Hours)
	}
	if q.from == q.to {
		return fmt.Errorf("hours: %q is the whole day, or nothing: use requests above", q.Hours)
	}
	if q.zone, err = time.LoadLocation(q.Zone); err != nil {
		return fmt.Errorf("zone: %w", err)
	}
	if q.Requests < 0 {
		return fmt.Errorf("requests: %g is negative", q.Requests)
	}
	return nil
}

func minuteOf(clock string) (int, error) {
	t, err := time.Parse("15:04", strings.TrimSpace(clock))
	return t.Hour()*60 + t.Minute(), err
}

// covers tells whether a moment lies in the hours, and when they end.
func (q QuietConfig) covers(now time.Time) (until time.Time, ok bool) {
	local := now.In(q.zone)
	minute := local.Hour()*60 + local.Minute()
	day := func(add int) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+add, q.to/60, q.to%60, 0, 0, q.zone)
	}
	switch {
	case q.from < q.to:
		return day(0), minute >= q.from && minute < q.to
	case minute >= q.from:
		return day(1), true
	default:
		return day(0), minute < q.to
	}
}

// quiet gives the end of the hours in which nothing is to be begun, the zero time outside of them.
func (p PaceConfig) quiet(now time.Time) time.Time {
	var end time.Time
	for _, q := range p.Quiet {
		if until, ok := q.covers(now); ok && q.Requests == 0 && until.After(end) {
			end = until
		}
	}
	return end
}

// slow gives the bound on requests of these hours; 0 where there is none.
func (p PaceConfig) slow(now time.Time) float64 {
	var least float64
	for _, q := range p.Quiet {
		if _, ok := q.covers(now); ok && q.Requests > 0 && (least == 0 || q.Requests < least) {
			least = q.Requests
		}
	}
	return least
}

// bounded reports whether there is any bound to keep.
func (p PaceConfig) bounded() bool {
	return p.Requests > 0 || p.Bandwidth != "" || slices.ContainsFunc(p.Quiet, func(q QuietConfig) bool { return q.Requests > 0 })
}

func (p PaceConfig) pace() storage.Pace {
	bytes, _ := parseBytes(p.Bandwidth) // was checked
	return storage.Pace{Requests: p.Requests, Bandwidth: bytes, Slow: p.slow}
}

// leastBandwidth is what a listing of a thousand keys needs to come within seconds.
const leastBandwidth = 64 << 10

// checkBandwidth refuses what would bring everything to a standstill, as a number without its unit does.
func checkBandwidth(s string) error {
	n, err := parseBytes(s)
	if err != nil || s == "" || n >= leastBandwidth {
		return err
	}
	meant := ""
	if digits := strings.TrimSpace(strings.TrimSuffix(s, "B")); strings.Trim(digits, "0123456789.") == "" {
		meant = fmt.Sprintf("; did you mean %sMB?", digits)
	}
	return fmt.Errorf("%q is %d bytes a second, with which nothing gets on: give at least 64KiB, with its unit, such as 500kB or 20MB%s", s, n, meant)
}

var errBytes = errors.New("not a number of bytes such as 500000, 500kB, 20MB, 1GB or 16MiB")

// parseBytes reads a number of bytes with a unit.
func parseBytes(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	for _, u := range []struct {
		name string
		size float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}} {
		if number, ok := strings.CutSuffix(s, u.name); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil || n < 1 || n*u.size > 1e15 {
				return 0, fmt.Errorf("%q: %w", s, errBytes)
			}
			return int64(n * u.size), nil
		}
	}
	return 0, fmt.Errorf("%q: %w", s, errBytes)
}
