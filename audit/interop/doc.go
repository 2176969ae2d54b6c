// Package interop holds the log that earshot writes against programs that are not earshot's: the
// checker of Tessera and the client of torchwood. It is a module of its own, so that what only tests
// need is no dependency of the program.
package interop
