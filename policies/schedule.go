package policies

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// parseSchedule reads five cron fields, optionally with CRON_TZ=Zone in front, that must ever come
// true. A time that a change to daylight saving skips is skipped that day; one that it repeats comes
// once, unless the hour is a wildcard.
func parseSchedule(text string) (cron.Schedule, error) {
	want := errors.New(`want five fields, "15 3 * * *", with CRON_TZ=Europe/Berlin in front for another zone than UTC`)
	zoneName, fields := "UTC", strings.Fields(text)
	if len(fields) > 0 && strings.Contains(fields[0], "TZ=") {
		zone, ok := strings.CutPrefix(fields[0], "CRON_TZ=")
		if !ok || zone == "" || zone == "Local" {
			return nil, fmt.Errorf("schedule %q: %w", text, want)
		}
		if _, err := time.LoadLocation(zone); err != nil {
			return nil, fmt.Errorf("schedule %q: unknown time zone %q", text, zone)
		}
		zoneName, fields = zone, fields[1:]
	}
	if len(fields) != 5 || strings.Contains(strings.Join(fields, ""), "=") {
		return nil, fmt.Errorf("schedule %q: %w", text, want)
	}
	spec, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse("CRON_TZ=" + zoneName + " " + strings.Join(fields, " "))
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", text, err)
	}
	// Any moment will do to ask whether there is a next one: the calendar repeats.
	if spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("schedule %q never comes true", text)
	}
	if s, ok := spec.(*cron.SpecSchedule); ok && !strings.Contains(fields[1], "*") {
		return once{s}, nil
	}
	return spec, nil
}

// Next is when the policy is to run after a moment, in UTC; the zero time for a policy without a
// schedule.
func (p *Policy) Next(after time.Time) time.Time {
	if p.cron == nil {
		return time.Time{}
	}
	return p.cron.Next(after).UTC()
}

// once leaves out the second of two moments that have the same time on the wall clock, an hour
// apart, when daylight saving ends.
type once struct{ *cron.SpecSchedule }

func (s once) Next(after time.Time) time.Time {
	next := s.SpecSchedule.Next(after)
	if next.IsZero() {
		return next
	}
	_, now := next.In(s.Location).Zone()
	_, before := next.Add(-2 * time.Hour).In(s.Location).Zone()
	back := time.Duration(before-now) * time.Second
	if back <= 0 {
		return next
	}
	if _, then := next.Add(-back).In(s.Location).Zone(); then == before {
		return s.Next(next)
	}
	return next
}
