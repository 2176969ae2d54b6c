package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
)

// pseudonyms replaces values by keyed ones. A pseudonym carries a check of its own, so that it is known
// as ours and not replaced again.
type pseudonyms struct {
	mac   hash.Hash
	known map[string]string
}

func newPseudonyms(key []byte) *pseudonyms {
	return &pseudonyms{mac: hmac.New(sha256.New, key), known: map[string]string{}}
}

const pseudonymPrefix = "h1-"

func (p *pseudonyms) sum(parts ...string) []byte {
	p.mac.Reset()
	for _, s := range parts {
		p.mac.Write([]byte(s))
		p.mac.Write([]byte{0})
	}
	return p.mac.Sum(nil)
}

// of gives the pseudonym of a value of a column: the same for the same value in the same column.
func (p *pseudonyms) of(column string, value []byte) string {
	id := column + "\x00" + string(value)
	if known, ok := p.known[id]; ok {
		return known
	}
	name := hex.EncodeToString(p.sum("earshot rows/1", column, string(value))[:16])
	out := pseudonymPrefix + name + "-" + hex.EncodeToString(p.sum("earshot rows/1 check", name)[:4])
	if len(p.known) < maxRemembered {
		p.known[id] = out
	}
	return out
}

// ours reports whether a value is a pseudonym made with this key.
func (p *pseudonyms) ours(value []byte) bool {
	rest, ok := strings.CutPrefix(string(value), pseudonymPrefix)
	if !ok {
		return false
	}
	name, check, ok := strings.Cut(rest, "-")
	return ok && len(name) == 32 && check == hex.EncodeToString(p.sum("earshot rows/1 check", name)[:4])
}
