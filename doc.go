// Package earshot holds the nouns of earshot: recordings, spans of sound, facts, decisions,
// runs and the people who answer for them.
//
// Everything here is a value. The package reads no clock, opens no file and talks to no
// network; it imports the standard library only. The verbs live below it (policies, redact,
// voice, storage, audit, retention) and every one of them speaks in these values, so that each
// can be read, tested and replaced alone.
//
// Data flows one way:
//
//	listing -> Recording -> Facts -> Decision -> Action in a Run -> Approval -> outcome -> log entry
package earshot
