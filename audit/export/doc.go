// Package export gives the log's entries to other programs: tables (CSV, JSON Lines, Parquet) with a
// manifest that an outsider can check, and events for SIEMs (OCSF) and webhooks (CloudEvents).
//
// It must not know where a log is kept, nor what an entry's tags stand for: it is handed entries that
// have been verified, and turns each into a row.
//
//	w, err := export.Begin(dir, export.CSV, checkpoint)
//	err = w.Add(index, body)         // for every entry
//	manifest, err := w.Finish()
//	report, err := export.Check(dir) // anyone, with the files alone
package export
