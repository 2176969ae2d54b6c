// Package events applies retention to event logs: files in which each row tells of one event, such as
// a motion, a ring or a tap in an app, with its time and whose it was.
//
// It reads a stream and writes a stream. Rows that are due go, rows of a person who asked for erasure
// go, times are cut down to the minute, hour or day, columns are dropped or replaced by keyed
// pseudonyms. Whatever is not touched is carried over byte by byte. It holds one row at a time, so that
// a file of any length takes the same memory.
//
// The formats are JSON Lines (one object a line, RFC 8259) and CSV with a header (RFC 4180), both plain
// or gzipped (RFC 1952).
//
// It promises: the same edit done twice is the same as done once; a row that is held is not touched; a
// row that cannot be read, or of which it cannot be told when or whose it was, stops the work with
// [RowError], which names the line and never what stands in it. Nothing is guessed: whoever calls keeps
// the file then.
//
//	shape := events.Shape{Format: events.JSONLines, Time: "at", Subject: "household"}
//	edit := events.Edit{Shape: shape, RowEdit: earshot.RowEdit{AsOf: now, Rules: rules}}
//	found, err := events.Survey(src, edit)          // what would be done, and when more is due
//	report, err := events.Rewrite(dst, src, edit)   // doing it
//	err = events.Verify(src, dst, edit)             // another reader looks at both
//
// It must not know stores, catalogs, policies or holds as the rest of earshot knows them.
package events
