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
	// Cosigned lists the known witnesses that have cosigned it.
	Cosigned []Cosignature `json:",omitempty"`
}

// ErrUnverified means: a signature, a hash or the form of something in the log is not right. Believe
// nothing of it.
var ErrUnverified = errors.New("the log does not verify")

func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

func (c Checkpoint) sign(signers ...note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.text()}, signers...)
}

// parseCheckpoint reads the text of a checkpoint of the named log, in its one form.
func parseCheckpoint(text, origin string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: want three lines", ErrUnverified)
	}
	c := Checkpoint{Origin: lines[0]}
	if c.Origin != origin {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: it is of the log %q, not of %q", ErrUnverified, c.Origin, origin)
	}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: size %q", ErrUnverified, lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: root %q", ErrUnverified, lines[2])
	}
	copy(c.Root[:], root)
	if c.text() != text {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: not in its one form", ErrUnverified)
	}
	return c, nil
}
