package policies

import (
	"encoding/json"

	"github.com/invopop/jsonschema"
)

// Schema is the JSON Schema (2020-12) of policy documents, for editors. It is made from
// [Document]; what it cannot say, such as the types in a condition, [Compile] checks.
func Schema() []byte {
	r := jsonschema.Reflector{DoNotReference: true, Anonymous: true, RequiredFromJSONSchemaTags: true}
	s := r.Reflect(&Document{})
	s.Title = "earshot policy"
	s.Description = "What becomes of recordings, when and why. See policies/POLICY.md."
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // our own types always marshal
	}
	return append(text, '\n')
}
