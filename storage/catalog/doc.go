// Package catalog is what earshot knows, plans and did, in SQL: recordings as they were last
// listed and what became known of them, the date on which each is due, holds, people's requests
// and consents, runs with their actions, and the log's outbox.
//
// Every entry of the log is written in the same transaction as the work that it speaks of; that is
// why the outbox is here and not in package audit, whose entries this package carries unopened. It
// must not know S3, policies or sound.
//
// A worked flow: Observe a page of a listing, ask for what is Due, Draft and Seal a run, Approve
// it, Claim its actions (which writes their intents), Settle each with its outcome.
//
// SQLite is the engine; the statements use $N parameters, row-value comparisons and upserts that
// PostgreSQL takes as they are. Times are int64 microseconds since 1970 UTC; 0 is unknown.
// Transactions are short, hold no network call, and nothing is written inside an open row
// iterator.
package catalog
