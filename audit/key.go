package audit

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Keys are a log's secrets: the key that signs checkpoints and the one that makes tags.
type Keys struct {
	Signer   note.Signer
	Verifier note.Verifier
	VKey     string // the public key in the form that auditors are given
	// Former keys were replaced: they sign beside the current one until they are retired. Verifiers
	// are the current public key and all former ones.
	Former    []note.Signer
	Verifiers []note.Verifier
	Tagger    *Tagger
	// KEK is the key that encrypts the keys of data subjects, derived from the tag key.
	KEK []byte
}

const (
	signingFile = "log.key"
	publicFile  = "log.vkey"
	tagFile     = "tag.key"
)

// CreateKeys makes the keys of the log with the given origin (a name such as
// example.org/earshot/2026, without a scheme) in dir. Secret files are readable by their owner
// only. Keys that are already there are never overwritten.
func CreateKeys(dir, origin string) (*Keys, error) {
	if err := CheckOrigin(origin); err != nil {
		return nil, err
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("making the key of the log %q: %w", origin, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of keys: %w", err)
	}
	tag := make([]byte, 32)
	_, _ = rand.Read(tag) // never fails, see crypto/rand
	for _, f := range []struct {
		name string
		text string
		mode fs.FileMode
	}{
		{signingFile, skey + "\n", 0o600},
		{publicFile, vkey + "\n", 0o644},
		{tagFile, fmt.Sprintf("%x\n", tag), 0o600},
	} {
		if err := writeNew(filepath.Join(dir, f.name), f.text, f.mode); err != nil {
			return nil, fmt.Errorf("storing %s: %w", f.name, err)
		}
	}
	return OpenKeys(dir)
}

// CheckOrigin says what is wrong with the name of a log: it is a URL without a scheme, such as
// example.org/earshot/2026, and the name of the log's key, which holds no blanks and no plus.
func CheckOrigin(origin string) error {
	if origin == "" || strings.ContainsFunc(origin, unicode.IsSpace) || strings.ContainsAny(origin, "+\\") || strings.Contains(origin, "://") || !utf8.ValidString(origin) {
		return fmt.Errorf("%q is no name for a log: it has no scheme, no blanks and no plus, such as example.org/earshot/2026", origin)
	}
	return nil
}

// CreateShardKeys makes the signing key of a further shard in a folder of its own, or finds the one
// that was made before a crash, and returns its public half.
func CreateShardKeys(dir, origin string) (vkey string, err error) {
	if err := CheckOrigin(origin); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the folder of keys: %w", err)
	}
	skey, err := readSecret(filepath.Join(dir, signingFile))
	if errors.Is(err, fs.ErrNotExist) {
		if skey, _, err = note.GenerateKey(rand.Reader, origin); err == nil {
			err = writeNew(filepath.Join(dir, signingFile), skey+"\n", 0o600)
		}
	}
	if err != nil {
		return "", fmt.Errorf("making the key of the log %q: %w", origin, err)
	}
	s, vkey, err := signerOf(skey)
	if err != nil {
		return "", err
	}
	if s.Name() != origin {
		return "", fmt.Errorf("there is a key of the log %q in %s already", s.Name(), filepath.Base(dir))
	}
	return vkey, ReplaceFile(filepath.Join(dir, publicFile), []byte(vkey+"\n"))
}

func writeNew(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close(), syncFolder(filepath.Dir(path)))
}

// OpenKeys reads the keys in dir. A secret file that others may read is refused.
func OpenKeys(dir string) (*Keys, error) { return OpenShardKeys(dir, dir) }

// OpenShardKeys reads the keys of a log of which a later shard is written: the key that makes tags
// stays in dir, those that sign are in signing.
func OpenShardKeys(dir, signing string) (*Keys, error) {
	k, err := openSigning(signing)
	if err != nil {
		return nil, err
	}
	tag, err := readSecret(filepath.Join(dir, tagFile))
	if err != nil {
		return nil, err
	}
	if k.Tagger, err = NewTagger([]byte(tag)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", tagFile, err)
	}
	if k.KEK, err = hkdf.Key(sha256.New, []byte(tag), nil, "earshot key-encryption key/1", 32); err != nil {
		return nil, fmt.Errorf("deriving the key-encryption key: %w", err)
	}
	return k, nil
}

// openSigning reads the keys that sign.
func openSigning(dir string) (*Keys, error) {
	var k Keys
	skey, err := readSecret(filepath.Join(dir, signingFile))
	if err != nil {
		return nil, err
	}
	if k.Signer, err = note.NewSigner(skey); err != nil {
		return nil, fmt.Errorf("reading %s: %w", signingFile, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, publicFile))
	if err != nil {
		return nil, fmt.Errorf("reading the log's public key: %w", err)
	}
	k.VKey = strings.TrimSpace(string(text))
	if k.Verifier, err = note.NewVerifier(k.VKey); err != nil {
		return nil, fmt.Errorf("reading %s: %w", publicFile, err)
	}
	k.Verifiers = []note.Verifier{k.Verifier}
	if err := k.openFormer(dir); err != nil {
		return nil, err
	}
	return &k, nil
}

func (k *Keys) openFormer(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, formerVFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %s: %w", formerVFile, err)
	}
	for _, line := range strings.Fields(string(text)) {
		v, err := note.NewVerifier(line)
		if err != nil {
			return fmt.Errorf("reading %s: %w", formerVFile, err)
		}
		if v.KeyHash() != k.Verifier.KeyHash() {
			k.Verifiers = append(k.Verifiers, v)
		}
	}
	secret, err := readSecret(filepath.Join(dir, formerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, line := range strings.Fields(secret) {
		s, err := note.NewSigner(line)
		if err != nil {
			return fmt.Errorf("reading %s: %w", formerFile, err)
		}
		if s.KeyHash() != k.Signer.KeyHash() {
			k.Former = append(k.Former, s)
		}
	}
	return nil
}

// publicOf is the public half of an Ed25519 seed.
func publicOf(seed []byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}

func readSecret(path string) (string, error) {
	name := filepath.Base(path)
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("reading the secret %s: %w", name, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the secret %s may be read by others (mode %04o): run chmod 600 on it", name, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the secret %s: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}
