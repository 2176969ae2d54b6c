// Package wyoming asks wake-word servers that speak the Wyoming protocol (OHF-Voice/wyoming), such as
// wyoming-openwakeword.
//
// It must not know what a wake word is for. An event of the protocol is a line of JSON with a type, then
// data_length bytes of JSON that go over the line's own data, then payload_length bytes. The protocol
// has neither authentication nor encryption nor limits: use it on a network of your own; lengths are
// bounded here.
//
// What a client must know of the servers: without detect, and for names it does not know, a server
// answers for another model or not at all, so that names are checked against info; it reports at most
// one detection of a model in what is sent faster than real time, so that the rest is sent again as a
// stream of its own; it says when it was sure of a word, not where the word is; after a detection nothing
// follows the end of the sound, so that a second describe marks the end of the answers.
//
// Whatever does not go by the book is an error, and an error means that nothing is known.
package wyoming
