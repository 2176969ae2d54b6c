package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"earshot"
)

// Tagger makes the pseudonyms that entries hold instead of names: HMAC-SHA256 under a secret key,
// blinded with the entry's id. The same recording has another tag in every entry, so that the log
// alone can neither link nor count what belongs to a person; who has the key can recompute a tag
// and find an entry.
type Tagger struct{ key []byte }

// NewTagger takes a secret key of at least 32 bytes.
func NewTagger(key []byte) (*Tagger, error) {
	if len(key) < 32 {
		return nil, fmt.Errorf("tag key of %d bytes: at least 32 are needed", len(key))
	}
	return &Tagger{key: bytes.Clone(key)}, nil
}

// Tag is the pseudonym, 32 hexadecimal digits, of a value of one kind in one entry.
func (t *Tagger) Tag(label, entryID, value string) string {
	m := hmac.New(sha256.New, t.key)
	fmt.Fprintf(m, "%d:%s|%s|%s", len(label), label, entryID, value)
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// Of gives the tagger of one data subject, whose key is derived from the subject's own. Whoever is
// handed that key finds the subject's entries and no others; when it is destroyed, nobody does.
func (t *Tagger) Of(subjectKey []byte) *Tagger {
	m := hmac.New(sha256.New, subjectKey)
	m.Write([]byte("earshot tags/1"))
	return &Tagger{key: m.Sum(nil)}
}

// Actor gives a principal's tagged form.
func (t *Tagger) Actor(entryID string, p earshot.Principal) *Actor {
	return &Actor{Kind: string(p.Kind), Tag: t.Tag("actor", entryID, p.Name)}
}
