package earshot

// Leaf is one entry on its way into the log: the exact bytes that will be hashed, and the id that
// makes writing it twice harmless. Package audit makes and reads the bytes; everyone else carries
// them unopened.
type Leaf struct {
	ID   string // 32 hexadecimal digits, the same each time the same thing is said
	Body []byte // at most 4 kB, never with personal data
}
