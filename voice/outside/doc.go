// Package outside runs a program of the operator's as a detector for wake words.
//
// The program gets the sound on its standard input, 16 bits signed, little endian, mono, 16 kHz, to the
// end. It writes a line of JSON for each word, and a last line that says that it is done:
//
//	{"word": "alexa", "start_ms": 1200, "end_ms": 1750, "score": 0.93}
//	{"done": true}
//
// It must not know what a wake word is for. Without that last line, with an exit status other than 0,
// with too much output, beyond its time, or if the program does not read all of the sound, nothing is
// known: silence is no answer. The program and all it started are killed then. It inherits PATH, HOME, LANG
// and TMPDIR of the environment and nothing else, so that no credentials reach it; what it writes to
// standard error is dropped, for it may hold what was said.
package outside
