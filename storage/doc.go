// Package storage is the only part of earshot that speaks S3. It lists recordings as a stream,
// reads one version pinned by its ETag, replaces an object only if nobody else has, destroys
// every version of a key and proves by a fresh listing that nothing of it is left.
//
// It works against any S3 endpoint, versioned or not, with object lock or without. What it must
// not know: policies, catalogs, logs, sound. It never decides; it does one thing to one object
// and says exactly what is true afterwards.
//
// A worked flow, as a redaction makes it:
//
//	head, err := bucket.Head(ctx, key, "")            // version, ETag, metadata, tags
//	lock, err := bucket.Lock(ctx, head.ID)            // what the store itself protects
//	_, err = bucket.Fetch(ctx, head.ID, head.ETag, w) // these bytes or ErrChanged
//	id, etag, err := bucket.Replace(ctx, head, r, n)  // only over head.ETag, else ErrChanged
//	errs := bucket.Destroy(ctx, olderVersions)        // never writes a delete marker
//	left, err := bucket.Present(ctx, key)             // what a fresh listing still shows
//
// Limits: an object must fit one PUT (5 GiB). S3 has no conditional DELETE that minio-go can
// send, so that in a bucket without versioning a recording that is replaced within the moment
// between the check and the DELETE is lost; earshot doctor advises versioning for that reason.
package storage
