// Package audit is the log that an outsider can verify: a Merkle tree in the C2SP tlog-tiles
// layout with signed checkpoints, the entries it is made of, and certificates that prove one entry
// offline.
//
// It must not know what a policy, a bucket or a recording is. It sees tags instead of names,
// keeps tiles in anything that can create and swap small objects ([Tiles]), and takes the order
// of entries from whoever numbers them ([Head]).
//
// A worked flow:
//
//	log, err := audit.Open(ctx, audit.Options{...})   // Create, once, at `earshot init`
//	leaf, err := audit.Intent(...).Leaf()             // goes into the outbox with the work itself
//	size, err := log.Publish(ctx)                     // numbers, tiles, signs: now it is public
//	if size > index { act() }                         // no published intent, no act
//
// and for those who check:
//
//	report, err := audit.VerifyAll(ctx, tiles, verifier, audit.VerifyOptions{})
//
// FORMAT.md is the specification. What the log proves is what earshot said and when it can not
// have said otherwise; that the bytes are gone is shown by the store.
package audit
