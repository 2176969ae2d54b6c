// Package embedded is an S3 server on a folder, for the default installation, the demo and the
// tests. The server is versitygw; it changes the working directory of its process and keeps
// globals, so that it always runs as a child process of the same binary.
//
// The child lives as long as anyone uses it: every user holds a shared lock on a file in the
// folder, and the child stops by itself when the last one is gone, however it went. Whoever comes
// next finds the running child or starts a new one.
//
// It is imported by commands and tests only; everything else speaks S3 and cannot tell.
//
// BUG: the server does not call fsync. Objects survive a killed process but a power failure may
// lose the last seconds before it. Those who need more run a store of their own.
package embedded
