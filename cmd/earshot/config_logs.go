package main

import (
	"fmt"
	"maps"
	"slices"

	"earshot/events"
	"earshot/retention"
)

// EventLogConfig is where the event logs of a class lie, and how their rows are read.
type EventLogConfig struct {
	Key    string `yaml:"key"`    // such as eventlogs/motion/{any}.jsonl.gz
	Format string `yaml:"format"` // jsonl or csv; default by the key's ending
	Comma  string `yaml:"comma"`  // of csv: , ; or tab; default a comma
	// Time, Subject and Device name columns; in JSON a dot goes into an object (device.id).
	Time       string `yaml:"time"`
	Subject    string `yaml:"subject"`
	Device     string `yaml:"device"`
	TimeLayout string `yaml:"time_layout"` // unix, unixms or a Go layout; default RFC 3339
}

// logs reads the classes of event logs.
func (c *LayoutConfig) logs() ([]retention.LogLayout, error) {
	var out []retention.LogLayout
	for _, class := range slices.Sorted(maps.Keys(c.Events)) {
		e := c.Events[class]
		s := events.Shape{Format: events.Format(e.Format), Time: e.Time, Subject: e.Subject, Device: e.Device, TimeLayout: e.TimeLayout}
		if s.Format == "" {
			s.Format = formatOf(e.Key)
		}
		switch {
		case e.Comma == "tab":
			s.Comma = '\t'
		case len(e.Comma) == 1:
			s.Comma = e.Comma[0]
		case e.Comma != "":
			return nil, fmt.Errorf("layout.events.%s.comma: %q is not a comma, a semicolon or tab", class, e.Comma)
		}
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("layout.events.%s: %w", class, err)
		}
		out = append(out, retention.LogLayout{Class: class, Key: e.Key, Shape: s})
	}
	return out, nil
}
