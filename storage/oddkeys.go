package storage

import (
	"strings"
	"unicode/utf8"
)

// IsText reports whether a key is UTF-8 without zero bytes. Stores take others too, that neither a catalog can hold
// nor anybody can name: what lies under them is left alone.
func IsText(key string) bool { return utf8.ValidString(key) && !strings.ContainsRune(key, 0) }

// OddKeys counts what List and Folders have left out so far, since its key is no text.
func (b *Bucket) OddKeys() int64 { return b.odd.Load() }
