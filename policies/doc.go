// Package policies is the policy language: it reads a document, checks it, and says of one
// recording's facts what is to become of the recording, from when to when, and why.
//
// The package is pure. It reads no clock, opens no file and never asks for a fact: what it does
// not know it names, and the caller decides whether to find it out. It must not know of buckets,
// detectors, catalogs or logs.
//
// What it promises:
//
//   - [Policy.Decide] is total: for all facts and every moment there is an answer, never an error.
//   - The answer holds on [Since, Until) and is the step of [Policy.Timeline] at that moment.
//   - Law in the code comes before any rule: object lock and legal hold keep, then an open erasure
//     request deletes, then a doubt about the recording asks for review.
//   - Without a positive, named reason nothing is deleted. A missing fact, an error and an overrun
//     mean review, unless every possible answer to what is missing leads to the same end.
//
// One flow:
//
//	doc, err := policies.Parse("household.yaml", src)   // syntax, unknown keys, file:line:col
//	policy, err := policies.Compile(doc)                // types, names, periods, cost
//	d := policy.Decide(facts, now)
//	for len(d.Missing) > 0 { ...learn, decide again... }
//
// POLICY.md beside this file is the specification of the language. Limits: a document has at most
// 64 kB, a policy at most 64 rules, a condition at most 4 kB.
package policies
