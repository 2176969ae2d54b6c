// Package packs holds ready-made policies with their legal sources and their cases. They are a
// beginning for an operator's own policies, and not legal advice.
package packs

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Names lists the packs in order.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // embedded
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && !strings.HasSuffix(name, ".test") {
			out = append(out, name)
		}
	}
	return out
}

// Open gives a pack's policy and its cases.
func Open(name string) (policy, cases []byte, err error) {
	if policy, err = files.ReadFile(name + ".yaml"); err == nil {
		cases, err = files.ReadFile(name + ".test.yaml")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("there is no pack %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return policy, cases, nil
}
