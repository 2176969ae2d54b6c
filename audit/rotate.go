package audit

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// RotationText is the sentence that both keys of a rotation sign, as a note's text.
func RotationText(origin, oldVKey, newVKey string) string {
	return fmt.Sprintf("earshot key rotation\n%s\nold %s\nnew %s\n", origin, oldVKey, newVKey)
}

// nextFile holds the new key until the entry that announces it has been written.
const nextFile = "log.key.next"

// formerFile holds keys that were replaced, one a line, the newest first; former.vkey their public
// halves, for ever.
const (
	formerFile  = "former.key"
	formerVFile = "former.vkey"
)

// PrepareRotation makes the log's next key in dir, or finds the one that was made before a crash,
// and returns the entry that announces it, signed by both. Write the entry, then call
// [FinishRotation].
func PrepareRotation(dir string, now time.Time) (Entry, error) {
	k, err := openSigning(dir)
	if err != nil {
		return Entry{}, err
	}
	path := filepath.Join(dir, nextFile)
	skey, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		if skey, _, err = note.GenerateKey(rand.Reader, k.Signer.Name()); err == nil {
			err = writeNew(path, skey+"\n", 0o600)
		}
	}
	if err != nil {
		return Entry{}, fmt.Errorf("making the log's next key: %w", err)
	}
	next, vkey, err := signerOf(skey)
	if err != nil {
		return Entry{}, err
	}
	text := RotationText(k.Signer.Name(), k.VKey, vkey)
	r := &Rotation{Old: k.VKey, New: vkey}
	for _, s := range []struct {
		signer note.Signer
		to     *string
	}{{k.Signer, &r.OldSig}, {next, &r.NewSig}} {
		sig, err := s.signer.Sign([]byte(text))
		if err != nil {
			return Entry{}, fmt.Errorf("signing the rotation: %w", err)
		}
		*s.to = base64.StdEncoding.EncodeToString(sig)
	}
	return Entry{ID: EntryID(string(KindRotation), vkey), Kind: KindRotation, TS: now.UnixMicro(), Rotation: r}, nil
}

// signerOf gives a secret key's signer and public half.
func signerOf(skey string) (note.Signer, string, error) {
	s, err := note.NewSigner(skey)
	if err != nil {
		return nil, "", fmt.Errorf("reading a key: %w", err)
	}
	// The public half is not in the signer; it is what signs: the seed's public key.
	fields := strings.SplitN(skey, "+", 5)
	if len(fields) != 5 {
		return nil, "", errors.New("reading a key: not in the form of a note's secret key")
	}
	seed, err := base64.StdEncoding.DecodeString(fields[4])
	if err != nil || len(seed) != 33 {
		return nil, "", errors.New("reading a key: not in the form of a note's secret key")
	}
	vkey, err := note.NewEd25519VerifierKey(s.Name(), publicOf(seed[1:]))
	return s, vkey, err
}

// FinishRotation puts the next key in the place of the current one, which goes on signing beside it
// until [RetireKeys]. Calling it again after a crash goes on.
func FinishRotation(dir string) error {
	next, err := readSecret(filepath.Join(dir, nextFile))
	if err != nil {
		return fmt.Errorf("finishing the rotation: %w", err)
	}
	_, vkey, err := signerOf(next)
	if err != nil {
		return err
	}
	k, err := openSigning(dir)
	if err != nil {
		return err
	}
	old, err := readSecret(filepath.Join(dir, signingFile))
	if err != nil {
		return err
	}
	if old != next {
		for _, f := range []struct{ name, line string }{{formerFile, old}, {formerVFile, k.VKey}} {
			if err := prepend(filepath.Join(dir, f.name), f.line); err != nil {
				return fmt.Errorf("keeping the former key: %w", err)
			}
		}
	}
	// The public half first: verifying with a key that does not sign yet fails loudly, and is mended by
	// calling this again.
	if err := ReplaceFile(filepath.Join(dir, publicFile), []byte(vkey+"\n")); err != nil {
		return fmt.Errorf("finishing the rotation: %w", err)
	}
	if err := ReplaceFile(filepath.Join(dir, signingFile), []byte(next+"\n")); err != nil {
		return fmt.Errorf("finishing the rotation: %w", err)
	}
	return os.Remove(filepath.Join(dir, nextFile))
}

// prepend adds a line on top of a file unless it is there already.
func prepend(path, line string) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for l := range strings.Lines(string(text)) {
		if strings.TrimSpace(l) == line {
			return nil
		}
	}
	return ReplaceFile(path, append([]byte(line+"\n"), text...))
}

// ErrTooSoon means: those who verify have hardly had the time to look at the log under both keys, and
// to learn of the new one.
var ErrTooSoon = errors.New("the key was replaced less than a week ago: who verifies with the former one has perhaps not learnt of the new one yet")

// overlap is how long both keys sign at least.
const overlap = 7 * 24 * time.Hour

// RetireKeys ends the time in which former keys sign beside the current one. Their public halves
// stay, since old checkpoints carry their signatures. Within a week of the rotation it is [ErrTooSoon]
// unless atOnce is set.
func RetireKeys(dir string, now time.Time, atOnce bool) error {
	info, err := os.Stat(filepath.Join(dir, formerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if now.Sub(info.ModTime()) < overlap && !atOnce {
		return ErrTooSoon
	}
	err = os.Remove(filepath.Join(dir, formerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// check verifies a rotation's two signatures.
func (r *Rotation) check(origin string) (oldKey, newKey note.Verifier, err error) {
	text := []byte(RotationText(origin, r.Old, r.New))
	for _, s := range []struct {
		vkey, sig string
		to        *note.Verifier
	}{{r.Old, r.OldSig, &oldKey}, {r.New, r.NewSig, &newKey}} {
		v, err := note.NewVerifier(s.vkey)
		if err != nil {
			return nil, nil, fmt.Errorf("key rotation: %w", err)
		}
		sig, err := base64.StdEncoding.Strict().DecodeString(s.sig)
		if err != nil || v.Name() != origin || !v.Verify(text, sig) {
			return nil, nil, fmt.Errorf("key rotation: %w: a signature of the two keys is not right", ErrUnverified)
		}
		*s.to = v
	}
	return oldKey, newKey, nil
}
