package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Trust says whose signatures make a checkpoint believable: the keys of the log, any one of which
// must have signed, and a quorum of witnesses. Its text form is that of C2SP tlog-policy, and
// reaches those who verify by another way than the bucket.
type Trust struct {
	logs      []note.Verifier
	witnesses []Witnessing
	rules     map[string]rule
	members   map[string]bool // names that a group has as a member
	keys      map[string]bool // public keys, whatever they are named
	quorum    string          // name of a rule; empty for none
}

// Witnessing is a witness as a policy names it.
type Witnessing struct {
	Name     string
	URL      string // where it takes checkpoints; may be empty for those who only verify
	verifier note.Verifier
}

// rule is a witness (no members) or a group of which `least` must have signed.
type rule struct {
	witness int // index, or -1
	least   int
	members []string
}

// ErrUncosigned means: the log's signature is good, and fewer witnesses than the policy asks for
// have seen the checkpoint.
var ErrUncosigned = errors.New("too few witnesses have cosigned")

// TrustKey trusts a log by its own key alone. Nothing then protects against those who have that
// key.
func TrustKey(keys ...note.Verifier) *Trust { return &Trust{logs: keys} }

// ParseTrust reads a policy in the form of C2SP tlog-policy: lines `log VKEY [URL]`,
// `witness NAME VKEY [URL]`, `group NAME any|all|N MEMBER...` and one `quorum NAME|none`; lines that
// begin with # are remarks. Names are used once, and so are public keys, whatever they are named:
// nobody is to count twice. Errors name file and line.
func ParseTrust(file string, text []byte) (*Trust, error) {
	t := &Trust{rules: map[string]rule{}, members: map[string]bool{}, keys: map[string]bool{}}
	quorum := ""
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		var err error
		switch fields[0] {
		case "log":
			err = t.addLog(fields[1:])
		case "witness":
			err = t.addWitness(fields[1:])
		case "group":
			err = t.addGroup(fields[1:])
		case "quorum":
			if len(fields) != 2 || quorum != "" {
				err = errors.New("want one quorum, with the name of a witness or group, or none")
			} else if quorum = fields[1]; quorum != "none" && !t.has(quorum) {
				err = fmt.Errorf("quorum %q is neither a witness nor a group above", quorum)
			}
		default:
			err = fmt.Errorf("%q is not log, witness, group or quorum", fields[0])
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	switch {
	case len(t.logs) == 0:
		return nil, fmt.Errorf("%s: no log is named", file)
	case quorum == "":
		return nil, fmt.Errorf("%s: no quorum is given: write `quorum none` if the log's own key is to be enough", file)
	case quorum != "none":
		t.quorum = quorum
	}
	return t, nil
}

func (t *Trust) has(name string) bool { _, ok := t.rules[name]; return ok }

func (t *Trust) addLog(args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return errors.New("want: log VKEY [URL]")
	}
	v, err := note.NewVerifier(args[0])
	if err != nil {
		return fmt.Errorf("the log's key: %w", err)
	}
	if err := t.addKey(args[0]); err != nil {
		return err
	}
	t.logs = append(t.logs, v)
	return nil
}

// addKey refuses a public key that is there already: the name in front of it and the hash over both
// say nothing of whose it is.
func (t *Trust) addKey(vkey string) error {
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(key) < 2 {
		return errors.New("the key is not in the form of a note's key")
	}
	public := string(key[1:]) // the first byte says what it signs
	if t.keys[public] {
		return errors.New("the same key is named above: nobody must count twice")
	}
	t.keys[public] = true
	return nil
}

func (t *Trust) addWitness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("want: witness NAME VKEY [URL]")
	}
	if t.has(args[0]) || args[0] == "none" {
		return fmt.Errorf("the name %q is taken", args[0])
	}
	v, err := fnote.NewVerifierForCosignatureV1(args[1])
	if err != nil {
		return fmt.Errorf("the witness's key: %w", err)
	}
	w := Witnessing{Name: args[0], verifier: v}
	if err := t.addKey(args[1]); err != nil {
		return err
	}
	if len(args) == 3 {
		u, err := url.Parse(args[2])
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%q is not an http or https address", args[2])
		}
		w.URL = strings.TrimSuffix(args[2], "/")
	}
	t.rules[w.Name] = rule{witness: len(t.witnesses), least: 1}
	t.witnesses = append(t.witnesses, w)
	return nil
}

func (t *Trust) addGroup(args []string) error {
	if len(args) < 3 {
		return errors.New("want: group NAME any|all|N and its members")
	}
	name, members := args[0], args[2:]
	if t.has(name) || name == "none" {
		return fmt.Errorf("the name %q is taken", name)
	}
	least, err := strconv.Atoi(args[1])
	switch {
	case args[1] == "any":
		least = 1
	case args[1] == "all":
		least = len(members)
	case err != nil || least < 1 || least > len(members) || strconv.Itoa(least) != args[1]:
		return fmt.Errorf("%q is not any, all or a number from 1 to %d", args[1], len(members))
	}
	for _, m := range members {
		if !t.has(m) {
			return fmt.Errorf("%q is neither a witness nor a group above", m)
		}
		if t.members[m] {
			return fmt.Errorf("%q comes twice: it would count twice", m)
		}
		t.members[m] = true
	}
	t.rules[name] = rule{witness: -1, least: least, members: members}
	return nil
}

// Of narrows a policy that names several logs (the yearly shards of one, say) to one of them, and
// adds keys of it that one knows to be one's own.
func (t *Trust) Of(origin string, keys ...note.Verifier) (*Trust, error) {
	more := *t
	more.logs = slices.DeleteFunc(slices.Clone(t.logs), func(v note.Verifier) bool { return v.Name() != origin })
	for _, k := range keys {
		if k.Name() != origin {
			return nil, fmt.Errorf("the key is of the log %q, not of %q", k.Name(), origin)
		}
		if !slices.ContainsFunc(more.logs, func(v note.Verifier) bool { return v.KeyHash() == k.KeyHash() }) {
			more.logs = append(slices.Clone(more.logs), k)
		}
	}
	if len(more.logs) == 0 {
		return nil, fmt.Errorf("the policy names no key of the log %q: add a line `log VKEY`", origin)
	}
	return &more, nil
}

// Origin is the name of the log that is spoken of; of several, the first.
func (t *Trust) Origin() string { return t.logs[0].Name() }

// Witnesses lists the witnesses of the policy.
func (t *Trust) Witnesses() []Witnessing { return slices.Clone(t.witnesses) }

// Quorum says in words what the policy asks of witnesses.
func (t *Trust) Quorum() string {
	if t.quorum == "" {
		return "no witness is asked for: the log's own key is believed"
	}
	r := t.rules[t.quorum]
	if r.witness >= 0 {
		return "the witness " + t.quorum + " must have cosigned"
	}
	return fmt.Sprintf("%d of %s must have cosigned", r.least, strings.Join(r.members, ", "))
}

// Cosignature is a witness's word for having seen a checkpoint, and nothing that contradicts it.
type Cosignature struct {
	Witness string    `json:"witness"`
	At      time.Time `json:"at"` // by the witness's own clock
}

// Open reads a checkpoint and checks that a key of the log has signed it, that it is that log's own
// and that the quorum of witnesses has cosigned it. Without the quorum it is [ErrUncosigned], and
// the checkpoint is returned all the same; anything else is [ErrUnverified].
func (t *Trust) Open(signed []byte) (Checkpoint, error) {
	c, err := t.open(signed)
	if err != nil {
		return c, err
	}
	if t.quorum != "" && !t.satisfied(t.quorum, c.Cosigned) {
		return c, fmt.Errorf("checkpoint of %d entries: %w: %s", c.Size, ErrUncosigned, t.Quorum())
	}
	return c, nil
}

// open does not ask for the quorum.
func (t *Trust) open(signed []byte) (Checkpoint, error) {
	known := slices.Clone(t.logs)
	for _, w := range t.witnesses {
		known = append(known, w.verifier)
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	var unknown *note.UnverifiedNoteError
	if errors.As(err, &unknown) && slices.ContainsFunc(unknown.Note.UnverifiedSigs, t.renewed) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: it is signed by another key of that log than those that are known: the key may have been replaced; ask the operator for the new one, and verify with both", ErrUnverified)
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: %w", ErrUnverified, err)
	}
	// The last character of a signature's base64 has bits that nobody reads: without this, a byte of
	// a checkpoint could be changed and nobody would notice.
	for _, sig := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("checkpoint: %w: the signature of %s is not in its one form", ErrUnverified, sig.Name)
		}
	}
	signer, byLog := "", false // the log's key's name is its origin
	for _, s := range n.Sigs {
		if slices.ContainsFunc(t.logs, func(v note.Verifier) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() }) {
			signer, byLog = s.Name, true
		}
	}
	if !byLog {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: the log itself has not signed it", ErrUnverified)
	}
	c, err := parseCheckpoint(n.Text, signer)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, s := range n.Sigs {
		for _, w := range t.witnesses {
			if s.Name == w.verifier.Name() && s.Hash == w.verifier.KeyHash() {
				at, err := fnote.CoSigV1Timestamp(s)
				if err != nil {
					return Checkpoint{}, fmt.Errorf("checkpoint: %w: cosignature of %s: %w", ErrUnverified, w.Name, err)
				}
				c.Cosigned = append(c.Cosigned, Cosignature{Witness: w.Name, At: at.UTC()})
			}
		}
	}
	return c, nil
}

// renewed reports whether a signature claims to be of one of the logs, by a key that is not known.
func (t *Trust) renewed(s note.Signature) bool {
	return slices.ContainsFunc(t.logs, func(v note.Verifier) bool { return v.Name() == s.Name && v.KeyHash() != s.Hash })
}

func (t *Trust) satisfied(name string, sigs []Cosignature) bool {
	r := t.rules[name]
	if r.witness >= 0 {
		return slices.ContainsFunc(sigs, func(c Cosignature) bool { return c.Witness == t.witnesses[r.witness].Name })
	}
	have := 0
	for _, m := range r.members {
		if t.satisfied(m, sigs) {
			have++
		}
	}
	return have >= r.least
}
