// Package retention is where everything meets: it scans buckets, asks policies, makes plans, has
// them approved, applies them and proves what it did. It alone combines policies, redact, voice,
// storage, the catalog and the log; each of those knows nothing of the others.
//
// One recording's way through it:
//
//	Scan     listing -> catalog, resumable
//	Plan     facts (listed, then HEAD, then heard: only what the decision hangs on) -> decision
//	         -> action; the plan is sealed by a digest
//	Approve  a second person, for that digest, where a policy's limits ask for it
//	Apply    preconditions afresh -> intent, published -> act -> look afresh -> outcome
//	Settle   whatever a crash left intended is brought to an end by the same function
//
// It promises: no act without a published intent, exactly one outcome for each, nothing that is
// held or locked is touched, a changed object is left alone, and apply does what the plan says or
// less. It refuses to start without a log.
//
// It must not know how anything is shown or configured.
package retention
