package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Witness is a C2SP tlog-witness: it cosigns the checkpoints of the logs that it knows, each only
// if it extends what the witness cosigned before. It sees sizes and roots, no entries. Another
// department or the auditor runs it, on a machine that the log's operator cannot write to.
//
// What it has cosigned is on disk before it answers, so that a crash cannot make it contradict
// itself. One process uses a folder at a time, until [Witness.Close] or its end.
type Witness struct {
	dir    string
	lock   *os.File
	signer *fnote.Signer
	vkey   string
	mu     sync.Mutex // guards logs and the files in dir
	logs   map[string]*Trust
}

// witnessed is what a witness remembers of a log.
type witnessed struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"` // base64
}

const (
	witnessKeyFile  = "witness.key"
	witnessVKeyFile = "witness.vkey"
)

// maxAddCheckpoint bounds a request: 63 hashes and a checkpoint with many signatures.
const maxAddCheckpoint = 64 << 10

// OpenWitness opens the witness in dir, or makes a new one of that name there. For each log its
// public keys are given; several of one origin are alternatives, as after a rotation.
func OpenWitness(dir, name string, logs ...string) (*Witness, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the witness's folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	w, err := openWitness(dir, name, logs)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	w.lock = lock
	return w, nil
}

// WitnessVKey reads the public key of the witness in dir, which may be at work.
func WitnessVKey(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, witnessVKeyFile))
	if err != nil {
		return "", fmt.Errorf("reading the witness's public key: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// lockFolder keeps other processes out of the folder: two that read what was cosigned last, and then
// both write, could cosign a fork.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the witness's folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another process is this witness: two could contradict one another")
		}
		return nil, errors.Join(fmt.Errorf("locking the witness's folder: %w", err), f.Close())
	}
	return f, nil
}

// Close gives the folder free.
func (w *Witness) Close() error { return w.lock.Close() }

func openWitness(dir, name string, logs []string) (*Witness, error) {
	skey, err := readSecret(filepath.Join(dir, witnessKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		if name == "" {
			return nil, errors.New("there is no witness in that folder yet: give it a name, such as witness.example.org")
		}
		if skey, err = createWitnessKey(dir, name); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	w := &Witness{dir: dir, logs: map[string]*Trust{}}
	if w.signer, err = fnote.NewSignerForCosignatureV1(skey); err != nil {
		return nil, fmt.Errorf("reading %s: %w", witnessKeyFile, err)
	}
	if name != "" && w.signer.Name() != name {
		return nil, fmt.Errorf("the witness in that folder is named %q, not %q", w.signer.Name(), name)
	}
	text, err := os.ReadFile(filepath.Join(dir, witnessVKeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the witness's public key: %w", err)
	}
	w.vkey = strings.TrimSpace(string(text))
	for _, l := range logs {
		v, err := note.NewVerifier(l)
		if err != nil {
			return nil, fmt.Errorf("the key of a log to witness: %w", err)
		}
		if t := w.logs[v.Name()]; t != nil {
			t.logs = append(t.logs, v)
		} else {
			w.logs[v.Name()] = TrustKey(v)
		}
	}
	return w, nil
}

func createWitnessKey(dir, name string) (string, error) {
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", fmt.Errorf("making the witness's key: %w", err)
	}
	if vkey, err = fnote.VKeyToCosignatureV1(vkey); err != nil {
		return "", fmt.Errorf("making the witness's key: %w", err)
	}
	// The public half first: without the secret half there is no witness yet.
	if err := ReplaceFile(filepath.Join(dir, witnessVKeyFile), []byte(vkey+"\n")); err != nil {
		return "", fmt.Errorf("storing the witness's key: %w", err)
	}
	if err := writeNew(filepath.Join(dir, witnessKeyFile), skey+"\n", 0o600); err != nil {
		return "", fmt.Errorf("storing the witness's key: %w", err)
	}
	return skey, nil
}

// VKey is the public key, as policies name it.
func (w *Witness) VKey() string { return w.vkey }

// ErrDisputed means: a witness says that it has seen another history. Either the log has lost
// something (a backup was restored, somebody forked it), or the witness lies.
var ErrDisputed = errors.New("a witness disputes the log")

// Errors of a witness, each with the status that tlog-witness gives it.
var (
	errWitnessRequest = errors.New("the request is not of the form of add-checkpoint")
	errWitnessLog     = errors.New("this log is not known here")
	errWitnessSigner  = errors.New("no known key of the log has signed the checkpoint")
	errWitnessProof   = errors.New("the checkpoint does not extend what was cosigned before")
)

type staleError struct{ size int64 }

func (e *staleError) Error() string {
	return fmt.Sprintf("the tree cosigned last has %d entries", e.size)
}

// ServeHTTP takes POST /add-checkpoint.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/add-checkpoint" {
		http.NotFound(rw, r)
		return
	}
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		http.Error(rw, "POST a checkpoint here", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxAddCheckpoint))
	if err != nil {
		http.Error(rw, "the request cannot be read", http.StatusBadRequest)
		return
	}
	sigs, err := w.Add(body)
	var stale *staleError
	switch {
	case err == nil:
		_, _ = rw.Write(sigs)
	case errors.As(err, &stale):
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", stale.size)
	case errors.Is(err, errWitnessRequest):
		http.Error(rw, err.Error(), http.StatusBadRequest)
	case errors.Is(err, errWitnessLog):
		http.Error(rw, err.Error(), http.StatusNotFound)
	case errors.Is(err, errWitnessSigner):
		http.Error(rw, err.Error(), http.StatusForbidden)
	case errors.Is(err, errWitnessProof):
		http.Error(rw, err.Error(), http.StatusUnprocessableEntity)
	default:
		http.Error(rw, "the witness could not write down what it saw", http.StatusInternalServerError)
	}
}

// Add takes the body of an add-checkpoint request and returns the cosignature line.
func (w *Witness) Add(body []byte) ([]byte, error) {
	old, proof, signed, err := parseAddCheckpoint(body)
	if err != nil {
		return nil, err
	}
	origin, _, _ := strings.Cut(string(signed), "\n")
	w.mu.Lock()
	defer w.mu.Unlock()
	trust := w.logs[origin]
	if trust == nil {
		return nil, errWitnessLog
	}
	c, err := trust.open(signed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errWitnessSigner, err)
	}
	if old > c.Size {
		return nil, errWitnessRequest
	}
	last, err := w.last(origin)
	if err != nil {
		return nil, err
	}
	if last.size != old {
		return nil, &staleError{last.size}
	}
	switch {
	case c.Size == 0 && c.Root != emptyRoot:
		return nil, errWitnessProof
	case old == c.Size && old > 0: // the same tree again: only with the same root (else 409), and no proof
		if c.Root != last.root {
			return nil, &staleError{last.size}
		}
		if len(proof) != 0 {
			return nil, errWitnessProof
		}
	case old == 0:
		if len(proof) != 0 {
			return nil, errWitnessProof
		}
	default:
		if err := tlog.CheckTree(proof, c.Size, c.Root, old, last.root); err != nil {
			return nil, fmt.Errorf("%w: %w", errWitnessProof, err)
		}
	}
	if err := w.remember(origin, c); err != nil {
		return nil, err
	}
	cosigned, err := note.Sign(&note.Note{Text: c.text()}, w.signer)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	return cosigned[len(c.text())+1:], nil
}

func parseAddCheckpoint(body []byte) (old int64, proof tlog.TreeProof, signed []byte, err error) {
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return 0, nil, nil, errWitnessRequest
	}
	lines := strings.Split(string(head), "\n")
	size, ok := strings.CutPrefix(lines[0], "old ")
	old, err = strconv.ParseInt(size, 10, 64)
	if !ok || err != nil || old < 0 || strconv.FormatInt(old, 10) != size || len(lines) > 64 {
		return 0, nil, nil, errWitnessRequest
	}
	for _, l := range lines[1:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			return 0, nil, nil, errWitnessRequest
		}
		proof = append(proof, h)
	}
	return old, proof, signed, nil
}

type seenTree struct {
	size int64
	root tlog.Hash
}

// stateFile is named by a hash: an origin may hold what a file name may not.
func (w *Witness) stateFile(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(w.dir, hex.EncodeToString(sum[:8])+".json")
}

func (w *Witness) last(origin string) (seenTree, error) {
	text, err := os.ReadFile(w.stateFile(origin))
	if errors.Is(err, fs.ErrNotExist) {
		return seenTree{root: emptyRoot}, nil
	}
	if err != nil {
		return seenTree{}, fmt.Errorf("reading what was witnessed: %w", err)
	}
	var s witnessed
	if err := strictJSON(text, &s); err != nil {
		return seenTree{}, fmt.Errorf("reading what was witnessed: %w", err)
	}
	root, err := tlog.ParseHash(s.Root)
	if err != nil || s.Origin != origin || s.Size < 0 {
		return seenTree{}, errors.New("reading what was witnessed: the file is not of this log")
	}
	return seenTree{s.Size, root}, nil
}

// remember writes down what is about to be cosigned. It is on disk when it returns.
func (w *Witness) remember(origin string, c Checkpoint) error {
	text, err := json.Marshal(witnessed{Origin: origin, Size: c.Size, Root: c.Root.String()})
	if err != nil {
		return err
	}
	if err := ReplaceFile(w.stateFile(origin), append(text, '\n')); err != nil {
		return fmt.Errorf("writing down what was witnessed: %w", err)
	}
	return nil
}

// ReplaceFile replaces a file, or makes it, so that a crash leaves the old or the new one, on disk. Only
// its owner may read it.
func ReplaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the names in a folder last.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
