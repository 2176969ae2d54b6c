package voice

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
