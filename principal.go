package earshot

// PrincipalKind tells a person from a program.
type PrincipalKind string

// The kinds of principal.
const (
	Person  PrincipalKind = "person"
	Service PrincipalKind = "service"
)

// Principal is who did, planned or approved something. Name is an account name of the operator's
// staff or of a service; the log never holds it in clear.
type Principal struct {
	Kind PrincipalKind `json:"kind"`
	Name string        `json:"name"`
}
