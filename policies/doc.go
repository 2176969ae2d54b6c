// Package policies is the policy language: it reads documents, compiles them, and tells from the
// facts of a recording what is to become of it, when, and why. POLICY.md is its specification.
//
// It is pure: no clock (now is an argument), no files, no network. A policy sees facts; time enters
// only through periods, so that one set of facts has one timeline, and a decision holds from a date
// to a date. Facts that are not known yet are unknowns: a rule that does not hang on them decides
// all the same, and one that does names what must be found out.
//
// It promises: holds, object locks and erasure requests come before any rule; without a positive,
// named reason nothing is deleted; whatever is missing or fails leads to review, with the reason.
//
//	doc, err := policies.Parse("household.yaml", text)
//	policy, err := policies.Compile(doc)
//	d := policy.Decide(facts, now)   // d.Disposition, d.Until, d.Reasons
package policies
