package policies

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// checkSchedule checks five cron fields, optionally with CRON_TZ=Zone in front, and that they ever
// come true.
func checkSchedule(text string) error {
	want := errors.New(`want five fields, "15 3 * * *", with CRON_TZ=Europe/Berlin in front for another zone than UTC`)
	fields := strings.Fields(text)
	if len(fields) > 0 && strings.Contains(fields[0], "TZ=") {
		zone, ok := strings.CutPrefix(fields[0], "CRON_TZ=")
		if !ok || zone == "" || zone == "Local" {
			return fmt.Errorf("schedule %q: %w", text, want)
		}
		if _, err := time.LoadLocation(zone); err != nil {
			return fmt.Errorf("schedule %q: unknown time zone %q", text, zone)
		}
		fields = fields[1:]
	}
	if len(fields) != 5 || strings.Contains(strings.Join(fields, ""), "=") {
		return fmt.Errorf("schedule %q: %w", text, want)
	}
	spec, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse("CRON_TZ=UTC " + strings.Join(fields, " "))
	if err != nil {
		return fmt.Errorf("schedule %q: %w", text, err)
	}
	// Any moment will do to ask whether there is a next one: the calendar repeats.
	if spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("schedule %q never comes true", text)
	}
	return nil
}
