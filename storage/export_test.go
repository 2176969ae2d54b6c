package storage

import "net/http"

// NewPacer and LoadOf open the pacer to its tests.
func NewPacer(next http.RoundTripper, p Pace) http.RoundTripper { return newPacer(next, p) }

// LoadOf is what it has found.
func LoadOf(p http.RoundTripper) Load { return p.(*pacer).load() }

// ShareOf has it keep the bounds as one of n.
func ShareOf(p http.RoundTripper, n int) { p.(*pacer).share(n) }
