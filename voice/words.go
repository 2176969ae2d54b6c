package voice

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestWord is how long a wake word may be, in bytes.
const longestWord = 100

// Printable tells whether another program's wake word can be shown, on a terminal or in a picture: not without
// end, and without characters that do more than stand there.
func Printable(word string) bool {
	return len(word) <= longestWord && utf8.ValidString(word) && !strings.ContainsFunc(word, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsPrint(r)
	})
}

// BuiltInWords are the wake words that every Listener knows, in lower case.
func BuiltInWords() ([]string, error) {
	b, err := load()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, w := range b.tuning.Words {
		out = append(out, w.Name)
	}
	return out, nil
}
