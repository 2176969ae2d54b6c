// Package voice tells what is in the sound of a recording: where the wake word is, whether a child
// speaks, where anyone speaks at all.
//
// It must not know buckets, catalogs or policies: bytes in, [earshot.Listening] out. What a device
// or service wrote about its own hearing is asked first; it is a fact of its own kind, with the
// source's name as the detector.
//
// So far the package reads metadata: Alexa Voice Service events and object metadata. An absent
// statement is never taken for "nothing heard": it is no listening at all.
package voice
