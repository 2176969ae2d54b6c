package policies

import (
	"encoding/json"

	"github.com/invopop/jsonschema"
)

// Schema is the JSON Schema of policy documents, for editors.
func Schema() []byte {
	r := jsonschema.Reflector{DoNotReference: true, Anonymous: true}
	s := r.Reflect(&Document{})
	s.Title = "earshot policy"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // our own types always marshal
	}
	return append(text, '\n')
}
