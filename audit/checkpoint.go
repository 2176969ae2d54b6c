package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is the head of the tree as it is signed. C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin string
	Size   int64 // entries
	Root   tlog.Hash
}

// ErrUnverified means: a signature, a hash or the form of something in the log is not right. Believe
// nothing of it.
var ErrUnverified = errors.New("the log does not verify")

func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

func (c Checkpoint) sign(signer note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.text()}, signer)
}

// OpenCheckpoint reads a checkpoint and checks that the verifier's key signed it and that it is
// that log's own: the key's name is the origin. Anything else is [ErrUnverified].
func OpenCheckpoint(signed []byte, verifier note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(verifier))
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
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: want three lines", ErrUnverified)
	}
	c := Checkpoint{Origin: lines[0]}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: it is of the log %q, not of %q", ErrUnverified, c.Origin, verifier.Name())
	}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: size %q", ErrUnverified, lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: root %q", ErrUnverified, lines[2])
	}
	copy(c.Root[:], root)
	if c.text() != n.Text {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: not in its one form", ErrUnverified)
	}
	return c, nil
}
