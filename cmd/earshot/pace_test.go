package main

import (
	"strings"
	"testing"
	"time"
)

func TestQuietHours(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for name, c := range map[string]struct {
		hours, zone, now string
		until            string // empty: not quiet
	}{
		"insideTheDay":               {"07:00-22:00", "UTC", "2026-11-26T12:00:00Z", "2026-11-26T22:00:00Z"},
		"beforeThem":                 {"07:00-22:00", "UTC", "2026-11-26T06:59:59Z", ""},
		"theEndIsOutside":            {"07:00-22:00", "UTC", "2026-11-26T22:00:00Z", ""},
		"overMidnightInTheEvening":   {"22:00-06:00", "UTC", "2026-11-26T23:30:00Z", "2026-11-27T06:00:00Z"},
		"overMidnightInTheMorning":   {"22:00-06:00", "UTC", "2026-11-26T05:30:00Z", "2026-11-26T06:00:00Z"},
		"overMidnightAtNoon":         {"22:00-06:00", "UTC", "2026-11-26T12:00:00Z", ""},
		"inAnotherZone":              {"07:00-22:00", "Europe/Berlin", "2026-11-26T06:30:00Z", "2026-11-26T21:00:00Z"},
		"overTheChangeToSummerTime":  {"22:00-06:00", "Europe/Berlin", "2027-03-27T23:00:00Z", "2027-03-28T04:00:00Z"},
		"overTheChangeFromSummer":    {"22:00-06:00", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z"},
		"untilMidnight":              {"20:00-00:00", "UTC", "2026-11-26T23:59:59Z", "2026-11-27T00:00:00Z"},
		"zoneFromTheOtherSideOfTime": {"00:00-01:00", "Pacific/Auckland", "2026-11-26T11:30:00Z", "2026-11-26T12:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			p := PaceConfig{Quiet: []QuietConfig{{Hours: c.hours, Zone: c.zone}}}
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
			got := p.quiet(at(c.now))
			if c.until == "" && !got.IsZero() || c.until != "" && !got.Equal(at(c.until)) {
				t.Errorf("got %v, want %q", got.UTC(), c.until)
			}
		})
	}
	slow := PaceConfig{Quiet: []QuietConfig{{Hours: "07:00-22:00", Requests: 20}, {Hours: "10:00-12:00", Requests: 5}}}
	if err := slow.check(); err != nil {
		t.Fatal(err)
	}
	if now := at("2026-11-26T11:00:00Z"); slow.slow(now) != 5 || !slow.quiet(now).IsZero() {
		t.Errorf("slow hours: %v, %v", slow.slow(now), slow.quiet(now))
	}
}

func TestWhatIsNoPaceIsRefused(t *testing.T) {
	for name, p := range map[string]PaceConfig{
		"negative":     {Requests: -1},
		"noBytes":      {Bandwidth: "fast"},
		"zeroBytes":    {Bandwidth: "0MB"},
		"noUnit":       {Bandwidth: "20"},
		"tooLittle":    {Bandwidth: "65535"},
		"noHours":      {Quiet: []QuietConfig{{}}},
		"hourOf25":     {Quiet: []QuietConfig{{Hours: "07:00-25:00"}}},
		"wholeDay":     {Quiet: []QuietConfig{{Hours: "07:00-07:00"}}},
		"noZone":       {Quiet: []QuietConfig{{Hours: "07:00-08:00", Zone: "Mars/Olympus"}}},
		"slowNegative": {Quiet: []QuietConfig{{Hours: "07:00-08:00", Requests: -3}}},
	} {
		if err := p.check(); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	for text, want := range map[string]string{"20": "did you mean 20MB?", "20B": "did you mean 20MB?", "20kB": "at least 64KiB"} {
		if err := checkBandwidth(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"", "65536", "64KiB", "20MB"} {
		if err := checkBandwidth(text); err != nil {
			t.Error(err)
		}
	}
	if n, err := parseBytes("1.5MiB"); n != 3<<19 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}
